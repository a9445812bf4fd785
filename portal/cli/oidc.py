"""door oidc set, door oidc show, door oidc remove: the sign-in that an agency has of its own."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portal.cli import options
from portal.cli.screen import emit, line
from portal.cli.setting import Setting
from portal.cli.words import say
from schemas.errors import Malformed, Refused

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from pipelines.reception.oidc.settings import Settings
    from pipelines.reception.vault import Vault

_STANDARD_INPUT = Path("-")


def put(
    setting: Setting,
    agency: options.Agency,
    issuer: Annotated[str, typer.Option("--issuer", metavar="URL", help=say("option.issuer"))],
    client_id: Annotated[str, typer.Option("--client-id", metavar="ID", help=say("option.client_id"))],
    secret_file: Annotated[
        Path, typer.Option("--secret-file", metavar="FILE", help=say("option.secret_file"))
    ] = _STANDARD_INPUT,
    require_mfa: Annotated[bool, typer.Option("--require-mfa/--no-require-mfa", help=say("option.require_mfa"))] = True,
    acr: Annotated[str | None, typer.Option("--acr", metavar="VALUE", help=say("option.acr"))] = None,
) -> int:
    """The provider's document is read first: what cannot work is not kept."""
    from pipelines import opening
    from pipelines.reception.oidc import metadata
    from pipelines.reception.oidc.fetching import Unfit
    from pipelines.reception.oidc.settings import Settings, keep

    code = opening.known(setting.home, [agency])[0]
    how = Settings(code, metadata.issuer_named(issuer), client_id, _secret(secret_file), require_mfa, acr)
    try:
        metadata.published(metadata.discovered(how.issuer))
    except Unfit:
        raise Refused(
            "the provider's document or its keys cannot be read", "Look at /.well-known/openid-configuration there."
        ) from None
    engine, vault = _accounts(setting)
    keep(engine, vault, how, setting.at)
    _tell(setting, [how], vault)
    return 0


def show(setting: Setting, agency: options.AgencyOrNone = None) -> int:
    from pipelines import opening
    from pipelines.reception.oidc.settings import every

    code = None if agency is None else opening.known(setting.home, [agency])[0]
    engine, vault = _accounts(setting)
    _tell(setting, [how for how in every(engine, vault) if code in (None, how.agency)], vault)
    return 0


def remove(setting: Setting, agency: options.Agency) -> int:
    from pipelines import opening
    from pipelines.reception.oidc import settings

    code = opening.known(setting.home, [agency])[0]
    engine, vault = _accounts(setting)
    people = settings.remove(engine, vault, code, setting.at)
    if setting.as_json:
        emit({"people": people})
    else:
        line(say("oidc.removed", count=people))
    return 0


def _secret(file: Path) -> str:
    """Its first line. Never an option: it would stand in the list of processes."""
    try:
        text = sys.stdin.readline() if file == _STANDARD_INPUT else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise Malformed("the file of the secret cannot be read", "Name another one, or - for standard input.") from None
    return text.partition("\n")[0].strip()


def _tell(setting: Setting, those: "list[Settings]", vault: "Vault") -> None:
    """Never the secret."""
    from pipelines.reception.beside import origin_of
    from pipelines.reception.oidc.settings import entrance

    origin = origin_of(setting.home)
    told: list[dict[str, Any]] = []
    for how in those:
        here = f"{origin}/sign-in/agency/{entrance(vault, how.agency)}"
        told.append({
            "agency": how.agency, "issuer": how.issuer, "client_id": how.client_id, "require_mfa": how.require_mfa,
            "acr": how.acr, "sign_in": here, "redirect_uri": f"{here}/return",
        })  # fmt: skip
    if setting.as_json:
        emit(told)
    elif not told:
        line(say("oidc.none"))
    else:
        for one in told:
            rule = say("word.yes" if one["require_mfa"] else "word.no")
            line(say("oidc.shown", **{**one, "require_mfa": rule, "acr": one["acr"] or "–"}))


def _accounts(setting: Setting) -> "tuple[Engine, Vault]":
    from pipelines import opening
    from pipelines.reception import tables
    from pipelines.reception.vault import Vault
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    return tables.accounts(setting.home), Vault.of(setting.home, open_root(setting.home, setting.passphrase))
