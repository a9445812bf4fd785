"""A night over several processes: its agencies are dealt out to hands, a share at a time (0026).

A hand is a new interpreter (never a fork: this process has threads and open connections) that runs `pipelines.hand`.
It settles what it is given as this process would, with connections and keys of its own and its part of the memory, and
says what became of each delivery. It is kept for the next system of the same night, ends by itself when nobody has
asked it for a minute, and at once when this process ends.
"""

import atexit
import os
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from pipelines.memory import LEAST
from pipelines.night import Desk, Night
from schemas.errors import Elsewhere, Say, TryAgain
from schemas.ids import AgencyCode, System
from schemas.report import Report

# Agencies of one share at most; fewer agencies for each hand than these are not worth a process.
SHARE, WORTH = 250, 32


@dataclass(frozen=True, slots=True)
class Task:
    """What a hand is to settle. `began`: how far each log reached when the run began (`pipelines.warrants`)."""

    night: Night
    system: System
    agencies: tuple[AgencyCode, ...]
    began: Mapping[AgencyCode, int]
    run: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The task has arrived."""


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a delivery."""

    report: Report


@dataclass(frozen=True, slots=True)
class Checked:
    """As `pipelines.night.Desk.checked`."""

    table: str
    evaluated: int
    broken: Mapping[str, int]
    agencies: tuple[AgencyCode, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """All of a share was settled."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Why a share could not be settled: one of our ways to say no, or a fault's kind and place. The text of any other
    exception may quote a record and stays where it was."""

    kind: type[Say] | None
    what: str
    hint: str = ""

    def error(self) -> Exception:
        return Elsewhere(self.what) if self.kind is None else self.kind(self.what, self.hint)


_ENDED = Stopped(TryAgain, "a process of the night has ended", "What was kept stays: do the same again.")
Message = Begun | Settled | Checked | Done | Stopped


class Hand:
    """One process and the way to it. `of`: how many there are, which share what sources allow."""

    def __init__(self, of: int) -> None:
        self.of = of
        self.begun = self.served = False
        ours, theirs = socket.socketpair()
        with ours, theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "pipelines.hand", str(theirs.fileno()), str(of)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # what goes wrong is told as a message, without words that may quote a row
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for us: we end it
            )
            self.way: Connection[Any, Any] = Connection(ours.detach())

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def give(self, task: Task) -> None:
        self.begun = False
        with suppress(BrokenPipeError):  # it has ended: `hear` tells
            self.way.send(task)

    def hear(self) -> Message | None:
        """None from one that has served, and ended before it had begun anew: it had waited too long for a task."""
        try:
            told: Message = self.way.recv()
        except (EOFError, ConnectionResetError):
            self.dismiss()
            late = self.served and not self.begun
            return None if late else _ENDED
        self.begun = self.served = True
        return told

    def dismiss(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.wait()
        self.way.close()


# Hands that wait for work.
_IDLE: list[Hand] = []


def close() -> None:
    while _IDLE:
        _IDLE.pop().dismiss()


def _forget() -> None:
    """In a fork of this process: the hands are another's."""
    for hand in _IDLE:
        hand.way.close()
    _IDLE.clear()


atexit.register(close)
os.register_at_fork(after_in_child=_forget)


def hands(night: Night, agencies: int) -> int:
    """Over how many processes it pays to deal so many agencies; 1: this one does it alone. Each has its part of the
    memory, and none less than the least that a night can do with."""
    return max(1, min(night.processes, night.memory // LEAST, agencies // WORTH))


def shares(agencies: Sequence[AgencyCode], count: int) -> Iterator[tuple[AgencyCode, ...]]:
    """In the order of the register, cut so that no hand is left without any."""
    size = max(1, min(SHARE, -(-len(agencies) // count)))
    return (tuple(agencies[at : at + size]) for at in range(0, len(agencies), size))


def settle(tasks: Sequence[Task], count: int, desk: Desk) -> list[Report]:
    """Every task, by so many hands at once. What stops one task stops those that were not begun, and is raised once the
    others have ended."""
    due = deque(range(len(tasks)))
    crew = _Crew(count, desk, [[] for _ in tasks])
    try:
        while due or crew.busy:
            while due and len(crew.busy) < count:
                number = due.popleft()
                crew.give(number, tasks[number])
            due.extendleft(crew.hear())
            if crew.fault is not None:
                due.clear()
    finally:
        crew.leave()
    if crew.fault is not None:
        raise crew.fault
    return [report for each in crew.reports for report in each]


@dataclass(slots=True)
class _Crew:
    """Hands at work, by the way to each, with the number of its task; what became of deliveries, task by task."""

    count: int
    desk: Desk
    reports: list[list[Report]]
    busy: dict[Any, tuple[Hand, int]] = field(default_factory=dict)
    fault: Exception | None = None

    def give(self, number: int, task: Task) -> None:
        hand = _idle(self.count) or Hand(self.count)
        self.busy[hand.way] = hand, number
        hand.give(task)

    def hear(self) -> list[int]:
        """At least one message. The numbers of tasks that are to be given once more: nobody began them."""
        again: list[int] = []
        for way in wait(list(self.busy)):
            hand, number = self.busy[way]
            match hand.hear():
                case None:
                    del self.busy[way]
                    again.append(number)
                case Settled(report):
                    self.desk.settled(report)
                    self.reports[number].append(report)
                case Checked(table, evaluated, broken, agencies):
                    self.desk.checked(table, evaluated, broken, agencies)
                case Done():
                    del self.busy[way]
                    _IDLE.append(hand)
                case Stopped() as no:
                    del self.busy[way]
                    hand.dismiss()
                    self.fault = self.fault or no.error()
        return again

    def leave(self) -> None:
        """Whoever gives up takes those that are still at work along: a delivery is kept whole or not at all."""
        while self.busy:
            _, (hand, _) = self.busy.popitem()
            hand.dismiss()


def _idle(of: int) -> Hand | None:
    while _IDLE:
        hand = _IDLE.pop()
        if hand.alive and hand.of == of:
            return hand
        hand.dismiss()
    return None
