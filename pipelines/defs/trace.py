"""Make Dagster forget an agency: its partition, runs, events, checks, caches, ticks and backfills, and the bytes of
them.

Dagster has no call for it: `wipe_asset_partitions` is not implemented in the open-source storage, deleting a partition
leaves every event of it, and deleting a run of many agencies deletes the history of the others. So its storage is
opened here, table by table, be it SQLite files (`trace_files`) or a PostgreSQL database (`trace_tables`);
`tests/functional/dagster/test_trace.py` holds this page to the version in use.

What stays, and why. The agency's partition of `agency_erasure` and its events: an auditor sees there that it was
erased, when, and by which certificate. They hold the agency's code and counts, no data of a person, as the
certificate does. The run that erases stays too, but its tags no longer name anybody.

How. (1) Files whose bytes do not hold the code are left alone. (2) In the others, and in the database, every row whose
texts name the code, as a word, is deleted or, where it also speaks of others (the tags of a run of many), rewritten
without it. (3) Those files are vacuumed and their logs emptied: SQLite leaves deleted rows in free pages (measured: 28
copies). The database is written anew once all erasures of a run are done (`pipelines.defs.database.rewrite`).
(4) Everything is searched again; what is found raises `NotVerified`, and then there is no certificate.
"""

import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from pipelines.defs import trace_files as files, trace_tables as tables
from pipelines.defs.address import Address
from pipelines.defs.keys import ERASE_JOB, ERASURE
from pipelines.defs.partitions import AGENCIES_TAG, ERASURES
from schemas.errors import NotVerified
from schemas.ids import AgencyCode

_ERASURE_KEY = ERASURE.to_string()
Row = Mapping[str, Any]


class Book(Protocol):
    """An open storage: tables of rows, each row with its place in `at`. Statements have ? for their values."""

    label: str

    def tables(self) -> list[str]: ...

    def candidates(self, table: str, code: AgencyCode) -> Iterator[Row]: ...

    def run(self, statement: str, *values: Any) -> list[tuple[Any, ...]]: ...

    def delete(self, table: str, row: Row) -> None: ...

    def change(self, table: str, row: Row, columns: Mapping[str, Any]) -> None: ...


def forget(
    root: Path, codes: Collection[AgencyCode], run_id: str = "", address: Address | None = None
) -> dict[AgencyCode, dict[str, int]]:
    """Remove every trace of these agencies from the Dagster storage below `root`, and from its database if it has one.
    Again is the same as once.

    `run_id`: the run at work, which cannot delete itself. Returns what was removed of each, by kind of thing.
    Raises TryAgain when something stays locked, NotVerified when something is left.
    """
    removed: dict[AgencyCode, Counter[str]] = {code: Counter() for code in codes}
    with files.in_nobodys_way():
        for code in codes:
            speech = _Speech(code, run_id)
            for path in files.databases(root):
                if files.holds(path, code):
                    with files.writing(path) as file:
                        removed[code] += _forget_in(file, speech)
            removed[code]["files"] += files.drop_shards(root)
            if address is not None:
                with tables.writing(address) as database:
                    removed[code] += _forget_in(database, speech)
        for path in files.databases(root):
            if any(files.holds(path, code) for code in codes):
                files.scrub(path)
            elif path.with_name(path.name + "-wal").exists():
                files.empty_log(path)
    left = sum((Counter(mentions(root, code, address)) for code in codes), Counter())
    if left:
        raise NotVerified(f"Dagster still names an erased agency in: {', '.join(sorted(left))}")
    return {code: {what: n for what, n in counts.items() if n} for code, counts in removed.items()}


def mentions(root: Path, code: AgencyCode, address: Address | None = None) -> dict[str, int]:
    """Where the agency is still named, the records of its erasure apart: `file:table` or `database:table` -> rows."""
    found: Counter[str] = Counter()
    speech = _Speech(code)
    for path in (p for p in files.databases(root) if files.holds(p, code)):
        with files.reading(path) as file:
            found += _mentioned(file, speech)
    for path in files.other_files(root):
        found[f"{path.name}"] += len(_word(code).findall(path.read_bytes().decode("latin-1")))
    if address is not None:
        with tables.reading(address) as database:
            found += _mentioned(database, speech)
        found["database:pg_statistic"] += sum(speech.names(text) for text in tables.statistics(address))
    return {place: n for place, n in found.items() if n}


def _mentioned(book: Book, speech: "_Speech") -> Counter[str]:
    found: Counter[str] = Counter()
    for table in book.tables():
        found[f"{book.label}:{table}"] += sum(not _is_evidence(table, row) for row in speech.rows(book, table))
    return found


# -- what names an agency ----------------------------------------------------------------------------------------------


def _word(code: AgencyCode) -> re.Pattern[str]:
    """The code as a word of its own; GPI's file names carry it behind three letters."""
    return re.compile(rf"(?<![A-Za-z0-9])(?:GPI)?{code}(?![A-Za-z0-9])")


@dataclass(frozen=True, slots=True)
class _Speech:
    """How to recognise what speaks of one agency. `run_id`: the run at work."""

    code: AgencyCode
    run_id: str = ""
    word: re.Pattern[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "word", _word(self.code))

    def names(self, value: object) -> bool:
        return self.word.search(_text(value)) is not None

    def names_in(self, row: Row) -> bool:
        return any(self.names(v) for c, v in row.items() if c != "at")

    def rows(self, book: Book, table: str) -> Iterator[Row]:
        """Rows in which the code occurs as a word."""
        return (row for row in book.candidates(table, self.code) if self.names_in(row))


def _is_evidence(table: str, row: Row) -> bool:
    """Whether a row is a record of the erasure itself."""
    match table:
        case "dynamic_partitions":
            return bool(row["partitions_def_name"] == ERASURES.name)
        case "event_logs" | "asset_check_executions" | "asset_keys":
            return bool(row["asset_key"] == _ERASURE_KEY)
        case _:
            return False


def _text(value: object) -> str:
    if isinstance(value, bytes):
        try:
            return zlib.decompress(value).decode("utf-8", "replace")
        except zlib.error:
            return value.decode("latin-1")
    return value if isinstance(value, str) else ""


# -- forgetting --------------------------------------------------------------------------------------------------------


def _forget_in(book: Book, speech: _Speech) -> Counter[str]:
    removed: Counter[str] = Counter()
    # Events before the caches that are made from them, runs before the tags that go with them.
    for table in sorted(book.tables(), key=lambda name: (name == "asset_keys", name != "runs", name)):
        for row in list(speech.rows(book, table)):
            if not _is_evidence(table, row):
                removed[_HANDS.get(table, _delete)(book, table, row, speech)] += 1
    return removed


Hand = Callable[[Book, str, Row, _Speech], str]


def _delete(book: Book, table: str, row: Row, _: _Speech) -> str:
    book.delete(table, row)
    return _KINDS.get(table, "others")


def _event(book: Book, table: str, row: Row, speech: _Speech) -> str:
    book.run("DELETE FROM asset_event_tags WHERE event_id = ?", row["id"])
    return _delete(book, table, row, speech)


def _backfill(book: Book, table: str, row: Row, speech: _Speech) -> str:
    book.run("DELETE FROM backfill_tags WHERE backfill_id = ?", row["key"])
    return _delete(book, table, row, speech)


def _run(book: Book, table: str, row: Row, speech: _Speech) -> str:
    """A run of this agency alone goes; one of many, and one that erases, is told again without it."""
    body = json.loads(row["run_body"])
    before = body.get("tags") or {}
    erases = row["pipeline_name"] == ERASE_JOB or row["run_id"] == speech.run_id
    if not erases and not _is_about_others(before, speech):
        book.run("DELETE FROM run_tags WHERE run_id = ?", row["run_id"])
        return _delete(book, table, row, speech)
    tags = _tags_without(before, speech)
    if speech.names(json.dumps(body.get("partitions_subset"))):
        body["partitions_subset"] = None  # kept by its keys, which cannot be left out one by one
    book.change(table, row, {"run_body": json.dumps(_without(body, speech) | {"tags": tags}), "partition": None})
    for key in before.keys() - tags.keys():
        book.run("DELETE FROM run_tags WHERE run_id = ? AND key = ?", row["run_id"], key)
    for key, value in tags.items():
        book.run("UPDATE run_tags SET value = ? WHERE run_id = ? AND key = ?", value, row["run_id"], key)
    return "mentions"


def _tags_without(tags: Mapping[str, str], speech: _Speech) -> dict[str, str]:
    """Tags in which nothing names the agency. A range that lost one of its ends is none."""
    told = {k: _strip(v, speech) for k, v in tags.items() if not speech.names(k)}
    ends = {ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG}
    if any(speech.names(tags[end]) for end in ends & tags.keys()):
        told = {k: v for k, v in told.items() if k not in ends}
    return {k: v for k, v in told.items() if v or not tags[k]}


def _is_about_others(tags: Mapping[str, str], speech: _Speech) -> bool:
    """A range is, unless both its ends name the agency; a list is, when somebody is left; a single partition is not."""
    ends = [tags[tag] for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG) if tag in tags]
    if ends:
        return not all(speech.names(end) for end in ends)
    if PARTITION_NAME_TAG in tags:
        return not speech.names(tags[PARTITION_NAME_TAG])
    return _strip(tags.get(AGENCIES_TAG, "-"), speech) != ""


def _asset(book: Book, table: str, row: Row, speech: _Speech) -> str:
    """Caches of an asset: its last materialization becomes the last one that is left, the statuses are made anew."""
    last = book.run(
        "SELECT event, run_id FROM event_logs WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION'"
        " ORDER BY id DESC LIMIT 50",
        row["asset_key"],
    )
    event, run = next(((e, r) for e, r in last if not speech.names(e)), (None, None))
    book.change(table, row, {"last_materialization": event, "last_run_id": run, "cached_status_data": None})
    return "caches"


def _instigator(book: Book, table: str, row: Row, speech: _Speech) -> str:
    """A schedule or a sensor stays; what its state says of the agency does not."""
    bodies = {c: v for c, v in row.items() if c.endswith("_body") and speech.names(v)}
    book.change(table, row, {c: json.dumps(_without(json.loads(v), speech)) for c, v in bodies.items()})
    return "mentions"


_HANDS: dict[str, Hand] = {
    "event_logs": _event, "bulk_actions": _backfill, "runs": _run, "asset_keys": _asset,
    "instigators": _instigator, "jobs": _instigator,
}  # fmt: skip

_KINDS = {
    "event_logs": "events", "asset_check_executions": "checks", "dynamic_partitions": "partitions", "runs": "runs",
    "run_tags": "tags", "asset_event_tags": "tags", "bulk_actions": "backfills", "backfill_tags": "tags",
    "job_ticks": "ticks",
}  # fmt: skip


def _strip(text: str, speech: _Speech) -> str:
    """A list of codes without this one; any other text with the code taken out."""
    parts = [p for p in text.split(",") if not speech.names(p)]
    return ",".join(parts) if "," in text else speech.word.sub("", text)


def _without(value: Any, speech: _Speech) -> Any:
    """A JSON value in which no text names the agency."""
    if isinstance(value, str):
        return _strip(value, speech) if speech.names(value) else value
    if isinstance(value, list):
        return [_without(v, speech) for v in value if not (isinstance(v, str) and v == speech.code)]
    if isinstance(value, dict):
        return {k: _without(v, speech) for k, v in value.items() if not speech.names(k)}
    return value
