"""resume.pdf: two pages at most whatever happened, the same bytes for the same facts, words for every code."""

import datetime as dt
import re
import zlib
from base64 import a85decode
from typing import Any

from ledger.entry import Entry, Erased, Head, History, Line, Receipt
from ledger.orders import Decision
from pipelines.evidence_summary import summarise
from pipelines.summary_pdf import CONFLICTS, KINDS, PAGES, STATES, TABLES, draw
from portal.cli.words import words
from schemas.records import PROCESSOR_TABLES
from schemas.report import Counts
from tests.unit.ledger.orders_made import (
    AT,
    CODE,
    engage,
    erase,
    every_deed,
    every_order,
    infringement,
    obligation,
    synchronise,
)

NOW = AT + dt.timedelta(days=3)
HOUSE: dict[str, Any] = {
    "contract": {"start": "2023-07-20", "end": "2026-01-31"},
    "refused": [{"system": "gpi", "reason": "gpi.key", "count": 3}],
}


def summary(entries: list[Entry]) -> dict[str, Any]:
    lines = tuple(Line(n + 1, AT, e, "ab" * 32) for n, e in enumerate(entries))
    return summarise(History(CODE, Head(len(entries), bytes(32)), lines), 2, NOW, HOUSE)


def much() -> list[Entry]:
    """More than two pages could hold: orders of every kind many times, conflicts, a suspension."""
    found: list[Entry] = [*every_order(), *every_deed()]
    for n in range(60):
        given = synchronise(reference=f"ANNEXE-{n}", again=n)
        found += [given, infringement(given.id, again=n), engage(Decision.AUTHORISE, name=f"Société Exemple {n}")]
        found += [erase("account", again=n), obligation(law=f"Code général, art. {n}", again=n), *every_deed()]
        counts = {"LOTS.CSV": Counts(read=9_000, stored=9_000)}
        found.append(Receipt(f"S_{n}.zip", "sdgi", None, "accepted", None, counts, (given.id,), None, "0.1.0", "r"))
    return [*found, Erased(dt.date(2025, 1, 6), AT, "cd" * 32, late_files=True)]


def pages(pdf: bytes) -> int:
    return len(re.findall(rb"/Type /Page\b(?!s)", pdf))


def text_of(pdf: bytes) -> str:
    """What the pages show, as far as its texts are written in one piece."""
    found = []
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        page = zlib.decompress(a85decode(stream.strip().removesuffix(b"~>")))
        found += re.findall(rb"\((.*?)(?<!\\)\) Tj", page)
    return re.sub(r"\\(\d{3})", lambda m: bytes((int(m[1], 8),)).decode("cp1252"), b"\n".join(found).decode("cp1252"))


def test_whatever_happened_it_has_two_pages_at_most_and_says_what_it_leaves_out() -> None:
    pdf = draw(summary(much()), lambda code: code)
    assert pages(pdf) == PAGES
    assert "autres : voir summary.json" in text_of(pdf)
    assert pages(draw(summary([synchronise()]), lambda code: code)) == 1


def test_the_same_facts_give_the_same_bytes() -> None:
    assert draw(summary(much()), str) == draw(summary(much()), str)


def test_it_is_french_with_its_accents_and_says_until_when() -> None:
    text = text_of(draw(summary(list(every_order())), lambda _: "clé en double, à corriger"))
    for said in ("Ce qui a été demandé", "clé en double, à corriger", "effacement le 8 février 2026, à 0 h"):
        assert said in text, said
    assert "\ufffd" not in text
    assert "■" not in text


def test_what_the_agency_wrote_is_shown_as_it_is_and_is_no_markup() -> None:
    text = text_of(draw(summary([synchronise(reference="<b>R&D")]), str))
    assert "<b>R&D" in "".join(text.split())


def test_every_conflict_kind_state_and_table_has_french_words() -> None:
    assert {f"conflict.{code}" for code in CONFLICTS} == {key for key in words() if key.startswith("conflict.")}
    assert {f"state.{s}" for s in STATES} <= words().keys()
    assert {f"kind.{k}" for k in KINDS} <= words().keys()
    assert set(PROCESSOR_TABLES) <= set(TABLES)
