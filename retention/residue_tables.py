"""The search for residue where the records are in PostgreSQL: every clear column of every table, the names of the
logins, and what the planner remembers of values.

The positive control is a set of temporary tables of the same make, filled and then searched by the same statements.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, text

from schemas.ids import AgencyCode

Named = Callable[[str, frozenset[AgencyCode]], set[AgencyCode]]
Kept = Callable[[str, dict[str, Any]], bool]
# By place: how many things were looked at, what named each agency, what was planted, what of it was found.
Looked = dict[str, tuple[int, dict[AgencyCode, int], int, int]]
_JOIN = "\x1f"
_PLANTED = 3


def search(db: Connection, codes: frozenset[AgencyCode], control: AgencyCode, named: Named, is_kept: Kept) -> Looked:
    """Raises SQLAlchemyError when a table cannot be read."""
    temporary = _plant(db, control)
    found: Looked = {}
    for place, schemas in (("tables of the house", ["house"]), ("tables of the shelves", ["shelf", "dep"])):
        _, there = _rows(db, [temporary], frozenset({control}), named, is_kept)
        looked_at, hits = _rows(db, schemas, codes, named, is_kept)
        found[place] = (looked_at, hits, _PLANTED, there.get(control, 0))
    for place, query in (("logins", _LOGINS), ("statistics", _STATISTICS)):
        texts = [row[0] for row in db.execute(text(query)) if row[0]]
        planted = _tally([*texts, f'"{control}"'], frozenset({control}), named)
        found[place] = (len(texts), _tally(texts, codes, named), 1, planted.get(control, 0))
    db.rollback()
    return found


# Names of this database's logins end with the code; those of other installations on the server are none of ours.
_LOGINS = """SELECT '"' || substr(rolname, length(rolname) - 4) || '"' FROM pg_roles
WHERE starts_with(rolname, regexp_replace(session_user::text, '_eye$', '_a_'))"""
_STATISTICS = """SELECT concat_ws(chr(31), most_common_vals::text, histogram_bounds::text) FROM pg_stats
WHERE schemaname IN ('house', 'shelf', 'dep')"""


_OWN_OR_PORTAL = " AND (agency = ANY (:plain) OR agency = '_portal')"


def _plant(db: Connection, control: AgencyCode) -> str:
    """A full row of the register, a bare one (which is evidence), a line of the journal, a row of a shelf. Returns the
    schema that holds them."""
    for statement in (
        "CREATE TEMPORARY TABLE agency (code text, siret text, date_fin date, erased_on timestamp) ON COMMIT DROP",
        "CREATE TEMPORARY TABLE journal (id bigint, report text) ON COMMIT DROP",
        "CREATE TEMPORARY TABLE person (agency text, source_key text, kid bigint) ON COMMIT DROP",
        "INSERT INTO pg_temp.agency VALUES (:code, 'x', '2026-01-06', NULL), (:code, NULL, '2026-01-06', NULL)",
        "INSERT INTO pg_temp.journal VALUES (1, '{\"agency\": \"' || :code || '\"}')",
        "INSERT INTO pg_temp.person VALUES (:code, 'C\\:1', 7)",
    ):
        db.execute(text(statement), {"code": control} if ":code" in statement else {})
    return str(db.scalar(text("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()")))


def _rows(
    db: Connection, schemas: list[str], codes: frozenset[AgencyCode], named: Named, is_kept: Kept
) -> tuple[int, dict[AgencyCode, int]]:
    hits: dict[AgencyCode, int] = {}
    looked_at = 0
    for schema, table, columns in _tables(db, schemas):
        looked_at += db.scalar(text(f'SELECT count(*) FROM "{schema}"."{table}"')) or 0  # noqa: S608 - the catalogue's own names
        hay = ", ".join(f'"{c}"::text' for c in columns)
        chosen = ", ".join(f'"{c}"' for c in columns)
        query = text(
            f'SELECT {chosen} FROM "{schema}"."{table}"'  # noqa: S608 - the catalogue's own names
            f" WHERE concat_ws(chr(31), {hay}) LIKE ANY (:codes)"
            # The keys of other agencies are their own affair; the portal's may name any.
            + (
                " AND (agency = ANY (:plain) OR agency = '_portal')"
                if schema != "house" and "agency" in columns
                else ""
            )
        )
        given = {"codes": [f"%{c}%" for c in sorted(codes)]}
        if ":plain" in query.text:
            given["plain"] = [str(c) for c in sorted(codes)]
        for row in db.execute(query, given):
            told = dict(row._mapping)
            if not is_kept(table, told):
                spoken = _JOIN.join(v for v in told.values() if isinstance(v, str))
                for code in named(spoken, codes):
                    hits[code] = hits.get(code, 0) + 1
    return looked_at, hits


def _tables(db: Connection, schemas: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Every table with the columns that this login may see: all but the sealed ones."""
    found = db.execute(
        text(
            "SELECT n.nspname, c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c"
            " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid"
            " WHERE n.nspname = ANY (:schemas) AND c.relkind = 'r'"
            " AND c.oid IS DISTINCT FROM to_regclass('dep.revision')"
            " AND a.attnum > 0 AND NOT a.attisdropped"
            " AND a.atttypid <> 'bytea'::regtype GROUP BY 1, 2 ORDER BY 1, 2"
        ),
        {"schemas": schemas},
    ).all()
    yield from ((schema, table, columns) for schema, table, columns in found)


def _tally(texts: list[str], codes: frozenset[AgencyCode], named: Named) -> dict[AgencyCode, int]:
    hits: dict[AgencyCode, int] = {}
    for each in texts:
        for code in named(each, codes):
            hits[code] = hits.get(code, 0) + 1
    return hits
