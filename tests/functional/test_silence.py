"""A source that has nothing new to say costs neither shelf nor row, and leaves what a reading leaves (0018).

Twins: two copies of one installation, one of which opens its shelf every night. Whatever comes, both tell and hold the
same.
"""

import datetime as dt
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from ledger.deeds import Exceeded
from ledger.entry import Receipt, Withdrawal
from pipelines import sync, unchanged
from schemas.ids import AgencyCode, System
from store.agency import OpenShelf, Shelf
from store.tables import FLOW
from tests import engines
from tests.connectors.spilasuite.installation import GOOD, Installation as Views
from tests.functional import meanwhile
from tests.functional.conftest import SAMPLES, Installation, Quiet, noon

AGENCY = AgencyCode("A0001")


class Nights:
    """One agency whose views are read, a night a day."""

    def __init__(self, installation: Installation, views: Views, short_cut: bool = True) -> None:
        self.installation, self.views, self.short_cut = installation, views, short_cut
        self.day = dt.date(2026, 1, 5)

    @classmethod
    def begin(cls, root: Path, tables: tuple[str, ...] = ("*",)) -> "Nights":
        made = cls(Installation(root), Views())
        with made.installation.home.settings.open("a", encoding="utf-8") as settings:
            settings.write("[night]\nfull_reading_days = 366\n")  # no period ends in January
        made.installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
        made.installation.instruct(AGENCY, tables)
        made.installation.set_source(AGENCY, made.path)
        for view in GOOD:
            if view != "v_suppression":
                made.views.add(view)
        return made

    def twin(self, root: Path) -> "Nights":
        """A copy that opens its shelf every night. It reads the same views."""
        made = Nights(Installation.on(engines.copied(self.installation.home.root.parent, root)), self.views, False)
        made.day = self.day
        return made

    @property
    def path(self) -> Path:
        return self.installation.home.root.parent / "source.sqlite"

    def hear(self) -> dict[str, Any]:
        self.views.write(self.path)
        home, at = self.installation.home, noon(self.day.isoformat())
        night = sync.Night(home, at, self.installation.inbox, (System.SPILASUITE,), short_cut=self.short_cut)
        [report] = sync.settle(night, System.SPILASUITE, [AGENCY], Quiet(), f"run of {self.day}")
        self.day += dt.timedelta(days=1)
        return report.as_json()

    def told(self) -> list[Any]:
        return [e for e in self.installation.log(AGENCY).read().entries if isinstance(e, Receipt | Exceeded)]

    def append(self, entry: Any, at: dt.datetime) -> None:
        self.installation.log(AGENCY).append(entry, at)

    def held(self) -> dict[str, Any]:
        """All that the shelf holds, but for what differs between two: ciphertexts, heads, proofs."""
        return meanwhile.held(self.installation, AGENCY, {"sealed", "capability", "generation", "proof"})


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often a shelf was opened."""
    counts, real = Counter[str](), OpenShelf.open.__func__  # type: ignore[attr-defined]

    def once(cls: Any, *given: Any, **named: Any) -> Any:
        counts["shelf"] += 1
        return real(cls, *given, **named)

    monkeypatch.setattr(OpenShelf, "open", classmethod(once))
    return counts


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """After a first night."""
    made = Nights.begin(tmp_path)
    made.hear()
    return made


def test_a_silent_source_opens_no_shelf_and_leaves_all_that_a_reading_leaves(
    nights: Nights, opened: Counter[str]
) -> None:
    for horizon in (30, 40, 40):
        nights.views.horizons = [horizon]
        report = nights.hear()
        assert (report["outcome"], report["tables"], report["quarantined"]) == ("accepted", {}, [])
    assert opened == {}
    assert [r.delivery for r in nights.told()] == [f"SPILASUITE_A0001_2026010{n}" for n in (5, 6, 7, 8)]
    assert [len(r.tables) > 0 for r in nights.told()] == [True, False, False, False]
    with Shelf.known(nights.installation.home, AGENCY) as shelf:
        assert shelf.cursor(System.SPILASUITE) == "40"
        assert {d.receipted for d in shelf.deliveries()} == {1}
        assert len(shelf.deliveries()) == 4


def test_what_it_says_afterwards_is_kept(nights: Nights, opened: Counter[str]) -> None:
    nights.hear()
    nights.views.add("v_immeuble", id_immeuble=12, code_immeuble="IM2")
    assert nights.hear()["tables"]["v_immeuble"]["stored"] == 1
    assert opened["shelf"] == 1
    nights.hear()
    assert opened["shelf"] == 1
    assert len(nights.installation.tables(AGENCY)["building"]) == 2


def test_the_switch_opens_the_shelf(nights: Nights, opened: Counter[str]) -> None:
    nights.short_cut = False
    assert nights.hear()["outcome"] == "accepted"
    assert opened["shelf"] == 1


def _other_code(_: Nights, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(unchanged, "code", lambda: "of another version")


def _other_instruction(n: Nights, _: pytest.MonkeyPatch) -> None:
    meanwhile.instructed_anew(n.installation, AGENCY, ("*",), noon("2026-01-05"))


def _write(n: Nights, _: pytest.MonkeyPatch) -> None:
    with meanwhile.written_to(n.installation, AGENCY) as db:
        db.execute(update(FLOW).values(until=None))


@pytest.mark.parametrize("happened", [_other_code, _other_instruction, _write])
def test_whatever_else_may_have_changed_the_shelf_is_opened(
    nights: Nights, opened: Counter[str], monkeypatch: pytest.MonkeyPatch, happened: Callable[..., None]
) -> None:
    happened(nights, monkeypatch)
    before = opened["shelf"]
    assert nights.hear()["outcome"] == "accepted"
    assert opened["shelf"] == before + 1
    nights.hear()
    assert opened["shelf"] == before + 1


@pytest.mark.parametrize(
    ("lie", "reason"),
    [
        ({"counted": {"v_lot": 3}}, "spilasuite.count_mismatch"),
        ({"horizons": [1]}, "spilasuite.horizon_regression"),
        ({"without": {"v_bail"}}, "spilasuite.view_missing"),
        ({"code": "A0002"}, "agency.mismatch"),
    ],
)
def test_what_the_contract_asks_of_the_views_is_asked(nights: Nights, lie: dict[str, Any], reason: str) -> None:
    nights.views = replace(nights.views, **lie)
    assert nights.hear()["reason"] == reason


def test_without_an_instruction_no_source_is_asked(nights: Nights) -> None:
    (given,) = nights.installation.log(AGENCY).read().instructions
    nights.append(Withdrawal(given.id, noon("2026-01-05"), noon("2026-01-05")), noon("2026-01-05"))
    nights.path.unlink()
    nights.views.write = lambda path: path  # type: ignore[method-assign]
    assert nights.hear()["reason"] == "agency.no_instruction"


def test_what_is_due_after_a_kill_is_made_up_for(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.books.Books.noted", failing)
        with pytest.raises(OSError, match="the disk is full"):
            nights.hear()
    assert len(nights.told()) == 1
    nights.hear()  # the same day once more
    assert [r.delivery for r in nights.told()] == [f"SPILASUITE_A0001_2026010{n}" for n in (5, 6, 6)]
    with Shelf.known(nights.installation.home, AGENCY) as shelf:
        assert {d.receipted for d in shelf.deliveries()} == {1}


def test_twins_tell_and_hold_the_same_whatever_comes(tmp_path: Path, opened: Counter[str]) -> None:
    silent = 0
    for seed in range(3):
        rng = random.Random(seed)
        one = Nights.begin(tmp_path / f"{seed}" / "one", rng.choice((("*",), ("person", "building"))))
        one.hear()
        other = one.twin(tmp_path / f"{seed}" / "other")
        other.installation.set_source(AGENCY, other.path)
        for _ in range(10):
            if rng.random() < 0.4:
                _moved(one.views, rng)
            if rng.random() < 0.15:
                for twin in (one, other):
                    _instructed_anew(twin)
            counted = opened["shelf"]
            told = one.hear()
            silent += opened["shelf"] == counted
            assert told == other.hear()
        assert one.held() == other.held()
        assert one.told() == other.told()
    assert silent > 8


def _moved(views: Views, rng: random.Random) -> None:
    """A change, a new row, an end, an erasure, a bad row."""
    n = rng.randrange(10)
    match rng.randrange(5):
        case 0:
            views.rows["v_immeuble"] = []
            views.add("v_immeuble", code_immeuble=f"IM{n}")
        case 1:
            views.add("v_lot", id_lot=600 + views._last, numero_lot=str(n))
        case 2:
            views.add("v_suppression", cle=str(600 + n), date_suppression="2026-01-06")
        case 3:
            views.add("v_suppression", nom_vue="v_tiers", cle="1004", motif="EFFACEMENT", date_suppression="2026-01-06")
        case _:
            views.add("v_document", id_document=50_000 + views._last, audience="PERSONNE")


def _instructed_anew(n: Nights) -> None:
    at = noon(n.day.isoformat()) - dt.timedelta(hours=1)
    meanwhile.instructed_anew(n.installation, AGENCY, ("person", "building", "document"), at)
