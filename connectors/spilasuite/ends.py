"""How rows end: tombstones of v_suppression, and persons that name their replacement (spilasuite.md, "Ends")."""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Mask, none, truth
from connectors.spilasuite.lines import Lines, Rank
from schemas.frames import ENDINGS

_PERSON_ENDS = pa.array(["DOUBLON", "EFFACEMENT"])


def _read(tombstones: Lines, name: str) -> pa.Array:
    return tombstones.value(tombstones.view.column(name))


def check_reasons(tombstones: Lines) -> None:
    """DOUBLON and EFFACEMENT are reasons of a person only."""
    only_for = pa.array(list(tombstones.layout.lists["person_reasons"].values()))
    words = pa.array(list(tombstones.layout.lists["person_reasons"]))
    needed = only_for.take(pc.index_in(_read(tombstones, "motif"), value_set=words))
    wrong = truth(pc.not_equal(needed, _read(tombstones, "nom_vue")))
    tombstones.fault(Rank.VALUE, tombstones.view.column("motif"), wrong, "row.bad_enum")


def void(tombstones: Lines, heard: Mapping[str, Lines]) -> Mask:
    """Tombstones older than an existing row of the same view and key: the row came back.

    Such a row is always among those just read: its version is above the tombstone's, which is above the cursor.
    """
    view, cle = _read(tombstones, "nom_vue"), _read(tombstones, "cle")
    found = none(len(tombstones))
    for name, rows in heard.items():
        at = np.flatnonzero(truth(pc.equal(view, name)))
        if len(at):
            found[at] = _came_back(rows, tombstones.d[at], cle.take(pa.array(at)), tombstones.version[at])
    return found


def _came_back(rows: Lines, d: npt.NDArray[np.int32], cle: pa.Array, version: npt.NDArray[np.int64]) -> Mask:
    """Whether a row of a delivery `d` with the key `cle` has a higher version than the tombstone."""
    keys = cle.unique()
    known = pc.index_in(rows.key, value_set=keys).fill_null(-1).to_numpy(zero_copy_only=False)
    named = known >= 0
    latest: dict[tuple[int, int], int] = {}
    # Only the rows that a tombstone names come here: a handful a day.
    for delivery, key, row in zip(rows.d[named], known[named], rows.version[named], strict=True):
        latest[delivery, key] = max(row, latest.get((delivery, key), row))
    places = pc.index_in(cle, value_set=keys).to_numpy(zero_copy_only=False)
    return np.array([latest.get((a, b), -1) > c for a, b, c in zip(d, places, version, strict=True)], np.bool_)


def _endings(columns: Mapping[str, pa.Array | str | bool], n: int) -> pa.Table:
    arrays = [
        pa.repeat(pa.scalar(given, f.type), n) if isinstance(given, str | bool) else given.cast(f.type)
        for f, given in ((f, columns[f.name]) for f in ENDINGS)
    ]
    return pa.Table.from_arrays(arrays, schema=ENDINGS)


def told(tombstones: Lines, line: npt.NDArray[np.int64]) -> pa.Table:
    """The ends that accepted tombstones tell."""
    reason, key = _read(tombstones, "motif"), _read(tombstones, "cle")
    of_person = pc.is_in(reason, value_set=_PERSON_ENDS)
    columns: dict[str, pa.Array | str | bool] = {
        "line": pa.array(line),
        "d": pa.array(tombstones.d),
        "source": _read(tombstones, "nom_vue"),
        "key": key,
        "reason": reason,
        "on": _read(tombstones, "date_suppression"),
        "merged_into": pc.if_else(pc.equal(reason, "DOUBLON"), _read(tombstones, "cle_remplacement"), None),
        "person": pc.if_else(of_person, key, None),
        "implied": False,
    }
    return _endings(columns, len(tombstones)).filter(pa.array(tombstones.ok))


def replaced(persons: Lines, line: npt.NDArray[np.int64], days: Sequence[date]) -> pa.Table:
    """Persons that exist and name the person which replaces them: DOUBLON on the day of reading."""
    into = persons.value(persons.view.column(persons.view.replaced_by))
    columns: dict[str, pa.Array | str | bool] = {
        "line": pa.array(line),
        "d": pa.array(persons.d),
        "source": persons.view.name,
        "key": persons.key,
        "reason": "DOUBLON",
        "on": pa.array(list(days), pa.date32()).take(pa.array(persons.d)),
        "merged_into": into,
        "person": persons.key,
        "implied": True,
    }
    return _endings(columns, len(persons)).filter(pa.array(persons.ok & truth(pc.is_valid(into))))
