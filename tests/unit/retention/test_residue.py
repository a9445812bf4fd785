"""The search by other means: it finds what the eraser would miss, and it knows when it cannot be trusted."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pipelines import erasure
from retention import residue
from retention.residue import CONTROL, Finding, Where, left, plant, search
from schemas.ids import AgencyCode
from tests.unit.retention.conftest import A1, A3, CLOSED, Installation

pytestmark = pytest.mark.files  # the places that are searched here are files

NUMBERS = AgencyCode("75011")


@pytest.fixture
def erased(installation: Installation) -> Installation:
    assert erasure.run(installation.broom, CLOSED).complete
    return installation


def where(i: Installation, **marks: str) -> Where:
    told = {AgencyCode(c): m for c, m in marks.items()}
    return Where(i.home.root, i.home.keys, (i.inbox,), i.home.dagster, frozenset({"erase"}), told)


def found(i: Installation, code: AgencyCode = A3, **marks: str) -> dict[str, int]:
    return left(search(where(i, **marks), [code]), code)


def test_before_an_erasure_every_search_that_has_something_to_find_finds_it(installation: Installation) -> None:
    assert set(found(installation, A0003="97304523000016")) == {
        "file names", "house rows", "house bytes", "portal rows", "orchestrator",
    }  # fmt: skip


def test_after_an_erasure_nothing_is_found_and_the_others_still_are(erased: Installation) -> None:
    assert found(erased, A0003="97304523000016") == {}
    assert set(found(erased, A1)) >= {"file names", "house rows", "portal rows", "orchestrator"}


def add_file(relative: str) -> Callable[[Installation], None]:
    def add(i: Installation) -> None:
        root = {"home": i.home.root, "keys": i.home.keys, "inbox": i.inbox}[relative.split("/", maxsplit=1)[0]]
        path = root.joinpath(*relative.split("/")[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    return add


def add_row(database: str, statement: str) -> Callable[[Installation], None]:
    def add(i: Installation) -> None:
        with closing(sqlite3.connect(i.home.root / database)) as db, db:
            db.executescript(statement)

    return add


def add_text(i: Installation) -> None:
    (i.home.root / "logs").mkdir(exist_ok=True)
    (i.home.root / "logs" / "sync.log").write_text('{"agency": "A0003"}')


JOURNAL = (
    "INSERT INTO journal (system, delivery, at, outcome, run, report) VALUES ('gpi', 'GPIA0003.1', '', '', '', '')"
)
EVENT = """INSERT INTO event_logs VALUES ('run-1', NULL, '{"partition": "A0003", "job": "erase"}')"""
ATTACHED = (
    "DROP TRIGGER portal_attachment_update;"
    "UPDATE portal_attachment SET source_key = 'CPT3:A0003:sdgi:C%3A1' WHERE source_key LIKE 'CPT3%'"
)
FULL_ROW = "UPDATE agency SET raison_sociale = 'A' WHERE code = 'A0003'"

MISSED = {
    "a key ring": (add_file("keys/agencies/A0003.keys"), "file names"),
    "a shelf's journal": (add_file("home/shelves/A0003.sqlite-journal"), "file names"),
    "a folder of deliveries": (add_file("inbox/A0003/gpi/x"), "file names"),
    "a delivery among another agency's": (add_file("inbox/A0001/gpi/GPIA0003.000001"), "file names"),
    "evidence out of its place": (add_file("home/archive/A0003-20260114.json"), "file names"),
    "a lock that holds something": (add_file("home/locks/A0003.lock"), "file names"),
    "a row of the journal": (add_row("house.sqlite", JOURNAL), "house rows"),
    "a full row of the register": (add_row("house.sqlite", FULL_ROW), "house rows"),
    "a key of an attachment": (add_row("shelves/_portal.sqlite", ATTACHED), "portal rows"),
    "an event of a sync": (add_row("dagster/runs.db", EVENT), "orchestrator"),
    "a file of the orchestrator": (add_file("home/dagster/logs/A0003.err"), "orchestrator"),
    "a line of a log": (add_text, "texts"),
}


@pytest.mark.parametrize(("add", "place"), MISSED.values(), ids=MISSED.keys())
def test_what_an_eraser_missed_is_found(erased: Installation, add: Callable[[Installation], None], place: str) -> None:
    add(erased)
    assert set(found(erased)) == {place}


def test_a_number_of_the_agency_in_free_pages_is_found_though_no_row_holds_it(erased: Installation) -> None:
    with closing(sqlite3.connect(erased.home.house)) as db, db:
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("INSERT INTO inbox VALUES ('97304523000016')")
        db.execute("DELETE FROM inbox WHERE path = '97304523000016'")
    assert found(erased, A0003="97304523000016") == {"house bytes": 1}


def test_records_of_the_erasures_themselves_are_evidence(erased: Installation) -> None:
    add_row("dagster/runs.db", "INSERT INTO event_logs VALUES ('run-9', 'A0003', '{}')")(erased)
    assert found(erased) == {}


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ('{"read": 75011, "agency": "A0001"}', False),
        ('{"agency": "75011"}', True),
        ("CPT1:75011:sdgi:1034", True),
        ("/srv/inbox/75011/sdgi", True),
        ("SDGI_75011_20260105_0210.zip", True),
        ('{"rows":75011}', False),
    ],
)
def test_a_code_of_five_figures_is_told_apart_from_a_count(tmp_path: Path, text: str, hit: bool) -> None:
    (tmp_path / "told.json").write_text(text)
    _, hits = residue.texts(Where(tmp_path, tmp_path / "keys"), frozenset({NUMBERS}))
    assert (NUMBERS in hits) is hit


def test_many_agencies_are_searched_with_one_walk(installation: Installation) -> None:
    codes = [AgencyCode(f"B{n:04d}") for n in range(120)] + [A1, A3]
    together = search(where(installation), codes)
    for code in (A1, A3):
        assert left(together, code) == found(installation, code)
    assert left(together, codes[0]) == {}


# -- the positive controls ---------------------------------------------------------------------------------------------


def test_each_search_finds_everything_that_is_planted_for_it(tmp_path: Path) -> None:
    control = plant(tmp_path, frozenset({"erase"}))
    for place, (look, planted) in residue.SEARCHES.items():
        _, hits = look(control, frozenset({CONTROL}))
        assert hits == {CONTROL: planted}, place


@pytest.mark.parametrize("place", residue.SEARCHES)
def test_a_search_that_has_gone_blind_counts_as_something_left(
    erased: Installation, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    planted = residue.SEARCHES[place][1]
    monkeypatch.setitem(residue.SEARCHES, place, (lambda *_: (1, {}), planted))
    assert found(erased) == {place: 1}


def test_a_finding_is_trusted_only_when_all_that_was_planted_was_found() -> None:
    assert Finding("x", 1, {}, 2, 2).trusted
    assert not Finding("x", 1, {}, 2, 1).trusted
    assert not Finding("x", 1, {}, 0, 0).trusted


def test_the_control_leaves_nothing_behind(
    erased: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "control"))
    (tmp_path / "control").mkdir()
    found(erased)
    assert list((tmp_path / "control").iterdir()) == []


def test_the_log_and_its_key_are_no_residue_and_what_is_named_after_the_agency_beside_them_is(
    erased: Installation,
) -> None:
    assert erased.home.log_key(A3).exists()
    assert found(erased) == {}
    for stray in (erased.home.ledger(A3) / "A0003.copy", erased.home.keys / "logs" / ".A0003.key.tmp"):
        stray.write_text("x")
        assert found(erased) == {"file names": 1}
        stray.unlink()
