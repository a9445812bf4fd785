"""The binary forms of COPY and of arrays are what the server reads: whatever goes in comes out."""

from typing import Any

import psycopg
import pyarrow as pa
from hypothesis import given, strategies as st

from store.postgres.copying import HEAD, TAIL, body, listed, teach
from tests.postgres import Cluster

TEXTS = st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
BYTES = st.none() | st.binary(max_size=300)
ROWS = st.lists(
    st.tuples(st.integers(-(2**15), 2**15 - 1), st.integers(-(2**63), 2**63 - 1), TEXTS, BYTES), max_size=30
)
KINDS = ("smallint", "bigint", "text", "bytea")


def through(db: psycopg.Connection, rows: list[tuple[Any, ...]], begin: int = 0) -> list[tuple[Any, ...]]:
    types = (pa.int16(), pa.int64(), pa.large_string(), pa.large_binary())
    columns = [pa.array([r[n] for r in rows], t).slice(begin) for n, t in enumerate(types)]
    db.execute("CREATE TEMPORARY TABLE t (number serial, a smallint, b bigint, c text, d bytea) ON COMMIT DROP")
    with db.cursor().copy("COPY t (a, b, c, d) FROM STDIN (FORMAT binary)") as copy:
        copy.write(HEAD)
        copy.write(body([columns[0].to_numpy(), columns[1].to_numpy(), *columns[2:]], KINDS))
        copy.write(TAIL)
    return db.execute("SELECT a, b, c, d FROM t ORDER BY number").fetchall()


def test_rows_come_out_as_they_went_in(cluster: Cluster) -> None:
    with cluster.admin() as db:

        @given(ROWS, st.integers(0, 3))
        def same(rows: list[tuple[Any, ...]], begin: int) -> None:
            with db.transaction():
                assert through(db, rows, begin) == rows[begin:]

        same()


def test_columns_come_out_of_arrays_as_they_went_in(cluster: Cluster) -> None:
    with cluster.admin() as db:
        teach(db)

        @given(ROWS.filter(bool), st.booleans())
        def same(rows: list[tuple[Any, ...]], in_lists: bool) -> None:
            types = (pa.int16(), pa.int64(), pa.large_string(), pa.large_binary())
            columns: list[Any] = [[r[n] for r in rows] for n in range(4)]
            columns = columns if in_lists else [pa.array(c, t) for c, t in zip(columns, types, strict=True)]
            arrays = [listed(c, kind) for c, kind in zip(columns, KINDS, strict=True)]
            found = db.execute("SELECT * FROM unnest(%s, %s, %s, %s)", arrays).fetchall()
            assert found == rows

        same()
