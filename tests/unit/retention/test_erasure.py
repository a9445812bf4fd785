"""A whole erasure on a real home: on time, once, of one agency only, with evidence."""

import datetime as dt
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from ledger import certificate
from ledger.entry import Erased, Window
from ledger.fsck import check_home
from ledger.mandate import fold
from pipelines import erasure
from pipelines.locks import sole
from retention.plan import Kind
from retention.steps import Done, NothingThere
from schemas.errors import NotVerified, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.report import Report
from store import engine, register
from store.agency import OpenShelf
from store.house import House
from store.keys import Keyring, open_root, signer
from tests import engines
from tests.leave import capability, warrant
from tests.unit.retention.conftest import A1, A2, A3, BEFORE, CLOSED, ENDS, EVIDENCE, Installation

DAY = dt.timedelta(days=1)


def only(swept: erasure.Swept) -> erasure.Erasure:
    (one,) = swept.erasures
    return one


def test_a_second_before_the_window_closes_nothing_is_due_and_nothing_happens(installation: Installation) -> None:
    before = installation.named(A3)
    assert erasure.outlook(installation.broom, BEFORE).plans == ()
    assert erasure.run(installation.broom, BEFORE) == erasure.Swept((), ())
    assert installation.named(A3) == before
    assert "EXEMPLE A0003" in installation.person(A3)


def test_when_it_closes_everything_of_the_agency_goes_but_the_evidence(installation: Installation) -> None:
    done = only(erasure.run(installation.broom, CLOSED))
    assert done.problem is None
    assert done.certificate is not None
    assert installation.named(A3) == EVIDENCE
    assert {c: v for c, v in installation.register_row(A3).items() if v is not None} == {
        "code": "A0003", "date_fin": ENDS, "erased_on": CLOSED.replace(tzinfo=None), "closed": ENDS,
    }  # fmt: skip


def test_accounts_attached_to_a_living_agency_stay_and_the_last_one_goes(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    assert installation.accounts() == {"CPT1", "CPT3", "CPT4"}
    assert installation.attachments() == {"CPT1:A0001:sdgi:C:1", "CPT3:A0002:sdgi:C:1"}


def test_ending_one_agency_never_touches_another(installation: Installation) -> None:
    before = {a: (installation.named(a), installation.person(a), installation.register_row(a)) for a in (A1, A2)}
    erasure.run(installation.broom, CLOSED)
    for a, (named, person, row) in before.items():
        assert installation.named(a) == named
        assert installation.person(a) == person
        assert installation.register_row(a) == row
    with House.open(installation.home) as house:
        assert len(house.journal(A1)) == 1


@pytest.mark.files
def test_a_copy_of_everything_but_the_keys_taken_the_day_before_opens_to_nothing(
    installation: Installation, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    engines.copied(installation.home.root, backup)
    erasure.run(installation.broom, CLOSED)
    copied = Home.at(backup, installation.home.keys)
    root = open_root(copied)
    with pytest.raises(Refused, match="erased"):
        Keyring.open(copied, root, capability(A3))
    with (
        Keyring.open(copied, root, capability(A1)) as another,
        OpenShelf(engine.of(copied).shelf(A3), another, warrant(A3)) as shelf,
    ):
        row = shelf.db.exec_driver_sql("SELECT * FROM person").one()
        with pytest.raises(NotVerified):
            shelf.open_row("person", row.system, row.source_key, row.kid, row.sealed)


def test_the_steps_say_what_was_destroyed(installation: Installation) -> None:
    told: list[tuple[str, str]] = []
    done = only(erasure.run(installation.broom, CLOSED, told=lambda a, s, o: told.append((a, type(s).__name__))))
    assert [o for _, o in done.steps] == [
        Done({"key_rings": 1}),
        Done({"person": 1, "line": 1, "shelves": 1}),
        Done({"journal": 1, "source": 1, "register_rows": 1}),
        Done({"portal_attachment": 2, "portal_account": 1}),
        Done({"deliveries": 1}),
        Done({"events": 1}),
    ]
    assert [name for _, name in told] == [type(s).__name__ for s, _ in done.steps]


def test_the_certificate_verifies_with_the_homes_key_and_stands_in_the_ledger(installation: Installation) -> None:
    done = only(erasure.run(installation.broom, CLOSED + dt.timedelta(hours=1)))
    assert done.certificate is not None
    history = installation.log(A3).read()
    certificate.verify(done.certificate, signer(installation.home, installation.root).public_key(), history)
    stated = certificate.parse(done.certificate.read_bytes())
    assert (stated.agency, stated.contract_end, stated.late) == (A3, ENDS, dt.timedelta(hours=1))
    assert [s.place for s in stated.searched if s.found] == []
    assert check_home(installation.home.root)[2].certificates


def test_the_ledger_tells_the_window_and_the_erasure_and_ends_the_mandate(installation: Installation) -> None:
    assert fold(installation.log(A3).read(), BEFORE).grants
    erasure.run(installation.broom, CLOSED)
    history = installation.log(A3).read()
    assert [type(e) for e in history.entries[-2:]] == [Window, Erased]
    assert fold(history, CLOSED).grants == ()
    assert fold(installation.log(A1).read(), CLOSED).grants


def test_again_is_nothing(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    evidence = {p: p.read_bytes() for p in installation.home.root.rglob("*.json*")}
    for at in (CLOSED, CLOSED + DAY):
        assert erasure.run(installation.broom, at) == erasure.Swept((), ())
    assert {p: p.read_bytes() for p in installation.home.root.rglob("*.json*")} == evidence


def test_the_same_register_loaded_again_does_not_bring_it_back(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.load({A1: "", A2: "", A3: ENDS.isoformat()}, "20260120")
    assert erasure.run(installation.broom, CLOSED + 7 * DAY) == erasure.Swept((), ())
    assert installation.register_row(A3)["raison_sociale"] is None


def test_after_a_long_downtime_the_first_run_erases_and_says_how_late(installation: Installation) -> None:
    done = only(erasure.run(installation.broom, CLOSED + 60 * DAY))
    assert done.as_json()["late_seconds"] == 60 * 86400


def test_an_end_moved_later_inside_the_seven_days_cancels_and_earlier_hastens(installation: Installation) -> None:
    installation.load({A1: "", A2: "2026-01-05", A3: "2026-01-31"}, "20260107")
    assert [p.agency for p in erasure.outlook(installation.broom, CLOSED).plans] == [A2]
    assert [e.agency for e in erasure.run(installation.broom, CLOSED).erasures] == [A2]
    assert "EXEMPLE A0003" in installation.person(A3)
    assert [e.agency for e in erasure.run(installation.broom, CLOSED + 25 * DAY).erasures] == [A3]


def test_after_a_new_start_nothing_of_the_old_contract_counts_and_the_next_end_erases_again(
    installation: Installation,
) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.load({A1: "", A2: "", A3: "2026-03-31"}, "20260120")
    later = dt.datetime(2026, 2, 1, tzinfo=dt.UTC)
    assert fold(installation.log(A3).read(), later).grants == ()
    installation.keep(A3)
    installation.deliver(A3)
    assert erasure.run(installation.broom, later) == erasure.Swept((), ())
    done = only(erasure.run(installation.broom, dt.datetime(2026, 4, 7, 22, tzinfo=dt.UTC)))
    assert done.certificate is not None
    assert done.certificate.name == "A0003-20260408.json"
    assert {p.name for p in installation.home.certificates.iterdir()} == {"A0003-20260114.json", "A0003-20260408.json"}
    check_home(installation.home.root)


# -- what comes late ---------------------------------------------------------------------------------------------------


def test_a_file_that_arrives_after_the_erasure_is_removed_and_certified(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.deliver(A3)
    installation.deliver(A1, "SDGI_A0003_20260106_0210.zip")
    done = only(erasure.run(installation.broom, CLOSED + DAY))
    assert done.plan.kind is Kind.LATE_FILES
    assert done.problem is None
    assert dict(done.steps)[done.plan.steps[4]] == Done({"deliveries": 2})
    assert dict(done.steps)[done.plan.steps[0]] == NothingThere()
    told = {f"certificates/{A3}-20260115.json", f"lineage/{A3}.jsonl"}  # the event of the first erasure
    assert installation.named(A3) == EVIDENCE | told
    assert erasure.run(installation.broom, CLOSED + 2 * DAY) == erasure.Swept((), ())
    last = installation.log(A3).read().entries[-1]
    assert isinstance(last, Erased)
    assert last.late_files


def test_a_shelf_that_came_back_after_the_erasure_is_destroyed_keys_first(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.keep(A3)
    done = only(erasure.run(installation.broom, CLOSED + DAY))
    assert done.problem is None
    assert done.steps[0][1] == Done({"key_rings": 1})
    assert not engine.of(installation.home).holds(A3)


def test_late_files_of_an_agency_that_started_again_are_deliveries(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.load({A1: "", A2: "", A3: ""}, "20260120")
    kept = installation.deliver(A3)
    assert erasure.run(installation.broom, CLOSED + 9 * DAY) == erasure.Swept((), ())
    assert kept.exists()


def snapshots(i: Installation, *days: str) -> list[Path]:
    folder = i.inbox / "_portal"
    folder.mkdir(exist_ok=True)
    out = []
    for day in days:
        for name, text in [("COMPTES", "id\nFIN;0\n"), ("RATTACHEMENTS", "id\nCPT1;A0003;sdgi;C:1;x\nFIN;1\n")]:
            out.append(folder / f"PORTAIL_{name}_{day}.csv")
            out[-1].write_text(text)
    return out


def accepted(i: Installation, day: str) -> None:
    report = Report(
        None, System.PORTAL, f"PORTAIL_COMPTES_{day.replace('-', '')}.csv", dt.date.fromisoformat(day), "accepted"
    )
    with House.open(i.home) as house:
        house.journal_add([report], CLOSED, "run-1")


def test_snapshots_of_the_portal_that_name_the_agency_go_once_a_newer_one_was_accepted(
    installation: Installation,
) -> None:
    old, newest = snapshots(installation, "20260112"), snapshots(installation, "20260113")
    accepted(installation, "2026-01-13")
    done = only(erasure.run(installation.broom, CLOSED))
    assert done.problem is None
    assert not any(p.exists() for p in old)
    assert all(p.exists() for p in newest)
    assert erasure.run(installation.broom, CLOSED) == erasure.Swept((), ())
    accepted(installation, "2026-01-14")
    late = only(erasure.run(installation.broom, CLOSED + DAY))
    assert dict(late.steps)[late.plan.steps[4]] == Done({"portal_snapshots": 2})
    assert not any(p.exists() for p in newest)


# -- what is in the way ------------------------------------------------------------------------------------------------


class FailingOnce:
    """An orchestrator that cannot be reached the first time."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self.calls = 0

    def __call__(self, code: AgencyCode) -> Mapping[str, int]:
        self.calls += 1
        if self.calls == 1:
            raise TryAgain("the orchestrator does not answer")
        return self._installation.forget_orchestrator(code)


def broom(i: Installation, eraser: FailingOnce) -> erasure.Broom:
    return erasure.Broom(i.home, i.root, "0.1.0", eraser, frozenset({"erase"}), patience=0.2)


def test_no_certificate_while_a_step_could_not_and_the_next_run_finishes(installation: Installation) -> None:
    eraser = FailingOnce(installation)
    first = erasure.run(broom(installation, eraser), CLOSED)
    assert not first.complete
    assert only(first).problem == "could not: forget_orchestrator"
    assert only(first).certificate is None
    assert not installation.home.certificates.exists()
    assert not installation.home.keyring(A3).exists(), "what could go went"
    second = only(erasure.run(broom(installation, eraser), CLOSED + DAY))
    assert second.problem is None
    assert second.steps[0][1] == Done({"key_rings": 1}), "what the first attempt destroyed stays told"
    assert installation.register_row(A3)["erased_on"] == (CLOSED + DAY).replace(tzinfo=None)


def test_once_its_keys_are_gone_an_erasure_is_finished_though_the_end_was_moved_later(
    installation: Installation,
) -> None:
    eraser = FailingOnce(installation)
    erasure.run(broom(installation, eraser), CLOSED)
    installation.load({A1: "", A2: "", A3: "2027-01-01"}, "20260114")
    done = only(erasure.run(broom(installation, eraser), CLOSED + DAY))
    assert (done.problem, done.plan.end) == (None, ENDS)
    installation.load({A1: "", A2: "", A3: "2027-01-01"}, "20260115")
    assert installation.register_row(A3)["erased_on"] is None, "and the later end is a new start"


def test_what_is_left_keeps_the_certificate_from_being_written(installation: Installation) -> None:
    stubborn = installation.home.root / "exports" / "notes.txt"
    stubborn.parent.mkdir()
    stubborn.write_text("to do: call A0003 back")
    first = only(erasure.run(installation.broom, CLOSED))
    assert first.problem == "something is left: texts"
    assert first.certificate is None
    stubborn.unlink()
    assert only(erasure.run(installation.broom, CLOSED)).problem is None


def test_an_agency_that_is_being_synchronised_waits_for_the_next_run_and_the_others_do_not(
    installation: Installation,
) -> None:
    installation.load({A1: "", A2: ENDS.isoformat(), A3: ENDS.isoformat()}, "20260106")
    held, release = threading.Event(), threading.Event()

    def synchronise() -> None:
        with sole(installation.home, A3):
            held.set()
            release.wait(30)

    other = threading.Thread(target=synchronise)
    other.start()
    held.wait(30)
    swept = erasure.run(installation.broom, CLOSED)
    release.set()
    other.join()
    problems = {e.agency: e.problem for e in swept.erasures}
    assert problems == {A2: None, A3: "busy: another run is at work on this agency"}
    assert only(erasure.run(installation.broom, CLOSED)).problem is None


@pytest.mark.files
def test_a_lock_that_was_removed_while_somebody_waited_for_it_is_not_held_by_two(installation: Installation) -> None:
    order: list[str] = []

    def wait() -> None:
        with sole(installation.home, A3):
            order.append("second")

    with sole(installation.home, A3) as path:
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("first")
        path.unlink()
    waiting.join()
    assert order == ["first", "second"]
    assert path.exists(), "the one who waited made the lock anew"


def test_a_diary_or_a_ledger_that_was_changed_stops_its_own_agency_only(installation: Installation) -> None:
    installation.load({A1: ENDS.isoformat(), A2: ENDS.isoformat(), A3: ENDS.isoformat()}, "20260106")
    checkpoint = installation.home.ledger(A1) / "checkpoint"
    checkpoint.write_bytes(checkpoint.read_bytes().replace(b"A0001", b"A0002"))
    diary = installation.home.root / "erasures" / f"{A2}.jsonl"
    diary.parent.mkdir()
    diary.write_text("{}\n{}\n")
    swept = erasure.run(installation.broom, CLOSED)
    assert {e.agency: e.problem for e in swept.erasures} == {
        A1: "not certified: NotVerified", A2: "the diary could not be kept: NotVerified", A3: None,
    }  # fmt: skip
    assert not installation.home.keyring(A1).exists(), "data does not stay because its ledger is broken"
    assert installation.home.keyring(A2).exists()


def test_late_files_left_unfinished_do_not_count_in_the_erasure_of_a_new_contract(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    installation.deliver(A3)
    assert only(erasure.run(broom(installation, FailingOnce(installation)), CLOSED + DAY)).problem
    installation.load({A1: "", A2: "", A3: "2026-03-31"}, "20260120")
    installation.keep(A3)
    done = only(erasure.run(installation.broom, dt.datetime(2026, 4, 7, 22, tzinfo=dt.UTC)))
    assert done.problem is None
    assert done.plan.kind is Kind.ERASURE
    assert done.steps[0][1] == Done({"key_rings": 1})
    assert done.steps[4][1] == NothingThere()


def test_the_brake_holds_and_a_named_agency_is_confirmed(installation: Installation) -> None:
    codes = [AgencyCode(f"B{n:04d}") for n in range(6)]
    everyone = dict.fromkeys([A1, A2, *codes], "") | {A3: ENDS.isoformat()}
    installation.load(everyone, "20260106")
    installation.load(everyone | dict.fromkeys(codes, "2025-12-31"), "20260113")
    swept = erasure.run(installation.broom, CLOSED)
    assert [e.agency for e in swept.erasures] == [A3]
    assert [d.agency for d in swept.held] == codes
    assert not swept.complete
    confirmed = erasure.run(installation.broom, CLOSED, agencies=codes[:1])
    assert [e.agency for e in confirmed.erasures] == codes[:1]
    assert confirmed.complete


def test_naming_an_agency_that_is_not_due_erases_nothing(installation: Installation) -> None:
    assert erasure.run(installation.broom, CLOSED, agencies=[A1]) == erasure.Swept((), ())
    assert installation.person(A1)


def test_a_whole_company_that_shares_a_number_is_no_residue(installation: Installation) -> None:
    path = installation.inbox.parent / "AGENCES_20260106.csv"
    text = (installation.inbox.parent / "AGENCES_20260105.csv").read_text()
    path.write_text(text.replace("94457746900017", "97304523000016"))
    with House.open(installation.home) as house, house.writing() as db:
        register.load(db, path)
    assert only(erasure.run(installation.broom, CLOSED)).problem is None


def test_ends_are_noted_in_the_ledger_once_when_they_are_set_and_when_they_move(installation: Installation) -> None:
    with House.open(installation.home) as house:
        assert erasure.note_ends(house, BEFORE, installation.root) == 1
        assert erasure.note_ends(house, BEFORE, installation.root) == 0
    installation.load({A1: "", A2: "", A3: "2026-02-28"}, "20260106")
    with House.open(installation.home) as house:
        assert erasure.note_ends(house, BEFORE, installation.root) == 1
    noted = [e for e in installation.log(A3).read().entries if isinstance(e, Window)]
    assert [(w.end, w.register_day) for w in noted] == [
        (ENDS, dt.date(2026, 1, 5)), (dt.date(2026, 2, 28), dt.date(2026, 1, 6)),
    ]  # fmt: skip


def test_a_run_for_some_agencies_does_not_count_as_having_looked_for_all(installation: Installation) -> None:
    erasure.run(installation.broom, CLOSED)
    late = snapshots(installation, "20260114")
    accepted(installation, "2026-01-15")
    erasure.run(installation.broom, CLOSED + DAY, agencies=[A1])
    assert all(p.exists() for p in late)
    assert only(erasure.run(installation.broom, CLOSED + DAY)).agency == A3
    assert not any(p.exists() for p in late)
