"""A delivery that is as the last one was is settled without a row being read, and comes to the same (0018).

Twins: two copies of one installation, one of which reads everything. Whatever comes, both tell and hold the same.
"""

import datetime as dt
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from connectors.sdgi import Sdgi
from ledger.deeds import Exceeded
from ledger.entry import Receipt
from pipelines import nightly, sync, unchanged
from pipelines.memory import USUAL
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.agency import OpenShelf, Shelf
from store.keys import Keyring, open_root
from store.sealing import framed, unseal
from store.tables import DELIVERY, FLOW, QUARANTINE
from tests import engines
from tests.connectors.sdgi.sending import CODE, Export, Line
from tests.functional import meanwhile
from tests.functional.conftest import SAMPLES, Installation, Quiet, noon

AGENCY = AgencyCode(CODE)
SIRET = "94457746900017"
Lines = Mapping[str, Sequence[Line]]
LINES: dict[str, Sequence[Line]] = {
    "LOCATAIRES.CSV": ["1;Mme;BELLERIVE Zoe;;;;z@exemple.test;05/11/66;;;", "2;M;VALMONT Luc;;;;;;;;"],
    "IMMEUBLES.CSV": ["I1;Les Tilleuls;1 rue A;29200;BREST;;3;O;O;"],
    "GESTIONNAIRES.CSV": ["G1;MOREL;Ana;;;;N;N"],
}
ASIDE = LINES | {"DOCUMENTS.CSV": ["one field"]}


class Nights:
    """One agency that sends SDGI, a night a day."""

    def __init__(self, installation: Installation, short_cut: bool = True) -> None:
        self.installation, self.short_cut, self.memory = installation, short_cut, USUAL
        self.day = dt.date(2026, 1, 5)

    @classmethod
    def begin(cls, root: Path, tables: Sequence[str] = ("*",), full_reading_days: int = 366) -> "Nights":
        """`full_reading_days`: with a year, no period of this agency ends in January 2026."""
        made = cls(Installation(root))
        with made.installation.home.settings.open("a", encoding="utf-8") as settings:
            settings.write(f"[night]\nfull_reading_days = {full_reading_days}\n")
        made.installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
        made.installation.instruct(CODE, tables)
        return made

    def twin(self, root: Path) -> "Nights":
        """A copy that reads everything."""
        made = Nights(Installation.on(engines.copied(self.installation.home.root.parent, root)), short_cut=False)
        made.day = self.day
        return made

    def hear(self, lines: Lines, days: int = 1, **more: Any) -> dict[str, Any]:
        folder = self.installation.inbox / CODE / "sdgi"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        Export(**{"lines": dict(lines), "stamp": f"{self.day:%Y%m%d}0210", "siret": SIRET, **more}).write(folder)
        home, inbox, at = self.installation.home, self.installation.inbox, noon(self.day.isoformat())
        night = sync.Night(home, at, inbox, (System.SDGI,), memory=self.memory, short_cut=self.short_cut)
        [report] = sync.settle(night, System.SDGI, [AGENCY], Quiet(), f"run of {self.day}")
        self.day += dt.timedelta(days=days)
        return report.as_json()

    def told(self) -> list[Any]:
        """What the log says that was done."""
        done = [e for e in self.installation.log(CODE).read().entries if isinstance(e, Receipt | Exceeded)]
        return [replace(e, sha256=None) if isinstance(e, Receipt) else e for e in done]

    def append(self, entry: Any, at: dt.datetime) -> None:
        self.installation.log(CODE).append(entry, at)

    def held(self) -> dict[str, Any]:
        """All that the shelf holds, but for what differs between two: ciphertexts, heads, proofs, times in a ZIP."""
        apart = {"sealed", "capability", "generation", "proof", "sha256"}
        return meanwhile.held(self.installation, AGENCY, apart) | {"put aside": self._opened()}

    def _opened(self) -> list[Any]:
        home = self.installation.home
        leave = Warrants(home, open_root(home), noon("2026-01-05")).grant(AGENCY, Act.RETURN)
        with Keyring.open(home, open_root(home), leave.capability) as keyring, Shelf.known(home, AGENCY) as shelf:
            return [
                r.sealed
                and unseal(
                    keyring.contents,
                    r.sealed,
                    framed(CODE, "quarantine", "sdgi", str(r.delivery), r.source, r.loc),
                )
                for r in shelf.db.execute(select(QUARANTINE).order_by(QUARANTINE.c.id))
            ]


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often something was read, at once or in slices, or keys and shelves opened."""
    counts, read, slices = Counter[str](), Sdgi.read, Sdgi.slices

    def reading(*given: Any) -> Any:
        counts["read"] += 1
        return read(*given)

    def opening(owner: Any) -> None:
        real = owner.open.__func__

        def once(cls: Any, *given: Any, **named: Any) -> Any:
            counts[owner.__name__] += 1
            return real(cls, *given, **named)

        monkeypatch.setattr(owner, "open", classmethod(once))

    def slicing(*given: Any) -> Any:
        counts["read"] += 1
        return slices(*given)

    monkeypatch.setattr(Sdgi, "read", reading)
    monkeypatch.setattr(Sdgi, "slices", slicing)
    opening(Keyring)
    opening(OpenShelf)
    return counts


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """After a first night and one that was not read."""
    made = Nights.begin(tmp_path)
    made.hear(LINES)
    return made


def test_the_same_again_opens_neither_keys_nor_shelf_and_leaves_all_that_a_delivery_leaves(
    nights: Nights, reads: Counter[str]
) -> None:
    for _ in range(3):
        report = nights.hear(LINES)
        assert report["tables"]["LOCATAIRES.CSV"] == {
            "read": 2, "stored": 0, "unchanged": 2, "quarantined": 0, "ignored": 0,
        }  # fmt: skip
    assert reads == {}
    assert [r.delivery for r in nights.told()] == [f"SDGI_A0002_2026010{n}_0210.zip" for n in (5, 6, 7, 8)]
    with Shelf.known(nights.installation.home, AGENCY) as shelf:
        assert shelf.cursor(System.SDGI) == "202601080210"
        assert {d.receipted for d in shelf.deliveries()} == {1}
        assert len(shelf.deliveries()) == 4


def test_once_in_as_many_days_as_the_settings_say_everything_is_read(tmp_path: Path, reads: Counter[str]) -> None:
    nights = Nights.begin(tmp_path, full_reading_days=7)
    nights.hear(LINES)
    for _ in range(14):
        nights.hear(LINES)
    assert reads["read"] == 3


def test_a_period_is_four_weeks_and_a_night_that_was_left_out_skips_no_full_reading(
    tmp_path: Path, reads: Counter[str]
) -> None:
    nights = Nights.begin(tmp_path, full_reading_days=nightly.USUAL_DAYS)
    nights.hear(LINES)
    for _ in range(7):
        nights.hear(LINES, days=27)
    assert reads["read"] == 7, "but for one, a period ended before each of these"


def test_a_night_has_as_many_full_readings_as_another() -> None:
    codes = [AgencyCode(f"Z{n:04}") for n in range(2800)]
    first = dt.date(2026, 1, 5)
    by_night = [
        sum(unchanged.is_due_in_full(code, System.GPI, day, day + dt.timedelta(1), 28) for code in codes)
        for day in (first + dt.timedelta(n) for n in range(28))
    ]
    assert sum(by_night) == len(codes), "each once in four weeks"
    assert min(by_night) > 60
    assert max(by_night) < 140


@pytest.mark.parametrize("said", ["0", "367", "true", '"28"', "2.5"])
def test_a_number_of_days_that_is_none_is_told_before_the_night(tmp_path: Path, said: str) -> None:
    home = Home.at(tmp_path)
    home.settings.write_text(f"[night]\nfull_reading_days = {said}\n", encoding="utf-8")
    with pytest.raises(Malformed, match=r"night\.full_reading_days is no number of days"):
        sync.Night(home, noon("2026-01-05"), None, ())


def test_without_a_word_it_is_four_weeks(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    assert nightly.full_reading_days(home) == 28
    home.settings.write_text('[night]\nmemory = "2GiB"\n', encoding="utf-8")
    assert nightly.full_reading_days(home) == 28
    home.settings.write_text("night = 3\n", encoding="utf-8")
    with pytest.raises(Malformed, match="night is no table"):
        nightly.full_reading_days(home)


def test_the_switch_reads_everything(nights: Nights, reads: Counter[str]) -> None:
    nights.short_cut = False
    nights.hear(LINES)
    assert reads["read"] == 1


def _other_line(n: Nights, _: pytest.MonkeyPatch) -> Lines:
    return LINES | {"LOCATAIRES.CSV": ["1;Mme;BELLERIVE Zoé;;;;z@exemple.test;05/11/66;;;", "2;M;VALMONT Luc;;;;;;;;"]}


def _other_code(n: Nights, patch: pytest.MonkeyPatch) -> Lines:
    patch.setattr(unchanged, "code", lambda: "of another version")
    return LINES


def _other_instruction(n: Nights, _: pytest.MonkeyPatch) -> Lines:
    meanwhile.instructed_anew(n.installation, AGENCY, ("*",), noon("2026-01-05"))
    return LINES


def _write(n: Nights, _: pytest.MonkeyPatch) -> Lines:
    with meanwhile.written_to(n.installation, AGENCY) as db:
        db.execute(delete(QUARANTINE))
    return LINES


@pytest.mark.parametrize("happened", [_other_line, _other_code, _other_instruction, _write])
def test_whatever_else_may_have_changed_it_is_read(
    nights: Nights, reads: Counter[str], monkeypatch: pytest.MonkeyPatch, happened: Any
) -> None:
    lines = happened(nights, monkeypatch)
    before = reads["read"]
    assert nights.hear(lines)["outcome"] == "accepted"
    assert reads["read"] == before + 1


def test_it_is_read_on_the_day_on_which_a_birth_turns_to_another_century(tmp_path: Path, reads: Counter[str]) -> None:
    nights = Nights.begin(tmp_path)
    lines = {"LOCATAIRES.CSV": ["1;Mme;BELLERIVE Zoe;;;;;08/01/26;;;"]}
    stored = [nights.hear(lines)["tables"]["LOCATAIRES.CSV"]["stored"] for _ in range(4)]
    assert (stored, reads["read"]) == ([1, 0, 0, 1], 2)
    assert str(nights.installation.tables(CODE)["person"][0]["birth_date"]) == "2026-01-08"


def test_what_was_read_in_slices_is_not_read_again_either_but_on_the_day_it_turns(
    tmp_path: Path, reads: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sdgi, "read", lambda *_: pytest.fail("it was read whole"))
    nights = Nights.begin(tmp_path)
    nights.memory = 1  # a line is a slice
    lines = LINES | {"LOCATAIRES.CSV": ["1;Mme;BELLERIVE Zoe;;;;;08/01/26;;;", *LINES["LOCATAIRES.CSV"][1:]]}
    stored = [nights.hear(lines)["tables"]["LOCATAIRES.CSV"]["stored"] for _ in range(6)]
    assert (stored, reads["read"]) == ([2, 0, 0, 1, 0, 0], 3), "after a change one more is read"


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"stamp": "202601050210", "name": "SDGI_A0002_20260106_0210.zip"}, "sdgi.out_of_order"),
        ({"siret": "91234567800013"}, "agency.mismatch"),
        ({"digests": {"BAUX.CSV": "0" * 32}}, "sdgi.md5_mismatch"),
        ({"counts": {"BAUX.CSV": 3}}, "sdgi.count_mismatch"),
        ({"absent": ("BAUX.CSV",)}, "sdgi.member_missing"),
        ({"further": (("../x", b""),)}, "sdgi.unsafe_member"),
    ],
)
def test_what_the_contract_asks_of_the_new_bytes_is_asked(nights: Nights, more: dict[str, Any], reason: str) -> None:
    assert nights.hear(LINES, **more)["reason"] == reason


def test_what_was_put_aside_is_put_aside_again_and_opens(tmp_path: Path, reads: Counter[str]) -> None:
    nights = Nights.begin(tmp_path)
    nights.hear(ASIDE)
    nights.hear(ASIDE)
    read = reads["read"]
    nights.hear(ASIDE)
    assert reads["read"] == read == 2
    assert nights.held()["put aside"] == [b"one field"] * 3


def test_twins_tell_and_hold_the_same_whatever_comes(tmp_path: Path, reads: Counter[str]) -> None:
    short = in_full = 0
    for seed in range(3):
        rng = random.Random(seed)
        one = Nights.begin(tmp_path / f"{seed}" / "one", rng.choice((("*",), ("person", "building"))))
        one.hear(LINES)
        other = one.twin(tmp_path / f"{seed}" / "other")
        lines: Lines = LINES
        for _ in range(10):
            if rng.random() < 0.3:
                lines = _sent(rng)
            days, event = rng.randint(1, 2), rng.random()
            if event < 0.15:
                for twin in (one, other):
                    _withdraw(twin)
            counted = reads["read"]
            told = one.hear(lines, days)
            short, counted = short + (reads["read"] == counted), reads["read"]
            assert told == other.hear(lines, days)
            in_full += reads["read"] - counted
        assert one.held() == other.held()
        assert one.told() == other.told()
    assert (short > 5, in_full) == (True, 30)


def _withdraw(n: Nights) -> None:
    at = noon(n.day.isoformat()) - dt.timedelta(hours=1)
    meanwhile.instructed_anew(n.installation, AGENCY, ("person", "building", "document"), at)


def _sent(rng: random.Random) -> Lines:
    """Something else in the portfolio: changed, gone, ended, erased, bad."""
    return rng.choice((
        LINES, ASIDE,
        LINES | {"LOCATAIRES.CSV": ["2;M;VALMONT Luc;;;;;;;;"]},
        LINES | {"SORTIES.CSV": ["L;;1;EFFACEMENT;;06/01/2026"], "LOCATAIRES.CSV": LINES["LOCATAIRES.CSV"]},
        {**LINES, "SORTIES.CSV": ["L;;1;SORTIE;;06/01/2026"], "LOCATAIRES.CSV": ["2;M;VALMONT Luc;;;;;;;;"]},
        {**LINES, "SORTIES.CSV": ["L;;1;DOUBLON;2;"], "LOCATAIRES.CSV": ["2;M;VALMONT Luc;;;;;;;;"]},
        {**LINES, "LOCATAIRES.CSV": [*LINES["LOCATAIRES.CSV"], "2;M;AUTRE Luc;;;;;;;;"]},
    ))  # fmt: skip


def test_the_same_after_an_erasure_is_read_until_it_changes_nothing(tmp_path: Path, reads: Counter[str]) -> None:
    nights = Nights.begin(tmp_path)
    lines = LINES | {"SORTIES.CSV": ["L;;1;EFFACEMENT;;06/01/2026"]}
    nights.hear(LINES)
    reports = [nights.hear(lines) for _ in range(3)]
    assert [r["ended"] for r in reports] == [{"EFFACEMENT": 1}, {}, {}]
    assert [len(r["quarantined"]) for r in reports] == [0, 1, 1]
    assert reads["read"] == 4


def test_what_is_due_after_a_kill_is_made_up_for(nights: Nights, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: Any) -> None:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("pipelines.books.Books.noted", failing)
        with pytest.raises(OSError, match="the disk is full"):
            nights.hear(LINES)
    assert len(nights.told()) == 1
    nights.hear(LINES)
    assert len(nights.told()) == len(set(map(repr, nights.told())))
    with Shelf.known(nights.installation.home, AGENCY) as shelf:
        assert {d.receipted for d in shelf.deliveries()} == {1}
        assert shelf.db.scalar(select(FLOW.c.cursor)) == max(d.name[11:19] for d in shelf.deliveries()) + "0210"
        assert len({d.name for d in shelf.db.execute(select(DELIVERY))}) == len(shelf.deliveries())
