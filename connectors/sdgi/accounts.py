"""SOLDES, DOCUMENTS and SORTIES: what names a person of another file (sdgi.md "Files", "Ends")."""

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import text
from connectors.normalise.distinct import looked_up
from connectors.sdgi.draft import Draft
from connectors.sdgi.people import person_key
from schemas.frames import ENDINGS

_REASONS = ("SORTIE", "DOUBLON", "EFFACEMENT")


def balances(draft: Draft) -> None:
    """SOLDES.CSV → account. The lines add up: the proof of the delivery saw to it."""
    party, building = _party(draft), draft.code("building")
    draft.must_be_filled(draft.text("party"))
    number, account = draft.code("number", filled=True), draft.code("account", filled=True)
    columns = {
        "as_of": draft.date("as_of"),
        "balance": draft.amount("balance", filled=True),
        "called_amount": draft.amount("called"),
        "due_date": draft.date("due"),
    }
    key = text.key(draft.text("party"), building, number, account)
    draft.settle(key)
    draft.add(
        "account",
        key,
        person_key=_person(party, building, number),
        building_key=pc.if_else(pc.is_valid(building), text.key(building), None),
        number=account,
        **columns,
    )


def documents(draft: Draft, attachments: Sequence[tuple[int, Mapping[str, str]]]) -> None:
    """DOCUMENTS.CSV → document. `attachments`: for each delivery, the SHA-256 of what it brought, by file name."""
    number = draft.code("document", filled=True)
    building, third = draft.code("building"), draft.code("number")
    party, file = _party(draft), draft.text("file")
    columns = {
        "kind": draft.text("kind"),
        "label": draft.text("label", mojibake=True),
        "document_date": draft.date("date"),
        "audience": draft.choice("audience", draft.layout.audiences, filled=True),
        "sha256": _digests(draft, file, attachments),
    }
    key = text.key(number)
    draft.settle(key)
    draft.add(
        "document",
        key,
        building_key=pc.if_else(pc.is_valid(building), text.key(building), None),
        person_key=pc.if_else(pc.is_valid(third), _person(party, building, third), None),
        file_name=file,
        **columns,
    )


def departures(draft: Draft) -> pa.Table:
    """SORTIES.CSV → ends. The key of a line is the person that it ends, and so is the key of that person's own line."""
    party, building = _party(draft), draft.code("building")
    draft.must_be_filled(draft.text("party"))
    number, survivor = draft.code("number", filled=True), draft.code("survivor")
    reason = draft.choice("reason", dict(zip(_REASONS, _REASONS, strict=True)), filled=True)
    on = draft.date("date", filled=True)
    person = _person(party, building, number)
    draft.settle(pc.coalesce(person, text.key(draft.text("party"), building, number)))
    merged = pc.and_(pc.equal(reason, "DOUBLON"), pc.is_valid(survivor))
    columns = {
        "line": pa.array(draft.line),
        "d": pa.array(draft.d),
        "source": looked_up(party, draft.layout.parties.get),
        "key": person,
        "reason": reason,
        "on": on,
        "merged_into": pc.if_else(merged, _person(party, building, survivor), None),
        "person": person,
        "implied": pa.repeat(False, draft.n),
    }
    return pa.table([columns[field.name] for field in ENDINGS], schema=ENDINGS).filter(pa.array(draft.ok))


def _party(draft: Draft) -> pa.Array:
    """`Type tiers`: C, P or L; null when empty."""
    return draft.choice("party", {party: party for party in draft.layout.parties})


def _person(party: pa.Array, building: pa.Array, number: pa.Array) -> pa.Array:
    """The key of the person that a third party is: only a co-owner is numbered within a building."""
    co_owner = pc.equal(party, "C")
    alone = pc.binary_join_element_wise(party, text.key(number), ":")
    return pc.if_else(co_owner, person_key("C", building, number), alone)


def _digests(draft: Draft, file: pa.Array, attachments: Sequence[tuple[int, Mapping[str, str]]]) -> pa.Array:
    """The SHA-256 of the file that each line names, null where the delivery did not bring it."""
    brought = {f"{d}/{name}": digest for d, of_one in attachments for name, digest in of_one.items()}
    found = pc.index_in(draft.of_delivery(file), value_set=pa.array(list(brought), pa.string()))
    return pa.array(list(brought.values()), pa.string()).take(found)
