"""An agency's log: as a timeline, entry by entry, and what a browser needs to check it by itself.

What the law seals (R50) is shown as an entry of which nothing is said; its leaf and its proof are given all the same,
since without them nothing after it could be checked. docs/specs/instruction-log.md has the bytes.
"""

import re
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

import numpy as np

from ledger.browsing import COUNTS, Under
from ledger.entry import Instruction, Line, body_of
from ledger.orders import Given
from ledger.tree import leaf_hash
from pipelines.host.wire import Asked
from pipelines.instructing import stated
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.logs import NAMING, Reading, word
from pipelines.reception.tables import stamp
from schemas.access import NotThere, Question
from schemas.errors import Malformed

PAGE = 25
_MOST_PROOFS = 50
# Filters: what somebody looks for, and the kinds that are it.
SORTS: dict[str, frozenset[str]] = {
    "instructions": frozenset({
        "synchronise", "restrict", "rectify", "erase", "return", "transfer", "disclose", "authorise", "object",
        "withdrawal", "acknowledge",
    }),
    "deliveries": frozenset({"receipt", "exceeded"}),
    "leaving": frozenset({"handed", "fulfilled", "erased", "window"}),
    "law": frozenset({"legal_obligation", "legal_notice", "infringement", "answer", "withheld"}),
    "proofs": frozenset({"anchored"}),
}  # fmt: skip
_OF_LAW = SORTS["law"]
# What says nothing to a reader, or means something on the shelf alone.
_SILENT = frozenset({"again", "signatory", "agency"})


def timeline(visit: Visit, asked: Asked) -> Any:
    """The newest first. `before`: entries with smaller numbers only (0: from the newest on); `sort`: a filter or "";
    `since` and `until`: days as they are written, or ""; `system`: a system or "". `next`: where the next page begins,
    or nothing when this is the last."""
    before, sort, system = asked.number("before"), asked.text("sort"), asked.text("system")
    since, until = asked.text("since"), asked.text("until")
    if before < 0 or (sort and sort not in SORTS):
        raise Malformed("there is no such filter")
    reading = visit.desk.logs.read(visit.named)
    if reading is None:
        return {"size": 0, "entries": [], "next": None}
    hidden, found = reading.hidden(visit.at), []
    for number in _downwards(reading, before or reading.size + 1, sort, system, since, until):
        entry = _said(reading, number, number in hidden)
        # Again, now that it is open: it may be one of which nothing is said.
        if (not sort or entry["kind"] in SORTS[sort]) and (not system or system in _systems(entry)):
            found.append(entry)
        if len(found) > PAGE:
            break
    shown = found[:PAGE]
    return {"size": reading.size, "entries": shown, "next": shown[-1]["number"] if len(found) > PAGE else None}


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
    line = reading.lines.get(number)
    if line is None:
        return {"number": number, "at": None, "kind": "forgotten", "id": None, "body": {}}
    if hidden:
        return {"number": number, "at": stamp(line.at), "kind": "withheld", "id": None, "body": {}}
    body = {k: v for k, v in body_of(line.entry).items() if k not in _SILENT and v not in (None, [], {})}
    return {
        "number": number, "at": stamp(line.at), "kind": word(line.entry), "id": getattr(line.entry, "id", None),
        "body": body,
    }  # fmt: skip


def _systems(entry: dict[str, Any]) -> list[str]:
    body = entry["body"]
    return [body["system"]] if "system" in body else list(body.get("systems", ()))


def shown(visit: Visit, asked: Asked) -> Any:
    """One entry, where it stands now, and what was done under it."""
    number = asked.number("number")
    reading = _there(visit, number)
    visit.about = str(number)
    hidden = number in reading.hidden(visit.at)
    said = _said(reading, number, hidden) | {"size": reading.size, "state": None, "under": None}
    line = reading.lines.get(number)
    if line is None or hidden or not isinstance(line.entry, Instruction | Given):
        return said
    now = {s.entry.id: s for s in stated(reading.counting, visit.at)}[line.entry.id]
    ended = stamp(now.withdrawn_from) if now.withdrawn_from else None
    return said | {"state": now.state, "withdrawn_from": ended, "under": _under(reading, line)}


def _under(reading: Reading, line: Line) -> dict[str, Any]:
    """The deliveries that came in under an instruction."""
    found = reading.under.get(getattr(line.entry, "id", ""), Under())
    return {
        "deliveries": found.deliveries, "last": list(found.last[::-1]),
        "counts": dict(zip(COUNTS, found.counts, strict=True)),
    }  # fmt: skip


# -- what a browser checks ---------------------------------------------------------------------------------------------


def checkpoint(visit: Visit, asked: Asked) -> Any:  # noqa: ARG001 - the agency was read with the visit
    """The signed head as a note (C2SP tlog-checkpoint), and the verifier key of its log."""
    reading = _log(visit)
    visit.about = str(reading.size)
    note = reading.checkpoint.decode()
    return {"note": note, "key": visit.desk.logs.verifier(visit.named), "size": reading.size}


def entry(visit: Visit, asked: Asked) -> Any:
    """For each of these numbers: the leaf, what opens its commitment, and its proof in the tree of `size` leaves.

    `leaf` and `content` are the exact bytes, `salt` 32 bytes, `proof` hashes of 32 bytes from the leaf up, all in
    base64. An entry that is withheld or forgotten has neither content nor salt.
    """
    numbers, size = asked.few(_MOST_PROOFS, "numbers"), asked.number("size")
    reading = _log(visit)
    size = size or reading.size
    if not 0 < size <= reading.size or not all(type(n) is int and 0 < n <= size for n in numbers):
        raise NotThere("there is no such page")
    visit.about = ",".join(str(n) for n in numbers)
    hidden = reading.hidden(visit.at)
    return {"size": size, "entries": [_proved(reading, n, size, n in hidden) for n in numbers]}


def _proved(reading: Reading, number: int, size: int, hidden: bool) -> dict[str, Any]:
    leaf, opened = reading.browsed.leaf(number), None if hidden else reading.browsed.content(number)
    return {
        "number": number,
        "index": number - 1,
        "leaf": _b64(leaf),
        "hash": _b64(leaf_hash(leaf)),
        "content": None if opened is None else _b64(opened[0]),
        "salt": None if opened is None else _b64(opened[1]),
        "proof": [_b64(h) for h in reading.tree.inclusion(number - 1, size)],
    }


def consistency(visit: Visit, asked: Asked) -> Any:
    """What shows that the tree of `second` leaves begins with that of `first`; `second` 0: as it is now."""
    first, second = asked.number("first"), asked.number("second")
    reading = _log(visit)
    second = second or reading.size
    if not 0 < first <= second <= reading.size:
        raise NotThere("there is no such page")
    visit.about = f"{first}-{second}"
    tree = reading.tree
    return {
        "first": first, "second": second, "proof": [_b64(h) for h in tree.consistency(first, second)],
        "first_root": _b64(tree.root(first)), "second_root": _b64(tree.root(second)),
    }  # fmt: skip


def _log(visit: Visit) -> Reading:
    reading = visit.desk.logs.read(visit.named)
    if reading is None or not reading.size:
        raise NotThere("there is no such page")
    return reading


def _there(visit: Visit, number: int) -> Reading:
    reading = _log(visit)
    if not 0 < number <= reading.size:
        raise NotThere("there is no such page")
    return reading


def _b64(raw: bytes) -> str:
    return b64encode(raw).decode()


_OF_TIMELINE = ("agency", "before", "sort", "system", "since", "until")
ANSWERS: Answers = {
    Question.LOG_TIMELINE: Answer(timeline, _OF_TIMELINE),
    Question.LOG_SHOWN: Answer(shown, ("agency", "number")),
    Question.LOG_CHECKPOINT: Answer(checkpoint, ("agency",)),
    Question.LOG_ENTRY: Answer(entry, ("agency", "numbers", "size")),
    Question.LOG_CONSISTENCY: Answer(consistency, ("agency", "first", "second")),
}
