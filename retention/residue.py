"""Search again, by other means, for whatever still names an erased agency. Shares no code with the plan or with what
removed.

Places: names of files and folders; rows of the house's and the portal's databases; the orchestrator's databases and
files; text of other files in the home; and, in the bytes of the house's database, the agency's own number, which free
pages would keep. A byte search alone can lie (compressed or unfinished pages hide values) and so can any search that
is broken: each has a positive control, a place of the same make in which something was planted for it to find
(measured: a search without one called a full table clean).

What is searched for is the agency's code, as a word of its own: the data itself went with its keys and its shelf.
Evidence that stays on purpose is not residue: the agency's ledger, the lineage events that repeat it, diary and
certificates, and the bare row of the register.
"""

import json
import os
import re
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from retention import residue_objects, residue_orchestrator, residue_tables
from schemas.ids import AgencyCode

# Whose it is is in the name; what is inside is sealed or evidence.
_NOT_READ = frozenset({"ledger", "certificates", "erasures", "lineage", "shelves", "keys"})
_EVIDENCE = frozenset({"ledger", "certificates", "erasures", "lineage"})
_BARE_ROW = frozenset({"code", "date_fin", "erased_on", "closed"})
_WORD = re.compile(r"[A-Za-z0-9]+")
_LOG_KEY = re.compile(r"[A-Z0-9]{5}\.key")
_DOOR = ("requests.db", "notices.db", "accounts.db")
_DOOR_KEPT, _DOOR_ROLES = "log_read", "role"
_TEXT_LIMIT = 256 * 2**20
_CODES_A_QUERY = 50
_JOIN = "\x1f"

Hits = dict[AgencyCode, int]


@dataclass(frozen=True, slots=True)
class Where:
    """What to search. `marks`: texts that only one agency has (its SIRET), looked for in the bytes of the house's
    database. `door_marks`: what the web door calls an agency, whose codes it does not keep in clear; `door_roles_end`:
    the last instant of a role that an erasure leaves there.

    `kept`: names of the orchestrator's own erasure jobs, assets and sensors, whose records are evidence. `database`:
    where the records are in PostgreSQL, a login that sees the clear columns of everybody. `orchestrator_database`:
    where the orchestrator has one of its own. `objects`: inboxes in an object store.
    """

    home: Path
    keys: Path
    inboxes: tuple[Path, ...] = ()
    orchestrator: Path | None = None
    kept: frozenset[str] = frozenset()
    marks: Mapping[AgencyCode, str] = field(default_factory=dict)
    door_marks: Mapping[AgencyCode, str] = field(default_factory=dict)
    door_roles_end: str = ""
    database: Connection | None = None
    orchestrator_database: Connection | None = None
    objects: tuple[residue_objects.Store, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One place: how many things were looked at, how many named each agency, and what became of the positive
    control."""

    place: str
    looked_at: int
    hits: Hits
    planted: int
    planted_found: int

    @property
    def trusted(self) -> bool:
        return self.planted > 0 and self.planted_found == self.planted


Search = Callable[[Where, frozenset[AgencyCode]], tuple[int, Hits]]


def search(where: Where, codes: Collection[AgencyCode]) -> tuple[Finding, ...]:
    """Look everywhere for these agencies, together: one walk serves many. Raises OSError when a place cannot be
    read."""
    wanted = frozenset(codes)
    with tempfile.TemporaryDirectory(prefix="depositaire-control-") as folder:
        control = plant(Path(folder), where.kept)
        findings: list[Finding] = []
        for place, (look, planted) in SEARCHES.items():
            _, found = look(control, frozenset({CONTROL}))
            if place == "orchestrator" and where.orchestrator is None:
                continue
            looked_at, hits = look(where, wanted)
            findings.append(Finding(place, looked_at, hits, planted, found.get(CONTROL, 0)))
    if where.database is not None:
        for place, (looked_at, hits, planted, found_there) in residue_tables.search(
            where.database, wanted, CONTROL, _named, _bare
        ).items():
            findings.append(Finding(place, looked_at, hits, planted, found_there))
    if where.orchestrator_database is not None:
        for place, (looked_at, hits, planted, found_there) in residue_orchestrator.search(
            where.orchestrator_database, wanted, CONTROL, _named, where.kept, _is_kept
        ).items():
            findings.append(Finding(place, looked_at, hits, planted, found_there))
    if where.objects:
        told = residue_objects.search(where.objects, wanted, CONTROL, _named)
        if told[2]:  # a bucket that is no longer there cannot be looked at, and is counted apart
            findings.append(Finding(residue_objects.PLACE, *told))
    return tuple(findings)


def left(findings: Iterable[Finding], code: AgencyCode) -> dict[str, int]:
    """What is left of one agency, by place; empty when nothing is. A search that failed its control counts as one."""
    out = {}
    for f in findings:
        n = f.hits.get(code, 0) + (0 if f.trusted else 1)
        if n:
            out[f.place] = n
    return out


# -- the searches ------------------------------------------------------------------------------------------------------


def file_names(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Names under the home and the keys, at any depth; names in the inboxes, as deep as deliveries lie."""
    hits: Hits = {}
    looked_at = 0
    skipped = {where.orchestrator} if where.orchestrator else set()
    for path, depth in _walk_all([where.home, where.keys], skipped):
        looked_at += 1
        if not _is_evidence(path, where, depth):
            _count(hits, _named(path.name, codes))
    for inbox in where.inboxes:
        for path, _ in _walk(inbox, 3, set()):
            looked_at += 1
            _count(hits, _named(path.name, codes))
    return looked_at, hits


def house_rows(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Rows of the house's database that name an agency, but for the bare row of the register."""
    return _rows(where.home / "house.sqlite", codes, _bare)


def portal_rows(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Rows of the portal's shelf whose keys, in clear, name an agency."""
    return _rows(where.home / "shelves" / "_portal.sqlite", codes, lambda *_: False)


def house_bytes(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """The agency's own number in the bytes of the house's database and its log: deleted rows may stay in free pages."""
    files = [p for p in (where.home / "house.sqlite", where.home / "house.sqlite-wal") if p.exists()]
    hits: Hits = {}
    looked_at = 0
    for path in files:
        raw = path.read_bytes()
        looked_at += len(raw)
        for code in codes & set(where.marks):
            if where.marks[code].encode() in raw:
                _count(hits, {code})
    return looked_at, hits


def door_rows(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Rows at the web door that carry an agency's mark: requests, notices, passkeys that signed, packs, and roles that
    do not end in time. How far its log was read is a number of the log, which stays; what was asked is kept for twelve
    months elsewhere."""
    marks = {where.door_marks[c]: c for c in codes if c in where.door_marks}
    looked_at, hits = 0, Counter[AgencyCode]()
    for name in _DOOR:
        path = where.home / "reception" / name
        if not path.exists():
            continue
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=60)) as db:
            db.row_factory = sqlite3.Row
            for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
                if table == _DOOR_KEPT:
                    continue
                for row in db.execute(f"SELECT * FROM {_quoted(table)}"):  # noqa: S608 - a name of the database's own
                    looked_at += 1
                    if not (table == _DOOR_ROLES and _ends(row, where.door_roles_end)):
                        hits.update({marks[v] for v in row if isinstance(v, str) and v in marks})
    return looked_at, dict(hits)


def _ends(role: sqlite3.Row, last: str) -> bool:
    """Whether somebody's role is over, or will be by then. Instants are texts that sort."""
    return role["revoked_at"] is not None or (role["until"] is not None and role["until"] <= last)


def texts(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Every other file of the home that is no database: settings, logs, temporary files."""
    hits: Hits = {}
    looked_at = 0
    skipped = {where.orchestrator} if where.orchestrator else set()
    skipped |= {where.home / name for name in _NOT_READ} | {where.keys}
    for path, _ in _walk(where.home, None, skipped):
        if _plain_file(path) and not _is_database(path):
            looked_at += 1
            _count(hits, _in_text(path, codes))
    return looked_at, hits


def orchestrator(where: Where, codes: frozenset[AgencyCode]) -> tuple[int, Hits]:
    """Databases and files of the orchestrator, but for the records of the erasures themselves."""
    hits: Hits = {}
    looked_at = 0
    if where.orchestrator is None:
        return 0, hits
    databases = []
    for path, _ in _walk(where.orchestrator, None, set()):
        looked_at += 1
        _count(hits, _named(path.name, codes))
        if not _plain_file(path) or path.name.endswith(("-wal", "-shm")):
            continue  # what stands beside a database is read with it
        if _is_database(path):
            databases.append(path)
        else:
            _count(hits, _in_text(path, codes))
    own_runs = {run for path in databases for run in _runs_of(path, where.kept)}
    for path in databases:
        n, found = _rows(path, codes, lambda _, row: _is_kept(row, where.kept, own_runs))
        looked_at += n
        for code, m in found.items():
            hits[code] = hits.get(code, 0) + m
    return looked_at, hits


# -- the positive control ----------------------------------------------------------------------------------------------

CONTROL = AgencyCode("CTRL0")
_CONTROL_MARK = "99999999900003"


def plant(root: Path, kept: frozenset[str]) -> Where:
    """A small home in which every search has something to find, in the shapes in which residue was met."""
    home, keys, inbox, dagster = root / "home", root / "keys", root / "inbox", root / "home" / "dagster"
    for folder in (
        home / "shelves",
        home / "logs",
        keys / "agencies",
        inbox / CONTROL / "sdgi",
        inbox / "A0001" / "gpi",
        dagster,
    ):
        folder.mkdir(parents=True)
    (home / "shelves" / f"{CONTROL}.sqlite").touch()
    (keys / "agencies" / f"{CONTROL}.keys").touch()
    (inbox / CONTROL / "sdgi" / f"SDGI_{CONTROL}_20260105_0210.zip").touch()
    (inbox / "A0001" / "gpi" / f"GPI{CONTROL}.000001").touch()
    (home / "logs" / "sync.log").write_text(f"refused agency={CONTROL} agency.mismatch\n")
    with closing(sqlite3.connect(home / "house.sqlite")) as db, db:
        # A full row of the register, a line of the journal, and a deleted row whose bytes stay in its page.
        db.execute("PRAGMA secure_delete = OFF")
        db.execute("CREATE TABLE agency (code TEXT, siret TEXT, date_fin TEXT, erased_on TEXT)")
        db.execute("CREATE TABLE journal (id INTEGER PRIMARY KEY, report TEXT)")
        db.execute(
            "INSERT INTO agency VALUES (?, 'x', '2026-01-06', NULL), (?, NULL, '2026-01-06', NULL)", (CONTROL, CONTROL)
        )
        db.execute("INSERT INTO journal (report) VALUES (?), (?)", (json.dumps({"agency": CONTROL}), _CONTROL_MARK))
        db.execute("DELETE FROM journal WHERE id = 2")
    with closing(sqlite3.connect(home / "shelves" / "_portal.sqlite")) as db, db:
        db.execute("CREATE TABLE portal_attachment (source_key TEXT, sealed BLOB)")
        db.execute("INSERT INTO portal_attachment VALUES (?, x'00')", (f"CPT1:{CONTROL}:sdgi:C%3A1",))
    with closing(sqlite3.connect(dagster / "runs.db")) as db, db:
        db.execute("CREATE TABLE runs (run_id TEXT, pipeline_name TEXT, run_body TEXT)")
        db.execute("CREATE TABLE run_tags (run_id TEXT, key TEXT, value TEXT)")
        db.execute("INSERT INTO runs VALUES ('own', ?, ?)", (min(kept, default="-"), CONTROL if kept else ""))
        db.execute("INSERT INTO run_tags VALUES ('own', 'k', ?), ('other', 'k', ?)", (CONTROL if kept else "", CONTROL))
    (home / "reception").mkdir()
    for name, table in zip(_DOOR, ("request", "event", "signing_key"), strict=True):
        with closing(sqlite3.connect(home / "reception" / name)) as db, db:
            db.execute(f"CREATE TABLE {table} (id TEXT, agency_mark TEXT)")
            db.execute(f"CREATE TABLE {_DOOR_KEPT} (agency_mark TEXT)")
            db.execute(f"INSERT INTO {table} VALUES ('1', ?)", (_CONTROL_MARK,))  # noqa: S608 - a name of ours
            db.execute(f"INSERT INTO {_DOOR_KEPT} VALUES (?)", (_CONTROL_MARK,))  # noqa: S608 - a name of ours
    ends = [(None, None), ("2026-02-06", None), ("2026-02-05", None), (None, "2026-01-02")]  # the last two may stay
    with closing(sqlite3.connect(home / "reception" / _DOOR[-1])) as db, db:
        db.execute(f"CREATE TABLE {_DOOR_ROLES} (agency_mark TEXT, until TEXT, revoked_at TEXT)")
        db.executemany(f"INSERT INTO {_DOOR_ROLES} VALUES (?, ?, ?)", [(_CONTROL_MARK, *end) for end in ends])  # noqa: S608 - a name of ours
    marks = {CONTROL: _CONTROL_MARK}
    return Where(home, keys, (inbox,), dagster, kept, marks, marks, "2026-02-05")


# What `plant` leaves for each search to find.
SEARCHES: dict[str, tuple[Search, int]] = {
    "file names": (file_names, 5),
    "house rows": (house_rows, 2),
    "house bytes": (house_bytes, 1),
    "portal rows": (portal_rows, 1),
    "web door": (door_rows, 5),
    "texts": (texts, 1),
    "orchestrator": (orchestrator, 1),
}


# -- how each kind of thing is read ------------------------------------------------------------------------------------


def _walk_all(roots: Iterable[Path], skipped: set[Path]) -> Iterator[tuple[Path, int]]:
    """Roots that lie inside another root are walked once."""
    roots = sorted(set(roots))
    for root in roots:
        if not any(root != other and root.is_relative_to(other) for other in roots):
            yield from _walk(root, None, skipped)


def _walk(root: Path, depth: int | None, skipped: set[Path]) -> Iterator[tuple[Path, int]]:
    """Everything below a folder with its depth from 1. Links are named, never followed."""
    stack = [(root, 0)]
    while stack:
        folder, level = stack.pop()
        try:
            entries = list(os.scandir(folder))
        except (FileNotFoundError, NotADirectoryError):
            continue
        for entry in entries:
            path = Path(entry.path)
            if path in skipped:
                continue
            yield path, level + 1
            if entry.is_dir(follow_symlinks=False) and (depth is None or level + 1 < depth):
                stack.append((path, level + 1))


def _is_evidence(path: Path, where: Where, depth: int) -> bool:
    """The agency's ledger and the key that opens it, lineage, diary and certificates; an empty file that serves as a
    lock."""
    if path.parent == where.keys / "logs" and _LOG_KEY.fullmatch(path.name):
        return True
    if depth != 2 or path.parent.parent != where.home:
        return False
    return path.parent.name in _EVIDENCE or (path.parent.name == "locks" and path.stat().st_size == 0)


def _named(text: str, codes: frozenset[AgencyCode]) -> set[AgencyCode]:
    """The agencies that a text names. GPI's files carry the code right behind three letters: GPIA0001.000001."""
    found: set[AgencyCode] = set()
    for match in _WORD.finditer(text):
        for word in (match[0], match[0].removeprefix("GPI")):
            if word in codes and not (word.isdigit() and _is_number(text, match)):
                found.add(AgencyCode(word))
    return found


def _is_number(text: str, match: re.Match[str]) -> bool:
    """Whether five figures are a count and not a code: a code is quoted, or stands in a path, a key or a name."""
    before, after = text[match.start() - 1 : match.start()], text[match.end() : match.end() + 1]
    return not (before in ("", _JOIN, '"', "'", "/", "_", "-", "=") or (before == ":" and after == ":"))


def _rows(
    database: Path, codes: frozenset[AgencyCode], is_kept: Callable[[str, dict[str, Any]], bool]
) -> tuple[int, Hits]:
    """Rows of every table whose texts name an agency. Returns how many rows there are, and the hits."""
    hits: Hits = {}
    looked_at = 0
    if not database.exists():
        return 0, hits
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as db:
        db.row_factory = sqlite3.Row
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            looked_at += db.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0]  # noqa: S608 - a name of the database's own
            for row in _candidates(db, table, sorted(codes)):
                told = dict(row)
                if not is_kept(table, told):
                    _count(hits, _named(_JOIN.join(v for v in told.values() if isinstance(v, str)), codes))
    return looked_at, hits


def _candidates(db: sqlite3.Connection, table: str, codes: list[AgencyCode]) -> Iterator[sqlite3.Row]:
    """Rows in which a code occurs somewhere. Sealed columns are no text: five letters occur there by chance."""
    columns = [c[1] for c in db.execute(f"PRAGMA table_info({_quoted(table)})")]
    text = f" || '{_JOIN}' || ".join(
        f"CASE typeof({_quoted(c)}) WHEN 'text' THEN {_quoted(c)} ELSE '' END" for c in columns
    )
    seen: set[tuple[Any, ...]] = set()
    for start in range(0, len(codes), _CODES_A_QUERY):
        some = codes[start : start + _CODES_A_QUERY]
        occurs = " OR ".join("instr(hay, ?) > 0" for _ in some)
        query = f"SELECT * FROM (SELECT *, {text} AS hay FROM {_quoted(table)}) WHERE {occurs}"  # noqa: S608 - names of the database's own
        for row in db.execute(query, some):
            key = tuple(row)
            if len(codes) <= _CODES_A_QUERY or key not in seen:
                seen.add(key)
                yield row


def _bare(table: str, row: dict[str, Any]) -> bool:
    return table == "agency" and all(v is None for c, v in row.items() if c not in _BARE_ROW and c != "hay")


def _runs_of(database: Path, kept: frozenset[str]) -> set[str]:
    """Ids of the runs of the erasure jobs."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=60)) as db:
        try:
            return {run for run, name in db.execute("SELECT run_id, pipeline_name FROM runs") if name in kept}
        except sqlite3.OperationalError:  # this database has no table of runs
            return set()


def _is_kept(row: dict[str, Any], kept: frozenset[str], own_runs: set[str]) -> bool:
    """Whether a row belongs to the erasures themselves: by its run, or by a name in it. The body of an event proves
    nothing: it may list every asset of its run."""
    if row.get("run_id") in own_runs:
        return True
    words = set(
        re.findall(
            r"[A-Za-z0-9_]+", _JOIN.join(v for c, v in row.items() if isinstance(v, str) and c not in ("event", "hay"))
        )
    )
    return not kept.isdisjoint(words)


def _in_text(path: Path, codes: frozenset[AgencyCode]) -> set[AgencyCode]:
    if path.stat().st_size > _TEXT_LIMIT:
        raise OSError(f"a file of the home is too large to be searched: {path.name}")
    return _named(path.read_bytes().decode("latin-1"), codes)


def _is_database(path: Path) -> bool:
    if path.name.endswith((".sqlite-wal", ".sqlite-shm", ".db-wal", ".db-shm")):
        return True
    with path.open("rb") as f:
        return f.read(16) == b"SQLite format 3\0"


def _plain_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _count(hits: Hits, codes: Iterable[AgencyCode]) -> None:
    for code in codes:
        hits[code] = hits.get(code, 0) + 1
