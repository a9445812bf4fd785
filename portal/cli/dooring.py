"""door invite, door people, door revoke, door serve, door openapi, door notify, door webhook."""

import signal
import sys
import threading
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from portal.cli import options
from portal.cli.reasons import meaning
from portal.cli.screen import emit, line, table
from portal.cli.setting import Setting, instant
from portal.cli.words import say
from schemas.errors import Malformed

if TYPE_CHECKING:
    from pipelines.notices.sending import Turn
    from pipelines.reception.accounts import Accounts, Person

Origin = Annotated[str | None, typer.Option("--origin", metavar="URL", help=say("option.origin"))]
Listen = Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help=say("option.door_listen"))]
LISTEN = "127.0.0.1:8620"


def invite(
    setting: Setting,
    role: Annotated[str, typer.Option("--role", metavar="ROLE", help=say("option.role"))],
    email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help=say("option.email"))],
    agency: options.AgencyOrNone = None,
    until: Annotated[str | None, typer.Option("--until", metavar="DAY", help=say("option.until"))] = None,
    categories: Annotated[
        list[str] | None, typer.Option("--categories", metavar="NAME", help=say("option.categories"))
    ] = None,
    origin: Origin = None,
) -> int:
    from pipelines import opening
    from pipelines.reception import accounts as reception
    from pipelines.reception.beside import origin_of
    from schemas.access import Grant, Role

    if role not in {str(r) for r in Role}:
        raise Malformed("an unknown role was named", f"Known: {', '.join(str(r) for r in Role)}.")
    if (Role(role) is Role.OPERATOR) != (agency is None):
        raise Malformed("an operator is of no agency, every other role of one", "Give --agency, or leave it out.")
    code = None if agency is None else opening.known(setting.home, [agency])[0]
    named = reception.categories([name for given in categories or () for name in given.split(",")])
    grant = Grant(Role(role), code, setting.at, None if until is None else _first_after(until), named)
    token = _accounts(setting).invite(email, grant, setting.at)
    link = f"{origin_of(setting.home, origin)}/invitation/{token}"
    if setting.as_json:
        emit({"link": link, "hours": 72})
    else:
        line(say("door.invited"))
        line(link)
    return 0


def people(setting: Setting) -> int:
    found = _accounts(setting).people(setting.at)
    if setting.as_json:
        emit([p.as_json() for p in found])
    elif not found:
        line(say("door.nobody"))
    else:
        heads = ("email", "account", "roles", "ready", "sessions")
        table([say(f"column.{h}") for h in heads], [_row(p) for p in found])
    return 0


def revoke(
    setting: Setting, email: Annotated[str, typer.Option("--email", metavar="ADDRESS", help=say("option.email"))]
) -> int:
    gone = _accounts(setting).revoke(email, setting.at)
    if setting.as_json:
        emit({"revoked": gone})
    else:
        line(say("door.revoked", count=gone))
    return 0


def serve(setting: Setting, origin: Origin = None, listen: Listen = LISTEN) -> int:
    from pipelines import opening
    from pipelines.reception.beside import door, origin_of
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    where = origin_of(setting.home, origin)
    heard = threading.Event()
    before = {n: signal.signal(n, lambda *_: heard.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        root = open_root(setting.home, setting.passphrase)
        with door(setting.home, root, where, listen, _now, told=ended, meaning=in_french) as pages:
            if setting.as_json:
                emit({"origin": where})
            else:
                line(say("door.open", origin=where))
            sys.stdout.flush()
            while pages.poll() is None and not heard.wait(0.5):
                pass
            return 1 if pages.poll() is not None else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ended(again: bool) -> None:
    """Say that the pages have ended by themselves."""
    print(say("door.again" if again else "door.left"), file=sys.stderr, flush=True)


def openapi(setting: Setting, origin: Origin = None) -> int:
    """What the pages answer to, as an OpenAPI document on stdout."""
    import json

    from pipelines.reception.beside import origin_of
    from portal.web.description import described

    line(json.dumps(described(origin_of(setting.home, origin)), ensure_ascii=False, indent=1))
    return 0


def notify(
    setting: Setting,
    follow: Annotated[bool, typer.Option("--follow", help=say("option.notify_follow"))] = False,
    origin: Origin = None,
) -> int:
    from pipelines import opening
    from pipelines.notices import post_office, sending
    from pipelines.notices.settings import settings
    from pipelines.reception.beside import origin_of
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    root, where = open_root(setting.home, setting.passphrase), origin_of(setting.home, origin)
    if not follow:
        done = post_office.turn(setting.home, root, where, _now)
        _told(setting, done)
        return 1 if done.troubles else 0
    stop = threading.Event()
    before = {n: signal.signal(n, lambda *_: stop.set()) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        office = post_office.outbox_of(setting.home, root)
        sending.follow(setting.home, office, settings(setting.home), where, _now, stop, lambda t: _told(setting, t))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _told(setting: Setting, done: "Turn") -> None:
    if setting.as_json:
        emit(done.as_json())
    else:
        line(say("door.notified", sent=done.sent, left=done.left))
        for kind in done.troubles:
            line(say("door.notify_trouble", kind=kind))
    sys.stdout.flush()


def webhook(
    setting: Setting,
    agency: options.Agency,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help=say("option.webhook"))] = None,
    off: Annotated[bool, typer.Option("--off", help=say("option.webhook_off"))] = False,
) -> int:
    from pipelines import opening
    from pipelines.notices import post_office
    from store.keys import open_root

    if (url is None) != off:
        raise Malformed("say which programme is told", "Give --url, or --off.")
    code = opening.known(setting.home, [agency])[0]
    root = open_root(setting.home, setting.passphrase)
    if url is None:
        post_office.tell_no_programme(setting.home, root, code)
        return 0
    secret = post_office.tell_programme(setting.home, root, code, url, _now())
    if setting.as_json:
        emit({"secret": secret})
    else:
        line(say("door.webhook"))
        line(secret)
    return 0


def _accounts(setting: Setting) -> "Accounts":
    from pipelines import opening
    from pipelines.reception import tables
    from pipelines.reception.accounts import Accounts
    from pipelines.reception.vault import Vault
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    return Accounts(tables.accounts(setting.home), Vault.of(setting.home, open_root(setting.home, setting.passphrase)))


def _row(p: "Person") -> tuple[object, ...]:
    roles = [f"{g.role} {g.agency or ''}".strip() + (f" → {g.until:%Y-%m-%d}" if g.until else "") for g in p.grants]
    return (p.email, p.account, "; ".join(roles) or "–", say("word.yes" if p.ready else "word.no"), p.sessions)


def _first_after(text: str) -> datetime:
    """The first instant at which a role counts no more: the end of that day in Paris, or the instant that was given."""
    from schemas.window import midnight

    found = instant(text)
    return (
        midnight(date.fromordinal(date.fromisoformat(text).toordinal() + 1))
        if len(text) == len("2026-01-14")
        else found
    )


def in_french(code: str) -> str:
    """What a reason code means, as evidence packs say it."""
    return meaning(code, "fr")


def _now() -> datetime:
    # Who may come in is asked as of now, whatever --at says.
    return datetime.now(UTC)
