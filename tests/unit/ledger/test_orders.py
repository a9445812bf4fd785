"""Kinds 6 to 26: closed bodies, numbers for ever, no personal data, and what the law asks of each."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from ledger.canonical import canonical
from ledger.deeds import Exceeded, beyond
from ledger.entry import KINDS, body_of, entry_of
from ledger.log import Log
from ledger.orders import Decision, Disclose, Transfer
from schemas.errors import Malformed
from schemas.ids import System
from schemas.mandate import Basis, Ground, RestrictedBy
from tests.unit.ledger.orders_made import (
    AT,
    GIVEN,
    engage,
    erase,
    every_deed,
    every_order,
    every_signature,
    notice_of,
    obligation,
    restrict,
    sealed_notice_of,
    synchronise,
)

VECTOR = Path(__file__).parents[2] / "vectors" / "orders-1" / "bodies.jsonl"


@pytest.mark.parametrize("entry", [*every_order(), *every_deed(), *every_signature()], ids=lambda e: type(e).__name__)
def test_an_order_comes_back_from_its_body(entry: Any) -> None:
    assert entry_of(KINDS[type(entry)], body_of(entry)) == entry


@pytest.mark.parametrize("entry", [*every_order(), *every_deed(), *every_signature()], ids=lambda e: type(e).__name__)
def test_a_body_with_a_field_missing_too_many_or_of_another_type_is_refused(entry: Any) -> None:
    kind, body = KINDS[type(entry)], body_of(entry)
    for field in body:
        with pytest.raises(Malformed):
            entry_of(kind, {k: v for k, v in body.items() if k != field})
        with pytest.raises(Malformed):
            entry_of(kind, body | {field: {"x": 1}})
    with pytest.raises(Malformed):
        entry_of(kind, body | {"remark": ""})


def test_the_bodies_of_the_vector_keep_their_numbers_their_bytes_and_their_ids() -> None:
    stored = [json.loads(line) for line in VECTOR.read_text().splitlines()]
    assert [v["kind"] for v in stored] == list(range(6, 27))
    for v in stored:
        entry: Any = entry_of(v["kind"], v["body"])
        assert (type(entry).__name__, getattr(entry, "id", None)) == (v["name"], v.get("id"))
        assert canonical(body_of(entry)) == canonical(v["body"])


def test_orders_are_kept_in_a_log_and_read_back(log: Log) -> None:
    recorded = (*every_order(), *every_deed(), *every_signature())
    for entry in recorded:
        log.append(entry, AT)
    assert log.read().entries == recorded


def test_rows_are_named_by_reference_and_never_by_their_key() -> None:
    for scope in (RestrictedBy.PERSON, RestrictedBy.LOT, RestrictedBy.BUILDING):
        assert restrict(scope, (f"REF-{'12' * 16}",)).targets
        with pytest.raises(Malformed, match="never by their key"):
            restrict(scope, ("C0001",))
    with pytest.raises(Malformed, match="never by their key"):
        erase("contact", subjects=("EXEMPLIER",))
    with pytest.raises(Malformed, match="never by their key"):
        synchronise(signatory="Ana")


def test_a_restriction_names_what_it_restricts_unless_it_is_the_whole_agency() -> None:
    assert restrict(RestrictedBy.AGENCY, ()).targets == ()
    for scope, targets in ((RestrictedBy.AGENCY, ("lot",)), (RestrictedBy.TABLE, ())):
        with pytest.raises(Malformed, match="unless it is the whole agency"):
            restrict(scope, targets)


def test_only_union_or_member_state_law_obliges() -> None:
    assert obligation(jurisdiction="EU").id.startswith("OBL-")
    for elsewhere in ("US", "GB", "CH", "fr"):
        with pytest.raises(Malformed, match="neither EU nor a member state"):
            obligation(jurisdiction=elsewhere)


def test_a_sealed_notice_needs_its_prohibition_its_release_and_two_functions() -> None:
    owed = obligation().id
    assert sealed_notice_of(owed).sealed
    assert not notice_of(owed).sealed
    for approved in ((), ("dpo",), ("dpo", "DPO"), ("dpo", "direction", "gérance")):
        with pytest.raises(Malformed, match="four eyes"):
            sealed_notice_of(owed, approved_by=approved)
    for missing in ("prohibition", "released_from"):
        with pytest.raises(Malformed, match="cites its prohibition"):
            sealed_notice_of(owed, **{missing: None})
    with pytest.raises(Malformed, match="not both"):
        notice_of(owed, prohibition="CPP, art. 60-1")


def test_a_transfer_under_article_46_names_its_safeguards() -> None:
    said = GIVEN | {"tables": ("contact",), "country": "US", "recipient": "Routeur Exemple"}
    assert Transfer(**said, basis=Basis.ADEQUACY).safeguards is None
    with pytest.raises(Malformed, match="safeguards"):
        Transfer(**said, basis=Basis.COMMISSION_CLAUSES)


def test_a_disclosure_says_who_demands_it_or_until_when() -> None:
    said = GIVEN | {"tables": ("account",), "recipient": "Tribunal judiciaire", "evidence": "ORD-2026-14"}
    with pytest.raises(Malformed, match="authority"):
        Disclose(**said, ground=Ground.LAW)
    with pytest.raises(Malformed, match="valid_until"):
        Disclose(**said, ground=Ground.SECURITY)
    assert Disclose(**said | {"valid_until": AT + dt.timedelta(days=3)}, ground=Ground.SECURITY).id


def test_nothing_ends_before_it_begins() -> None:
    for make in (synchronise, restrict, obligation):
        with pytest.raises(Malformed, match="end before it begins"):
            make(valid_until=AT)


def test_another_text_has_another_id() -> None:
    ids = {synchronise().id, synchronise(again=1).id, synchronise(reference="X").id, engage(Decision.OBJECT).id}
    assert len(ids) == 4


def exceeded(system: System = System.GPI, **changes: Any) -> Exceeded:
    said: dict[str, Any] = {"delivery": "GPIA0003.000012", "lines": {"60": 3}, "values": {"person.birth_date": 2}}
    return Exceeded(system=system, **said | changes)


def test_what_exceeds_an_instruction_is_counted_in_names_of_the_contracts_only() -> None:
    assert exceeded(lines={}).values
    wrongs: tuple[dict[str, Any], ...] = (
        {"lines": {"60": 0}}, {"values": {"person.birth_date": 0}}, {"values": {"person.nobody": 1}},
        {"values": {"birth_date": 1}}, {"lines": {"Ana Exemple": 1}},
    )  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(Malformed, match="counted by source table and by canonical column"):
            exceeded(**wrong)


def test_what_exceeds_is_added_up_by_system() -> None:
    told = [exceeded(), exceeded(delivery="GPIA0003.000013"), exceeded(System.SDGI, lines={"LOTS": 5}, values={})]
    assert beyond(told) == [
        {"system": "gpi", "deliveries": 2, "lines": 6, "values": 4},
        {"system": "sdgi", "deliveries": 1, "lines": 5, "values": 0},
    ]
    assert beyond([]) == []
