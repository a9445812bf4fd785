"""Whole nights without a valid instruction, and nights during which it goes: no delivery is opened, no shelf made, and
what changes meanwhile counts at once (R46, R2; GDPR 28(3)(a)).

Real deliveries, real connectors; these are wrapped to count what is asked of them, and to do something meanwhile.
"""

import datetime as dt
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Connector, find
from connectors.odbc.children import Talk
from ledger.entry import Entry, Instruction, Window, Withdrawal
from ledger.orders import Channel, Restrict
from pipelines import sync
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Refused
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import RestrictedBy
from schemas.report import Report
from store.keys import open_root
from tests.functional.conftest import RUN, SAMPLES, Installation, Quiet, noon
from tests.generative import without_instruction
from tests.generative.without_instruction import A, B, C, begin, instruction

NIGHT = noon("2026-01-05")
NEXT = noon("2026-01-06")
YEAR = dt.timedelta(days=365)
INSTANT = dt.timedelta(seconds=1)
SDGI = (System.SDGI,)


class Counting:
    """A connector that counts. `meanwhile` is called after each reading, before anything of it is kept."""

    def __init__(self, real: Connector, counts: dict[str, int], meanwhile: Callable[[], None]) -> None:
        self._real, self._counts, self._meanwhile = real, counts, meanwhile

    def __getattr__(self, name: str) -> Any:
        if name in ("open", "fingerprint"):
            self._counts[name] += 1
        return getattr(self._real, name)

    def read(self, *arguments: Any) -> Any:
        self._counts["read"] += 1
        made = self._real.read(*arguments)
        self._meanwhile()
        return made


class Nights:
    """An installation with deliveries waiting, and a count of what is done with them."""

    def __init__(self, installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
        self.installation = installation
        self.counts = {"open": 0, "read": 0, "fingerprint": 0, "connect": 0}
        self.meanwhile: Callable[[], None] = lambda: None
        connect = Talk.open

        def counted(talk: Talk, *arguments: Any, **named: Any) -> Any:
            self.counts["connect"] += 1
            return connect(talk, *arguments, **named)

        monkeypatch.setattr(Talk, "open", counted)
        monkeypatch.setattr(sync, "find", lambda s: Counting(find(s), self.counts, lambda: self.meanwhile()))
        without_instruction.watch_inbox(installation.inbox)

    def run(self, at: dt.datetime, systems: Sequence[System] = AGENCY_SYSTEMS, desk: Any = None) -> list[Report]:
        night = sync.Night(self.installation.home, at, self.installation.inbox, tuple(systems))
        agencies = sync.registered(night.home)
        return [r for s in systems for r in sync.settle(night, s, agencies, desk or Quiet(), RUN)]

    def record(self, agency: AgencyCode, entry: Entry, at: dt.datetime = NIGHT) -> None:
        self.installation.log(agency).append(entry, at)

    def held(self) -> set[str]:
        home = self.installation.home
        return {p.name for folder in (home.root / "shelves", home.keys / "agencies") for p in folder.glob("*")}

    def rows(self, agency: AgencyCode) -> dict[str, int]:
        return {name: len(rows) for name, rows in self.installation.tables(agency).items() if rows}


@pytest.fixture
def nights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nights]:
    yield Nights(begin(tmp_path), monkeypatch)
    without_instruction.watch_inbox(None)


def withdrawn(agency: AgencyCode, at: dt.datetime) -> list[Entry]:
    given = instruction(agency)
    return [given, Withdrawal(given.id, at, at)]


def closed(agency: AgencyCode, scope: RestrictedBy, *targets: str, reference: str = "NOTE-1") -> Restrict:
    return Restrict(
        agency=agency, reference=reference, recorded_by="exploitant", recorded_at=NIGHT, channel=Channel.LETTER,
        given_by="gerance", valid_from=NIGHT, scope=scope, targets=targets,
    )  # fmt: skip


Told = Callable[[AgencyCode], list[Entry]]
WITHOUT: Mapping[str, Told] = {
    "none": lambda a: [],
    "not yet begun": lambda a: [instruction(a, valid_from=NIGHT + INSTANT)],
    "expired": lambda a: [instruction(a, valid_until=NIGHT)],
    "long expired": lambda a: [instruction(a, valid_from=NIGHT - YEAR, valid_until=NIGHT - YEAR / 2)],
    "withdrawn": lambda a: withdrawn(a, NIGHT),
    "withdrawn before it began": lambda a: withdrawn(a, NIGHT - YEAR),
    "another system's": lambda a: [instruction(a, systems=(System.PORTAL,))],
    "all of it restricted": lambda a: [instruction(a), closed(a, RestrictedBy.AGENCY)],
}


@pytest.mark.parametrize("circumstance", WITHOUT)
def test_a_night_without_a_valid_instruction_opens_no_delivery_and_makes_no_shelf(
    nights: Nights, circumstance: str
) -> None:
    for agency in (A, B, C):
        for entry in WITHOUT[circumstance](agency):
            nights.record(agency, entry)
    before = nights.held()
    reports = nights.run(NIGHT)
    assert len(reports) == 8
    assert {(r.outcome, r.reason) for r in reports} == {("refused", "agency.no_instruction")}
    assert nights.counts == {"open": 0, "read": 0, "fingerprint": 0, "connect": 0}
    assert without_instruction.opened() == []
    assert nights.held() == before


def test_the_same_night_with_one_opens_every_delivery(nights: Nights) -> None:
    for agency in (A, B, C):
        nights.record(agency, instruction(agency))
    assert {r.outcome for r in nights.run(NIGHT)} == {"accepted"}
    assert (nights.counts["open"], nights.counts["connect"]) == (8, 2)
    assert len(set(without_instruction.opened())) == 6, "each file of the inbox"
    assert all(nights.rows(a) for a in (A, B, C))


def test_one_agencys_instruction_for_one_system_opens_that_alone(nights: Nights) -> None:
    nights.record(A, instruction(A, systems=SDGI))
    outcomes = {(r.agency, r.system): (r.outcome, r.reason) for r in nights.run(NIGHT)}
    assert outcomes.pop((A, System.SDGI)) == ("accepted", None)
    assert set(outcomes.values()) == {("refused", "agency.no_instruction")}
    assert {Path(p).parts[-3:-1] for p in without_instruction.opened()} == {("A0001", "sdgi")}
    assert nights.counts["open"] == 1


# -- meanwhile ---------------------------------------------------------------------------------------------------------


class Withdrawing(Quiet):
    """Records a withdrawal as soon as a delivery of its agency is settled."""

    def __init__(self, nights: Nights, given: Instruction, at: dt.datetime = NEXT) -> None:
        self._nights, self._given, self._at = nights, given, at

    def settled(self, report: Report) -> None:
        if report.agency == self._given.agency:
            self._nights.record(self._given.agency, Withdrawal(self._given.id, self._at, self._at), self._at)


def test_a_withdrawal_between_two_deliveries_of_a_night_stops_the_second(nights: Nights) -> None:
    for path in (SAMPLES / "deliveries" / "2026-01-06" / A / "sdgi").iterdir():
        nights.installation.place(path, A, "sdgi")
    without_instruction.watch_inbox(nights.installation.inbox)
    given = instruction(A)
    nights.record(A, given)
    mine = [r for r in nights.run(NEXT, SDGI, Withdrawing(nights, given)) if r.agency == A]
    assert [(r.outcome, r.reason) for r in mine] == [("accepted", None), ("refused", "agency.no_instruction")]
    assert nights.counts["open"] == 1
    assert {Path(p).name for p in without_instruction.opened()} == {mine[0].delivery}


def test_a_withdrawal_between_reading_and_writing_keeps_nothing(nights: Nights) -> None:
    given = instruction(A)
    nights.record(A, given)
    nights.meanwhile = lambda: nights.record(A, Withdrawal(given.id, NIGHT, NIGHT))
    (report,) = (r for r in nights.run(NIGHT, SDGI) if r.agency == A)
    assert (report.outcome, report.reason) == ("refused", "agency.no_instruction")
    assert nights.counts["read"] == 1, "it was not read again"
    assert nights.rows(A) == {}


def test_a_restriction_recorded_between_reading_and_writing_is_kept_to(nights: Nights) -> None:
    nights.record(A, instruction(A))
    doing = iter([lambda: nights.record(A, closed(A, RestrictedBy.TABLE, "lot"))])
    nights.meanwhile = lambda: next(doing, lambda: None)()
    (report,) = (r for r in nights.run(NIGHT, SDGI) if r.agency == A)
    assert (report.outcome, report.reason) == ("accepted", None)
    assert nights.counts["read"] == 2, "it was read again under the restriction"
    held = nights.rows(A)
    assert "lot" not in held
    assert held["person"] > 0


def test_what_changes_a_second_time_leaves_the_delivery_for_the_next_night(nights: Nights) -> None:
    nights.record(A, instruction(A))
    every = iter("abcdefgh")
    nights.meanwhile = lambda: nights.record(A, closed(A, RestrictedBy.TABLE, "lot", reference=next(every)))
    (report,) = (r for r in nights.run(NIGHT, SDGI) if r.agency == A)
    assert (report.outcome, report.reason) == ("refused", "agency.no_instruction")
    assert nights.counts["read"] == 2
    assert nights.rows(A) == {}
    nights.meanwhile = lambda: None
    (report,) = (r for r in nights.run(NIGHT, SDGI) if r.agency == A)
    assert report.outcome == "accepted"
    assert "lot" not in nights.rows(A)


def test_only_the_agency_that_withdraws_is_stopped(nights: Nights) -> None:
    given = instruction(A)
    nights.record(A, given)
    nights.record(B, instruction(B))
    nights.meanwhile = lambda: nights.record(A, Withdrawal(given.id, NIGHT, NIGHT))
    outcomes = {r.agency: (r.outcome, r.reason) for r in nights.run(NIGHT, SDGI)}
    assert outcomes == {A: ("refused", "agency.no_instruction"), B: ("accepted", None)}
    assert nights.rows(A) == {}
    assert nights.rows(B)["person"] > 0


def test_a_withdrawal_during_one_system_stops_the_systems_after_it_in_the_same_run(nights: Nights) -> None:
    without_instruction.watch_inbox(nights.installation.inbox)
    given = instruction(A, systems=(System.SDGI, System.GPI))
    nights.record(A, given)
    later = NEXT + dt.timedelta(minutes=5)  # the night is one instant, and its clock stands still
    first = [r for r in nights.run(NEXT, SDGI, Withdrawing(nights, given, later)) if r.agency == A]
    assert [r.outcome for r in first] == ["accepted"]
    second = [r for r in nights.run(NEXT, [System.GPI]) if r.agency == A]
    assert {(r.outcome, r.reason) for r in second} == {("refused", "agency.no_instruction")}


def test_a_log_of_the_same_length_that_says_something_else_allows_nothing(nights: Nights) -> None:
    given, home = instruction(A), nights.installation.home
    nights.record(A, given)
    folder = home.ledger(A)
    kept = shutil.copytree(folder, folder.with_name("kept"))
    nights.record(A, closed(A, RestrictedBy.TABLE, "lot"))
    warrant = Warrants(home, open_root(home), NIGHT).grant(A, Act.SYNCHRONISE, System.SDGI)
    assert warrant.confirm() is warrant.capability
    shutil.rmtree(folder)
    kept.rename(folder)
    nights.record(A, Withdrawal(given.id, NIGHT, NIGHT))
    assert nights.installation.log(A).head().size == warrant.capability.size
    with pytest.raises(Refused, match="has changed"):
        warrant.confirm()


def test_only_what_changes_what_is_allowed_moves_the_moment_of_a_run(nights: Nights) -> None:
    given = instruction(A, systems=(System.SDGI, System.GPI))
    nights.record(A, given)
    home = nights.installation.home
    warrants = Warrants(home, open_root(home), NIGHT)
    warrants.grant(A, Act.SYNCHRONISE, System.SDGI)
    nights.record(A, Window(NIGHT.date(), None, NIGHT.date()), NEXT)
    assert warrants.grant(A, Act.SYNCHRONISE, System.GPI).capability.minted_at == NIGHT
    other = Warrants(home, open_root(home), NIGHT)
    other.grant(A, Act.SYNCHRONISE, System.SDGI)
    nights.record(A, Withdrawal(given.id, NEXT, NEXT), NEXT)
    for each in (warrants, other):
        with pytest.raises(Refused, match="no instruction in force"):
            each.grant(A, Act.SYNCHRONISE, System.GPI)
