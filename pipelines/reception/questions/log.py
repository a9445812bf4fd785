"""An agency's log: as a timeline, entry by entry, and what a browser needs to check it by itself.

What the law seals (R50) is shown as an entry of which nothing is said; its leaf and its proof are given all the same,
since without them nothing after it could be checked. docs/specs/instruction-log.md has the bytes.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from ledger.browsing import COUNTS, Under
from ledger.canonical import instant
from ledger.entry import KINDS, Entry, Instruction, Line, body_of
from ledger.leaf import origin
from ledger.orders import Given, InfringementNotice
from pipelines.host.wire import Asked
from pipelines.instructing import stated
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.logs import NAMING, Reading, word
from pipelines.reception.tables import stamp
from schemas.access import NotThere, Question
from schemas.errors import Malformed
from schemas.window import closes_at
from store import register
from store.house import House

PAGE = 25
# Filters: what somebody looks for, and the kinds that are it.
SORTS: dict[str, frozenset[str]] = {
    "instructions": frozenset({
        "synchronise", "restrict", "rectify", "erase", "return", "transfer", "disclose", "authorise", "object",
        "withdrawal", "acknowledge",
    }),
    "deliveries": frozenset({"receipt", "exceeded"}),
    "leaving": frozenset({"handed", "fulfilled", "erased", "window"}),
    "law": frozenset({"legal_obligation", "legal_notice", "infringement", "answer", "withheld"}),
    "keys": frozenset({"enrolled", "revoked", "signed", "signing_rule"}),
    "proofs": frozenset({"anchored"}),
}  # fmt: skip
_OF_LAW = SORTS["law"]
# States of an instruction in which taking it back still changes something.
_WITHDRAWABLE = frozenset({"in_force", "suspended", "unsigned", "not_yet"})
# What says nothing to a reader, or means something on the shelf alone.
_SILENT = frozenset({"again", "signatory", "agency"})


def timeline(visit: Visit, asked: Asked) -> Any:
    """The newest first. `before`: entries with smaller numbers only (0: from the newest on); `sort`: a filter or "";
    `since` and `until`: days as they are written, or ""; `system`: a system or "". `next`: where the next page begins,
    or nothing when this is the last. `whole`: no entry of the range that is shown was left out by a filter."""
    before, sort, system = asked.number("before"), asked.text("sort"), asked.text("system")
    since, until = asked.text("since"), asked.text("until")
    if before < 0 or (sort and sort not in SORTS):
        raise Malformed("there is no such filter")
    reading = visit.desk.logs.read(visit.named)
    if reading is None:
        return {"size": 0, "entries": [], "next": None, "whole": True, "acts": visit.acts}
    hidden, found = reading.hidden(visit.at), []
    for number in _downwards(reading, before or reading.size + 1, sort, system, since, until):
        entry = _said(reading, number, number in hidden)
        # Again, now that it is open: it may be one of which nothing is said.
        if (not sort or entry["kind"] in SORTS[sort]) and (not system or system in _systems(entry)):
            found.append(entry)
        if len(found) > PAGE:
            break
    shown = found[:PAGE]
    return {
        "size": reading.size, "entries": shown, "next": shown[-1]["number"] if len(found) > PAGE else None,
        "whole": not (sort or system or since or until), "acts": visit.acts,
    }  # fmt: skip


def _downwards(reading: Reading, before: int, sort: str, system: str, since: str, until: str) -> Iterator[int]:
    """The numbers of the entries that fit, the newest first. By column: a filter may fit one of a hundred thousand."""
    b = reading.browsed
    end = min(before, reading.size + 1) - 1
    fits = np.ones(end, bool)
    if sort:
        # What is withheld goes by another word than its own: it is looked at again.
        fits &= np.isin(b.named[:end], [n for n, name in enumerate(b.words) if name in SORTS[sort] or name in _OF_LAW])
    if system:
        fits &= (b.systems[:end] & NAMING.bits([system])) != 0
    if since:
        fits &= b.days[:end] >= _day(since)
    if until:
        fits &= b.days[:end] <= _day(until)
    return (int(n) + 1 for n in np.flatnonzero(fits)[::-1])


def _day(text: str) -> int:
    """2026-01-05 as 20260105: also what is no day of the calendar has its place between two. Raises Malformed."""
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        raise Malformed("there is no such filter")
    return int(text.replace("-", ""))


def _said(reading: Reading, number: int, hidden: bool) -> dict[str, Any]:
    """`code`: the number of its kind, for a browser to check; `signed_by`: the passkey that signed it; `unsigned`: it
    would need a signature and has none."""
    line = reading.lines.get(number)
    bare: dict[str, Any] = {
        "number": number, "at": None, "code": None, "id": None, "body": {}, "signed_by": None, "unsigned": False,
    }  # fmt: skip
    if line is None:
        return bare | {"kind": "forgotten"}
    signed = {"signed_by": reading.passkeys.signers.get(number), "at": instant(line.at)}
    if hidden:
        return bare | signed | {"kind": "withheld"}
    return bare | signed | described(line.entry) | {"unsigned": number in reading.passkeys.unsigned}


def described(entry: Entry) -> dict[str, Any]:
    """What is said of an entry, whether it is written or only prepared."""
    body = {k: v for k, v in body_of(entry).items() if k not in _SILENT and v not in (None, [], {})}
    return {"kind": word(entry), "code": KINDS[type(entry)], "id": getattr(entry, "id", None), "body": body}


def _systems(entry: dict[str, Any]) -> list[str]:
    body = entry["body"]
    return [body["system"]] if "system" in body else list(body.get("systems", ()))


def shown(visit: Visit, asked: Asked) -> Any:
    """One entry, where it stands now, and what was done under it."""
    number = asked.number("number")
    reading = _there(visit, number)
    visit.about = str(number)
    hidden = number in reading.hidden(visit.at)
    said = _said(reading, number, hidden) | {
        "size": reading.size, "state": None, "under": None, "may_withdraw": False, "may_answer": False, "closes": None,
    }  # fmt: skip
    line = reading.lines.get(number)
    if line is not None and isinstance(line.entry, InfringementNotice) and not hidden:
        return said | {"may_answer": visit.acts}
    if line is None or hidden or not isinstance(line.entry, Instruction | Given):
        return said
    now = {s.entry.id: s for s in stated(reading.counting, visit.at)}[line.entry.id]
    ended = stamp(now.withdrawn_from) if now.withdrawn_from else None
    more = {
        "may_withdraw": visit.acts and now.state in _WITHDRAWABLE,
        "closes": _closes(visit) if now.kind == "return" else None,
    }
    return said | more | {"state": now.state, "withdrawn_from": ended, "under": _under(reading, line)}


def _closes(visit: Visit) -> str | None:
    """The first day on which nothing of the agency may remain: what it wants back is to be with it before."""
    with House.open(visit.desk.home) as house:
        row = register.get(house.db, visit.named)
    return closes_at(row.contract.end).date().isoformat() if row and row.contract.end else None


def _under(reading: Reading, line: Line) -> dict[str, Any]:
    """The deliveries that came in under an instruction."""
    found = reading.under.get(getattr(line.entry, "id", ""), Under())
    return {
        "deliveries": found.deliveries, "last": list(found.last[::-1]),
        "counts": dict(zip(COUNTS, found.counts, strict=True)),
    }  # fmt: skip


# -- what a browser checks: docs/specs/browser-verification.md ---------------------------------------------------------


def checkpoint(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """The signed head, and the key that it is checked with. A log that was never begun has neither."""
    reading = visit.desk.logs.read(visit.named)
    visit.about = str(reading.size if reading else 0)
    if reading is None:
        return {"origin": origin(visit.named), "key": "", "size": 0, "note": ""}
    return reading.view(visit.at).checkpoint()


def entry(visit: Visit, asked: Asked) -> Any:
    """`count` leaves from index `first` on, in the tree of `size` leaves (0: as it is now)."""
    first, count, size = asked.number("first"), asked.number("count"), asked.number("size")
    reading = _log(visit)
    try:
        found = reading.view(visit.at).entries(first, count, size or None)
    except Malformed:
        raise NotThere("there is no such page") from None
    visit.about = f"{first + 1}-{first + len(found['entries'])}"
    return found


def consistency(visit: Visit, asked: Asked) -> Any:
    """What shows that the tree of `second` leaves begins with that of `first`; `second` 0: as it is now."""
    first, second = asked.number("first"), asked.number("second")
    reading = _log(visit)
    try:
        found = reading.view(visit.at).consistency(first, second or None)
    except Malformed:
        raise NotThere("there is no such page") from None
    visit.about = f"{first}-{found['second']}"
    return found


def _log(visit: Visit) -> Reading:
    reading = visit.desk.logs.read(visit.named)
    if reading is None:
        raise NotThere("there is no such page")
    return reading


def _there(visit: Visit, number: int) -> Reading:
    reading = _log(visit)
    if not 0 < number <= reading.size:
        raise NotThere("there is no such page")
    return reading


_OF_TIMELINE = ("agency", "before", "sort", "system", "since", "until")
ANSWERS: Answers = {
    Question.LOG_TIMELINE: Answer(timeline, _OF_TIMELINE),
    Question.LOG_SHOWN: Answer(shown, ("agency", "number")),
    Question.LOG_CHECKPOINT: Answer(checkpoint, ("agency",)),
    Question.LOG_ENTRY: Answer(entry, ("agency", "first", "count", "size")),
    Question.LOG_CONSISTENCY: Answer(consistency, ("agency", "first", "second")),
}
