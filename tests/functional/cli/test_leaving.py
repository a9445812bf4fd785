"""export, retention, verify: what is given back is exact, what is erased is gone, and a certificate can be checked."""

import json
import shutil
import stat
from pathlib import Path

import pytest

from schemas.home import Home
from schemas.ids import AgencyCode
from store import engine
from tests.functional.cli.conftest import SAMPLES, Desk, call

TRUTH = SAMPLES / "truth"


def test_export_writes_exactly_the_return_pack(night: Desk, tmp_path: Path) -> None:
    for agency, folder in (("A0001", TRUTH / "A0001" / "2026-01-05"), (None, TRUTH / "_portal" / "2026-01-05")):
        whose = ("--agency", agency) if agency else ("--portal",)
        said = night("export", *whose, "--to", tmp_path / "out", "--json")
        assert said.code == 0
        assert {p.name for p in folder.iterdir()} == {f"{t}.jsonl" for t in said.json["tables"]}
        for path in folder.iterdir():
            written, wanted = ((f / path.name).read_bytes() for f in (tmp_path / "out", folder))
            assert list(map(json.loads, written.splitlines())) == list(map(json.loads, wanted.splitlines())), path.name
            assert all(list(json.loads(line)) == sorted(json.loads(line)) for line in written.splitlines())
            assert b"\r" not in written


def test_what_is_exported_is_for_its_owner_alone(night: Desk, tmp_path: Path) -> None:
    night("export", "--agency", "A0001", "--to", tmp_path / "out")
    modes = {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "out").iterdir()}
    assert modes == {0o600}


def test_an_agency_that_holds_nothing_gives_empty_tables(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    for code in ("A0001", "Z9999"):
        said = desk("export", "--agency", code, "--to", tmp_path / code, "--json")
        assert said.code == 0
        assert set(said.json["tables"].values()) == {0}
        assert len(list((tmp_path / code).iterdir())) == 16
    assert desk("export", "--to", tmp_path).code == 2
    assert desk("export", "--agency", "A0001", "--portal", "--to", tmp_path).code == 2


def test_a_window_that_closed_is_planned_carried_out_and_certified(after_night: Desk, tmp_path: Path) -> None:
    desk = after_night
    before = tmp_path / "before"
    desk("export", "--agency", "A0001", "--to", before)
    assert desk("retention", "plan", "--at", "2026-01-13T23:59:59", "--json").json == {"plans": [], "held": []}
    planned = desk("retention", "plan", "--at", "2026-01-14", "--json").json
    assert [p["agency"] for p in planned["plans"]] == ["A0003"]
    assert engine.of(Home.at(desk.home)).holds(AgencyCode("A0003"))
    done = desk("retention", "run", "--at", "2026-01-14", "--json")
    assert done.code == 0
    (erased,) = done.json["erasures"]
    assert (erased["agency"], erased["problem"], erased["late_seconds"]) == ("A0003", None, 0)
    again = desk("retention", "run", "--at", "2026-01-14", "--json")
    assert (again.code, again.json["erasures"]) == (0, [])

    certificate = desk.home / "certificates" / erased["certificate"]
    held = desk("verify", certificate, "--json")
    assert (held.code, held.json["verified"], held.json["key_compared"], held.json["ledger_compared"]) == (
        0,
        True,
        True,
        True,
    )
    alone = call("verify", certificate, "--json")
    assert (alone.code, alone.json["key_compared"]) == (0, False)
    forged = tmp_path / "forged.json"
    forged.write_text(certificate.read_text().replace("A0003", "A0002"))
    assert desk("verify", forged).code == 1
    assert desk("verify", forged, "--json").json["verified"] is False
    assert desk("verify", tmp_path / "nothing.json").code == 2

    said = desk("export", "--agency", "A0003", "--to", tmp_path / "gone", "--json")
    assert (said.code, set(said.json["tables"].values())) == (0, {0})
    assert desk("quarantine", "--agency", "A0003", "--json").json == []
    desk("export", "--agency", "A0001", "--to", tmp_path / "after")
    assert all((tmp_path / "after" / p.name).read_bytes() == p.read_bytes() for p in before.iterdir())
    listed = {a["agency"]: a for a in desk("agencies", "list", "--at", "2026-01-14", "--json").json}
    assert (listed["A0003"]["state"], listed["A0003"]["name"]) == ("erased", None)
    assert desk("instruct", "--agency", "A0003", "--file", desk.instruction()).code == 2
    assert [i["agency"] for i in desk("instruct", "--all", "--file", desk.instruction(), "--json").json] == [
        "A0001",
        "A0002",
    ]
    assert desk("instructions", "--agency", "A0003", "--at", "2026-01-15", "--json").json[0]["state"] == "ended"


def test_a_plan_is_read_aloud_in_both_languages(after_night: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "destroy the key ring" in after_night("retention", "plan", "--at", "2026-01-14").out
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert "détruire le trousseau de clés" in after_night("retention", "plan", "--at", "2026-01-14").out


def test_a_certificate_of_another_home_does_not_hold_here(after_night: Desk, tmp_path: Path) -> None:
    (erased,) = after_night("retention", "run", "--at", "2026-01-14", "--json").json["erasures"]
    stranger = Desk(tmp_path)
    stranger("init")
    said = stranger("verify", after_night.home / "certificates" / erased["certificate"], "--json")
    assert said.code == 1
    assert "another key" in said.json["problem"]


def test_lineage_is_written_as_a_drawing_or_as_data(tmp_path: Path) -> None:
    assert call("lineage", "--out", tmp_path / "l.svg").code == 0
    assert call("lineage", "--out", tmp_path / "l.json").code == 0
    links = json.loads((tmp_path / "l.json").read_text())
    assert {e["system"] for e in links} == {"spilasuite", "sdgi", "gpi", "login", "portal"}
    assert {"source_table", "source_column", "table", "column", "rule", "scope", "category"} <= links[0].keys()
    assert call("lineage", "--out", tmp_path / "l.png").code == 2


def test_a_checkpoint_that_was_kept_is_extended_by_the_log_of_today_or_it_is_said_why_not(
    after_night: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = after_night.home / "ledger" / "A0003"
    kept = Path(shutil.copy(folder / "checkpoint", tmp_path / "kept"))
    earlier = tmp_path / "earlier"
    shutil.copytree(folder, earlier)
    assert after_night("retention", "run", "--at", "2026-01-14", "--json").code == 0
    held = after_night("verify", "--since", kept, "--json")
    assert (held.code, held.json["verified"], held.json["agency"]) == (0, True, "A0003")
    assert held.json["size"] > held.json["kept_size"] > 0
    assert "extends this checkpoint" in after_night("verify", "--since", kept).out
    later = Path(shutil.copy(folder / "checkpoint", tmp_path / "later"))
    shutil.rmtree(folder)
    shutil.copytree(earlier, folder)  # put back to the day before: whole, signed, and not what was seen
    assert after_night("verify", "--since", kept).code == 0
    said = after_night("verify", "--since", later, "--json")
    assert (said.code, said.json["verified"]) == (1, False)
    assert "some were taken out" in said.json["problem"]
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    aloud = after_night("verify", "--since", later)
    assert aloud.code == 1
    assert "certaines ont été retirées" in aloud.out
    assert "prolonge ce point de contrôle" in after_night("verify", "--since", kept).out


def test_what_is_no_checkpoint_of_this_home_does_not_hold_and_says_so(after_night: Desk, tmp_path: Path) -> None:
    kept = after_night.home / "ledger" / "A0003" / "checkpoint"
    changed = tmp_path / "changed"
    changed.write_bytes(kept.read_bytes().replace(b"A0003", b"A0002"))
    assert after_night("verify", "--since", changed).code == 1
    changed.write_bytes(b"nothing of the kind\n")
    assert after_night("verify", "--since", changed).code == 1
    changed.write_bytes(kept.read_bytes().replace(b"A0003", b"Z9999"))
    assert "no log of agency Z9999" in after_night("verify", "--since", changed, "--json").json["problem"]
    assert after_night("verify", "--since", tmp_path / "nothing").code == 2
    assert after_night("verify").code == 2
    assert after_night("verify", kept, "--since", kept).code == 2
    assert call("verify", "--since", kept).code == 2, "a log is read in its home"
    stranger = Desk(tmp_path)
    stranger("init")
    assert stranger("verify", "--since", kept).code == 1
