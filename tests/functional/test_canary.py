"""Marked values: nothing of a person is found outside the sealed store, and after an erasure nothing is found anywhere.

The marks are real values of the samples (names, e-mails, addresses, IBANs …), long enough not to occur by chance. Every
byte of every file is searched, in UTF-8, Latin-1, UTF-16 and behind a JSON escape; a planted file shows that it finds.
"""

import datetime as dt
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest

from pipelines import sync
from pipelines.defs import run as door
from schemas.capability import Act
from schemas.errors import Say
from schemas.fields import Kind, Protection
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.records import RECORDS
from store import engine
from store.agency import OpenShelf
from store.keys import Keyring, open_root
from tests import engines
from tests.functional.conftest import DAYS, SAMPLES, Installation, noon, read_jsonl
from tests.leave import capability, warrant

# Fields that stay in clear by contract (keys and references), or whose values are words that others use too.
OPEN = (Kind.KEY, Kind.REF, Kind.ENUM, Kind.BOOL, Kind.DATE, Kind.DATETIME, Kind.INT, Kind.MONEY, Kind.DECIMAL2)


KEYS_AND_COMMON_WORDS = ("account_id", "person_key", "agency_code", "function")


def marks(agency: str) -> set[str]:
    found: set[str] = set()
    for path in (SAMPLES / "truth" / agency).glob("*/*.jsonl"):
        record = RECORDS[path.stem]
        secret = [f for f in record.fields if f.personal or f.protection is Protection.ENCRYPT]
        wanted = [f.name for f in secret if f.kind not in OPEN and f.name not in KEYS_AND_COMMON_WORDS]
        for row in read_jsonl(path):
            found |= {v for n in wanted if isinstance(v := row.get(n), str) and len(v) >= 7 and not v.isdigit()}
    return found


def written(mark: str) -> set[bytes]:
    forms = {mark.encode(), mark.encode("utf-16-le"), json.dumps(mark)[1:-1].encode()}
    return forms | {mark.encode(name, "ignore") for name in ("cp1252", "cp850")}


def hits(folders: Iterable[Path], values: set[str]) -> dict[str, int]:
    """File → how many different marks it holds."""
    forms = {v: written(v) for v in values}
    out = {}
    for folder in folders:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            raw = path.read_bytes()
            n = sum(any(f in raw for f in each) for each in forms.values())
            if n:
                out[str(path)] = n
    return out


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three days through the orchestrator, with every temporary file kept in view."""
    root = tmp_path_factory.mktemp("canary")
    (root / "tmp").mkdir()
    before, tempfile.tempdir = tempfile.tempdir, str(root / "tmp")
    try:
        installation = Installation(root)
        engines.write_instance(installation.home)
        for day in DAYS:
            installation.load_register(SAMPLES / "agencies" / f"AGENCES_{day.replace('-', '')}.csv")
            for agency in ("A0001", "A0002", "A0003"):
                installation.instruct(agency)
            installation.place_day(day)
            systems = (*AGENCY_SYSTEMS, System.PORTAL)
            reports = door.execute_sync(sync.Night(installation.home, noon(day), installation.inbox, systems))
            assert any(r.outcome == "accepted" for r in reports)
    finally:
        tempfile.tempdir = before
    return root


def test_the_search_finds_a_value_that_is_there(nights: Path, tmp_path: Path) -> None:
    value = sorted(marks("A0001"))[0]
    for n, form in enumerate(written(value)):
        (tmp_path / f"planted{n}").write_bytes(b"\x00\xff" + form + b"\x00")
    assert len(hits([tmp_path], {value})) == len(written(value))
    assert hits([nights / "inbox", nights / "sources"], marks("A0001")), "the deliveries themselves hold the marks"


def test_nothing_of_a_person_lies_in_clear_in_the_home_or_in_temporary_files(nights: Path) -> None:
    every = marks("A0001") | marks("A0002") | marks("A0003") | marks("_portal")
    assert len(every) > 500
    assert hits([nights / "home", nights / "tmp"], every) == {}


@pytest.fixture(scope="module")
def swept(nights: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A copy of everything the day before, and the same home after the window of A0003 has closed."""
    folder = tmp_path_factory.mktemp("swept")
    yesterday = Path(engines.copied(nights, folder / "yesterday"))
    today = Path(engines.copied(nights, folder / "today"))
    installation = Installation.on(today)
    from store.house import House

    with House.open(installation.home) as house:
        house.remember_inbox(installation.inbox)
    result = door.execute_erasure(installation.home, dt.datetime.fromisoformat("2026-01-14T00:00:00+01:00"))
    assert [e.agency for e in result.erasures] == ["A0003"]
    assert result.complete
    return {"yesterday": yesterday, "today": today}


def own_marks(inbox: Path) -> set[str]:
    """What only A0003 holds: the samples share streets, towns and names between agencies."""
    others = [p.read_bytes() for d in ("A0001", "A0002", "_portal") for p in (inbox / d).rglob("*") if p.is_file()]
    mine = marks("A0003") - marks("A0001") - marks("A0002") - marks("_portal")
    return {m for m in mine if not any(f in raw for f in written(m) for raw in others)}


def test_after_the_erasure_nothing_of_the_agency_is_found_anywhere(swept: dict[str, Path]) -> None:
    own = own_marks(swept["yesterday"] / "inbox")
    assert len(own) > 100
    assert hits([swept["yesterday"] / "sources"], own), "the search finds them at their source"
    assert hits([swept["today"] / "home", swept["today"] / "inbox", swept["today"] / "tmp"], own) == {}
    left = [p for p in swept["today"].rglob("*A0003*") if "sources" not in p.parts and "export" not in p.parts]
    assert {p.parent.name for p in left} <= {"ledger", "certificates", "erasures", "logs", "lineage"}


def test_the_other_agencies_are_unchanged_by_it(swept: dict[str, Path]) -> None:
    before, after = Installation.on(swept["yesterday"]), Installation.on(swept["today"])
    for agency in ("A0001", "A0002"):
        assert after.tables(agency) == before.tables(agency)


def test_attached_accounts_of_a_living_agency_stay_and_the_last_ones_go(swept: dict[str, Path]) -> None:
    before, after = (Installation.on(swept[k]).tables(None) for k in ("yesterday", "today"))
    attached: dict[str, set[str]] = {}
    for row in before["portal_attachment"]:
        attached.setdefault(row["account_id"], set()).add(row["agency_code"])
    gone = {a for a, agencies in attached.items() if agencies == {"A0003"}}
    assert gone, "the samples must hold an account of that agency alone"
    ids = {r["account_id"] for r in before["portal_account"]}
    assert {r["account_id"] for r in after["portal_account"]} == ids - gone
    assert {r["agency_code"] for r in after["portal_attachment"]} == {"A0001", "A0002"}


@pytest.mark.files
def test_a_copy_of_everything_but_the_keys_of_the_day_before_opens_nothing(swept: dict[str, Path]) -> None:
    code = AgencyCode("A0003")
    old, new = Installation.on(swept["yesterday"]).home, Installation.on(swept["today"]).home
    assert old.shelf(code).exists()
    root, leave = open_root(new), warrant(code, Act.RETURN)
    with pytest.raises(Say):
        Keyring.open(new, root, leave.capability)
    # Whoever has the copy and today's key store makes a new ring under that name: it opens nothing of the old shelf.
    with (
        Keyring.open(new, root, leave.capability, create=True) as ring,
        OpenShelf(engine.of(old).shelf(code), ring, leave) as shelf,
    ):
        opened = 0
        for table in ("person", "contact", "account", "building"):
            with pytest.raises(Say):
                opened += sum(len(part) for part in shelf.rows(table))
        assert opened == 0
    Keyring.destroy(new, capability(code, Act.ERASE))


@pytest.mark.files
def test_a_second_erasure_on_the_same_home_is_certified_too(swept: dict[str, Path]) -> None:
    """A restored shelf of the erased agency is found again, removed again, and certified again."""
    code = AgencyCode("A0003")
    old, new = Installation.on(swept["yesterday"]).home, Installation.on(swept["today"]).home
    shutil.copy(old.shelf(code), new.shelf(code))
    # Somebody looks at Dagster's databases meanwhile: the files that SQLite puts beside them are no databases.
    readers = [sqlite3.connect(p) for p in new.dagster.rglob("*.db")]
    assert sum(len(r.execute("SELECT name FROM sqlite_master").fetchall()) for r in readers) > 0
    assert list(new.dagster.rglob("*.db-shm"))
    result = door.execute_erasure(new, dt.datetime.fromisoformat("2026-01-15T00:00:00+01:00"))
    assert [(e.agency, e.problem) for e in result.erasures] == [("A0003", None)]
    assert result.complete
    assert not new.shelf(code).exists()
    for reader in readers:
        reader.close()
