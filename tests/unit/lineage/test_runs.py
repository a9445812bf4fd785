"""What ran, as a log tells it: in its order, by what stood before, and nothing that may not be told yet."""

import datetime as dt
from dataclasses import replace

import pytest

from ledger.deeds import Handed, Handing
from ledger.entry import Entry, Erased, Head, History, Line, Receipt
from pipelines.openlineage import events
from pipelines.openlineage.outbox import merged
from pipelines.openlineage.runs import Ran, of_log, told
from schemas.ids import AgencyCode
from schemas.report import Counts
from tests.unit.ledger.orders_made import (
    AT,
    CODE,
    erase,
    every_deed,
    obligation,
    restrict,
    sealed_notice_of,
    synchronise,
)

DAY = dt.timedelta(days=1)


def history(*entries: Entry) -> History:
    lines = tuple(Line(n, AT + n * DAY, e, f"{n:064x}") for n, e in enumerate(entries, 1))
    return History(CODE, Head(len(lines), bytes(32)), lines)


def receipt(*instructions: str, stored: int = 1, source: str = "LOCATAIRES.CSV", system: str = "sdgi") -> Receipt:
    counts = {source: Counts(read=2, stored=stored, unchanged=2 - stored)}
    return Receipt("SDGI_A0003_20260105_0210.zip", system, "ab" * 32, "accepted", None, counts, instructions,
                   "sdgi-1.4", "1.0", "run-1")  # fmt: skip


def tables(ran: Ran) -> set[str]:
    return {d.table for d in ran.outputs}


def test_a_run_is_told_by_what_stood_before_it_and_by_nothing_later() -> None:
    given = synchronise()
    early = history(given, receipt(given.id))
    late = history(
        given, receipt(given.id), restrict(targets=("person", "contact")), receipt(given.id), erase("account")
    )
    assert [*told(early)] == [*told(late)][:1]
    first, second = [r for r in told(late) if r.job == "sync.sdgi"]
    assert {"person", "contact"} <= tables(first)
    assert not {"person", "contact"} & tables(second)


def test_a_delivery_that_changed_nothing_writes_nothing() -> None:
    given = synchronise()
    (ran,) = told(history(given, receipt(given.id, stored=0)))
    assert (ran.outputs, ran.inputs[0].rows) == ((), 2)


def test_what_the_law_seals_is_told_when_it_may_be_and_never_before() -> None:
    law = obligation()
    notice = sealed_notice_of(law.id)
    assert notice.released_from is not None
    sealed = Handed(does=Handing.DISCLOSE, recipient="Autorité Exemple", country=None, tables={"account": 3},
                    instructions=(law.id,), capability="ef" * 32, carried_out_at=AT)  # fmt: skip
    given = synchronise()
    log = history(law, notice, sealed, given, receipt(given.id))
    before, waiting = of_log(log, 0, (), notice.released_from - DAY)
    assert ([r.job for r in before], waiting) == (["sync.sdgi"], (0, 1, 2))
    after, none = of_log(log, log.head.size, waiting, notice.released_from)
    assert ([r.job for r in after], none) == (["disclose"], ())
    assert b"Autorit" not in b"".join(events.of(after[0]))


def test_an_erasure_drops_what_the_deliveries_of_its_contract_filled() -> None:
    given = synchronise()
    first = Erased(dt.date(2026, 1, 6), AT, "cd" * 32)
    again = synchronise(reference="NOTE-8")
    log = history(given, receipt(given.id), first, again, receipt(again.id, source="IMMEUBLES.CSV"),
                  replace(first, certificate_sha256="ce" * 32), replace(first, late_files=True))  # fmt: skip
    filled, gone, _, next_gone, late = told(log)
    assert tables(gone) == tables(filled) >= {"person", "contact"}
    assert tables(next_gone) == {"building"}
    assert tables(late) == set()


def test_every_deed_is_a_run_or_is_left_out_on_purpose() -> None:
    runs = [r.job for r in told(history(synchronise(), *every_deed()))]
    assert runs == ["return", "order.erase"]  # a stamp of a head, and what was left out of a delivery, move nothing


def test_ids_differ_where_the_facts_do() -> None:
    given = synchronise()
    one, two = told(history(given, receipt(given.id), receipt(given.id)))
    assert events.run_id(one) != events.run_id(two)
    assert events.run_id(one) == events.run_id(replace(one))
    other = replace(history(given, receipt(given.id)), agency=AgencyCode("A0004"))
    assert events.run_id(next(iter(told(other)))) != events.run_id(one)


def test_both_sources_keep_their_own_order_side_by_side() -> None:
    def ran(name: str, day: int) -> Ran:
        return Ran(CODE, name, "COMPLETE", AT + day * DAY, name)

    log = [ran("log-1", 1), ran("log-2", 5), ran("log-3", 3)]  # one was recorded late
    journal = [ran("journal-1", 2), ran("journal-2", 4)]
    names = [r.job for r in merged(log, journal)]
    assert [n for n in names if n.startswith("log")] == ["log-1", "log-2", "log-3"]
    assert names.index("log-1") < names.index("journal-1") < names.index("journal-2") < names.index("log-2")


@pytest.mark.parametrize("kind", ["START", "COMPLETE"])
def test_an_event_says_its_instant_in_utc(kind: str) -> None:
    given = synchronise()
    (ran,) = told(history(given, receipt(given.id)))
    start, end = events.of(ran)
    said = start if kind == "START" else end
    assert b'"eventTime":"2026-01-07T03:30:00Z"' in said
    assert f'"eventType":"{kind}"'.encode() in said
