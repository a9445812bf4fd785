"""openlineage: every sync, export and erasure is an event that holds to the specification, tells no value, and is
written once, whatever instant its writer is stopped at."""

import copy
import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from ledger.deeds import Handed
from ledger.entry import Erased, Receipt
from pipelines.lineage import edges
from pipelines.lineage_rules import rule
from pipelines.openlineage.outbox import Outbox, name_of
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.records import RECORDS, exported_fields
from store.house import JOURNAL, House
from tests import engines
from tests.functional.cli.conftest import Desk, plainly
from tests.functional.cli.test_evidence import log_of
from tests.functional.test_canary import marks, written
from tests.openlineage_spec import OURS, faults

ROOT = Path(__file__).parents[3]
SCHEMAS = ROOT / "docs" / "specs" / "openlineage" / "1-0-0"
NARROW = """\
reference = "ANNEXE-RGPD-2026-02"
kind = "synchronise"
systems = ["sdgi"]
tables = ["person", "contact"]
purposes = ["extranet", "notification"]
valid_from = "2025-01-01"
given_by = "gerance"
"""
BROKEN = {"A0001": "SDGI_A0001_20260106_0310.zip", "A0003": "LOGIN-A0003-20260106T020000Z.xml.gz"}
WRITE = """\
import sys, datetime
from pathlib import Path
from pipelines.openlineage import events
from pipelines.openlineage.outbox import Outbox, name_of
from schemas.home import Home
outbox = Outbox.open(Home.at(Path(sys.argv[1])))
print("ready", flush=True)
outbox.collect(outbox.flows(), datetime.datetime.now(datetime.UTC))
print("done", flush=True)
"""


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A home with two nights, refusals, an export and an erasure."""
    desk = Desk(tmp_path_factory.mktemp("openlineage"))
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        desk.open()
        for day in ("2026-01-05", "2026-01-06"):
            desk.place_day(day)
            if day == "2026-01-06":
                for agency, name in BROKEN.items():
                    folder = desk.inbox / agency / name.partition("_")[0].partition("-")[0].lower()
                    folder.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(b"nothing that can be read")
            desk("sync", "--inbox", desk.inbox, "--at", f"{day}T06:00")
        desk("sync", "--inbox", desk.inbox, "--at", "2026-01-07T06:00")
        assert desk("export", "--agency", "A0003", "--to", desk.root / "given", "--at", "2026-01-10").code == 0
        assert desk("retention", "run", "--at", "2026-01-14").code == 0
    return desk


def all_of(desk: Desk, out: Path, *more: str) -> list[dict[str, Any]]:
    said = desk("openlineage", "--out", out, "--json", *more)
    assert said.code == 0, said.err
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert said.json["events"] == len(found)
    return found


@pytest.fixture(scope="module")
def told(lived: Desk, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        return all_of(lived, tmp_path_factory.mktemp("told") / "all.jsonl")


def ended(told: list[dict[str, Any]], job: str, agency: str) -> list[dict[str, Any]]:
    mine = (job, f"depositaire://{agency}")
    return [e for e in told if (e["job"]["name"], e["job"]["namespace"]) == mine and e["eventType"] != "START"]


# -- the specification -------------------------------------------------------------------------------------------------


def test_every_event_holds_to_the_specification(told: list[dict[str, Any]]) -> None:
    assert len(told) > 40
    assert {fault for e in told for fault in faults(e)} == set()


def changed(e: dict[str, Any], *path: Any, to: Any) -> dict[str, Any]:
    """A copy of an event with another value in one place; None: without it."""
    made = copy.deepcopy(e)
    at: Any = made
    for step in path[:-1]:
        at = at[step]
    at.pop(path[-1]) if to is None else at.__setitem__(path[-1], to)
    return made


@pytest.mark.parametrize(
    ("path", "to"),
    [
        (("eventTime",), "2026-01-05T06:00:00"),
        (("eventTime",), "2026-01-05"),
        (("eventType",), "DONE"),
        (("run", "runId"), "night-1"),
        (("producer",), None),
        (("schemaURL",), "https://openlineage.io/spec/1-0-0/OpenLineage.json#/$defs/RunEvent"),
        (("job", "namespace"), None),
        (("outputs", 0, "name"), ""),
        (("outputs", 0, "facets", "schema", "_producer"), None),
        (("outputs", 0, "facets", "tags", "_schemaURL"), "https://openlineage.io/spec/facets/0-0-1/Tags.json"),
        (("outputs", 0, "facets", "columnLineage", "fields"), None),
        (("inputs", 0, "inputFacets", "inputStatistics", "rowCount"), "12"),
        (("inputs", 0, "inputFacets", "depositaire_lines", "more"), 1),
        (("run", "facets", "depositaire_purpose", "purposes"), "extranet"),
        (("outputs", 0, "facets", "outputStatistics"), {"rowCount": 1}),
    ],
)
def test_an_event_that_departs_from_the_specification_is_found(
    told: list[dict[str, Any]], path: tuple[Any, ...], to: Any
) -> None:
    e = next(e for e in ended(told, "sync.sdgi", "A0001") if e["outputs"])
    assert faults(e) == []
    assert faults(changed(e, *path, to=to)) != []


def test_our_own_facets_hold_to_their_schemas_and_each_schema_is_met(told: list[dict[str, Any]]) -> None:
    base = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
    fields = {"type": "object", "required": ["_producer", "_schemaURL"]}
    core = {"$id": base, "$defs": {"RunFacet": fields, "InputDatasetFacet": fields}}
    files = [json.loads(p.read_text()) for p in sorted(SCHEMAS.glob("*.json"))]
    registry: Registry[Any] = Registry().with_resources(
        (s["$id"], Resource.from_contents(s | {"$schema": "https://json-schema.org/draft/2020-12/schema"}))
        for s in (core, *files)
    )
    met: Counter[str] = Counter()
    for e in told:
        inputs = [f for d in e["inputs"] for f in d.get("inputFacets", {}).items()]
        for key, facet in (*e["run"]["facets"].items(), *inputs):
            if key.startswith("depositaire_"):
                url = facet["_schemaURL"].partition("#")[0]
                Draft202012Validator({"$ref": url}, registry=registry).validate({key: facet})
                met[url] += 1
                wrong = Draft202012Validator({"$ref": url}, registry=registry)
                assert not wrong.is_valid({key: facet | {"more": 1}})
    assert set(met) == {f"{OURS}/{p.name}" for p in SCHEMAS.glob("*.json")}


# -- what is told ------------------------------------------------------------------------------------------------------


def test_each_run_begins_and_ends_once_and_everything_that_ran_is_told(lived: Desk, told: list[dict[str, Any]]) -> None:
    by_run: dict[str, list[str]] = {}
    for e in told:
        by_run.setdefault(e["run"]["runId"], []).append(e["eventType"])
    assert {(len(types), types[0]) for types in by_run.values()} == {(2, "START")}
    for agency in ("A0001", "A0002", "A0003"):
        entries = log_of(lived, agency).read().entries
        of_log = sum(isinstance(e, Receipt | Handed | Erased) for e in entries)
        ends = [e for e in told if e["job"]["namespace"] == f"depositaire://{agency}" and e["eventType"] != "START"]
        leaves = {e["run"]["facets"]["depositaire_instruction"].get("leaf") for e in ends}
        assert sum(e["eventType"] == "COMPLETE" for e in ends) == of_log == len(leaves - {None})
    assert len(ended(told, "sync.portal", "_portal")) >= 2


def test_a_refused_delivery_fails_with_its_reason_also_of_an_agency_that_was_erased(
    lived: Desk, told: list[dict[str, Any]]
) -> None:
    with House.open(Home.at(lived.home)) as house:
        assert house.journal(AgencyCode("A0003")) == []  # the journal of the erased agency is gone
    for agency, name in BROKEN.items():
        ends = [e for system in ("sdgi", "login") for e in ended(told, f"sync.{system}", agency)]
        failed = [e for e in ends if e["eventType"] == "FAIL"]
        assert failed[0]["run"]["facets"]["errorMessage"]["message"].startswith(("sdgi.", "login."))
        assert failed[0]["run"]["facets"]["depositaire_delivery"]["delivery"] == name
        assert failed[0]["outputs"] == []


def test_an_export_is_told_with_its_rows_and_an_erasure_with_its_certificate(
    lived: Desk, told: list[dict[str, Any]]
) -> None:
    (given,) = ended(told, "return", "A0003")
    rows = {d["name"]: d["outputFacets"]["outputStatistics"]["rowCount"] for d in given["outputs"]}
    for name, n in rows.items():
        lines = (lived.root / "given" / f"{name.removeprefix('return.')}.jsonl").read_text().splitlines()
        assert len(lines) == n
    lineage = given["outputs"][0]["facets"]["columnLineage"]["fields"]["source_key"]["inputFields"]
    assert lineage[0]["name"] == f"shelf.{given['outputs'][0]['name'].removeprefix('return.')}"
    (gone,) = ended(told, "erasure", "A0003")
    entry = next(e for e in log_of(lived, "A0003").read().entries if isinstance(e, Erased))
    assert gone["run"]["facets"]["depositaire_erasure"]["certificateSha256"] == entry.certificate_sha256
    changes = {d["name"]: d["facets"]["lifecycleStateChange"]["lifecycleStateChange"] for d in gone["outputs"]}
    assert set(changes.values()) == {"DROP"}
    assert {"shelf.person", "shelf.contact"} <= set(changes)


def test_columns_come_from_where_the_links_say_each_once(told: list[dict[str, Any]]) -> None:
    wanted: dict[tuple[str, str], set[tuple[str, str, str, str]]] = {}
    for link in edges():
        r = rule(link.rule)
        origin = (f"source.{link.system}.{link.source_table}", link.source_column, r.kind, r.subtype)
        wanted.setdefault((f"shelf.{link.table}", link.column), set()).add(origin)
    seen: dict[tuple[str, str], set[tuple[str, str, str, str]]] = {}
    for e in told:
        for d in e["outputs"] if e["job"]["name"].startswith("sync.") else []:
            for column, said in d.get("facets", {}).get("columnLineage", {}).get("fields", {}).items():
                names = [(f["name"], f["field"]) for f in said["inputFields"]]
                assert len(names) == len(set(names))
                assert {f["namespace"] for f in said["inputFields"]} == {e["job"]["namespace"]}
                seen.setdefault((d["name"], column), set()).update(
                    (f["name"], f["field"], t["type"], t["subtype"])
                    for f in said["inputFields"] for t in f["transformations"]
                )  # fmt: skip
    assert len(seen) > 150
    assert {key: origins - wanted[key] for key, origins in seen.items() if origins - wanted[key]} == {}


def test_fields_are_tagged_with_scope_and_category(told: list[dict[str, Any]]) -> None:
    (e, *_) = [e for e in ended(told, "sync.sdgi", "A0001") if e["outputs"]]
    person = next(d for d in e["outputs"] if d["name"] == "shelf.person")
    tags = {(t["key"], t["value"]) for t in person["facets"]["tags"]["tags"] if t.get("field") == "last_name"}
    assert tags == {("scope", "processor"), ("category", "identity"), ("personal", "true")}
    for d in e["outputs"]:
        fields = {f["name"] for f in d["facets"]["schema"]["fields"]}
        assert fields == {t["field"] for t in d["facets"]["tags"]["tags"] if t["key"] == "category" and "field" in t}
        assert fields <= {f.name for f in exported_fields(RECORDS[d["name"].removeprefix("shelf.")])}


def test_what_was_not_instructed_is_in_no_event(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    url = engines.store()
    assert desk("init", *(("--store", url) if url else ())).code == 0
    desk("agencies", "load", ROOT / "samples" / "agencies" / "AGENCES_20260105.csv", "--at", "2026-01-05")
    assert desk("instruct", "--all", "--file", desk.instruction(NARROW), "--at", "2026-01-05").code == 0
    desk.place_day("2026-01-05")
    desk("sync", "--inbox", desk.inbox, "--at", "2026-01-05T06:00")
    told = all_of(desk, tmp_path / "all.jsonl", "--agency", "A0001")
    outputs = {d["name"] for e in told for d in e["outputs"]}
    assert outputs == {"shelf.person", "shelf.contact"}
    (done,) = [e for e in ended(told, "sync.sdgi", "A0001") if e["eventType"] == "COMPLETE"]
    assert done["run"]["facets"]["depositaire_purpose"]["purposes"] == ["extranet", "notification"]
    refused = ended(told, "sync.gpi", "A0001")
    assert {e["eventType"] for e in refused} == {"ABORT"}  # not a byte of it was read


def test_no_value_no_key_and_no_path_is_in_any_event(lived: Desk, told: list[dict[str, Any]]) -> None:
    raw = b"".join(p.read_bytes() for p in (lived.home / "lineage").glob("*.jsonl"))
    assert len(raw) > 100_000
    values = {v for agency in ("A0001", "A0002", "A0003", "_portal") for v in marks(agency)}
    labels = {f.label_en for r in RECORDS.values() for f in r.fields}
    assert len(values) > 500
    assert [v for v in values - labels if any(form in raw for form in written(v))] == []
    keys = {
        json.loads(line)["source_key"]
        for path in (ROOT / "samples" / "truth").glob("*/*/*.jsonl")
        for line in path.read_text().splitlines()
    }
    assert len(keys) > 300
    assert [k for k in keys if len(k) > 4 and f'"{k}"'.encode() in raw] == []
    assert str(lived.root).encode() not in raw
    assert b"/tmp" not in raw


# -- once, whatever happens --------------------------------------------------------------------------------------------


def home_of(lived: Desk, tmp_path: Path) -> Desk:
    desk = Desk(engines.copied(lived.root, tmp_path / "copy"))
    shutil.rmtree(desk.home / "lineage", ignore_errors=True)
    return desk


def written_in(desk: Desk) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((desk.home / "lineage").glob("*.jsonl"))}


def test_the_same_facts_give_the_same_events_and_again_is_once(lived: Desk, tmp_path: Path) -> None:
    desk = home_of(lived, tmp_path)
    all_of(desk, tmp_path / "one.jsonl")
    first = written_in(desk)
    all_of(desk, tmp_path / "two.jsonl")
    assert written_in(desk) == first
    for state in (desk.home / "lineage").glob("*.state"):
        state.unlink()
    all_of(desk, tmp_path / "three.jsonl")
    assert written_in(desk) == first  # a note that is lost is made again, and nothing is there twice
    for events in (desk.home / "lineage").glob("*.jsonl"):
        events.unlink()
    all_of(desk, tmp_path / "four.jsonl")
    assert written_in(desk) == first
    assert (tmp_path / "four.jsonl").read_bytes() == (tmp_path / "one.jsonl").read_bytes()


def test_what_is_new_is_written_behind_what_was_there(night: Desk, tmp_path: Path) -> None:
    desk = Desk(engines.copied(night.root, tmp_path / "copy"))
    before = all_of(desk, tmp_path / "before.jsonl", "--agency", "A0001")
    desk.place_day("2026-01-06")
    desk("sync", "--inbox", desk.inbox, "--at", "2026-01-06T06:00")
    after = all_of(desk, tmp_path / "after.jsonl", "--agency", "A0001")
    assert after[: len(before)] == before
    assert len(after) > len(before)


@pytest.mark.parametrize("cut", [1, 500, 5000])
def test_an_event_that_was_half_written_is_written_whole(lived: Desk, tmp_path: Path, cut: int) -> None:
    desk = home_of(lived, tmp_path)
    all_of(desk, tmp_path / "one.jsonl")
    first = written_in(desk)
    for path in (desk.home / "lineage").glob("*.jsonl"):
        path.write_bytes(path.read_bytes()[:-cut])
        path.with_suffix(".state").unlink()
    all_of(desk, tmp_path / "two.jsonl")
    assert written_in(desk) == first


def test_a_writer_killed_at_random_instants_loses_nothing_and_writes_nothing_twice(lived: Desk, tmp_path: Path) -> None:
    desk = home_of(lived, tmp_path)
    all_of(desk, tmp_path / "whole.jsonl")
    whole = written_in(desk)
    rng = random.Random(20260105)
    stopped = 0
    for _ in range(6):
        shutil.rmtree(desk.home / "lineage")
        for _ in range(3):
            stopped += killed(WRITE, desk.home, rng.uniform(0.0, 0.25))
        all_of(desk, tmp_path / "again.jsonl")
        assert written_in(desk) == whole
    assert stopped >= 6, "most of the kills came too late to show anything"


def killed(program: str, home: Path, after: float) -> bool:
    """Start a program, and kill it some time after it is ready. Whether it was stopped before its end."""
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(home)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(after)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read()
    process.stdout.close()
    process.wait()
    return "done" not in rest


def test_a_log_that_does_not_hold_keeps_no_other_agency_waiting(lived: Desk, tmp_path: Path) -> None:
    desk = home_of(lived, tmp_path)
    leaves = desk.home / "ledger" / "A0001" / "entries"
    leaves.write_bytes(leaves.read_bytes().replace(b'"kind":3', b'"kind":4', 1))
    said = desk("openlineage", "--out", tmp_path / "all.jsonl", "--json")
    assert said.code == 1
    assert "A0001" in said.err
    assert set(written_in(desk)) == {"A0002.jsonl", "A0003.jsonl", "_portal.jsonl"}


def test_events_of_a_journal_that_was_emptied_are_not_lost_with_it(lived: Desk, tmp_path: Path) -> None:
    """The erasure of A0003 wrote them before it forgot them; the log alone would not have them."""
    mine = (lived.home / "lineage" / "A0003.jsonl").read_bytes()
    assert b'"eventType":"FAIL"' in mine
    with House.open(Home.at(lived.home)) as house:
        assert house.db.execute(JOURNAL.select().where(JOURNAL.c.agency == "A0003")).all() == []


def test_a_log_that_does_not_hold_loses_no_refusal_to_an_erasure(
    lived: Desk, told: list[dict[str, Any]], tmp_path: Path
) -> None:
    desk = home_of(lived, tmp_path)
    home = Home.at(desk.home)
    leaves = desk.home / "ledger" / "A0001" / "entries"
    whole = leaves.read_bytes()
    leaves.write_bytes(whole.replace(b'"kind":3', b'"kind":4', 1))
    outbox = Outbox.open(home)
    outbox.before_forgetting(AgencyCode("A0001"), datetime.now(UTC))
    assert set(written_in(desk)) == {"A0001.jsonl"}
    refused = [json.loads(line)["eventType"] for line in written_in(desk)["A0001.jsonl"].splitlines()]
    assert refused[-1] in ("FAIL", "ABORT")
    with House.open(home) as house:
        house.forget_agency(AgencyCode("A0001"))
    leaves.write_bytes(whole)
    assert not outbox.collect([AgencyCode("A0001")], datetime.now(UTC)).problems
    lines = written_in(desk)["A0001.jsonl"].splitlines()
    mine = [e for e in told if e["job"]["namespace"] == "depositaire://A0001"]
    assert sorted(map(name_of, lines)) == sorted((e["run"]["runId"], e["eventType"]) for e in mine)


def test_what_is_asked_wrongly_is_refused(lived: Desk, tmp_path: Path) -> None:
    assert lived("openlineage").code == 2
    assert lived("openlineage", "--out", tmp_path / "all.json").code == 2
    assert lived("openlineage", "--out", tmp_path / "all.jsonl", "--agency", "Z9999").code == 2
    assert not (tmp_path / "all.jsonl").exists()
