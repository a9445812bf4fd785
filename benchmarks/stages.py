"""Where the time and the memory of a night go: the functions of the corridor, timed from outside.

A stage's seconds are its own: what it spends in another stage counts there. Its peak is the highest resident size while
it, or a stage inside it, was at work.
"""

import importlib
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

from connectors.base import find
from schemas.ids import System

# Stage, module, and the name in it that does the work.
PLACES: tuple[tuple[str, str, str], ...] = (
    ("gate", "pipelines.gatekeeping", "_warrant"),
    ("books", "pipelines.batch", "look"),
    ("recall", "pipelines.batch", "_recall"),
    ("admit", "pipelines.batch", "admit"),
    ("quality", "pipelines.batch", "_examine"),
    ("batch", "store.batch", "Batch.of"),
    ("references", "store.keep", "settle_references"),
    ("compare", "store.keep", "compare"),
    ("absences", "store.keep", "absentees"),
    ("absences", "store.keep", "apply_absences"),
    ("endings", "store.keep", "apply_endings"),
    ("write: rest", "store.writing", "Writing.write_lines"),
    ("write: lines", "store.writing", "_own"),
    ("write: held rows", "store.agency", "Shelf.row_states"),
    ("write: person keys", "store.keys", "Keyring.allocate"),
    ("write: seal", "store.writing", "_seal"),
    ("write: blind index", "store.writing", "blind_index"),
    ("write: upsert", "store.writing", "_put"),
    ("report", "store.keep", "_report"),
    ("commit", "sqlalchemy", "Connection.commit"),
    ("receipt", "pipelines.night", "Room.receipt"),
    ("journal", "store.house", "House.journal_add"),
)
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


@dataclass(slots=True)
class Stage:
    seconds: float = 0.0
    cpu: float = 0.0
    peak_mb: float = 0.0
    calls: int = 0


@dataclass(slots=True)
class Stages:
    """What was spent, by stage; `rest` is everything outside of them."""

    found: dict[str, Stage] = field(default_factory=dict)
    _open: list[str] = field(default_factory=lambda: ["rest"])
    _since: tuple[float, float] = (0.0, 0.0)

    def start(self) -> None:
        self._since = time.perf_counter(), time.process_time()
        _forget_peak()

    def stop(self) -> None:
        self._settle()

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        self._settle()
        self._open.append(name)
        try:
            yield
        finally:
            self._settle()
            self._open.pop()
            self._stage(name).calls += 1

    def timed(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(work)
        def around(*given: Any, **named: Any) -> Any:
            if threading.current_thread() is not threading.main_thread():  # it belongs to whoever waits for it
                return work(*given, **named)
            with self.at(name):
                return work(*given, **named)

        return around

    def _settle(self) -> None:
        """Everything since the last change of stage belongs to the stage that was open."""
        wall, cpu, peak = time.perf_counter(), time.process_time(), _peak_mb()
        stage = self._stage(self._open[-1])
        stage.seconds += wall - self._since[0]
        stage.cpu += cpu - self._since[1]
        for name in self._open:
            self._stage(name).peak_mb = max(self._stage(name).peak_mb, peak)
        _forget_peak()
        self._since = time.perf_counter(), time.process_time()

    def _stage(self, name: str) -> Stage:
        return self.found.setdefault(name, Stage())


def _peak_mb() -> float:
    """The highest resident size since it was last forgotten."""
    if not _STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    line = next(line for line in _STATUS.read_text("ascii").splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def _forget_peak() -> None:
    if _CLEAR.exists():
        _CLEAR.write_text("5", "ascii")


def watch(system: System) -> Stages:
    """Times every stage of this process from now on."""
    stages = Stages()
    connector = type(find(system))
    for name in ("open", "read"):
        setattr(connector, name, stages.timed(name, getattr(connector, name)))
    for name, module, path in PLACES:
        owner, attribute = place(module, path)
        held = owner.__dict__[attribute]
        if isinstance(held, classmethod):
            setattr(owner, attribute, classmethod(stages.timed(name, held.__func__)))
        else:
            setattr(owner, attribute, stages.timed(name, held))
    return stages


def place(module: str, path: str) -> tuple[Any, str]:
    """The module or class that holds a name."""
    owner: Any = importlib.import_module(module)
    *classes, attribute = path.split(".")
    for each in classes:
        owner = getattr(owner, each)
    return owner, attribute
