"""The search for residue where the orchestrator has a PostgreSQL database of its own: every column of every table,
packed ones unpacked, and what the planner remembers of values.

The positive control is a set of temporary tables of the same make, filled and then searched by the same statements.
"""

import zlib
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from retention.residue_tables import Looked, Named
from schemas.ids import AgencyCode

Kept = Callable[[dict[str, Any], frozenset[str], set[str]], bool]
_JOIN = "\x1f"
# A tag of another run, and what is packed in a snapshot; the records of the erasure itself are evidence.
_PLANTED = 2


def search(
    db: Connection, codes: frozenset[AgencyCode], control: AgencyCode, named: Named, kept: frozenset[str], is_kept: Kept
) -> Looked:
    """Raises SQLAlchemyError when a table cannot be read."""
    temporary = _plant(db, control, kept)
    _, there = _rows(db, temporary, frozenset({control}), named, kept, is_kept)
    looked_at, hits = _rows(db, "public", codes, named, kept, is_kept)
    found: Looked = {"orchestrator tables": (looked_at, hits, _PLANTED, there.get(control, 0))}
    texts = [row[0] for row in db.execute(text(_STATISTICS)) if row[0]]
    planted = _tally([*texts, f'"{control}"'], frozenset({control}), named)
    found["orchestrator statistics"] = (len(texts), _tally(texts, codes, named), 1, planted.get(control, 0))
    db.rollback()
    return found


_STATISTICS = """SELECT concat_ws(chr(31), most_common_vals::text, histogram_bounds::text) FROM pg_stats
WHERE schemaname = 'public'"""


def _plant(db: Connection, control: AgencyCode, kept: frozenset[str]) -> str:
    """Two runs, one of the erasure itself, a tag of each, and something packed. Returns the schema that holds them."""
    for statement in (
        "CREATE TEMPORARY TABLE runs (run_id text, pipeline_name text, run_body text) ON COMMIT DROP",
        "CREATE TEMPORARY TABLE run_tags (run_id text, key text, value text) ON COMMIT DROP",
        "CREATE TEMPORARY TABLE snapshots (id bigint, snapshot_body bytea) ON COMMIT DROP",
        "INSERT INTO pg_temp.runs VALUES ('own', :own, :code)",
        "INSERT INTO pg_temp.run_tags VALUES ('own', 'k', :code), ('other', 'k', :code)",
        "INSERT INTO pg_temp.snapshots VALUES (1, :packed)",
    ):
        given = {"own": min(kept, default="-"), "code": control, "packed": zlib.compress(f'"{control}"'.encode())}
        db.execute(text(statement), {k: v for k, v in given.items() if f":{k}" in statement})
    if not kept:
        db.execute(text("DELETE FROM pg_temp.runs"))
        db.execute(text("DELETE FROM pg_temp.run_tags WHERE run_id = 'own'"))
    return str(db.scalar(text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")))


def _rows(
    db: Connection, schema: str, codes: frozenset[AgencyCode], named: Named, kept: frozenset[str], is_kept: Kept
) -> tuple[int, dict[AgencyCode, int]]:
    hits: dict[AgencyCode, int] = {}
    looked_at = 0
    own = {run for run, job in db.execute(text(f'SELECT run_id, pipeline_name FROM "{schema}".runs')) if job in kept}  # noqa: S608 - the catalogue's own name
    for table, plain, packed in _tables(db, schema):
        looked_at += db.scalar(text(f'SELECT count(*) FROM "{schema}"."{table}"')) or 0  # noqa: S608
        hay = ", ".join(f'"{c}"::text' for c in plain)
        tests = [f"concat_ws(chr(31), {hay}) LIKE ANY (:codes)"] if plain else []
        tests += [f'"{c}" IS NOT NULL' for c in packed]
        query = text(f'SELECT * FROM "{schema}"."{table}" WHERE {" OR ".join(tests)}')  # noqa: S608
        given = {"codes": [f"%{c}%" for c in sorted(codes)]} if plain else {}
        for row in db.execute(query, given):
            told = {name: _unpacked(value) for name, value in row._mapping.items()}
            if not is_kept(told, kept, own):
                for code in named(_JOIN.join(v for v in told.values() if isinstance(v, str)), codes):
                    hits[code] = hits.get(code, 0) + 1
    return looked_at, hits


def _tables(db: Connection, schema: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Every table with its columns, and those of them that are bytes."""
    query = """SELECT c.relname, array_agg(a.attname::text) FILTER (WHERE a.atttypid <> 'bytea'::regtype),
    array_agg(a.attname::text) FILTER (WHERE a.atttypid = 'bytea'::regtype)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE n.nspname = :schema AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped GROUP BY 1 ORDER BY 1"""
    for table, plain, packed in db.execute(text(query), {"schema": schema}).all():
        yield table, plain or [], packed or []


def _unpacked(value: Any) -> Any:
    if not isinstance(value, bytes | memoryview):
        return value
    try:
        return zlib.decompress(value).decode("utf-8", "replace")
    except zlib.error:
        return bytes(value).decode("latin-1")


def _tally(texts: list[str], codes: frozenset[AgencyCode], named: Named) -> dict[AgencyCode, int]:
    hits: dict[AgencyCode, int] = {}
    for each in texts:
        for code in named(each, codes):
            hits[code] = hits.get(code, 0) + 1
    return hits
