"""Which lines can stand, given what is held and what comes with them (canonical §5 last three codes, §6).

A closure: a line that falls takes its rows away, and lines that needed them are looked at again.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.fields import Field
from schemas.memory import VIA
from schemas.records import RECORDS
from store.batch import Batch, by_delivery

# Keys that are looked at as Python objects at once.
AT_ONCE = 65_536


def settle_references(batch: Batch) -> None:
    """Quarantine row.erased_key, row.unknown_key and row.dangling_ref; null optional references; drop soft rows."""
    _refuse_erased(batch)
    _refuse_unknown(batch)
    batch.drop_rows_of_lost_lines()
    keys = _Keys(batch)
    _refuse_dangling(batch, keys)
    batch.remember_lost_rows()
    if batch.drop_rows_of_lost_lines():
        keys.forget(batch.rows)
    for name in list(batch.rows):
        batch.rows[name] = _resolved(batch, keys, name, batch.rows[name])
    batch.settled()


def _refuse_erased(batch: Batch) -> None:
    persons = batch.rows.get("person")
    if persons is None:
        return
    lines = persons["line"].to_numpy()
    for d, at in by_delivery(batch.d[lines], len(batch.deliveries)):
        marks = batch.shelves[d].erased_marks(batch.system)
        if marks:
            mark = batch.shelves[d].keyring.mark
            for first in range(0, len(at), AT_ONCE):
                some = at[first : first + AT_ONCE]
                keys = persons["source_key"].take(pa.array(some)).to_pylist()
                gone = [i for i, key in zip(some, keys, strict=True) if mark(key.encode()) in marks]
                batch.quarantine(lines[gone], "row.erased_key")


def _refuse_unknown(batch: Batch) -> None:
    changes = np.flatnonzero(batch.partial & batch.ok)
    for d, at in by_delivery(batch.d[changes], len(batch.deliveries)):
        lines = changes[at]
        wanted = _by_source(batch, lines)
        held = batch.shelves[d].lines(batch.system, {s: [k for k, _ in some] for s, some in wanted.items()})
        known = set(zip(held["source"].to_pylist(), held["key"].to_pylist(), strict=True))
        batch.quarantine(
            np.array([n for s, some in wanted.items() for k, n in some if (s, k) not in known], int), "row.unknown_key"
        )


def _by_source(batch: Batch, lines: np.ndarray) -> dict[str, list[tuple[str, int]]]:
    out: dict[str, list[tuple[str, int]]] = {}
    codes = batch.source_code[lines].tolist()
    for code, key, n in zip(codes, batch.key.take(pa.array(lines)).to_pylist(), lines.tolist(), strict=True):
        out.setdefault(batch.sources[code], []).append((key, n))
    return out


def _refuse_dangling(batch: Batch, keys: "_Keys") -> None:
    """Until nothing falls any more. References by way of a memory come last: when the line that would change a role
    falls, what is held of the role still counts, so lines that go through it are judged by what stands in the end."""
    every = [(name, f) for name in batch.rows for f in RECORDS[name].refs if f.required]
    by_memory = [(name, f) for name, f in every if _through(batch, name, f.name)]
    needs, later = [need for need in every if need not in by_memory], list(by_memory)
    while needs or later:
        if not needs:
            needs, later = later, []
        lost = _fallen_tables(batch, keys, needs)
        keys.forget(lost)
        again = [(name, f) for name, f in every if f.target in lost or _through(batch, name, f.name) in lost]
        needs = [need for need in again if need not in by_memory]
        later += [need for need in again if need in by_memory and need not in later]


def _fallen_tables(batch: Batch, keys: "_Keys", needs: Sequence[tuple[str, Field]]) -> set[str]:
    """Quarantine the lines whose rows lack one of these references; the tables of all their rows."""
    lost: set[str] = set()
    for name, field in needs:
        table = batch.rows[name]
        soft = table["soft"].to_numpy(zero_copy_only=False)
        if soft.all() and len(table):
            continue
        hard = table.filter(pa.array(~soft)) if soft.any() else table
        lines = hard["line"].to_numpy()
        fallen = np.unique(lines[~keys.resolved(field, hard) & batch.ok[lines]])
        if len(fallen):
            batch.quarantine(fallen, "row.dangling_ref")
            lost |= _tables_of(batch, fallen)
    return lost


def _tables_of(batch: Batch, lines: np.ndarray) -> set[str]:
    fallen = np.zeros(len(batch.d), bool)
    fallen[lines] = True
    return {name for name, t in batch.rows.items() if fallen[t["line"].to_numpy()].any()}


def _through(batch: Batch, name: str, column: str) -> str | None:
    if f"via:{column}" not in batch.rows[name].column_names:
        return None
    return VIA[(batch.system, column)][0]


def _resolved(batch: Batch, keys: "_Keys", name: str, table: pa.Table) -> pa.Table:
    """The rows of a record with their references settled; flags what was not found."""
    soft = table["soft"].to_numpy(zero_copy_only=False)
    dropped = np.zeros(len(table), bool)
    for field in RECORDS[name].refs:
        found = keys.resolved(field, table)
        said, table = table, keys.looked_up(field, table)
        nulled = not field.required and not found.all()
        if nulled or table is not said:
            batch.changed_references.setdefault(name, []).append(field.name)
        if field.required:
            dropped |= soft & ~found
        elif nulled:
            i = table.column_names.index(field.name)
            table = table.set_column(
                i, field.name, pc.if_else(pa.array(found), table[field.name], pa.scalar(None, pa.string()))
            )
        if not field.required:
            batch.raise_flag(table["line"].to_numpy()[~found], "ref_unresolved")
    if dropped.any():
        batch.raise_flag(table["line"].to_numpy()[dropped], "ref_unresolved")
        table = table.filter(pa.array(~dropped))
    return table.select([c for c in table.column_names if not c.startswith("via:")]).combine_chunks()


class _Keys:
    """What keys exist: in the accepted lines of each delivery, or on its shelf. Answers are remembered until
    forgotten."""

    def __init__(self, batch: Batch) -> None:
        self._batch = batch
        self._arriving: dict[str, pa.Array] = {}
        self._asked: dict[tuple[str, int], tuple[pa.Array, pa.Array]] = {}
        self._memory: dict[tuple[str, str], dict[tuple[int, str], str]] = {}
        self._answers: dict[tuple[int, str], tuple[pa.Table, np.ndarray]] = {}

    def forget(self, tables: Iterable[str]) -> None:
        """Lines were lost: what arrives in these tables must be counted again. What is held does not change."""
        lost = list(tables)
        for name in lost:
            self._arriving.pop(name, None)
        if lost:
            self._answers.clear()
        self._memory.clear()

    def resolved(self, field: Field, table: pa.Table) -> np.ndarray:
        """Per row: whether the reference is null, found, or points to a table that the instruction does not let us
        hold. The same table is not looked through twice."""
        known = self._answers.get((id(table), field.name))
        if known is None:
            known = self._answers[id(table), field.name] = table, self._resolved(field, table)
        return known[1]

    def _resolved(self, field: Field, table: pa.Table) -> np.ndarray:
        assert field.target is not None
        values = self._values(field, table)
        d = self._batch.d_of(table)
        answer = self._exists(field.target, d, values)
        if (via := f"via:{field.name}") in table.column_names:
            # A reference by way of a memory that gives nothing is not a null: it dangles.
            answer &= ~(table[via].is_valid().to_numpy() & values.is_null().to_numpy(zero_copy_only=False))
        unheld = np.array([field.target not in h for h in self._batch.held], bool)
        return answer | unheld[d] if unheld.any() else answer

    def looked_up(self, field: Field, table: pa.Table) -> pa.Table:
        if f"via:{field.name}" not in table.column_names:
            return table
        return table.set_column(table.column_names.index(field.name), field.name, self._values(field, table))

    def _values(self, field: Field, table: pa.Table) -> pa.Array:
        values = _one(table[field.name])
        via = f"via:{field.name}"
        if via not in table.column_names:
            return values
        given = self._by_memory(*VIA[(self._batch.system, field.name)], self._batch.d_of(table), _one(table[via]))
        return pc.coalesce(given, values)

    def _exists(self, target: str, d: np.ndarray, values: pa.Array) -> np.ndarray:
        null = values.is_null().to_numpy(zero_copy_only=False)
        arriving = self._arriving_keys(target)
        composite = self._batch.composite(d, values)
        answer = null | pc.fill_null(pc.is_in(composite, value_set=arriving), False).to_numpy(zero_copy_only=False)
        missing = np.flatnonzero(~answer)
        for each, at in by_delivery(d[missing], len(self._batch.deliveries)):
            positions = missing[at]
            answer[positions] = self._on_shelf(target, each, values.take(pa.array(positions)))
        return np.asarray(answer)

    def _on_shelf(self, target: str, d: int, keys: pa.Array) -> np.ndarray:
        """Which of these are on the shelf of delivery d. No key is asked for twice."""
        nobody = pa.array([], pa.string())
        asked, held = self._asked.get((target, d), (nobody, nobody))
        new = pc.unique(keys)
        new = new.filter(pc.invert(pc.is_in(new, value_set=asked)))
        if len(new):
            found = [self._present(target, d, new.slice(i, AT_ONCE)) for i in range(0, len(new), AT_ONCE)]
            asked, held = pa.concat_arrays([asked, new]), pa.concat_arrays([held, *found])
            self._asked[target, d] = asked, held
        return np.asarray(pc.is_in(keys, value_set=held).to_numpy(zero_copy_only=False))

    def _present(self, target: str, d: int, keys: pa.Array) -> pa.Array:
        return pa.array(list(self._batch.shelves[d].present(target, self._batch.system, keys.to_pylist())), pa.string())

    def _arriving_keys(self, target: str) -> pa.Array:
        if target not in self._arriving:
            table = self._batch.rows.get(target)
            if table is None:
                self._arriving[target] = pa.array([], pa.string())
            else:
                stands = self._batch.ok[table["line"].to_numpy()]
                table = table if stands.all() else table.filter(pa.array(stands))
                self._arriving[target] = self._batch.composite(self._batch.d_of(table), _one(table["source_key"]))
        return self._arriving[target]

    def _by_memory(self, memory: str, column: str, d: np.ndarray, keys: pa.Array) -> pa.Array:
        """Values of a memory's column by its key: what arrives wins over what is held."""
        table = self._batch.rows.get(memory)
        given: pa.Array = pa.nulls(len(keys), pa.string())
        if table is not None:
            table = table.filter(pa.array(self._batch.ok[table["line"].to_numpy()]))
            at = pc.index_in(self._batch.composite(d, keys), value_set=self._arriving_keys(memory))
            given = _one(table[column]).take(at) if len(table) else given
        missing = np.flatnonzero(
            given.is_null().to_numpy(zero_copy_only=False) & keys.is_valid().to_numpy(zero_copy_only=False)
        )
        if len(missing) == 0:
            return given
        known = self._memory.setdefault((memory, column), {})
        filled = given.to_pylist()
        for each, where in by_delivery(d[missing], len(self._batch.deliveries)):
            positions = missing[where]
            texts = keys.take(pa.array(positions)).to_pylist()
            new = {k for k in texts if (each, k) not in known}
            known |= {
                (each, k): v
                for k, v in self._batch.shelves[each].referred(memory, column, self._batch.system, new).items()
            }
            for p, k in zip(positions, texts, strict=True):
                filled[p] = known.get((each, k))
        return pa.array(filled, pa.string())


def _one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
