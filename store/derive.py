"""Columns that come from a memory: a building's co-ownership (spilasuite.md), the right of a co-owner (gpi.md).

They are filled after the lines of a delivery and its ends are on the shelf, in the same transaction, also on ended
rows; they make no line `stored`.
"""

from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection, select

from schemas.ids import System
from schemas.records import RECORDS
from store.agency import OpenShelf
from store.among import among
from store.batch import Batch, flat
from store.patch import change, rows_where
from store.tables import ROWS
from store.writing import Place

BUILDING_COLUMNS = ("registry_number", "siret", "manager_key")


def buildings_of(db: Connection, system: System, coproprietes: Iterable[str]) -> set[str]:
    """The buildings that these memories name now; asked before and after they change."""
    t = ROWS["copropriete"]
    return set(db.scalars(select(t.c.building_key).where(t.c.system == system, among(t.c.source_key, coproprietes))))


def fill_buildings(db: Connection, place: Place, buildings: set[str]) -> None:
    """What the co-ownership that has not ended gives to its building; null when there is none."""
    found = rows_where(db, "building", place.system, "source_key", sorted(buildings))
    t = ROWS["copropriete"]
    given = db.execute(
        select(t)
        .where(t.c.system == place.system, among(t.c.building_key, buildings), t.c.ended_reason.is_(None))
        .order_by(t.c.source_key)
    ).all()
    opened = place.shelf.opened(RECORDS["copropriete"], given)
    by_building = {b: i for i, b in enumerate(r.building_key for r in given)}
    at = [by_building.get(r.source_key) for r in found]
    columns = {c: opened[c].to_pylist() for c in BUILDING_COLUMNS}
    change(
        db,
        place,
        "building",
        found,
        {c: [None if i is None else values[i] for i in at] for c, values in columns.items()},
    )


def set_rights(batch: Batch, d: int, shelf: OpenShelf, holdings: pa.Table | None) -> None:
    """Rights on the rows about to be written, so that they are sealed once: from arriving records 20 (`holdings`, of
    the whole delivery), else from the shelf."""
    table = batch.rows.get("co_ownership")
    if table is None or batch.system is not System.GPI:
        return
    mine = batch.d_of(table) == d
    persons = flat(table["person_key"]).filter(pa.array(mine))
    right: pa.Array = pa.nulls(len(persons), pa.string())
    if holdings is not None:
        own = holdings if len(batch.deliveries) == 1 else holdings.filter(pa.array(batch.d_of(holdings) == d))
        right = flat(own["right"]).take(pc.index_in(persons, value_set=flat(own["source_key"])))
    missing = pc.unique(persons.filter(pc.is_null(right)).drop_null())
    if len(missing):
        held = rows_where(shelf.db, "holding", batch.system, "source_key", sorted(missing.to_pylist()))
        keys = pa.array([r.source_key for r in held], pa.string())
        known = shelf.opened(RECORDS["holding"], held)["right"]
        right = pc.coalesce(right, flat(known).take(pc.index_in(persons, value_set=keys)))
    values = pc.replace_with_mask(flat(table["right"]), pa.array(mine), pc.fill_null(right, "unknown"))
    batch.rows["co_ownership"] = table.set_column(table.column_names.index("right"), "right", values)


def fill_rights(db: Connection, place: Place, persons: set[str]) -> None:
    """The right of each of these owners on every lot, from the owner's record as last accepted."""
    found = rows_where(db, "co_ownership", place.system, "person_key", sorted(persons))
    holdings = rows_where(db, "holding", place.system, "source_key", sorted({r.person_key for r in found}))
    rights = dict(
        zip(
            (r.source_key for r in holdings),
            place.shelf.opened(RECORDS["holding"], holdings)["right"].to_pylist(),
            strict=True,
        )
    )
    change(db, place, "co_ownership", found, {"right": [rights.get(r.person_key, "unknown") for r in found]})
