"""Make Dagster forget an agency: its partition, runs, events, checks, caches, ticks and backfills, and the bytes of
them.

Dagster has no call for it: `wipe_asset_partitions` is not implemented in the open-source storage, deleting a partition
leaves every event of it, and deleting a run of many agencies deletes the history of the others. So its SQLite files are
opened here, table by table; `tests/functional/dagster/test_trace.py` holds this page to the version in use.

What stays, and why. The agency's partition of `agency_erasure` and its events: an auditor sees there that it was
erased, when, and by which certificate. They hold the agency's code and counts, no data of a person, as the
certificate does. The run that erases stays too, but its tags no longer name anybody.

How. (1) Files whose bytes do not hold the code are left alone. (2) In the others every row whose texts name the code,
as a word, is deleted or, where it also speaks of others (the tags of a run of many), rewritten without it. (3) Those
files are vacuumed and their logs emptied: SQLite leaves deleted rows in free pages (measured: 28 copies). (4)
Everything is searched again; what is found raises `NotVerified`, and then there is no certificate.
"""

import json
import re
import sqlite3
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from pipelines.defs.keys import ERASE_JOB, ERASURE
from pipelines.defs.partitions import AGENCIES_TAG, ERASURES
from schemas.errors import NotVerified, TryAgain
from schemas.ids import AgencyCode

_CHUNK = 2**20
_PATIENCE_SECONDS = 60.0
_ERASURE_KEY = ERASURE.to_string()
Row = Mapping[str, Any]


def forget(root: Path, codes: Collection[AgencyCode], run_id: str = "") -> dict[AgencyCode, dict[str, int]]:
    """Remove every trace of these agencies from the Dagster storage below `root`. Again is the same as once.

    `run_id`: the run at work, which cannot delete itself. Returns what was removed of each, by kind of thing.
    Raises TryAgain when a file stays locked, NotVerified when something is left.
    """
    removed: dict[AgencyCode, Counter[str]] = {code: Counter() for code in codes}
    try:
        for code in codes:
            for path in _databases(root):
                if _holds(path, code):
                    removed[code] += _forget_in(path, _Speech(code, run_id))
            removed[code]["files"] += _drop_shards(root)
        for path in _databases(root):
            if any(_holds(path, code) for code in codes):
                _scrub(path)
            elif path.with_name(path.name + "-wal").exists():
                _empty_log(path)
    except sqlite3.OperationalError as busy:
        if "locked" in str(busy) or "busy" in str(busy):
            raise TryAgain("Dagster's storage is in use", "Wait until its runs end, then do the same again.") from None
        raise
    left = sum((Counter(mentions(root, code)) for code in codes), Counter())
    if left:
        raise NotVerified(f"Dagster still names an erased agency in: {', '.join(sorted(left))}")
    return {code: {what: n for what, n in counts.items() if n} for code, counts in removed.items()}


def mentions(root: Path, code: AgencyCode) -> dict[str, int]:
    """Where below `root` the agency is still named, the records of its erasure apart: `file:table` -> rows."""
    found: Counter[str] = Counter()
    speech = _Speech(code)
    for path in (p for p in _databases(root) if _holds(p, code)):
        with _opened(path) as db:
            for table in _tables(db):
                found[f"{_label(path)}:{table}"] += sum(not _is_evidence(table, row) for row in speech.rows(db, table))
    for path in _other_files(root):
        found[f"{path.name}"] += len(_word(code).findall(path.read_bytes().decode("latin-1")))
    return {place: n for place, n in found.items() if n}


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
        return any(self.names(v) for c, v in row.items() if c != "rowid")

    def rows(self, db: sqlite3.Connection, table: str) -> Iterator[Row]:
        """Rows in which the code occurs as a word. Packed columns are unpacked: a byte search would miss them."""
        columns = [c[1] for c in db.execute(f"PRAGMA table_info({_quoted(table)})")]
        hay = " OR ".join(f"instr({_quoted(c)}, ?) > 0 OR typeof({_quoted(c)}) = 'blob'" for c in columns)
        query = f"SELECT rowid AS rowid, * FROM {_quoted(table)} WHERE {hay}"  # noqa: S608 - names of Dagster's own
        for row in db.execute(query, [self.code] * len(columns)).fetchall():
            told = dict(zip(("rowid", *columns), row, strict=True))
            if self.names_in(told):
                yield told


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


# -- forgetting in one file --------------------------------------------------------------------------------------------


def _forget_in(path: Path, speech: _Speech) -> Counter[str]:
    removed: Counter[str] = Counter()
    with _opened(path) as db:
        db.execute("BEGIN IMMEDIATE")
        for table in _tables(db):
            for row in speech.rows(db, table):
                if not _is_evidence(table, row):
                    removed[_HANDS.get(table, _delete)(db, table, row, speech)] += 1
        db.execute("COMMIT")
    return removed


Hand = Callable[[sqlite3.Connection, str, Row, _Speech], str]


def _delete(db: sqlite3.Connection, table: str, row: Row, _: _Speech) -> str:
    db.execute(f"DELETE FROM {_quoted(table)} WHERE rowid = ?", (row["rowid"],))  # noqa: S608 - a name of Dagster's own
    return _KINDS.get(table, "others")


def _event(db: sqlite3.Connection, table: str, row: Row, speech: _Speech) -> str:
    db.execute("DELETE FROM asset_event_tags WHERE event_id = ?", (row["id"],))
    return _delete(db, table, row, speech)


def _backfill(db: sqlite3.Connection, table: str, row: Row, speech: _Speech) -> str:
    db.execute("DELETE FROM backfill_tags WHERE backfill_id = ?", (row["key"],))
    return _delete(db, table, row, speech)


def _run(db: sqlite3.Connection, table: str, row: Row, speech: _Speech) -> str:
    """A run of this agency alone goes; one of many, and one that erases, is told again without it."""
    body = json.loads(row["run_body"])
    before = body.get("tags") or {}
    erases = row["pipeline_name"] == ERASE_JOB or row["run_id"] == speech.run_id
    if not erases and not _is_about_others(before, speech):
        db.execute("DELETE FROM run_tags WHERE run_id = ?", (row["run_id"],))
        return _delete(db, table, row, speech)
    tags = _tags_without(before, speech)
    if speech.names(json.dumps(body.get("partitions_subset"))):
        body["partitions_subset"] = None  # kept by its keys, which cannot be left out one by one
    told = json.dumps(_without(body, speech) | {"tags": tags})
    db.execute("UPDATE runs SET run_body = ?, partition = NULL WHERE rowid = ?", (told, row["rowid"]))
    for key in before.keys() - tags.keys():
        db.execute("DELETE FROM run_tags WHERE run_id = ? AND key = ?", (row["run_id"], key))
    for key, value in tags.items():
        db.execute("UPDATE run_tags SET value = ? WHERE run_id = ? AND key = ?", (value, row["run_id"], key))
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


def _asset(db: sqlite3.Connection, _: str, row: Row, speech: _Speech) -> str:
    """Caches of an asset: its last materialization becomes the last one that is left, the statuses are made anew."""
    last = db.execute(
        "SELECT event, run_id FROM event_logs WHERE asset_key = ? AND dagster_event_type = 'ASSET_MATERIALIZATION'"
        " ORDER BY id DESC LIMIT 50",
        (row["asset_key"],),
    ).fetchall()
    event, run = next(((e, r) for e, r in last if not speech.names(e)), (None, None))
    db.execute(
        "UPDATE asset_keys SET last_materialization = ?, last_run_id = ?, cached_status_data = NULL WHERE rowid = ?",
        (event, run, row["rowid"]),
    )
    return "caches"


def _instigator(db: sqlite3.Connection, table: str, row: Row, speech: _Speech) -> str:
    """A schedule or a sensor stays; what its state says of the agency does not."""
    for column in (c for c, v in row.items() if c.endswith("_body") and speech.names(v)):
        told = json.dumps(_without(json.loads(row[column]), speech))
        db.execute(f"UPDATE {_quoted(table)} SET {_quoted(column)} = ? WHERE rowid = ?", (told, row["rowid"]))  # noqa: S608
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


# -- files -------------------------------------------------------------------------------------------------------------


def _databases(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*.db") if p.is_file())


def _other_files(root: Path) -> list[Path]:
    of_databases = (".db", ".db-wal", ".db-shm")
    return sorted(p for p in root.rglob("*") if p.is_file() and not p.name.endswith(of_databases))


def _label(path: Path) -> str:
    """The name of a database: those of runs are named after their run."""
    return path.stem if path.stem in ("index", "runs", "schedules") else "run"


def _holds(path: Path, code: AgencyCode) -> bool:
    """Whether the code occurs in the bytes of a database or of its log, or may occur in packed columns."""
    return path.stem == "runs" or any(_in_bytes(f, code.encode()) for f in (path, path.with_name(path.name + "-wal")))


def _in_bytes(path: Path, wanted: bytes) -> bool:
    """Read, not mapped: Dagster may cut the log shorter meanwhile, and whoever looks past the end of a map dies."""
    if not path.exists():
        return False
    with path.open("rb") as f:
        tail = b""
        while chunk := f.read(_CHUNK):
            window = tail + chunk
            if wanted in window:
                return True
            tail = window[1 - len(wanted) :]
    return False


def _drop_shards(root: Path) -> int:
    """Dagster leaves the file of a deleted run where it was."""
    dropped = 0
    for path in _databases(root):
        if path.stem == "runs":
            with _opened(path) as db:
                known = {r for (r,) in db.execute("SELECT run_id FROM runs")}
            for shard in path.parent.rglob("*-*-*-*-*.db"):
                if shard.stem not in known:
                    for file in (shard, *(shard.with_name(shard.name + end) for end in ("-wal", "-shm"))):
                        file.unlink(missing_ok=True)
                    dropped += 1
    return dropped


def _scrub(path: Path) -> None:
    """Write the file anew: nothing of a deleted row stays in a free page."""
    with _opened(path) as db:
        db.execute("VACUUM")
    _empty_log(path)


def _empty_log(path: Path) -> None:
    """Move a database's log into it. Readers leave logs behind; the last one that may write takes them away."""
    with _opened(path) as db:
        busy, *_ = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if busy:
        raise TryAgain("Dagster's storage is being read", "Do the same again.")


def _opened(path: Path) -> "closing[sqlite3.Connection]":
    return closing(sqlite3.connect(path, timeout=_PATIENCE_SECONDS, isolation_level=None))


def _tables(db: sqlite3.Connection) -> list[str]:
    """Tables by name: events before the caches that are made from them."""
    names = [
        n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    ]
    return sorted(names, key=lambda n: (n == "asset_keys", n != "runs", n))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
