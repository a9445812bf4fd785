"""The weekly reconciliation of keys: rows that vanished without a tombstone (spilasuite.md, "Ends")."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors import odbc
from connectors.base import Delivery, Known
from connectors.normalise import text
from connectors.normalise.octets import truth
from connectors.spilasuite.layout import ENDS, Layout, View, load
from connectors.spilasuite.lines import Lines
from connectors.spilasuite.snapshot import Proved, Views, cursor_of, source_of


def absent_keys(
    delivery: Delivery, known: Known, held: Mapping[str, Iterable[str]], layout: Layout | None = None
) -> dict[str, int]:
    """`unexplained_absence` by view: how many of the keys held as current are neither in the view nor in v_suppression.

    `held` gives, for each view, the keys of its lines that have not ended. The proofs of a reading come first and are
    refused alike (DeliveryRefused): a broken database would report everything as vanished. It changes nothing. Views
    without any are left out.
    """
    chosen = load() if layout is None else layout

    def count(connection: odbc.Connection) -> dict[str, int]:
        views = Views(connection, chosen)
        proved = views.prove(delivery.agency, cursor_of(known.cursor))
        explained = _tombstones(views, proved)
        return {name: _absent(views, chosen.views[name], keys, explained, proved) for name, keys in held.items()}

    counts = odbc.in_one_snapshot(source_of(delivery), count)
    return {name: count for name, count in counts.items() if count}


def _keys(views: Views, view: View, proved: Proved) -> Lines:
    raw = views.keys(view, proved)
    return Lines(view, views.layout, raw, np.zeros(raw.num_rows, np.int32))


def _tombstones(views: Views, proved: Proved) -> dict[str, pa.Array]:
    """The keys that v_suppression tells of, by view."""
    lines = _keys(views, views.layout.views[ENDS], proved)
    names = pa.array([views.layout.lists["views"].get(name) for name in lines.part("nom_vue").to_pylist()], pa.string())
    keys = lines.part("cle")
    return {name: keys.filter(pc.equal(names, name)) for name in names.unique().to_pylist() if name}


def _absent(views: Views, view: View, held: Iterable[str], explained: Mapping[str, pa.Array], proved: Proved) -> int:
    lines = _keys(views, view, proved)
    present = text.key(*(lines.part(name) for name in view.key))
    there = pa.concat_arrays([present, explained.get(view.name, pa.array([], pa.string()))])
    return int((~truth(pc.is_in(pa.array(list(held), pa.string()), value_set=there))).sum())
