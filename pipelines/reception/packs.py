"""Evidence packs that somebody asked for at the web door: made one after another behind it, kept for a day.

One pack a person and agency: asking again takes the place of the one before. The file is named by the agency, so that
an erasure finds and removes it with every other file of that name (`retention.files.leftovers`); nobody but whoever
asked can fetch it. A pack that is finished while its agency is being erased is removed here, since the erasure may have
looked before it was there. A pack holds the log and no personal value (`ledger.evidence`). What a restart interrupts is
told as failed, and whatever goes wrong with one pack, the next one is made.
"""

import queue
import secrets
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import Engine, delete, insert, select, update

from pipelines import evidence
from pipelines.reception.tables import PACK, stamp
from pipelines.reception.vault import Vault
from retention.diary import open_rounds
from schemas.home import Home
from schemas.ids import AgencyCode
from store import register
from store.house import House
from store.keys import Root

KEPT = timedelta(days=1)
PART = 2 * 2**20  # bytes of one answer: in base64 it fits a message
WAITING, READY, FAILED = "waiting", "ready", "failed"
_LOOK_SECONDS = 60.0
Meaning = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Pack:
    """One that was asked for. `step`: `waiting`, one of `pipelines.evidence.STEPS`, `ready` or `failed`."""

    id: str
    step: str
    asked_at: str
    ready_at: str | None
    bytes: int | None
    entries: int | None
    hidden: int | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    id: str
    agency: AgencyCode
    categories: frozenset[str] | None


class Packs:
    """Those of one home. `clock`: when a pack is too old; `meaning`: a reason code in French."""

    def __init__(
        self, home: Home, root: Root, engine: Engine, vault: Vault, clock: Callable[[], datetime], meaning: Meaning
    ) -> None:
        self._home, self._root, self._engine, self._vault = home, root, engine, vault
        self._clock, self._meaning = clock, meaning
        self._wanted: queue.Queue[_Wanted | None] = queue.Queue()
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None
        with engine.begin() as db:
            db.execute(update(PACK).where(PACK.c.step.not_in((READY, FAILED))).values(step=FAILED))
        for half in self.folder.glob(".*.half"):
            half.unlink(missing_ok=True)
        self.clear(clock())

    @property
    def folder(self) -> Path:
        return self._home.reception / "packs"

    def ask(self, agency: AgencyCode, account: str, categories: frozenset[str] | None, at: datetime) -> Pack:
        """Begin a pack; one that is being made already for this person stays. `categories`: see `evidence.write`."""
        with self._lock:
            known = self.of(agency, account, categories, at)
            if known is not None and known.step not in (READY, FAILED):
                return known
            fresh, mark = secrets.token_hex(8), self._vault.mark("agency", agency)
            with self._engine.begin() as db:
                those = (PACK.c.account == account, PACK.c.agency_mark == mark)
                gone = db.scalars(select(PACK.c.id).where(*those)).all()
                db.execute(delete(PACK).where(*those))
                db.execute(
                    insert(PACK).values(
                        id=fresh, account=account, agency_mark=mark, asked_at=stamp(at), step=WAITING,
                        categories=_kept(categories),
                    )
                )  # fmt: skip
            for old in gone:
                self._path(agency, old).unlink(missing_ok=True)
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="packs", daemon=True)
                self._worker.start()
        self._wanted.put(_Wanted(fresh, agency, categories))
        return Pack(fresh, WAITING, stamp(at), None, None, None, None)

    def of(self, agency: AgencyCode, account: str, categories: frozenset[str] | None, at: datetime) -> Pack | None:
        """Somebody's pack of an agency, unless it is too old, was removed, or was made for other categories."""
        those = (PACK.c.account == account, PACK.c.agency_mark == self._vault.mark("agency", agency))
        with self._engine.connect() as db:
            row = db.execute(select(PACK).where(*those, PACK.c.asked_at > stamp(at - KEPT))).one_or_none()
        if row is None or row.categories != _kept(categories):
            return None
        if row.step == READY and not self._path(agency, row.id).exists():
            return None
        return Pack(row.id, row.step, row.asked_at, row.ready_at, row.bytes, row.entries, row.hidden)

    def part(self, agency: AgencyCode, pack: Pack, offset: int) -> bytes:
        """So many bytes of a pack that is ready, from an offset on."""
        with self._path(agency, pack.id).open("rb") as f:
            f.seek(offset)
            return f.read(PART)

    def clear(self, at: datetime) -> None:
        """Remove what is older than a day, and files that nothing names."""
        with self._engine.begin() as db:
            db.execute(delete(PACK).where(PACK.c.asked_at <= stamp(at - KEPT)))
            named = set(db.scalars(select(PACK.c.id)))
        for path in self.folder.glob("*.zip"):
            if path.stem.rpartition("-")[2] not in named:
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        """Returns once the pack at hand is made; those that wait are not begun."""
        if self._worker is not None:
            with suppress(queue.Empty):
                while True:
                    self._wanted.get_nowait()
            self._wanted.put(None)
            self._worker.join()
            self._worker = None

    # -- behind the door -----------------------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            try:
                try:
                    wanted = self._wanted.get(timeout=_LOOK_SECONDS)
                except queue.Empty:
                    self.clear(self._clock())
                    continue
                if wanted is None:
                    return
                self._made(wanted)
            except Exception as error:  # noqa: BLE001 - without this thread nobody's pack would ever be made
                if not self._home.reception.is_dir():
                    return  # the home is gone, and with it whatever was asked
                _failed(error)

    def _made(self, wanted: _Wanted) -> None:
        path, at = self._path(wanted.agency, wanted.id), self._clock()
        try:
            erased = self._erased(wanted.agency)
            done = evidence.write(
                self._home, wanted.agency, path, at, at, self._meaning,
                root=self._root, categories=wanted.categories, told=lambda step: self._note(wanted.id, step=step),
            )  # fmt: skip
            if self._being_erased(wanted.agency) or self._erased(wanted.agency) != erased:
                path.unlink(missing_ok=True)
                self._note(wanted.id, step=FAILED)
                return
            size = path.stat().st_size
            self._note(
                wanted.id, step=READY, ready_at=stamp(at), bytes=size, entries=done.size, hidden=done.hidden
            )  # fmt: skip
        except Exception as error:
            path.unlink(missing_ok=True)
            if not self._home.reception.is_dir():
                raise
            _failed(error)
            self._note(wanted.id, step=FAILED)

    def _note(self, pack: str, **said: object) -> None:
        with self._engine.begin() as db:
            db.execute(update(PACK).where(PACK.c.id == pack).values(**said))

    def _path(self, agency: AgencyCode, pack: str) -> Path:
        return self.folder / f"{agency}-{pack}.zip"

    def _being_erased(self, agency: AgencyCode) -> bool:
        """Begun before this is asked, and not concluded: its diary says so from before the first file is removed. What
        is begun later finds the file."""
        return agency in open_rounds(self._home.root / "erasures")

    def _erased(self, agency: AgencyCode) -> bool:
        with House.open(self._home) as house:
            known = register.get(house.db, agency)
        return known is None or known.contract.erased


def _failed(error: Exception) -> None:
    """The kind alone: what an error says that is not ours may hold anything."""
    print(f"depositaire door: a pack was not made: {type(error).__name__}", file=sys.stderr, flush=True)


def _kept(categories: frozenset[str] | None) -> str | None:
    return None if categories is None else " ".join(sorted(categories))
