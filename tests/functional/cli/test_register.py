"""register: what really ran is in it, nothing of another agency, nothing that the law seals, and no formula."""

import datetime as dt
import json
import stat
from itertools import combinations
from pathlib import Path

import pytest

from ledger.canonical import sha256
from ledger.deeds import Handed, Handing
from ledger.entry import Receipt
from pipelines import processing_register
from schemas.errors import Malformed
from schemas.home import Home
from tests.functional.cli.conftest import SAMPLES, Desk, Said
from tests.functional.cli.registering import (
    AT,
    COMMON,
    IDENTITY,
    NAMES,
    TRANSFER,
    append,
    controller,
    everything,
    log,
    order,
    records,
    rows_of,
    sheets,
    with_orders,
    written,
)

# -- what really ran ---------------------------------------------------------------------------------------------------


def test_the_register_counts_what_the_receipts_count(night: Desk, tmp_path: Path) -> None:
    found = records(written(night, tmp_path))
    counted: dict[str, list[Receipt]] = {}
    for agency in NAMES:
        for entry in log(night, agency).read().entries:
            if isinstance(entry, Receipt):
                counted.setdefault(f"{agency}/receive/{entry.system}", []).append(entry)
    assert len(counted) == 8
    assert {i for i in found if "/receive/" in i} == counted.keys()
    for name, receipts in counted.items():
        counts = [c for r in receipts for c in r.tables.values()]
        assert found[name]["deliveries"] == {"accepted": len(receipts), "refused": 0, "replayed": 0}
        assert found[name]["lines"]["stored"] == sum(c.stored for c in counts) > 0
        assert found[name]["lines"]["read"] == sum(c.read for c in counts)
        assert found[name]["instructions"] == list(receipts[0].instructions)
        assert (found[name]["first_day"], found[name]["last_day"]) == ("2026-01-05", "2026-01-05")


def test_the_portals_accounts_are_the_operators_own_record(night: Desk, first_sync: Said, tmp_path: Path) -> None:
    register = written(night, tmp_path)
    (own,) = register["article_30_1"]["records"]
    (portal,) = [r for r in first_sync.json if r["system"] == "portal"]
    assert own["lines"]["stored"] == sum(c["stored"] for c in portal["tables"].values()) > 0
    assert own["purposes"] == ["services", "security", "incidents"]
    assert own["tables"] == ["portal_account", "portal_attachment"]
    assert own["persons"] == ["portal_user"]
    scopes = {register["model"][column]["scope"] for columns in own["data"].values() for column in columns}
    assert scopes == {"controller"}


def test_only_the_columns_that_were_instructed_are_categories_of_data(desk: Desk, tmp_path: Path) -> None:
    assert desk("init").code == 0
    desk("agencies", "load", SAMPLES / "agencies" / "AGENCES_20260105.csv", "--at", "2026-01-05")
    text = desk.instruction().read_text().replace('tables = ["*"]', 'tables = ["lot", "building"]')
    desk("instruct", "--agency", "A0002", "--file", desk.instruction(text), "--at", "2026-01-05")
    desk.place_day("2026-01-05")
    desk("sync", "--inbox", desk.inbox, "--at", "2026-01-05T06:00")
    found = records(written(desk, tmp_path))
    for name in ("A0002/receive/sdgi", "A0002/receive/gpi"):
        assert found[name]["tables"] == ["building", "lot"]
        assert found[name]["lines"]["withheld"] > 0
    refused = found["A0001/receive/sdgi"]
    assert (refused["carried_out"], refused["deliveries"]) == (False, {"accepted": 0, "refused": 1, "replayed": 0})
    assert refused["tables"] == []


def test_what_is_instructed_and_has_not_run_says_so(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    found = records(written(desk, tmp_path))
    assert found["A0002/receive/gpi"]["carried_out"] is False
    assert found["A0002/receive/gpi"]["purposes"] == ["extranet"]
    assert "A0002/receive/login" not in found  # the register of agencies does not open it
    assert found["_portal/portal_accounts"]["carried_out"] is False


def test_a_withdrawn_instruction_appears_with_its_last_instant(after_night: Desk, tmp_path: Path) -> None:
    (given,) = after_night("instructions", "--agency", "A0002", "--json").json
    after_night("instruct", "--agency", "A0002", "--withdraw", given["instruction"], "--at", "2026-01-06T08:00")
    register = written(after_night, tmp_path)
    (instruction,) = controller(register, "A0002")["instructions"]
    assert (instruction["state"], instruction["withdrawn_from"]) == ("withdrawn", "2026-01-06T07:00:00Z")
    assert records(register)["A0002/receive/gpi"]["instructions"] == [given["instruction"]]  # it did run under it
    assert f"{given['instruction']} ANNEXE-RGPD-2026-01 (withdrawn; " in (tmp_path / "register-30-2.csv").read_text()


def test_the_register_of_an_earlier_instant_knows_nothing_later(after_night: Desk, tmp_path: Path) -> None:
    (given,) = after_night("instructions", "--agency", "A0002", "--json").json
    after_night("instruct", "--agency", "A0002", "--withdraw", given["instruction"], "--at", "2026-01-06T08:00")
    earlier = written(after_night, tmp_path / "earlier", "--at", "2026-01-05T05:00")
    assert controller(earlier, "A0002")["instructions"][0]["state"] == "in_force"
    assert records(earlier)["A0002/receive/gpi"]["carried_out"] is False
    assert records(earlier)["_portal/portal_accounts"]["deliveries"]["accepted"] == 0


def test_a_transfer_appears_with_its_basis_and_whether_it_was_carried_out(after_night: Desk, tmp_path: Path) -> None:
    done = order(after_night, "A0001", f'{TRANSFER}basis = "46(2)(c)"\nsafeguards = "CCT-2026-4"\n')
    waiting = order(after_night, "A0002", f'{TRANSFER}basis = "45"\n')
    at = "2026-01-07T10:00:00+00:00"
    handed = Handed(
        does=Handing.TRANSFER, recipient="Imprimerie Exemple", country="CH", tables={"document": 5},
        instructions=(done,), capability="ab" * 32, carried_out_at=dt.datetime.fromisoformat(at),
    )  # fmt: skip
    append(after_night, "A0001", handed, at)
    register = written(after_night, tmp_path)
    (first,), (second,) = (controller(register, a)["transfers"] for a in ("A0001", "A0002"))
    assert (first["country"], first["recipient"], first["basis"]) == ("CH", "Imprimerie Exemple", "46(2)(c)")
    assert (first["safeguards"], first["carried_out"], first["rows"]) == ("CCT-2026-4", ["2026-01-07T10:00:00Z"], 5)
    assert (second["id"], second["carried_out"], second["rows"]) == (waiting, [], 0)
    found = records(register)
    assert (found["A0001/transfer"]["carried_out"], found["A0001/transfer"]["rows"]) == (True, {"document": 5})
    assert found["A0002/transfer"]["carried_out"] is False
    cell = next(r for r in rows_of(tmp_path / "register-30-2.csv") if r["Reference"] == "A0001/transfer")["Transfers"]
    assert cell == (
        "Imprimerie Exemple, CH (basis: art. 46(2)(c), safeguards CCT-2026-4; in force; "
        "carried out 2026-01-07T10:00:00Z)"
    )


def test_sub_processors_appear_as_the_agency_decided(after_night: Desk, tmp_path: Path) -> None:
    what = 'country = "FR"\nservice = "impression"\ntables = ["document"]\n'
    order(after_night, "A0001", f'kind = "authorise"\n{COMMON}name = "Imprimerie Exemple"\n{what}')
    order(after_night, "A0001", f'kind = "object"\n{COMMON}name = "Routage Exemple"\n{what}')
    decided = controller(written(after_night, tmp_path), "A0001")["sub_processors"]
    assert {s["name"]: (s["decision"], s["state"]) for s in decided} == {
        "Imprimerie Exemple": ("authorise", "in_force"),
        "Routage Exemple": ("object", "in_force"),
    }


def test_an_erased_agency_stays_with_what_was_done_and_its_certificate(after_night: Desk, tmp_path: Path) -> None:
    before = records(written(after_night, tmp_path / "before"))["A0003/receive/login"]
    (erased,) = after_night("retention", "run", "--at", "2026-01-14", "--json").json["erasures"]
    register = written(after_night, tmp_path / "after", "--at", "2026-01-15")
    assert records(register)["A0003/receive/login"] == before
    assert records(register)["A0003/end_of_contract"]["carried_out"] is True
    gone = controller(register, "A0003")
    assert (gone["name"], gone["siret"], gone["contract_end"]) == (None, None, "2026-01-06")
    digest = digest_of(after_night.home / "certificates" / erased["certificate"])
    assert [e["certificate_sha256"] for e in gone["erasures"]] == [digest]
    assert gone["instructions"][0]["state"] == "ended"
    assert digest in everything(tmp_path / "after")


def digest_of(path: Path) -> str:
    return sha256(path.read_bytes())


# -- for one agency ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def busy(_first_night: tuple[Path, Said], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Only for looking."""
    return with_orders(_first_night[0], tmp_path_factory.mktemp("busy") / "copy")


@pytest.mark.parametrize("chosen", [some for n in (1, 2) for some in combinations(sorted(NAMES), n)], ids="+".join)
def test_nothing_of_another_agency_is_in_the_register_of_one(
    busy: Desk, tmp_path: Path, chosen: tuple[str, ...]
) -> None:
    register = written(busy, tmp_path, *(option for a in chosen for option in ("--agency", a)))
    assert register["about"] == list(chosen)
    told = everything(tmp_path)
    for agency, names in NAMES.items():
        there = [name for name in (*names, f"AVENANT DE {agency[::-1]}") if name in told.replace("&#39;", "'")]
        assert bool(there) == (agency in chosen), there
    assert register["article_30_1"] is None
    assert not (tmp_path / "register-30-1.csv").exists()


def test_two_registers_never_lie_in_one_folder(night: Desk, tmp_path: Path) -> None:
    written(night, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    said = night("register", "--to", tmp_path, "--agency", "A0001", *AT)
    assert said.code == 2
    assert "register-30-1.csv" in said.err
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_agency_that_nobody_registered_is_refused_and_nothing_is_written(night: Desk, tmp_path: Path) -> None:
    said = night("register", "--to", tmp_path / "out", "--agency", "Z9999", *AT)
    assert (said.code, (tmp_path / "out").exists()) == (2, False)
    assert "Z9999" in said.err


OBLIGATION = """\
kind = "legal_obligation"
reference = "REQUISITION-9"
jurisdiction = "FR"
law = "Code de procédure pénale, art. 77-1-2"
duty = "disclose"
tables = ["account"]
"""
SEALED = """\
kind = "legal_notice"
reference = "NOTICE-9"
obligation = "{}"
prohibition = "Code de procédure pénale, art. 11"
released_from = "2026-03-01T00:00:00+01:00"
approved_by = ["direction", "juridique"]
"""
SECRET = ("REQUISITION-9", "NOTICE-9", "77-1-2", "art. 11", "Parquet Exemple", "legal_obligation", "sealed")


def sealed_home(desk: Desk) -> str:
    """A sealed notice, and a disclosure under it. Returns the id of the obligation."""
    obligation = order(desk, "A0001", OBLIGATION)
    order(desk, "A0001", SEALED.format(obligation))
    at = "2026-01-07T10:00:00+00:00"
    handed = Handed(
        does=Handing.DISCLOSE, recipient="Parquet Exemple", country=None, tables={"account": 3},
        instructions=(obligation,), capability="cd" * 32, carried_out_at=dt.datetime.fromisoformat(at),
    )  # fmt: skip
    append(desk, "A0001", handed, at)
    return obligation


def test_a_sealed_notice_is_in_the_processors_own_register_with_its_law_cited(
    after_night: Desk, tmp_path: Path
) -> None:
    obligation = sealed_home(after_night)
    register = written(after_night, tmp_path / "out")
    (told,) = controller(register, "A0001")["obligations"]
    assert (told["id"], told["law"]) == (obligation, "Code de procédure pénale, art. 77-1-2")
    (notice,) = told["notices"]
    assert (notice["sealed"], notice["prohibition"]) == (True, "Code de procédure pénale, art. 11")
    assert records(register)["A0001/legal"]["rows"] == {"account": 3}
    assert "A0001/disclose" not in records(register)
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").iterdir()}
    assert modes == {0o600}


def test_a_sealed_notice_is_not_in_what_goes_to_the_agency_until_it_is_released(
    after_night: Desk, tmp_path: Path
) -> None:
    untouched = written(after_night, tmp_path / "untouched", "--agency", "A0001")
    obligation = sealed_home(after_night)
    hidden = written(after_night, tmp_path / "hidden", "--agency", "A0001")
    assert hidden == untouched
    assert [s for s in (*SECRET[:-1], obligation) if s in everything(tmp_path / "hidden")] == []
    last = written(after_night, tmp_path / "last", "--agency", "A0001", "--at", "2026-02-28T23:59:59")
    assert controller(last, "A0001")["obligations"] == []
    free = written(after_night, tmp_path / "free", "--agency", "A0001", "--at", "2026-03-01")
    (told,) = controller(free, "A0001")["obligations"]
    assert (told["id"], told["notices"][0]["sealed"]) == (obligation, False)
    assert controller(free, "A0001")["handed"][0]["recipient"] == "Parquet Exemple"


def test_an_obligation_whose_notice_is_not_recorded_yet_does_not_go_to_the_agency(
    after_night: Desk, tmp_path: Path
) -> None:
    obligation = order(after_night, "A0001", OBLIGATION)
    assert controller(written(after_night, tmp_path / "a", "--agency", "A0001"), "A0001")["obligations"] == []
    notice = f'kind = "legal_notice"\nreference = "NOTICE-9"\nobligation = "{obligation}"\nchannel = "email"\n'
    order(after_night, "A0001", notice)
    (told,) = controller(written(after_night, tmp_path / "b", "--agency", "A0001"), "A0001")["obligations"]
    assert told["notices"][0]["channel"] == "email"


# -- who the operator is -----------------------------------------------------------------------------------------------


def test_a_missing_identity_is_told_and_never_invented(night: Desk, tmp_path: Path) -> None:
    said = night("register", "--to", tmp_path, *AT, "--json")
    assert said.code == 0
    fields = [f"identity.{f}" for f in ("name", "address", "contact", "dpo")]
    assert said.json["incomplete"] == fields
    assert all(field in said.err for field in fields)
    register = json.loads((tmp_path / "register.json").read_text())
    assert register["incomplete"] == fields
    assert set(register["processor"].values()) == {"à compléter / to be completed"}
    assert "à compléter / to be completed" in sheets(tmp_path / "register.ods")["Register"][4]


def test_an_identity_that_is_there_is_written_and_only_what_is_missing_is_told(
    after_night: Desk, tmp_path: Path
) -> None:
    path = after_night.home / "identity.toml"
    path.write_text(IDENTITY)
    said = after_night("register", "--to", tmp_path / "whole", *AT)
    assert said.err == ""
    whole = json.loads((tmp_path / "whole" / "register.json").read_text())
    assert (whole["incomplete"], whole["processor"]["dpo"]) == ([], "dpo@exemple.example")
    path.write_text(IDENTITY.replace('dpo = "dpo@exemple.example"', 'dpo = "à compléter / to be completed"'))
    assert written(after_night, tmp_path / "part")["incomplete"] == ["identity.dpo"]


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (f'{IDENTITY}siren = "900000001"\n', "siren"),
        (IDENTITY.replace('name = "Exemple Logiciels"', "name = 12345678"), "name"),
        (IDENTITY.replace("dpo@exemple.example", " "), "dpo"),
        (IDENTITY.replace("contact@exemple.example", "x" * 201), "contact"),
        (IDENTITY.replace("Exemple Logiciels", "Exemple\\u0007"), "name"),
        ('"ana@agence.example" = "x"\n', "(not a name)"),
    ],
    ids=["unknown field", "not a text", "empty", "too long", "control character", "an address as a field"],
)
def test_a_malformed_identity_is_refused_with_its_field_and_nothing_is_written(
    after_night: Desk, tmp_path: Path, text: str, field: str
) -> None:
    (after_night.home / "identity.toml").write_text(text)
    said = after_night("register", "--to", tmp_path / "out", *AT)
    assert (said.code, (tmp_path / "out").exists()) == (2, False)
    assert field in said.err
    assert [v for v in ("900000001", "12345678", "xxx", "ana@") if v in said.err] == []


@pytest.mark.parametrize("raw", [b"name = ", b'name = "\xe9"'], ids=["not TOML", "not UTF-8"])
def test_an_identity_that_cannot_be_read_is_refused(night: Desk, raw: bytes, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.identity.write_bytes(raw)
    with pytest.raises(Malformed, match=r"identity\.toml is not"):
        processing_register.identity(home)
