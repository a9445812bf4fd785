"""Many agencies are dealt out to several processes, which settle them as one would; none of those outlives what it
serves, and whatever ends one leaves each delivery in or out."""

import datetime as dt
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from connectors.odbc.children import Pool
from ledger.entry import Withdrawal
from pipelines import crew, hand, nightly, sync
from portal.cli import syncing
from schemas.errors import Elsewhere, Malformed, TryAgain, place_of
from schemas.home import Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.report import Report
from tests.functional.conftest import DAYS, RUN, SAMPLES, Installation, Quiet
from tests.functional.test_night_books import AGENCIES, FILES, LATER, NIGHT, accepted, receipted, waiting
from tests.functional.test_samples import differences, run_days

__all__ = ["waiting"]

A = AGENCIES[0]
AGAIN = {"accepted", "replayed"}


@pytest.fixture(autouse=True)
def none_is_left() -> Iterator[None]:
    yield
    crew.close()
    assert hands_of(os.getpid()) == []


@pytest.fixture
def dealt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each agency is a share of its own, for two hands."""
    monkeypatch.setattr(crew, "WORTH", 1)
    monkeypatch.setattr(crew, "SHARE", 1)
    monkeypatch.setattr(nightly, "processes", lambda _: 2)


def hands_of(pid: int) -> list[int]:
    """The hands that a process has started and that live."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rpartition(")")[2].split()[:2]
            command = (path.parent / "cmdline").read_bytes()
        except OSError:
            continue
        if int(parent) == pid and state != "Z" and b"pipelines.hand" in command:
            found.append(int(path.parent.name))
    return found


def settle(installation: Installation, desk: Any, systems: Sequence[System] = FILES, run: str = RUN) -> list[Report]:
    night = sync.Night(installation.home, LATER, installation.inbox, tuple(systems))
    return [r for system in systems for r in sync.settle(night, system, AGENCIES, desk, run)]


def each_once(installation: Installation) -> bool:
    """Whether every delivery that waited was accepted once, and receipted once."""
    once = True
    for agency in AGENCIES:
        wanted = {path.name for system in FILES for path in (installation.inbox / agency / system).glob("*")}
        kept, told = [name for _, name in accepted(installation, agency)], receipted(installation, agency)
        once &= sorted(kept) == sorted(told) == sorted(wanted)
    return once


# -- as one process ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("dealt")
def test_three_days_by_two_hands_become_what_is_expected(installation: Installation) -> None:
    for day, reports in run_days(installation, DAYS):
        assert len(hands_of(os.getpid())) == 2, "they are kept from system to system and night to night"
        assert "internal.error" not in {r["reason"] for r in reports}
        for agency in AGENCIES:
            assert differences(installation.tables(agency), SAMPLES / "truth" / agency / day) == []


@pytest.mark.usefixtures("dealt")
def test_the_desk_hears_of_all_and_reports_come_in_the_order_of_the_agencies(waiting: Installation) -> None:
    heard: list[Report] = []
    rows: Counter[str] = Counter()

    class Listening(Quiet):
        def settled(self, report: Report) -> None:
            heard.append(report)

        def checked(self, table: str, evaluated: int, broken: Any, agencies: Sequence[AgencyCode]) -> None:
            assert not broken
            assert set(agencies) < set(AGENCIES)
            rows[table] += evaluated

    for system in FILES:
        heard.clear()
        reports = settle(waiting, Listening(), (system,))
        assert [r.agency for r in reports] == sorted(r.agency or "" for r in heard)
        assert {r.outcome for r in reports} == {"accepted"}
    assert rows["person"] > 0
    assert each_once(waiting)
    assert {r.outcome for r in settle(waiting, Quiet())} == {"replayed"}


@pytest.mark.usefixtures("dealt")
def test_what_a_log_is_told_between_two_systems_counts_in_hands_that_never_saw_the_first(
    waiting: Installation,
) -> None:
    assert {r.outcome for r in settle(waiting, Quiet(), (System.SDGI,))} == {"accepted"}
    crew.close()
    (given,) = waiting.log(A).read().instructions
    told = LATER + dt.timedelta(hours=1)
    waiting.log(A).append(Withdrawal(given.id, told, told), told)
    outcomes = {(r.agency, r.reason) for r in settle(waiting, Quiet(), (System.GPI, System.LOGIN))}
    assert outcomes == {(A, "agency.no_instruction"), *((a, None) for a in AGENCIES[1:])}


# -- whatever ends one -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("dealt")
def test_a_hand_that_is_killed_stops_the_night_and_the_next_completes_it(waiting: Installation) -> None:
    class Killing(Quiet):
        def settled(self, _: Report) -> None:
            for pid in hands_of(os.getpid()):
                os.kill(pid, signal.SIGKILL)

    with pytest.raises(TryAgain, match=r"a process of the night has ended\. What was kept stays"):
        settle(waiting, Killing())
    crew.close()  # one that was started meanwhile, and had nothing to say, waits for work
    assert hands_of(os.getpid()) == []
    assert {r.outcome for r in settle(waiting, Quiet())} <= AGAIN
    assert each_once(waiting)


@pytest.mark.usefixtures("dealt")
def test_whoever_gives_up_ends_its_hands(waiting: Installation) -> None:
    class Stopping(Quiet):
        def settled(self, _: Report) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        settle(waiting, Stopping())
    assert hands_of(os.getpid()) == []
    assert {r.outcome for r in settle(waiting, Quiet())} <= AGAIN
    assert each_once(waiting)


@pytest.mark.usefixtures("dealt")
def test_a_hand_that_had_waited_too_long_is_replaced(waiting: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    assert {r.outcome for r in settle(waiting, Quiet(), (System.SDGI,))} == {"accepted"}
    for pid in hands_of(os.getpid()):
        os.kill(pid, signal.SIGKILL)
    monkeypatch.setattr(crew.Hand, "alive", True)  # it ends after it was looked at, and before it has heard
    assert {r.outcome for r in settle(waiting, Quiet(), (System.GPI, System.LOGIN))} == {"accepted"}
    assert each_once(waiting)


@pytest.mark.usefixtures("dealt")
def test_a_hand_that_cannot_begin_is_not_started_again_and_again(
    waiting: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TryAgain, match=r"a process of the night has ended\. What was kept stays"):
        settle(waiting, Quiet(), (System.SDGI,))


def _one_night(root: Path, way: Connection) -> None:
    crew.WORTH = crew.SHARE = 1
    nightly.processes = lambda _: 2  # type: ignore[assignment]

    class Telling(Quiet):
        def settled(self, _: Report) -> None:
            way.send(hands_of(os.getpid()))
            time.sleep(60)

    settle(Installation.on(root), Telling())


def test_hands_end_with_a_process_that_is_killed(waiting: Installation) -> None:
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_one_night, args=(waiting.inbox.parent, there))
    process.start()
    hands = here.recv()
    assert hands
    process.kill()
    process.join()
    ended = time.monotonic() + 10
    while [pid for pid in hands if _is_hand(pid)]:
        assert time.monotonic() < ended
        time.sleep(0.02)
    assert {r.outcome for r in settle(waiting, Quiet())} <= AGAIN
    assert each_once(waiting)


def _is_hand(pid: int) -> bool:
    try:
        return b"pipelines.hand" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


# -- what is told of a fault -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "raised", "text"),
    [
        (ValueError("Jeanne Morel"), Elsewhere, "ValueError at test_crew.py:"),
        (TryAgain("the disk is full", "Make room."), TryAgain, "the disk is full. Make room."),
    ],
)
def test_a_fault_leaves_a_hand_without_its_text(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception], text: str
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr(sync, "settle_share", failing)
    night = sync.Night(installation.home, NIGHT, installation.inbox, FILES)
    told = hand.done(crew.Task(night, System.SDGI, AGENCIES, {}, RUN), Quiet())
    assert isinstance(told, crew.Stopped)
    assert type(told.error()) is raised
    assert str(told.error()).startswith(text)
    assert "Morel" not in repr(told)


def test_only_a_fault_of_ours_says_itself_where_it_was() -> None:
    class Foreign(Exception):
        place = "12 rue Marquée"

    assert place_of(Elsewhere("ValueError at somewhere.py:7")) == "ValueError at somewhere.py:7"
    assert place_of(Foreign("Morel")) == "Foreign"


def test_the_inbox_of_a_night_is_the_same_for_all_its_tasks_and_another_for_another_run(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    inboxes: list[Any] = []
    monkeypatch.setattr(sync, "settle_share", lambda night, *_: inboxes.append(night.arrivals))
    night = sync.Night(installation.home, NIGHT, installation.inbox, FILES)
    here, there = multiprocessing.Pipe()
    for system, run in ((System.SDGI, "one"), (System.GPI, "one"), (System.GPI, "another")):
        here.send(crew.Task(night, system, AGENCIES, {}, run))
    monkeypatch.setattr(hand, "IDLE_SECONDS", 0)
    hand.serve(there)
    assert [here.recv() for _ in range(6)] == [crew.Begun(), crew.Done()] * 3
    assert inboxes[0] is inboxes[1]
    assert inboxes[0] is not inboxes[2]


# -- how many ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agencies", "processes", "gibibytes", "count", "sizes"),
    [
        (63, 2, 1.5, 1, [63]),
        (64, 2, 1.5, 2, [32, 32]),
        (65, 2, 1.5, 2, [33, 32]),
        (5_000, 2, 1.5, 2, [250] * 20),
        (5_000, 8, 1.5, 3, [250] * 20),
        (5_000, 8, 0.5, 1, [250] * 20),
        (100, 1, 64, 1, [100]),
        (0, 2, 1.5, 1, []),
    ],
)
def test_no_more_hands_than_pay(
    installation: Installation, agencies: int, processes: int, gibibytes: float, count: int, sizes: list[int]
) -> None:
    memory = int(gibibytes * 2**30)
    night = sync.Night(installation.home, NIGHT, None, FILES, memory=memory, processes=processes)
    assert crew.hands(night, agencies) == count
    codes = [AgencyCode(f"{n:05}") for n in range(agencies)]
    cut = list(crew.shares(codes, count))
    assert [len(share) for share in cut] == sizes
    assert [code for share in cut for code in share] == codes


@pytest.mark.parametrize(("said", "processes"), [("", len(os.sched_getaffinity(0))), ("processes = 7", 7)])
def test_a_home_says_how_many_processes_a_night_may_take(tmp_path: Path, said: str, processes: int) -> None:
    assert nightly.processes(_home(tmp_path, f"[night]\n{said}\n")) == processes


def test_the_option_allows_as_many_as_the_setting() -> None:
    assert syncing.MOST_PROCESSES == nightly.MOST_PROCESSES


def test_a_machine_that_shares_its_nights_takes_one_unless_it_says_more(tmp_path: Path) -> None:
    host = '[host]\naddress = "host.example:8443"\nname = "w1"\n'
    assert nightly.processes(_home(tmp_path, host)) == 1
    assert nightly.processes(_home(tmp_path, f"{host}[night]\nprocesses = 3\n")) == 3


@pytest.mark.parametrize("said", ["0", "65", "1.0", '"2"', "true"])
def test_anything_else_is_refused(tmp_path: Path, said: str) -> None:
    with pytest.raises(Malformed, match=r"night\.processes is no number of processes"):
        nightly.processes(_home(tmp_path, f"[night]\nprocesses = {said}\n"))


def _home(root: Path, settings: str) -> Home:
    (root / "depositaire.toml").write_text(settings)
    return Home.at(root)


def test_hands_share_what_sources_allow() -> None:
    pool = Pool()
    pool.share(2)
    assert (pool.at_once, pool.of_a_server) == (4, 1)
    with pool._turn("one server"), pool._places:
        assert not pool._turn("one server").acquire(blocking=False)
    pool.share(64)
    assert (pool.at_once, pool.of_a_server) == (1, 1)


def test_a_night_says_to_another_process_all_that_it_is(installation: Installation) -> None:
    said = sync.Night(installation.home, NIGHT, installation.inbox, AGENCY_SYSTEMS, (A,), "words", 2**30, False, 3)
    made, given = said.__reduce__()
    assert made(*given) == said
