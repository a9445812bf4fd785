"""sync: the shape of its JSON, its exit codes, and what it refuses to begin."""

import json
import shutil
from typing import Any

import pytest

from tests.functional.cli.conftest import INSTRUCTION, SAMPLES, Desk, Said, call

EXPECT = json.loads((SAMPLES / "expect.json").read_text())["deliveries"]
GPI = SAMPLES / "deliveries" / "2026-01-05" / "A0001" / "gpi" / "GPIA0001.000001"
AT = ("--at", "2026-01-05T06:00")


def comparable(entry: dict[str, Any]) -> dict[str, Any]:
    kept = {k: entry.get(k) for k in ("agency", "system", "outcome", "reason", "tables", "flags", "ended")}
    kept["delivery"] = entry["delivery"].removesuffix(".sqlite")
    kept["quarantined"] = sorted(json.dumps(q, sort_keys=True) for q in entry["quarantined"])
    kept["delivery_flags"] = sorted(entry["delivery_flags"])
    return kept


def test_a_night_is_one_list_with_one_object_a_delivery(first_sync: Said) -> None:
    assert first_sync.code == 0
    expected = [comparable(e) for e in EXPECT if e["day"] == "2026-01-05"]
    by_name = {(e["agency"], e["delivery"]): e for e in map(comparable, first_sync.json)}
    assert set(by_name) == {(e["agency"], e["delivery"]) for e in expected} | {(None, "PORTAIL_COMPTES_20260105.csv")}
    assert len(by_name) == len(first_sync.json)
    for entry in expected:
        assert by_name[(entry["agency"], entry["delivery"])] == entry


def test_the_same_night_again_is_replayed(after_night: Desk) -> None:
    shutil.copytree(after_night.root / "inbox", after_night.root / "again")
    said = after_night("sync", "--inbox", after_night.root / "again", *AT, "--json")
    assert said.code == 0
    assert {r["outcome"] for r in said.json if r["system"] != "spilasuite"} == {"replayed"}


def test_without_an_instruction_nothing_is_read_and_the_code_is_4(desk: Desk) -> None:
    desk("init")
    desk("agencies", "load", SAMPLES / "agencies" / "AGENCES_20260105.csv", *AT)
    desk.place(GPI, "A0001", "gpi")
    said = desk("sync", "--inbox", desk.inbox, *AT, "--json")
    assert said.code == 4
    assert [(r["delivery"], r["reason"]) for r in said.json] == [(GPI.name, "agency.no_instruction")]
    (desk.inbox / "A0001" / "gpi" / "GPIA0001.xxx").touch()
    desk("instruct", "--agency", "A0001", "--file", desk.instruction(), *AT)
    assert desk("sync", "--inbox", desk.inbox, *AT, "--json").code == 3


def test_something_refused_gives_3_and_is_explained(desk: Desk) -> None:
    desk.open()
    desk.place(SAMPLES / "faults" / "gpi_truncated" / "GPIA0001.000004", "A0001", "gpi")
    said = desk("sync", "--inbox", desk.inbox, "--at", "2026-01-08T06:00")
    assert said.code == 3
    assert "gpi.record_length" in said.out
    assert "ask for the original file" in said.out
    status = desk("status", "--agency", "A0001", "--at", "2026-01-08", "--json").json["agencies"][0]
    flow = next(f for f in status["flows"] if f["system"] == "gpi")
    assert (flow["outcome"], flow["reason"], flow["instructed"]) == ("refused", "gpi.record_length", True)


def test_a_folder_of_an_agency_that_nobody_registered_is_refused_unread(desk: Desk) -> None:
    desk.open()
    desk.place(GPI, "Z9999", "gpi")
    said = desk("sync", "--inbox", desk.inbox, *AT, "--json")
    assert said.code == 3
    assert [(r["agency"], r["reason"]) for r in said.json] == [("Z9999", "agency.unknown")]


def test_systems_and_agencies_may_be_chosen(desk: Desk) -> None:
    desk.open()
    desk.place_day("2026-01-05")
    said = desk("sync", "--inbox", desk.inbox, "--system", "portal", *AT, "--json").json
    assert {(r["agency"], r["system"]) for r in said} == {(None, "portal")}
    said = desk("sync", "--inbox", desk.inbox, "--agency", "A0002", *AT, "--json").json
    assert {r["agency"] for r in said} == {"A0002"}
    said = desk("sync", "--system", "spilasuite", "--agency", "A0001", *AT, "--json").json
    assert {(r["agency"], r["system"]) for r in said} == {("A0001", "spilasuite")}


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--inbox", "nowhere"),
        ("--inbox", ".", "--system", "sap"),
        ("--inbox", ".", "--agency", "Z9999"),
        ("--inbox", ".", "--agency", "a/../b"),
        ("--inbox", ".", "--at", "soon"),
        ("--inbox",),
        ("--outbox", "."),
    ],
)
def test_a_call_that_makes_no_sense_exits_2_before_anything_is_read(
    desk: Desk, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open()
    monkeypatch.chdir(desk.root)
    said = call("sync", "--home", desk.home, *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("Error: ")


def test_what_the_agency_did_not_instruct_is_withheld_and_counted(desk: Desk) -> None:
    desk("init")
    desk("agencies", "load", SAMPLES / "agencies" / "AGENCES_20260105.csv", *AT)
    narrow = desk.instruction(INSTRUCTION.replace('["*"]', '["building", "lot"]'))
    desk("instruct", "--agency", "A0001", "--file", narrow, *AT)
    desk.place(GPI, "A0001", "gpi")
    (said,) = desk("sync", "--inbox", desk.inbox, *AT, "--json").json
    assert said["outcome"] == "accepted"
    assert said["tables"]["20"]["withheld"] == said["tables"]["20"]["read"] > 0
    assert "withheld" not in said["tables"]["10"]


def test_progress_goes_nowhere_without_a_terminal(first_sync: Said) -> None:
    assert first_sync.err == ""


def test_the_night_is_read_aloud_in_french(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.open()
    desk.place(GPI, "A0001", "gpi")
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    said = desk("sync", "--inbox", desk.inbox, *AT)
    assert "acceptée" in said.out
    assert "1 acceptées, 0 déjà reçues, 0 refusées" in said.out


def test_the_inbox_is_read_and_never_written(desk: Desk) -> None:
    desk.open()
    desk.place_day("2026-01-05")
    before = {p: p.read_bytes() for p in sorted(desk.inbox.rglob("*")) if p.is_file()}
    desk("sync", "--inbox", desk.inbox, "--system", "gpi", *AT)
    assert {p: p.read_bytes() for p in sorted(desk.inbox.rglob("*")) if p.is_file()} == before
