"""What an agency restricts does not come in and does not show; what it orders to be erased goes; what left is told."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from ledger.entry import Entry
from ledger.keys import LogKeys
from ledger.log import Log
from schemas.home import Home
from schemas.ids import AgencyCode
from store import engine
from store.keys import open_root
from store.sqlite import guard
from tests import engines
from tests.functional.cli.conftest import INSTRUCTION, SAMPLES, Desk

COMMON = 'reference = "AVENANT-3"\nchannel = "letter"\ngiven_by = "gerance"\n'
CODE = "A0001"


def written(desk: Desk, kind: str, more: str) -> Path:
    path = desk.root / f"{kind}.toml"
    path.write_text(f'kind = "{kind}"\n{COMMON}{more}\n')
    return path


def instruct(desk: Desk, kind: str, more: str, at: str = "2026-01-05T12:00:00+01:00") -> str:
    said = desk("instruct", "--agency", CODE, "--file", written(desk, kind, more), "--at", at, "--json")
    assert said.code == 0, said.err
    return str(said.json[0]["instruction"])


def exported(desk: Desk, name: str, at: str = "2026-01-06T09:00:00+01:00") -> dict[str, list[dict[str, Any]]]:
    folder = desk.root / name
    assert desk("export", "--agency", CODE, "--to", folder, "--at", at).code == 0
    return {p.stem: [json.loads(x) for x in p.read_text().split("\n") if x] for p in folder.glob("*.jsonl")}


def sync(desk: Desk, day: str, system: str) -> list[dict[str, Any]]:
    desk.place_day(day)
    said = desk("sync", "--inbox", desk.inbox, "--agency", CODE, "--system", system, "--at", f"{day}T06:00", "--json")
    found: list[dict[str, Any]] = said.json
    return found


def entries(desk: Desk, name: str) -> list[Entry]:
    home = Home.at(desk.home)
    history = Log.at(home, AgencyCode(CODE), LogKeys(home, open_root(home))).read()
    return [e for e in history.entries if type(e).__name__ == name]


def of_person(tables: dict[str, list[dict[str, Any]]], system: str, key: str) -> dict[str, int]:
    """How many rows of each table are a person's, or refer to it."""
    columns = ("person_key", "member_key", "group_key", "landlord_key", "merged_into")
    found = {
        name: sum(
            r["source_system"] == system
            and ((name == "person" and r["source_key"] == key) or any(r.get(c) == key for c in columns))
            for r in rows
        )
        for name, rows in tables.items()
    }
    return {name: n for name, n in found.items() if n}


def somebody(tables: dict[str, list[dict[str, Any]]], system: str) -> str:
    """A person with something in several tables."""
    keys = [r["source_key"] for r in tables["person"] if r["source_system"] == system and r["ended_reason"] is None]
    found: str = max(keys, key=lambda k: len(of_person(tables, system, k)))
    return found


def test_a_restricted_person_shows_nowhere_and_shows_again_when_the_restriction_is_withdrawn(
    after_night: Desk,
) -> None:
    before = exported(after_night, "before")
    key = somebody(before, "sdgi")
    assert len(of_person(before, "sdgi", key)) >= 3
    made = instruct(after_night, "restrict", f'scope = "person"\nsystem = "sdgi"\nkeys = [{json.dumps(key)}]')
    during = exported(after_night, "during")
    assert of_person(during, "sdgi", key) == {}
    hidden = of_person(before, "sdgi", key)
    assert {n: len(before[n]) - len(during[n]) for n in hidden} == hidden
    assert after_night("instruct", "--agency", CODE, "--withdraw", made, "--at", "2026-01-06").code == 0
    assert exported(after_night, "after") == before
    raw = b"".join(p.read_bytes() for p in (after_night.home / "ledger").rglob("*") if p.is_file())
    assert key.encode() not in raw


def test_a_restricted_person_is_not_brought_up_to_date(after_night: Desk) -> None:
    before = exported(after_night, "before")
    key = somebody(before, "sdgi")
    instruct(after_night, "restrict", f'scope = "person"\nsystem = "sdgi"\nkeys = [{json.dumps(key)}]')
    *_, report = sync(after_night, "2026-01-06", "sdgi")
    assert report["outcome"] == "accepted"
    counts = report["tables"].values()
    assert sum(c.get("withheld", 0) for c in counts) > 0
    parts = ("stored", "unchanged", "quarantined", "ignored", "withheld")
    assert all(c["read"] == sum(c.get(n, 0) for n in parts) for c in counts)
    assert report["quarantined"] == [q for q in report["quarantined"] if q["reason"] != "row.dangling_ref"]
    assert entries(after_night, "Exceeded") == [], "a restriction is no excess of the source"
    assert of_person(exported(after_night, "during"), "sdgi", key) == {}


@pytest.mark.parametrize("system", ["sdgi", "gpi", "login", "spilasuite"])
def test_a_restriction_holds_back_the_lines_that_it_means_and_no_other(
    system: str, after_night: Desk, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def tables(desk: Desk, name: str) -> dict[str, list[dict[str, Any]]]:
        mine = {n: [r for r in rows if r["source_system"] == system] for n, rows in exported(desk, name).items()}
        return {n: rows for n, rows in mine.items() if rows}

    root = tmp_path_factory.mktemp("free")
    engines.copied(after_night.root, root / "copy")
    free = Desk(root / "copy")
    before = tables(free, "before")
    sync(free, "2026-01-06", system)
    after = tables(free, "after")

    def touching(tables: dict[str, list[dict[str, Any]]], key: str, wanted: bool) -> dict[str, list[dict[str, Any]]]:
        found = {n: [r for r in rows if bool(of_person({n: [r]}, system, key)) is wanted] for n, rows in tables.items()}
        return {n: rows for n, rows in found.items() if rows}

    keys = {r["source_key"] for r in before["person"] if r["ended_reason"] is None}
    changed = [k for k in sorted(keys) if touching(before, k, True) != touching(after, k, True)]
    changed = [k for k in changed if all(r["ended_reason"] is None for r in after["person"] if r["source_key"] == k)]
    key = changed[0]
    made = instruct(after_night, "restrict", f'scope = "person"\nsystem = "{system}"\nkeys = [{json.dumps(key)}]')
    *_, report = sync(after_night, "2026-01-06", system)
    assert sum(c.get("withheld", 0) for c in report["tables"].values()) > 0
    assert after_night("instruct", "--agency", CODE, "--withdraw", made, "--at", "2026-01-06T07:00").code == 0
    came = tables(after_night, "came")
    assert touching(came, key, True) == touching(before, key, True)
    assert touching(came, key, False) == touching(after, key, False)


def test_a_restricted_building_takes_its_lots_and_what_stands_on_them(after_night: Desk) -> None:
    before = exported(after_night, "before")
    lots = [r for r in before["lot"] if r["source_system"] == "gpi"]
    owned = {r["lot_key"] for r in before["co_ownership"] if r["source_system"] == "gpi"}
    building = next(r["building_key"] for r in lots if r["source_key"] in owned)
    closed = {r["source_key"] for r in lots if r["building_key"] == building}
    asked = written(after_night, "restrict", f'scope = "building"\nsystem = "gpi"\nkeys = [{json.dumps(building)}]')
    foreseen = after_night("instruct", "--agency", CODE, "--file", asked, "--preview", "--at", "2026-01-05", "--json")
    assert after_night("instruct", "--agency", CODE, "--file", asked, "--at", "2026-01-05").code == 0
    during = exported(after_night, "during")
    for name in ("building", "lot", "lot_share", "co_ownership", "mandate_lot", "lease"):
        for r in during[name]:
            here = r["source_system"] == "gpi"
            assert not (here and (r.get("building_key") == building or r.get("lot_key") in closed)), name
    gone = {n: len(before[n]) - len(during[n]) for n in before if len(before[n]) > len(during[n])}
    assert {"building", "lot", "co_ownership"} <= gone.keys()
    told = {c["table"]: c["rows"] for c in foreseen.json[0]["withheld"]}
    assert told == gone
    assert foreseen.json[0]["unknown_keys"] == 0
    persons = {c["table"]: c["persons"] for c in foreseen.json[0]["withheld"]}
    owners = {r["person_key"] for r in before["co_ownership"] if r["source_system"] == "gpi" and r["lot_key"] in closed}
    assert persons["co_ownership"] == len(owners)
    assert (persons["building"], persons["lot"]) == (0, 0)


def test_an_order_to_erase_persons_is_carried_out_once_and_they_do_not_come_back(after_night: Desk) -> None:
    before = exported(after_night, "before")
    key = somebody(before, "sdgi")
    order = f'tables = ["*"]\nsystem = "sdgi"\nsubjects = [{json.dumps(key)}]\nsigned_by = "Camille Exemple"'
    made = instruct(after_night, "erase", order)
    at = ("--at", "2026-01-05T20:00:00+01:00", "--json")
    (done,) = after_night("retention", "run", *at).json["ordered"]
    assert (done["agency"], done["instruction"], done["problem"]) == (CODE, made, None)
    assert done["rows"]["person"] >= 1
    assert after_night("retention", "run", *at).json["ordered"] == []
    assert of_person(exported(after_night, "gone"), "sdgi", key) == {}
    *_, report = sync(after_night, "2026-01-06", "sdgi")
    assert {q["reason"] for q in report["quarantined"]} >= {"row.erased_key"}
    assert of_person(exported(after_night, "later"), "sdgi", key) == {}
    (fulfilled,) = entries(after_night, "Fulfilled")
    assert fulfilled.instruction == made  # type: ignore[union-attr]
    everything = b"".join(p.read_bytes() for p in after_night.home.rglob("*") if p.is_file())
    assert b"Camille" not in everything


def test_an_order_to_erase_a_table_empties_it_and_keeps_it_empty(after_night: Desk) -> None:
    assert exported(after_night, "before")["contact"]
    instruct(after_night, "erase", 'tables = ["contact"]')
    (done,) = after_night("retention", "run", "--at", "2026-01-05T20:00:00+01:00", "--json").json["ordered"]
    assert list(done["rows"]) == ["contact"]
    for system in ("sdgi", "gpi", "login"):
        sync(after_night, "2026-01-06", system)
    after = exported(after_night, "after")
    assert after["contact"] == []
    assert after["person"]


def test_an_order_to_give_back_or_to_correct_erases_nothing(after_night: Desk) -> None:
    before = exported(after_night, "before")
    instruct(after_night, "return", 'tables = ["lot"]')
    (after_night.root / "courrier.pdf").write_bytes(b"%PDF")
    instruct(after_night, "rectify", 'tables = ["contact"]\ndocument = "courrier.pdf"')
    assert after_night("retention", "run", "--at", "2026-01-05T20:00:00+01:00", "--json").json["ordered"] == []
    assert exported(after_night, "ordered") == {"lot": before["lot"]}
    assert exported(after_night, "after") == before


@pytest.mark.files
def test_an_order_that_cannot_be_carried_out_holds_up_no_other_and_is_taken_up_again(after_night: Desk) -> None:
    made = instruct(after_night, "erase", 'tables = ["contact"]')
    other = written(after_night, "erase", 'tables = ["document"]')
    given = ("instruct", "--agency", "A0003", "--file", other, "--at", "2026-01-05T12:00:00+01:00", "--json")
    theirs = after_night(*given).json[0]["instruction"]
    at = ("--at", "2026-01-05T20:00:00+01:00", "--json")

    def ordered() -> dict[str, tuple[str, str | None]]:
        said = after_night("retention", "run", *at).json["ordered"]
        return {o["agency"]: (o["instruction"], o["problem"]) for o in said}

    def of_version(number: int) -> None:
        with sqlite3.connect(after_night.home / "shelves" / f"{CODE}.sqlite") as db:
            db.execute(f"PRAGMA user_version = {number}")

    of_version(guard.VERSION + 1)
    told = ordered()
    assert told["A0003"] == (theirs, None)
    assert told[CODE] == (made, "this shelf was written by a later version")
    of_version(guard.VERSION)
    leaves = after_night.home / "ledger" / CODE / "entries"
    whole = leaves.read_bytes()
    leaves.write_bytes(bytes([*whole[:-9], whole[-9] ^ 1, *whole[-8:]]))
    (problem,) = ordered().values()
    assert problem[1] is not None
    leaves.write_bytes(whole)
    assert ordered() == {CODE: (made, None)}
    assert exported(after_night, "after")["contact"] == []


def test_everything_erased_on_order_leaves_no_row_and_no_person_key(after_night: Desk) -> None:
    instruct(after_night, "erase", 'tables = ["*"]')
    (done,) = after_night("retention", "run", "--at", "2026-01-05T20:00:00+01:00", "--json").json["ordered"]
    assert done["problem"] is None
    assert all(not rows for rows in exported(after_night, "after").values())
    with engine.of(Home.at(after_night.home)).shelf(AgencyCode(CODE)) as db:
        assert db.scalar(text("SELECT count(*) FROM line")) == 0
        assert db.scalar(text("SELECT count(*) FROM quarantine WHERE sealed IS NOT NULL")) == 0
        assert db.scalar(text("SELECT count(*) FROM doomed_key")) == 0
    *_, report = sync(after_night, "2026-01-06", "sdgi")
    assert report["outcome"] == "accepted"
    assert all(not rows for rows in exported(after_night, "later").values())


def test_what_is_given_back_is_recorded_with_its_counts_and_an_order_to_return_is_fulfilled(after_night: Desk) -> None:
    earlier = len(entries(after_night, "Handed"))
    tables = exported(after_night, "first")
    (handed,) = entries(after_night, "Handed")[earlier:]
    assert handed.tables == {n: len(r) for n, r in tables.items() if r}  # type: ignore[union-attr]
    assert handed.instructions == ()  # type: ignore[union-attr]
    made = instruct(after_night, "return", 'tables = ["*"]')
    exported(after_night, "second")
    assert [h.instructions for h in entries(after_night, "Handed")[earlier:]] == [(), (made,)]  # type: ignore[union-attr]
    assert [f.instruction for f in entries(after_night, "Fulfilled")] == [made]  # type: ignore[union-attr]


def test_an_order_to_return_gives_back_what_it_names_once_and_the_log_says_so(after_night: Desk) -> None:
    """Without one, and once it is done, everything: it is the processor's duty at the end (28(3)(g))."""
    whole = exported(after_night, "whole")
    made = [instruct(after_night, "return", f'tables = ["{t}"]') for t in ("lot", "council_membership")]
    earlier = len(entries(after_night, "Handed"))
    said = after_night(
        "export", "--agency", CODE, "--to", after_night.root / "some", "--at", "2026-01-06", "--json"
    ).json
    rows = {t: len(whole[t]) for t in ("council_membership", "lot")}
    assert (said["tables"], said["instructions"], said["part"]) == (rows, sorted(made), True)
    assert sorted(p.stem for p in (after_night.root / "some").iterdir()) == ["council_membership", "lot"]
    (handed,) = entries(after_night, "Handed")[earlier:]
    assert (handed.tables, handed.instructions) == (rows, tuple(sorted(made)))  # type: ignore[union-attr]
    done = {f.instruction: f.tables for f in entries(after_night, "Fulfilled")}  # type: ignore[union-attr]
    assert done == {made[0]: {"lot": rows["lot"]}, made[1]: {"council_membership": rows["council_membership"]}}
    said = after_night(
        "export", "--agency", CODE, "--to", after_night.root / "all", "--at", "2026-01-06", "--json"
    ).json
    assert (said["instructions"], said["part"]) == ([], False)
    assert {t: n for t, n in said["tables"].items() if n} == {t: len(r) for t, r in whole.items() if r}
    assert entries(after_night, "Handed")[-1].instructions == ()  # type: ignore[union-attr]
    instruct(after_night, "return", 'tables = ["lot", "building"]', "2026-01-06T10:00:00+01:00")
    shown = after_night("export", "--agency", CODE, "--to", after_night.root / "fr", "--at", "2026-01-07")
    assert "Only what the order to return names" in shown.out


def test_an_order_to_return_needs_no_grant_and_is_met_after_the_end_until_the_erasure(after_night: Desk) -> None:
    whole = exported(after_night, "whole")
    reference = entries(after_night, "Instruction")[0].id  # type: ignore[union-attr]
    assert (
        after_night("instruct", "--agency", CODE, "--withdraw", reference, "--at", "2026-01-06T09:00:00+01:00").code
        == 0
    )
    instruct(after_night, "return", 'tables = ["lot"]', "2026-01-06T10:00:00+01:00")
    some = exported(after_night, "some", "2030-01-01T09:00:00+01:00")
    assert some == {"lot": whole["lot"]}


def test_what_the_agency_orders_to_be_returned_is_not_hidden_from_it(after_night: Desk) -> None:
    before = exported(after_night, "before")
    instruct(after_night, "restrict", 'scope = "table"\ntables = ["lot"]')
    assert exported(after_night, "hidden")["lot"] == []
    instruct(after_night, "return", 'tables = ["lot"]')
    assert exported(after_night, "returned")["lot"] == before["lot"]


def test_a_restriction_by_role_hides_the_tables_that_say_it(after_night: Desk) -> None:
    before = exported(after_night, "before")
    instruct(after_night, "restrict", 'scope = "role"\nroles = ["tenant"]')
    during = exported(after_night, "during")
    assert before["lease"]
    assert during["lease"] == during["lease_party"] == []
    assert during["person"] == before["person"]


def test_a_source_that_sends_more_than_instructed_is_told_to_the_agency(desk: Desk) -> None:
    few = INSTRUCTION.replace('tables = ["*"]', 'tables = ["identity", "building"]')
    assert desk("init").code == 0
    assert desk("agencies", "load", register(), "--at", "2026-01-05").code == 0
    assert desk("instruct", "--agency", CODE, "--file", desk.instruction(few), "--at", "2026-01-05").code == 0
    *_, report = sync(desk, "2026-01-05", "gpi")
    (told,) = entries(desk, "Exceeded")
    sync(desk, "2026-01-05", "sdgi")
    assert [e.system for e in entries(desk, "Exceeded")] == ["gpi", "sdgi"]  # type: ignore[union-attr]
    withheld = {name: c["withheld"] for name, c in report["tables"].items() if c.get("withheld")}
    assert told.lines == withheld  # type: ignore[union-attr]
    receipt = next(e for e in entries(desk, "Receipt") if e.system == "gpi")  # type: ignore[union-attr]
    assert {n: c.withheld for n, c in receipt.tables.items() if c.withheld} == withheld  # type: ignore[union-attr]
    values: dict[str, int] = dict(told.values)  # type: ignore[union-attr]
    assert values
    assert all(n > 0 for n in values.values())
    status = desk("status", "--agency", CODE, "--at", "2026-01-06")
    assert "beyond" in status.out


def register() -> Path:
    return SAMPLES / "agencies" / "AGENCES_20260105.csv"


def test_keys_that_are_not_held_are_told_before_and_after_recording(after_night: Desk) -> None:
    asked = written(after_night, "restrict", 'scope = "person"\nsystem = "sdgi"\nkeys = ["C:NOBODY"]')
    given = ("instruct", "--agency", CODE, "--file", asked, "--at", "2026-01-05T12:00")
    (foreseen,) = after_night(*given, "--preview", "--json").json
    assert (foreseen["unknown_keys"], foreseen["withheld"]) == (1, [])
    assert "1 of the keys named are not held" in after_night(*given, "--preview").out
    said = after_night(*given)
    assert "1 of the keys named are not held" in said.out
    assert "C:NOBODY" not in said.out + said.err
    assert "person (1)" in after_night("instructions", "--agency", CODE, "--at", "2026-01-05T12:00").out


def test_of_an_agency_that_holds_nothing_yet_every_key_is_told_to_be_unknown(desk: Desk) -> None:
    desk.open()
    asked = written(desk, "restrict", 'scope = "person"\nsystem = "sdgi"\nkeys = ["C:NOBODY", "C:NOBODY-2"]')
    given = ("instruct", "--agency", CODE, "--file", asked, "--at", "2026-01-05T12:00")
    (foreseen,) = desk(*given, "--preview", "--json").json
    assert (foreseen["unknown_keys"], foreseen["withheld"]) == (2, [])
    assert "2 of the keys named are not held" in desk(*given).out


def test_persons_erased_as_a_table_take_what_cannot_stand_without_them(after_night: Desk) -> None:
    before = exported(after_night, "before")
    instruct(after_night, "erase", 'tables = ["person"]')
    (done,) = after_night("retention", "run", "--at", "2026-01-05T20:00:00+01:00", "--json").json["ordered"]
    assert done["problem"] is None
    after = exported(after_night, "after")
    for name in ("person", "contact", "co_ownership", "lease_party", "bank_detail", "council_membership"):
        assert before[name], name
        assert after[name] == [], name
    assert after["building"] == before["building"]
    assert after["lot"] == before["lot"]
    assert before["mandate"]
    assert len(after["mandate"]) == len(before["mandate"])
    assert {r["landlord_key"] for r in after["mandate"]} == {None}
    assert all(r["person_key"] is None for r in after["document"])
    *_, report = sync(after_night, "2026-01-06", "sdgi")
    assert report["outcome"] == "accepted"
    assert exported(after_night, "later")["person"] == []
