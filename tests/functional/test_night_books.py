"""What came before, and what is refused, is told from the books; what a crash leaves between shelf, journal and log is
made up for."""

import datetime as dt
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from ledger.entry import Receipt, Withdrawal
from ledger.log import Log
from pipelines import night as nights, sync, warrants
from pipelines.batch import settle_batch
from pipelines.books import Books
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.report import Report
from store import engine, keys
from store.agency import OpenShelf, Shelf
from store.house import House
from store.keys import Keyring, open_root
from store.tables import DELIVERY, DOOMED_KEY
from tests.functional.conftest import RUN, SAMPLES, Installation, Quiet, noon

AGENCIES = tuple(AgencyCode(f"A000{n}") for n in (1, 2, 3))
A = AGENCIES[0]
FILES = tuple(s for s in AGENCY_SYSTEMS if s is not System.SPILASUITE)
NIGHT = noon("2026-01-05")
LATER = NIGHT + dt.timedelta(hours=1)


@pytest.fixture
def waiting(installation: Installation) -> Installation:
    """The first day's deliveries of three agencies, that lie in the inbox."""
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in AGENCIES:
        installation.instruct(agency)
    installation.place_day("2026-01-05")
    return installation


@pytest.fixture
def settled(waiting: Installation) -> Installation:
    """The same, after their first night."""
    assert {r["outcome"] for r in waiting.sync(NIGHT, FILES)} == {"accepted"}
    return waiting


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the keys of an agency, or a shelf, are opened from now on."""
    counts: Counter[str] = Counter()

    def counting(owner: Any) -> None:
        real = owner.open.__func__

        def once(cls: Any, *arguments: Any, **named: Any) -> Any:
            counts[owner.__name__] += 1
            return real(cls, *arguments, **named)

        monkeypatch.setattr(owner, "open", classmethod(once))

    counting(Keyring)
    counting(OpenShelf)
    return counts


def accepted(installation: Installation, agency: AgencyCode) -> list[tuple[str, str]]:
    with House.open(installation.home) as house:
        entries = reversed(house.journal(agency))
        return [(e.system, e.delivery) for e in entries if e.outcome == "accepted"]


def receipted(installation: Installation, agency: AgencyCode) -> list[str]:
    return [e.delivery for e in installation.log(agency).read().entries if isinstance(e, Receipt)]


# -- the books ---------------------------------------------------------------------------------------------------------


def test_what_came_before_is_told_without_keys_or_shelf(settled: Installation, opened: Counter[str]) -> None:
    again = settled.sync(LATER, FILES)
    assert len(again) > 6
    assert {r["outcome"] for r in again} == {"replayed"}
    assert opened == {}


def test_other_bytes_under_a_name_that_came_before_are_refused_without_keys(
    settled: Installation, opened: Counter[str]
) -> None:
    (path,) = (settled.inbox / A / "sdgi").iterdir()
    path.write_bytes(path.read_bytes() + b"x")
    again = [r for r in settled.sync(LATER, (System.SDGI,), portal=False) if r["agency"] == A]
    assert [(r["outcome"], r["reason"]) for r in again] == [("refused", "delivery.conflict")]
    assert opened == {}


def test_what_is_not_proved_whole_is_refused_without_keys(settled: Installation, opened: Counter[str]) -> None:
    (path,) = (settled.inbox / A / "sdgi").iterdir()
    path.rename(path.with_name(path.name.replace("20260105", "20260104")))
    again = [r for r in settled.sync(LATER, (System.SDGI,), portal=False) if r["agency"] == A]
    assert [(r["outcome"], r["reason"]) for r in again] == [("refused", "sdgi.out_of_order")]
    assert opened == {}


@pytest.mark.parametrize("system", FILES)
def test_the_books_tell_what_the_shelf_tells(settled: Installation, system: System) -> None:
    store = engine.of(settled.home)
    names: dict[AgencyCode | None, str] = {
        a: p.name for a in AGENCIES for p in sorted((settled.inbox / a / system).glob("*"))
    }
    found = store.standing(system, names)
    assert found.keys() == names.keys()
    for agency, name in names.items():
        with Shelf.known(settled.home, agency) as shelf:
            assert found[agency].accepted == {name: shelf.accepted_as(system, name)}
            assert found[agency].cursor == shelf.cursor(system)
        assert found[agency].at_rest
    unknown = store.standing(system, dict.fromkeys(names, "NEVER_CAME"))
    assert {a: dict(s.accepted) for a, s in unknown.items()} == {a: {} for a in names}
    assert store.standing(system, {AgencyCode("Z0009"): "NEVER_CAME"}) == {}
    assert store.standing(system, {}) == {}


def test_an_agency_whose_keys_are_gone_is_not_judged_by_its_books(settled: Installation, opened: Counter[str]) -> None:
    settled.home.keyring(A).unlink()
    settled.sync(LATER, (System.SDGI,), portal=False)
    assert opened["Keyring"] == 1


# -- what a crash leaves -----------------------------------------------------------------------------------------------


def test_a_receipt_that_is_due_is_made_up_for_when_the_same_bytes_come_again(settled: Installation) -> None:
    before = receipted(settled, A)
    with Shelf.known(settled.home, A) as shelf, shelf.noting() as db:
        db.execute(update(DELIVERY).values(receipted=0))
    assert {r["outcome"] for r in settled.sync(LATER, (System.SDGI,), portal=False)} == {"replayed"}
    with Shelf.known(settled.home, A) as shelf:
        assert {d.receipted for d in shelf.deliveries()} == {1}
    assert receipted(settled, A) == before


def test_keys_that_are_doomed_go_when_the_same_bytes_come_again(settled: Installation) -> None:
    root = open_root(settled.home)
    leave = Warrants(settled.home, root, LATER).grant(A, Act.SYNCHRONISE, System.SDGI)
    with (
        Keyring.open(settled.home, root, leave.capability) as keyring,
        OpenShelf.open(settled.home, keyring, leave) as shelf,
        shelf.writing() as db,
    ):
        db.execute(insert(DOOMED_KEY).values(kid=1))
    assert engine.of(settled.home).standing(System.SDGI, {A: "ANY"})[A].keys_doomed
    settled.sync(LATER, (System.SDGI,), portal=False)
    with Shelf.known(settled.home, A) as known:
        assert known.db.scalars(select(DOOMED_KEY.c.kid)).all() == []


def before_the_journal(counts: Counter[str]) -> None:
    real = House.journal_add

    def dying(house: House, reports: Any, *rest: Any) -> None:
        if any(r.outcome == "accepted" for r in reports):
            os.kill(os.getpid(), signal.SIGKILL)
        real(house, reports, *rest)

    House.journal_add = dying  # type: ignore[method-assign,assignment]


def at_the_receipt(which: int) -> Callable[[Counter[str]], None]:
    def prepare(counts: Counter[str]) -> None:
        real, turn = Log.append_all, threading.Lock()

        def dying(log: Log, *given: Any, **named: Any) -> Any:
            with turn:
                counts["receipts"] += 1
                if counts["receipts"] == which:
                    os.kill(os.getpid(), signal.SIGKILL)
                return real(log, *given, **named)

        Log.append_all = dying  # type: ignore[method-assign,assignment]

    return prepare


@pytest.mark.parametrize(
    "dying",
    [before_the_journal, at_the_receipt(1), at_the_receipt(2)],
    ids=["before the journal", "before the first receipt", "before the second"],
)
def test_whatever_a_kill_leaves_out_is_made_up_for(
    waiting: Installation, dying: Callable[[Counter[str]], None]
) -> None:
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        dying(Counter())
        waiting.sync(NIGHT, (System.SDGI,), portal=False)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert {r["outcome"] for r in waiting.sync(LATER, (System.SDGI,), portal=False)} == {"replayed"}
    for agency in AGENCIES:
        names = [p.name for p in (waiting.inbox / agency / "sdgi").glob("*")]
        assert accepted(waiting, agency) == [("sdgi", n) for n in names]
        assert receipted(waiting, agency) == names


def test_an_entry_that_is_made_up_for_is_the_one_that_would_have_been_made(waiting: Installation) -> None:
    waiting.sync(NIGHT, (System.SDGI,), portal=False)
    with House.open(waiting.home) as house:
        columns = ("agency", "system", "delivery", "day", "at", "outcome", "reason", "run", "report")
        before = [{c: getattr(e, c) for c in columns} for e in house.journal(A)]
        house.forget_agency(A)
        with Shelf.known(waiting.home, A) as shelf:
            for _ in range(2):  # twice is once
                house.journal_make_up(A, shelf.deliveries())
        assert [{c: getattr(e, c) for c in columns} for e in house.journal(A)] == before


# -- many agencies -----------------------------------------------------------------------------------------------------


def test_a_log_that_takes_no_receipt_stops_no_other_agency(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Books.receipts

    def failing(books: Books, shelf: Shelf, *rest: Any) -> None:
        if shelf.agency == A:
            raise OSError("the disk is full")
        real(books, shelf, *rest)

    heard: list[Report] = []

    class Listening(Quiet):
        def settled(self, report: Report) -> None:
            heard.append(report)

    monkeypatch.setattr(Books, "receipts", failing)
    night = sync.Night(waiting.home, NIGHT, waiting.inbox, (System.SDGI,))
    with pytest.raises(OSError, match="the disk is full"):
        sync.settle(night, System.SDGI, AGENCIES, Listening(), RUN)
    others = [a for a in AGENCIES[1:] if (waiting.inbox / a / "sdgi").is_dir()]
    assert [r.agency for r in heard] == others
    assert all(receipted(waiting, a) for a in others)
    assert receipted(waiting, A) == []
    monkeypatch.undo()
    waiting.sync(LATER, (System.SDGI,), portal=False)
    assert len(receipted(waiting, A)) == len(accepted(waiting, A)) == 1


def test_reports_come_in_the_order_of_the_agencies_whichever_log_is_written_first(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Log.append_all

    def slow(log: Log, *given: Any, **named: Any) -> Any:
        time.sleep(0.3 if log.agency == A else 0)
        written.append(log.agency)
        return real(log, *given, **named)

    monkeypatch.setattr(Log, "append_all", slow)
    for system in FILES:
        written: list[AgencyCode] = []
        night = sync.Night(waiting.home, NIGHT, waiting.inbox, (system,))
        reports = sync.settle(night, system, AGENCIES, Quiet(), RUN)
        assert [r.agency for r in reports] == sorted(written)
        assert len(written) < 2 or written[-1] == A


@pytest.mark.parametrize(("shelves", "beside", "most"), [(None, 2, 2), (2, 1, 2), (3, 2, 1), (1, 4, 1)])
def test_a_batch_opens_no_more_shelves_than_the_database_allows(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch, shelves: int | None, beside: int, most: int
) -> None:
    sizes: list[int] = []

    def counted(room: Any, batch: Any, *rest: Any) -> Any:
        sizes.append(len(batch))
        return settle_batch(room, batch, *rest)

    monkeypatch.setattr(sync, "settle_batch", counted)
    monkeypatch.setattr(type(engine.of(waiting.home)), "shelves_at_once", lambda _: shelves)
    night = sync.Night(waiting.home, NIGHT, waiting.inbox, (System.GPI,), beside=beside)
    reports = sync.settle(night, System.GPI, AGENCIES, Quiet(), RUN)
    assert [r.outcome for r in reports] == ["accepted"] * 2
    assert max(sizes) == most
    assert sum(sizes) == 2


# -- once a run --------------------------------------------------------------------------------------------------------


def test_the_root_key_is_opened_once_a_run(settled: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    opens: list[Home] = []

    def counted(home: Home, passphrase: str | None) -> keys.Root:
        opens.append(home)
        return open_root(home, passphrase)

    monkeypatch.setattr(nights, "_ROOT", {})
    monkeypatch.setattr(nights, "open_root", counted)
    night = sync.Night(settled.home, LATER, settled.inbox, FILES)
    for system in FILES:
        sync.settle(night, system, AGENCIES, Quiet(), "one run")
    assert len(opens) == 1
    sync.settle(night, System.SDGI, AGENCIES, Quiet(), "another run")
    assert len(opens) == 2


def test_another_passphrase_does_not_open_the_root_key_of_the_same_run(
    settled: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 2**4)
    settled.home.root_key.unlink()
    settled.home.signing_key.unlink()
    keys.create_root(settled.home, "the right one")
    right, wrong = (
        sync.Night(settled.home, LATER, None, FILES, None, told) for told in ("the right one", "the wrong one")
    )
    sync.settle(right, System.SDGI, AGENCIES, Quiet(), RUN)
    with pytest.raises(Refused, match="passphrase"):
        sync.settle(wrong, System.SDGI, AGENCIES, Quiet(), RUN)
    settled.home.root_key.unlink()
    with pytest.raises(Exception, match="no root key"):
        sync.settle(right, System.SDGI, AGENCIES, Quiet(), RUN)


def test_a_log_is_read_once_a_run_and_again_only_when_it_has_grown(
    settled: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[AgencyCode] = Counter()
    real = Log.read

    def counted(log: Log, receipts: bool = True) -> Any:
        reads[log.agency] += 1
        return real(log, receipts)

    monkeypatch.setattr(warrants, "_RUNS", {})
    monkeypatch.setattr(Log, "read", counted)
    night = sync.Night(settled.home, LATER, settled.inbox, FILES)

    def outcomes() -> set[str]:
        return {r.outcome for s in FILES for r in sync.settle(night, s, AGENCIES, Quiet(), RUN) if r.agency == A}

    assert outcomes() == outcomes() == {"replayed"}
    assert reads[A] == 1
    (given,) = settled.log(A).read().instructions
    settled.log(A).append(Withdrawal(given.id, LATER, LATER), LATER)
    reads.clear()
    assert outcomes() == {"refused"}
    assert reads[A] == 1


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.mark.files
def test_looking_into_a_shelf_leaves_no_file_behind(settled: Installation) -> None:
    folder = settled.home.shelf(A).parent
    before = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert engine.of(settled.home).standing(System.SDGI, {A: "ANY"})
    assert {p.name: p.stat().st_mtime_ns for p in folder.iterdir()} == before


@pytest.mark.files
def test_what_only_the_write_ahead_log_of_a_killed_run_has_is_seen(settled: Installation) -> None:
    child = os.fork()
    if child == 0:
        with Shelf.known(settled.home, A) as shelf:
            with shelf.noting() as db:
                db.execute(update(DELIVERY).values(receipted=0))
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    path = settled.home.shelf(A)
    assert path.with_name(path.name + "-wal").stat().st_size
    assert engine.of(settled.home).standing(System.SDGI, {A: "ANY"})[A].receipts_due


@pytest.mark.files
def test_a_shelf_that_cannot_be_looked_into_is_left_to_whoever_opens_it(settled: Installation) -> None:
    path = settled.home.shelf(A)
    path.write_bytes(b"no database" * 1000)
    assert engine.of(settled.home).standing(System.SDGI, {A: "ANY"}) == {}
