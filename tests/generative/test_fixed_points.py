"""What the store says of the next delivery is true: one that is called a fixed point, and comes again and is read in
full, comes to what the last one came to and leaves everything as it is.

Random histories as in `test_shelf_model`, in which each delivery comes a few times in a row, on other days.
"""

import datetime as dt
import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import select

from schemas.admission import admit
from schemas.home import Home
from schemas.ids import System
from schemas.mandate import Grant, Mandate, Purpose
from schemas.report import Report
from store.agency import OpenShelf
from store.keep import Errand, keep
from store.keys import Keyring, create_root, open_root
from store.tables import DELIVERY, FLOW, META, QUARANTINE
from tests import engines
from tests.generative.test_shelf_model import AGENCY, AT, YIELDS, Line, delivery, reading
from tests.leave import capability, warrant

HISTORIES = 12
ALL = (Grant("I", frozenset(System), frozenset({"*"}), frozenset({Purpose.EXTRANET})),)
SOME = (Grant("I", frozenset(System), frozenset({"person", "building", "lot"}), frozenset({Purpose.EXTRANET})),)
DAY = dt.date(2026, 1, 5)
# A line that falls each time, and an erasure that each time forgets what was put aside of it before.
ERASED_AND_ASIDE = [
    Line("Lots", "l9", [("lot", "l9", {"building_key": "b9", "number": "l9"}, False)]),
    Line("Ends", "Lots:l9", [], ("Lots", "l9", "EFFACEMENT", None)),
]


class Keeper:
    """A shelf that takes whatever comes, each time in full."""

    def __init__(self, shelf: OpenShelf, mandate: Mandate) -> None:
        self.shelf, self.mandate = shelf, mandate
        self.number = 0

    def keep(self, lines: Sequence[Line], day: dt.date, on: dt.date | None = DAY) -> tuple[Report, bool]:
        """The report, and whether the delivery is called a fixed point. `on`: the day that its ends name, if any."""
        self.number += 1
        made = reading(list(lines), on or day, self.number)
        if on is None:
            at = made.endings.column_names.index("on")
            made = replace(made, endings=made.endings.set_column(at, "on", pa.nulls(len(made.endings), pa.date32())))
        made = replace(made, deliveries=(replace(made.deliveries[0], likeness=b"same", day=day),))
        seal = self.shelf.db.scalar(select(FLOW.c.proof))
        errand = Errand(f"run {self.number}", AT, "0", code="code")
        [(_, report)] = list(keep(admit(made, [self.mandate], YIELDS), [self.shelf], errand))
        assert report is not None
        fixed = self.shelf.db.scalar(select(FLOW.c.proof)) not in (None, seal)
        self.shelf.db.rollback()
        return report, fixed

    def held(self) -> dict[str, Any]:
        """Every row of the shelf, but for which deliveries came and what each put aside."""
        books = (DELIVERY.name, FLOW.name, QUARANTINE.name, "capability", "granted")
        tables = {n: t for n, t in META.tables.items() if n not in books}
        found = {name: sorted(map(repr, self.shelf.db.execute(select(t)).all())) for name, t in tables.items()}
        self.shelf.db.rollback()
        return found

    def aside(self) -> list[tuple[Any, ...]]:
        """What is put aside, delivery by delivery; what is sealed differs each time."""
        q = QUARANTINE.c
        found = self.shelf.db.execute(select(q.delivery, q.source, q.loc, q.reason, q.key, q.sealed).order_by(q.id))
        rows = [(*row[:-1], row.sealed is not None) for row in found.all()]
        self.shelf.db.rollback()
        return rows


@contextmanager
def keeper(root: Path, grants: tuple[Grant, ...] = ALL) -> Iterator[Keeper]:
    home = Home.at(root)
    create_root(home)
    engines.furnish(home)
    with (
        Keyring.open(home, open_root(home), capability(AGENCY), create=True) as keyring,
        OpenShelf.open(home, keyring, warrant(AGENCY), create=True) as shelf,
    ):
        yield Keeper(shelf, Mandate(AGENCY, AT, grants))


@pytest.mark.parametrize("part", [0, 1, *(pytest.param(n, marks=pytest.mark.soak) for n in range(2, 6))])
def test_what_is_called_a_fixed_point_is_one(part: int, tmp_path: Path) -> None:
    told = Counter[bool]()
    for seed in range(part * HISTORIES, (part + 1) * HISTORIES):
        rng = random.Random(seed)
        with keeper(tmp_path / str(seed), rng.choice((ALL, ALL, SOME))) as shelf:
            told += _history(rng, shelf)
    assert min(told[True], told[False]) > HISTORIES / 3, "both answers were given"


def _history(rng: random.Random, shelf: Keeper) -> Counter[bool]:
    """How often a delivery that came again had been called a fixed point, and how often not."""
    told, day = Counter[bool](), DAY
    for _ in range(rng.randint(1, 4)):
        lines = delivery(rng) + (ERASED_AND_ASIDE if rng.random() < 0.2 else [])
        last, fixed = shelf.keep(lines, day)
        for _ in range(rng.randint(1, 3)):
            day += dt.timedelta(days=rng.randint(0, 2))
            held, aside = shelf.held(), shelf.aside()
            again, later = shelf.keep(lines, day)
            told[fixed] += 1
            if fixed:
                expected = Report.again(json.dumps(last.as_json()), AGENCY, System.LOGIN, again.delivery, day)
                assert again.as_json() == expected.as_json()
                assert shelf.held() == held
                now = shelf.aside()
                assert now[: len(aside)] == aside, "what was put aside before stays"
                theirs = [[row[1:] for row in now if row[0] == n] for n in (shelf.number - 1, shelf.number)]
                assert theirs[0] == theirs[1]
                assert later, "and it is one again"
            last, fixed = again, later
    return told


def _stored(came: Sequence[tuple[Report, bool]]) -> list[tuple[int, bool]]:
    return [(sum(c.stored for c in report.tables.values()), fixed) for report, fixed in came]


def test_one_that_changed_something_is_none_but_the_first(tmp_path: Path) -> None:
    person = Line("People", "p1", [("person", "p1", {"kind": "natural", "last_name": "A"}, False)])
    other = Line("People", "p1", [("person", "p1", {"kind": "natural", "last_name": "B"}, False)])
    with keeper(tmp_path) as shelf:
        came = [shelf.keep([line], DAY) for line in (person, person, other, other)]
    assert _stored(came) == [(1, True), (0, True), (1, False), (0, True)]


def test_the_first_is_none_when_something_was_put_aside_or_ended(tmp_path: Path) -> None:
    person = Line("People", "p1", [("person", "p1", {"kind": "natural"}, False)])
    for number, more in enumerate((ERASED_AND_ASIDE[0], Line("Ends", "P:p2", [], ("People", "p2", "SORTIE", None)))):
        with keeper(tmp_path / str(number)) as shelf:
            assert _stored([shelf.keep([person, more], DAY)]) == [(1, False)]


def test_an_end_without_a_day_is_of_each_new_day(tmp_path: Path) -> None:
    persons = [Line("People", k, [("person", k, {"kind": "natural"}, False)]) for k in ("p1", "p2")]
    double = [Line("Ends", "People:p1", [], ("People", "p1", "DOUBLON", "p2"))]
    with keeper(tmp_path) as shelf:
        shelf.keep(persons, DAY)
        came = [shelf.keep(double, DAY) for _ in range(2)]
        came += [shelf.keep(double, DAY, on=None), shelf.keep(double, DAY + dt.timedelta(days=1), on=None)]
    assert _stored(came) == [(1, False), (0, True), (0, False), (1, False)]
