"""What the host does for workers, one question at a time. No answer rests on the worker's word:

1. An agency's key, its pages and its login to the database are given under a capability to synchronise that is minted
   here, from the host's own log, at the host's own instant. A worker says which head of the log it has read; when that
   is not the log's head now, it must read again.
2. Of what stands in a log, a worker adds what a sync adds: receipts, and what was more than instructed. Each under a
   key, so that twice is once.
3. The root key, the keys that sign and those of the logs' salts leave this machine in no answer; nothing here destroys
   a key ring.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

from ledger.deeds import Exceeded
from ledger.entry import Entry, History, Receipt
from ledger.minting import mint, mint_own
from pipelines.host.wire import (
    Asked,
    chunks,
    head_read,
    head_said,
    item_read,
    line_said,
    sheet_read,
)
from pipelines.premises import Local
from schemas.capability import Act, Capability
from schemas.errors import Malformed, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.keys import Root, agency_key, login
from store.pages import FilePages
from store.postgres import install
from store.postgres.settings import Settings

# What a sync records, and how its keys begin.
_RECORDED: Mapping[type[Entry], str] = {Receipt: "receipt:", Exceeded: "excess:"}
_AT_ONCE = 64
_LINES, _HASHES = 20, 4096
_MANY = 5000


class Counter:
    """One home's. `clock`: the instant at which what is allowed is asked; not the worker's."""

    def __init__(self, home: Home, root: Root, clock: Callable[[], datetime]) -> None:
        self._home, self._root, self._clock = home, root, clock
        self._premises = Local(home, root)
        self._read: dict[AgencyCode, History] = {}
        self._rewriting = threading.Lock()

    # -- what is allowed -----------------------------------------------------------------------------------------------

    def _leave(self, agency: AgencyCode | None, system: System | None) -> Capability:
        """Raises Refused when no instruction in force lets this agency be synchronised."""
        if agency is None:
            return mint_own(Act.SYNCHRONISE, self._clock())
        return mint(self._history(agency), Act.SYNCHRONISE, self._clock(), system)

    def _history(self, agency: AgencyCode) -> History:
        log, known = self._premises.log(agency), self._read.get(agency)
        if known is None or log.head() != known.head:
            known = self._read[agency] = log.read(receipts=False)
        return known

    def _pages(self, asked: Asked) -> FilePages:
        leave = self._leave(asked.agency(), asked.system())
        return FilePages(self._home.keyring(leave.agency))

    # -- keys ----------------------------------------------------------------------------------------------------------

    def key(self, asked: Asked) -> Any:
        agency = asked.agency()
        if asked.text("act") != Act.SYNCHRONISE:
            raise Refused("a worker synchronises, and does nothing else", "Do this on the host.")
        leave = self._leave(agency, asked.system())
        if agency is not None:
            shown = head_read(asked.row("head"))
            if (shown.size, shown.root.hex()) != (leave.size, leave.root):
                raise TryAgain("the log has grown since it was read", "Read it again, and decide anew.")
        return agency_key(self._home, self._root, leave, create=asked.flag("create"))

    def keyed(self, asked: Asked) -> Any:
        named = asked.codes(_MANY)
        found = self._premises.keyed([*named, *((None,) if asked.flag("portal") else ())])
        return {"agencies": [code for code in named if code in found], "portal": None in found}

    def login(self, asked: Asked) -> Any:
        leave = self._leave(asked.agency(), None)
        return login(self._home, leave.agency)

    def last_page(self, asked: Asked) -> Any:
        with closing(self._pages(asked)) as pages:
            return list(pages.last())

    def load_pages(self, asked: Asked) -> Any:
        """Those that are there, from one number on."""
        first, count = asked.number("first"), asked.number("count")
        if not first >= 0 or not 1 <= count <= _AT_ONCE:
            raise Malformed("too many pages at once")
        with closing(self._pages(asked)) as pages:
            found = [(no, pages.load(no)) for no in range(first, first + count)]
        return [[no, sealed] for no, sealed in found if sealed is not None]

    def store_pages(self, asked: Asked) -> Any:
        sheets = [sheet_read(s) for s in asked.few(_AT_ONCE, "sheets")]
        with closing(self._pages(asked)) as pages:
            pages.store(sheets)

    def rewrite_pages(self, asked: Asked) -> Any:
        with closing(self._pages(asked)) as pages:
            pages.vacuum()

    # -- logs ----------------------------------------------------------------------------------------------------------

    def stated_sizes(self, asked: Asked) -> Any:
        return dict(self._premises.stated_sizes(asked.codes(_MANY)))

    def head(self, asked: Asked) -> Any:
        return head_said(self._premises.log(asked.named()).head())

    def history(self, asked: Asked) -> Iterator[Any]:
        """The head first, then hashes and lines, some at a time."""
        found = self._premises.log(asked.named()).read(asked.flag("receipts"))
        yield {"head": head_said(found.head)}
        for hashes in chunks(found.hashes, _HASHES):
            yield {"hashes": b"".join(hashes)}
        for lines in chunks(found.lines, _LINES):
            yield {"lines": [line_said(line) for line in lines]}

    def record(self, asked: Asked) -> Any:
        agency, at = asked.named(), asked.instant()
        items = [item_read(i) for i in asked.few(_MANY, "items")]
        if any(not key.startswith(_RECORDED.get(type(entry), "\0")) for entry, key in items):
            raise Refused("a worker records what it has received, and nothing else", "Do this on the host.")
        log = self._premises.log(agency)
        if not log.exists:
            raise Refused("this agency has no log", "Record its instruction on the host.")
        expected = asked.fields["expected"]
        lines = log.append_all(items, at, None if expected is None else head_read(expected))
        return [line_said(line) for line in lines]

    # -- the rest ------------------------------------------------------------------------------------------------------

    def policy(self, asked: Asked) -> Any:
        return self._premises.policy(asked.instant())

    def rewrite_shelves(self, asked: Asked) -> Any:  # noqa: ARG002 - it asks for nothing
        """After persons were erased: the login that may do it is known here alone."""
        with self._rewriting:
            install.vacuum(Settings.read(self._home), "shelf")


@dataclass(frozen=True)
class Method:
    """A question: its fields, who answers it, and whether in several messages."""

    answer: Callable[[Counter, Asked], Any]
    fields: tuple[str, ...]
    streamed: bool = False

    @cached_property
    def name(self) -> str:
        return self.answer.__name__


_ITS = ("agency", "system")
METHODS: Mapping[str, Method] = {
    m.name: m
    for m in (
        Method(Counter.key, (*_ITS, "act", "head", "create")),
        Method(Counter.keyed, ("agencies", "portal")),
        Method(Counter.login, ("agency",)),
        Method(Counter.last_page, _ITS),
        Method(Counter.load_pages, (*_ITS, "first", "count")),
        Method(Counter.store_pages, (*_ITS, "sheets")),
        Method(Counter.rewrite_pages, _ITS),
        Method(Counter.stated_sizes, ("agencies",)),
        Method(Counter.head, ("agency",)),
        Method(Counter.history, ("agency", "receipts"), streamed=True),
        Method(Counter.record, ("agency", "items", "at", "expected")),
        Method(Counter.policy, ("at",)),
        Method(Counter.rewrite_shelves, ()),
    )
}
