"""status, quarantine, trace, inspect: they tell places, rules and counts, and no value of anybody."""

import json
from pathlib import Path
from typing import Any

import pytest

from portal.cli import screen
from tests.functional.cli.conftest import INSTRUCTION, SAMPLES, Desk, Said, call

TRUTH = SAMPLES / "truth" / "A0001" / "2026-01-05"
PERSONAL = (
    "last_name",
    "first_names",
    "birth_name",
    "company_name",
    "label_raw",
    "address_3",
    "value",
    "value_raw",
    "iban",
    "login",
    "email",
    "label",
)
FORM = (
    "zip", "unsafe", "member", "control", "version", "md5", "encoding", "count", "header", "total", "record", "charset",
    "trailer", "gzip", "bomb", "doctype", "well_formed", "namespace", "schema", "view", "column", "sequence",
)  # fmt: skip


def rows(table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRUTH / f"{table}.jsonl").read_text().splitlines()]


def values() -> set[str]:
    """Values of persons in the samples that are long enough not to stand in a screen by chance."""
    tables = ("person", "contact", "staff", "bank_detail", "document")
    found = {str(r[c]) for t in tables for r in rows(t) for c in PERSONAL if r.get(c)}
    return {v for v in found if len(v) >= 6}


def test_no_screen_shows_a_value(night: Desk, first_sync: Said, tmp_path: Path) -> None:
    agency = ("--agency", "A0001")
    keys = [(t, r["source_key"], r["source_system"]) for t in ("person", "account", "document") for r in rows(t)[:2]]
    screens = [night("status", *form, *which) for form in ((), ("--json",)) for which in ((), agency)] + [
        night("quarantine", *agency, *form) for form in ((), ("--json",))
    ]
    screens += [night("trace", *agency, t, k, "--system", s, *form) for t, k, s in keys for form in ((), ("--json",))]
    screens += [
        call("inspect", p, *form) for p in SAMPLES.glob("deliveries/2026-01-05/A0001/*/*") for form in ((), ("--json",))
    ]
    screens.append(first_sync)
    text = "\n".join(s.out + s.err for s in screens)
    marked = values()
    assert len(marked) > 100
    assert [v for v in marked if v in text] == []
    night("export", *agency, "--to", tmp_path)  # the same search finds them where they must be
    exported = "\n".join(p.read_text() for p in tmp_path.iterdir())
    assert all(json.dumps(v, ensure_ascii=False)[1:-1] in exported for v in marked)


def test_status_tells_of_every_agency_and_of_the_portal(night: Desk) -> None:
    said = night("status", "--at", "2026-01-07", "--json").json
    assert [a["agency"] for a in said["agencies"]] == ["A0001", "A0002", "A0003"]
    first = said["agencies"][0]
    assert [f["system"] for f in first["flows"]] == ["spilasuite", "sdgi", "gpi", "login"]
    assert all(f["outcome"] == "accepted" and f["instructed"] for f in first["flows"])
    assert first["flows"][0]["source_set"] is True
    assert said["agencies"][2]["days_left"] == 7
    assert said["portal"]["delivery"] == "PORTAIL_COMPTES_20260105.csv"


def test_status_of_one_agency_counts_what_is_held(night: Desk) -> None:
    (said,) = night("status", "--agency", "A0001", "--json").json["agencies"]
    assert said["held"]["person"] == len(rows("person"))
    assert said["quarantined"] == 1
    assert night("status", "--agency", "Z9999").code == 2


def test_quarantine_tells_where_and_why(night: Desk) -> None:
    (line,) = night("quarantine", "--agency", "A0001", "--json").json
    assert (line["system"], line["source"], line["reason"]) == ("sdgi", "LOTS.CSV", "row.field_count")
    assert isinstance(line["line"], int)
    assert night("quarantine", "--agency", "A0001", "--delivery", line["delivery"], "--json").json == [line]
    assert night("quarantine", "--agency", "A0001", "--delivery", "GPIA0001.000001", "--json").json == []
    assert night("quarantine", "--portal", "--json").json == []
    assert night("quarantine").code == 2
    assert night("quarantine", "--agency", "Z9999").code == 2


@pytest.mark.parametrize("system", ["spilasuite", "sdgi", "gpi", "login"])
def test_a_row_is_traced_to_its_line_and_columns(night: Desk, system: str) -> None:
    row = next(r for r in rows("person") if r["source_system"] == system and r["last_name"])
    said = night("trace", "--agency", "A0001", "person", row["source_key"], "--system", system, "--json").json
    place = {"spilasuite": "key", "sdgi": "line", "gpi": "offset", "login": "ref"}[system]
    assert said[place] is not None
    assert said["instructions"]
    assert said["run"]
    assert said["layout"].startswith(system)
    columns = {c["column"]: c for c in said["columns"]}
    for name, value in row.items():
        assert value is None or columns[name]["from"] or name == "source_system", name
    assert (columns["last_name"]["scope"], columns["last_name"]["category"]) == ("processor", "identity")
    assert all("value" not in c for c in said["columns"])


def test_the_place_of_a_traced_row_is_really_there(night: Desk) -> None:
    row = next(r for r in rows("person") if r["source_system"] == "gpi" and r["source_key"].startswith("CO:"))
    said = night("trace", "--agency", "A0001", "person", row["source_key"], "--system", "gpi", "--json").json
    raw = (SAMPLES / "deliveries" / "2026-01-05" / "A0001" / "gpi" / said["delivery"]).read_bytes()
    record = raw[said["offset"] : said["offset"] + 512]
    assert record[:2].decode() == said["source_table"]
    assert row["source_key"].split(":")[1] in record.decode("cp850")


def test_a_value_is_opened_only_for_a_purpose_that_the_agency_instructed(night: Desk) -> None:
    row = next(r for r in rows("person") if r["source_system"] == "gpi" and r["last_name"])
    said = night("trace", "--agency", "A0001", "person", row["source_key"], "--system", "gpi", "--value")
    assert said.code == 2
    assert "support" in said.err
    assert row["last_name"] not in said.out + said.err


def test_a_value_is_printed_only_when_it_is_asked_for(after_night: Desk) -> None:
    night = after_night
    support = night.root / "support.toml"
    support.write_text(INSTRUCTION.replace('"extranet"', '"support"'))
    assert night("instruct", "--agency", "A0001", "--file", support).code == 0
    row = next(r for r in rows("person") if r["source_system"] == "gpi" and r["last_name"])
    given = ("trace", "--agency", "A0001", "person", row["source_key"], "--system", "gpi")
    said = night(*given, "--column", "last_name", "--value", "--json").json
    assert [(c["column"], c["value"]) for c in said["columns"]] == [("last_name", row["last_name"])]
    assert row["last_name"] in night(*given, "--value").out


@pytest.mark.parametrize(
    "arguments", [("person", "no-such-key"), ("persons", "1"), ("person", "1", "--column", "shoe_size"), ("person",)]
)
def test_what_cannot_be_traced_exits_2(night: Desk, arguments: tuple[str, ...]) -> None:
    said = night("trace", "--agency", "A0001", *arguments)
    assert (said.code, said.out) == (2, "")


def cases() -> list[tuple[str, str | None]]:
    """Faults of form: those that show in the file itself."""
    found = []
    for path in sorted(SAMPLES.glob("faults/*/expect.json")):
        reason = json.loads(path.read_text())["reason"]
        if reason and any(word in reason for word in FORM):
            found.append((path.parent.name, reason))
    return found


@pytest.mark.parametrize(("case", "reason"), cases())
def test_inspect_gives_the_reason_with_which_a_file_would_be_refused(case: str, reason: str) -> None:
    folder = SAMPLES / "faults" / case
    said = call("inspect", folder / json.loads((folder / "expect.json").read_text())["delivery"], "--json")
    assert said.code == 3
    assert (said.json["fits"], said.json["reason"]) == (False, reason)


def test_inspect_names_columns_of_the_contract_and_only_places_of_others() -> None:
    said = call("inspect", SAMPLES / "faults" / "sdgi_header_drift" / "SDGI_A0001_20260108_0210.zip", "--json").json
    assert said["columns"] == [
        {"file": "PROPRIETAIRES.CSV", "kind": "missing", "name": "SIRET", "position": None},
        {"file": "PROPRIETAIRES.CSV", "kind": "extra", "name": None, "position": 5},
    ]


@pytest.mark.parametrize(
    "path", sorted((SAMPLES / "deliveries" / "2026-01-05" / "A0001").glob("*/*")), ids=lambda p: p.suffix
)
def test_inspect_knows_a_file_by_its_content_too(path: Path, tmp_path: Path) -> None:
    if path.suffix == ".sql":
        assert call("inspect", path, "--json").json["system"] is None
        return
    (tmp_path / "unnamed").write_bytes(path.read_bytes())
    renamed, named = call("inspect", tmp_path / "unnamed", "--json").json, call("inspect", path, "--json").json
    assert named["fits"]
    assert (renamed["system"], renamed["tables"]) == (named["system"], named["tables"])
    assert not renamed["name_fits"]


def test_inspect_knows_what_it_does_not_know(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("Zoé BELLERIVE")
    said = call("inspect", tmp_path / "notes.txt")
    assert said.code == 3
    assert "BELLERIVE" not in said.out
    assert call("inspect", tmp_path / "nothing").code == 2


def test_layouts_lists_every_contract() -> None:
    said = call("layouts", "--json").json
    versions = {(c["system"], c["version"]) for c in said}
    assert versions >= {
        ("spilasuite", "1.0"),
        ("sdgi", "1.4"),
        ("gpi", "01.02"),
        ("login", "2.3"),
        ("portal", "1.0"),
        ("agencies", "1.0"),
    }
    assert all(c["tables"] and c["columns"] for c in said)


def test_a_name_from_outside_cannot_write_on_the_terminal() -> None:
    assert screen.shown("a\x1b[2Jb\udcff") == "a�[2Jb?"
