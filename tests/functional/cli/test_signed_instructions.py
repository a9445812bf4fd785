"""A home whose agency signs in the portal: what the reception calls, what the command line then shows and refuses."""

import datetime as dt
from pathlib import Path

import pytest

from ledger.instruction_file import parse
from ledger.signatures import Loss
from ledger.signing import Prepared
from pipelines import instructing
from pipelines.signing import Passkey, SigningDesk
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode
from tests.functional.cli.conftest import INSTRUCTION, Desk
from tests.unit.ledger.passkeys_made import ORIGIN, PARTY, SoftPasskey

CODE = AgencyCode("A0001")
NOW = dt.datetime(2026, 1, 6, 9, tzinfo=dt.UTC)
AT = ("--at", "2026-01-06T12:00")
GIVEN = {"reference": "PORTAIL-1", "channel": "portal", "given_by": "gerance"}
RESTRICT = GIVEN | {"kind": "restrict", "scope": "table", "tables": ["lot"]}
SYNCHRONISE = GIVEN | {
    "kind": "synchronise", "systems": ["sdgi"], "tables": ["*"], "purposes": ["extranet"], "valid_from": "2025-01-01",
    "signed_by": "Ana Exemplier",
}  # fmt: skip


def signing(desk: Desk) -> SigningDesk:
    return SigningDesk(instructing.Desk(Home.at(desk.home)))


def key(passkey: SoftPasskey, signatory: str | None = None) -> Passkey:
    return Passkey(
        passkey.public, int(passkey.algorithm), PARTY, ORIGIN, "gérance", "exploitant", signatory=signatory
    )  # fmt: skip


def sign(desk: SigningDesk, passkey: SoftPasskey, prepared: Prepared) -> str:
    line = desk.record(prepared, passkey.id, passkey.assertion(prepared.leaf_hash), prepared.at)
    return str(getattr(line.entry, "id", ""))


@pytest.fixture
def opened(desk: Desk) -> Desk:
    desk.open()
    return desk


@pytest.fixture
def passkey(opened: Desk) -> SoftPasskey:
    one = SoftPasskey()
    assert signing(opened).enrol(CODE, key(one, "Ana Exemplier"), NOW) == one.id
    return one


def test_an_instruction_signed_in_the_portal_is_shown_with_its_passkey(opened: Desk, passkey: SoftPasskey) -> None:
    desk = signing(opened)
    made = sign(desk, passkey, desk.prepare(CODE, parse(SYNCHRONISE, Path()), NOW))
    told = opened("instructions", "--agency", CODE, *AT)
    assert "in force, signed by passkey" in told.out
    assert passkey.id in told.out
    (found,) = [i for i in opened("instructions", "--agency", CODE, *AT, "--json").json if i["instruction"] == made]
    assert (found["state"], found["signed_by"], found["channel"]) == ("in_force", passkey.id, "portal")
    (known,) = desk.passkeys(CODE)
    assert (known.state, known.signed, known.as_json()["credential"]) == ("standing", 1, passkey.id)
    ledger = b"".join(p.read_bytes() for p in (opened.home / "ledger").rglob("*") if p.is_file())
    assert b"Exemplier" not in ledger


@pytest.mark.parametrize("said", [SYNCHRONISE, RESTRICT], ids=["synchronise", "restrict"])
def test_the_command_line_refuses_what_says_that_it_came_by_the_portal(
    opened: Desk, said: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "portal.toml"
    path.write_text("".join(f"{k} = {v!r}\n" for k, v in said.items()))
    refused = opened("instruct", "--agency", CODE, "--file", path, *AT)
    assert refused.code != 0
    assert "by the portal is signed there" in refused.err
    assert "Sign it in the portal" in refused.err
    assert opened("instruct", "--agency", CODE, "--file", path, "--preview", *AT).code == 0
    assert [i for i in opened("instructions", "--agency", CODE, *AT, "--json").json if i.get("channel")] == []


def test_once_only_what_is_signed_counts_the_command_line_says_what_is_missing(
    opened: Desk, passkey: SoftPasskey, tmp_path: Path
) -> None:
    desk = signing(opened)
    desk.demand(CODE, "gérance", NOW)
    path = opened.instruction(INSTRUCTION.replace("ANNEXE-RGPD-2026-01", "ANNEXE-2"))
    told = opened("instruct", "--agency", CODE, "--file", path, *AT)
    assert told.code == 0
    assert "the signature of a passkey is missing" in told.out
    states = {i["reference"]: i["state"] for i in opened("instructions", "--agency", CODE, *AT, "--json").json}
    assert states == {"ANNEXE-RGPD-2026-01": "in_force", "ANNEXE-2": "unsigned"}
    lifted = desk.prepare_rule(CODE, required=False, given_by="gérance", at=NOW)
    sign(desk, passkey, lifted)


def test_what_a_passkey_closed_is_taken_back_by_a_passkey_only(opened: Desk, passkey: SoftPasskey) -> None:
    desk = signing(opened)
    made = sign(desk, passkey, desk.prepare(CODE, parse(RESTRICT, Path()), NOW))
    refused = opened("instruct", "--agency", CODE, "--withdraw", made, *AT)
    assert refused.code != 0
    assert "only a passkey of the agency takes this back" in refused.err
    sign(desk, passkey, desk.prepare_withdrawal(CODE, made, NOW))
    (found,) = [i for i in opened("instructions", "--agency", CODE, *AT, "--json").json if i["instruction"] == made]
    assert found["state"] == "withdrawn"


def test_passkeys_come_and_go(opened: Desk, passkey: SoftPasskey) -> None:
    desk, second = signing(opened), SoftPasskey(number=2)
    with pytest.raises(Refused, match="stands for this agency"):
        desk.enrol(CODE, key(second), NOW)
    sign(desk, passkey, desk.prepare_enrolment(CODE, key(second), NOW))
    desk.revoke(CODE, passkey.id, Loss.REPLACED, "gérance", NOW)
    assert [(k.entry.id, k.state) for k in desk.passkeys(CODE)] == [(passkey.id, "revoked"), (second.id, "standing")]
    with pytest.raises(Refused, match="nothing that an agency says"):
        desk.prepare(CODE, parse(LAW, Path()), NOW)


LAW = {"reference": "OBL-1", "kind": "legal_obligation", "jurisdiction": "FR", "law": "CGI, art. L. 96 G",
       "duty": "keep", "tables": ["account"]}  # fmt: skip


def test_the_evidence_pack_names_passkeys_and_signatures_and_holds(opened: Desk, passkey: SoftPasskey) -> None:
    desk = signing(opened)
    sign(desk, passkey, desk.prepare(CODE, parse(SYNCHRONISE, Path()), NOW))
    out = opened.root / "pack.zip"
    assert opened("evidence", "--agency", CODE, "--out", out, *AT).code == 0
    assert opened("verify", out).code == 0
    from zipfile import ZipFile

    summary = ZipFile(out).read("summary.json").decode()
    assert summary.count(passkey.id) == 2, "of the instruction, and among the passkeys"
