"""Each sheet to its rows: the object, what the store must remember of it, and its containers (login.md, "Objects")."""

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

from connectors.login import containers
from connectors.login.layout import Layout
from connectors.login.objects import Objects
from connectors.login.recall import Beside, Recall
from connectors.login.values import columns, constant, kind_of, minus
from connectors.normalise import frame
from connectors.normalise.octets import truth

Rows = dict[str, list[pa.Table]]
_VIA = "via:"


def _row(objects: Objects, found: dict[str, pa.Array]) -> pa.Table:
    """The one row that each object of a sheet yields itself."""
    via = {name.removeprefix(_VIA): column for name, column in found.items() if name.startswith(_VIA)}
    own = {name: column for name, column in found.items() if not name.startswith(_VIA)}
    return frame.rows(objects.spec.record, line=objects.line, source_key=objects.key, via=via, **own)


def _held(objects: Objects, beside: Beside) -> Callable[[str], pa.Array]:
    record = objects.spec.record
    return lambda name: beside.column(name, kind_of(record, name))


def _plain(objects: Objects, layout: Layout, recall: Recall) -> dict[str, pa.Array]:
    """The columns of a sheet whose every column is one of its record."""
    return columns(objects, layout, _held(objects, recall.beside(objects.spec.record, objects)))


def _person(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    found = _plain(objects, layout, recall)
    found["kind"] = constant(objects.source, layout.kinds)
    return {
        "person": [_row(objects, found)],
        "contact": containers.contact_rows(objects, recall, found["country"], found["postal_code"]),
        "person_link": containers.person_links(objects, layout, recall),
    }


def _lot(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    return {
        "lot": [_row(objects, _plain(objects, layout, recall))],
        "lot_share": containers.lot_shares(objects, recall),
    }


def _role(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    """A role is remembered; what hangs on it names its person and its building, be they said or held."""
    beside = recall.beside("role", objects)
    found = columns(objects, layout, _held(objects, beside))
    person, building = found["person_key"], found["building_key"]
    known = ~objects.partial | beside.found
    return {
        "role": [_row(objects, found)],
        "co_ownership": containers.co_ownerships(objects, layout, recall, person),
        "council_membership": containers.council_memberships(objects, recall, person, building, known),
    }


def _mandate(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    return {
        "mandate": [_row(objects, _plain(objects, layout, recall))],
        "mandate_lot": containers.mandate_lots(objects, recall),
    }


def _lease(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    return {
        "lease": [_row(objects, _plain(objects, layout, recall))],
        "lease_party": containers.lease_parties(objects, recall),
    }


def _account(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    """`montant` or `sens` may come alone in a change: the other is the held one (login.md, Compte)."""
    account, sense = recall.beside("account", objects), recall.beside("sense", objects)

    def held(name: str) -> pa.Array:
        if name not in ("amount", "sense"):
            return account.column(name, kind_of("account", name))
        balance = account.column("balance", kind_of("account", "balance"))
        if name == "amount":
            return pc.abs(balance)
        # Only a zero needs the memory: any other balance shows its side.
        shown = pc.if_else(pc.less(balance, 0), "C", "D")
        return pc.coalesce(sense.column("sense", kind_of("sense", "sense")), shown)

    found = columns(objects, layout, held)
    amount, side = found.pop("amount"), found.pop("sense")
    found["balance"] = minus(amount, truth(pc.equal(side, "C")))
    memory = frame.rows(
        "sense", line=objects.line, source_key=objects.key, keep=truth(pc.is_valid(side)), sense=side
    )  # fmt: skip
    return {"account": [_row(objects, found)], "sense": [memory]}


def _simple(objects: Objects, layout: Layout, recall: Recall) -> Rows:
    return {objects.spec.record: [_row(objects, _plain(objects, layout, recall))]}


SHEETS: dict[str, Callable[[Objects, Layout, Recall], Rows]] = {
    "person": _person,
    "building": _simple,
    "lot": _lot,
    "role": _role,
    "mandate": _mandate,
    "lease": _lease,
    "staff": _simple,
    "account": _account,
    "bank_detail": _simple,
    "document": _simple,
}
