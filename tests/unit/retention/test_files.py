"""Files of one agency go, wherever the contracts put them; nothing else is touched."""

import datetime as dt
import os
from pathlib import Path

import pytest

from retention.files import absent, delivered, leftovers, named, portal_day, remove_files, superseded
from schemas.home import Home
from schemas.ids import AgencyCode
from tests.unit.retention.conftest import A1, A2, A3

NEWEST = dt.date(2026, 1, 13)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home.at(tmp_path / "home")


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


def touch(path: Path, text: str = "x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def snapshot(inbox: Path, day: str, *codes: AgencyCode) -> tuple[Path, Path]:
    lines = [f"CPT{n};{code};sdgi;C:1;2026-01-05T05:00:00+01:00" for n, code in enumerate(codes)]
    attachments = "\n".join(["id_compte;code_agence;systeme;cle_personne;rattache_le", *lines, f"FIN;{len(lines)}", ""])
    return (
        touch(inbox / "_portal" / f"PORTAIL_COMPTES_{day}.csv"),
        touch(inbox / "_portal" / f"PORTAIL_RATTACHEMENTS_{day}.csv", attachments),
    )


def test_the_agencys_folder_goes_with_all_that_is_in_it_and_the_others_stay(home: Home, inbox: Path) -> None:
    touch(inbox / A3 / "sdgi" / "SDGI_A0003_20260105_0210.zip")
    touch(inbox / A3 / "notes" / "half.tmp")
    kept = touch(inbox / A1 / "sdgi" / "SDGI_A0001_20260105_0210.zip")
    assert remove_files(home, A3, [inbox], None)["deliveries"] == 2
    assert sorted(p.name for p in inbox.iterdir()) == [A1]
    assert kept.exists()
    assert remove_files(home, A3, [inbox], None) == {"deliveries": 0, "leftovers": 0, "portal_snapshots": 0}


@pytest.mark.parametrize(
    "name", ["SDGI_A0003_20260105_0210.zip", "LOGIN-A0003-20260107T010000Z.xml.gz", "GPIA0003.000001", "A0003.zip"]
)
def test_a_delivery_laid_in_another_agencys_folder_goes_too(home: Home, inbox: Path, name: str) -> None:
    touch(inbox / A1 / "sdgi" / name)
    kept = touch(inbox / A1 / "sdgi" / "SDGI_A0001_20260105_0210.zip")
    assert delivered(inbox, {A3}) == {A3: [inbox / A1 / "sdgi" / name]}
    assert remove_files(home, A3, [inbox], None)["deliveries"] == 1
    assert kept.exists()


@pytest.mark.parametrize("name", ["SDGI_A00031_20260105.zip", "XGPIA0003.000001", "a0003.zip", "SDGI_20260_A0001.zip"])
def test_a_name_that_only_looks_like_the_agencys_stays(inbox: Path, name: str) -> None:
    touch(inbox / A1 / "sdgi" / name)
    assert delivered(inbox, {A3}) == {}


def test_nothing_is_looked_at_outside_the_layout_of_an_inbox(home: Home, inbox: Path) -> None:
    deep = touch(inbox / "srv" / "backups" / "2026" / A3 / "A0003.zip")
    aside = touch(inbox / "srv" / "A0003.zip")
    portal = touch(inbox / "_portal" / "sdgi" / "A0003.zip")
    assert remove_files(home, A3, [inbox], NEWEST)["deliveries"] == 0
    assert deep.exists()
    assert aside.exists()
    assert portal.exists()


def test_links_are_removed_and_never_followed(home: Home, inbox: Path, tmp_path: Path) -> None:
    treasure = touch(tmp_path / "elsewhere" / "SDGI_A0003_20260105_0210.zip")
    inbox.mkdir()
    (inbox / A3).symlink_to(treasure.parent)
    (inbox / A1).mkdir()
    (inbox / A1 / "sdgi").symlink_to(treasure.parent)
    assert remove_files(home, A3, [inbox], None)["deliveries"] == 1
    assert not (inbox / A3).is_symlink()
    assert treasure.exists()


def test_a_hard_link_loses_its_name_and_not_its_content(home: Home, inbox: Path, tmp_path: Path) -> None:
    own = touch(tmp_path / "agency" / "own-copy.zip", "the agency's own")
    (inbox / A3 / "sdgi").mkdir(parents=True)
    os.link(own, inbox / A3 / "sdgi" / "SDGI_A0003_20260105_0210.zip")
    remove_files(home, A3, [inbox], None)
    assert own.read_text() == "the agency's own"


def test_snapshots_of_the_portal_go_when_they_name_the_agency_and_were_superseded(home: Home, inbox: Path) -> None:
    old = snapshot(inbox, "20260111", A1, A3)
    of_others = snapshot(inbox, "20260112", A1, A2)
    newest = snapshot(inbox, "20260113", A1, A3)
    later = snapshot(inbox, "20260114", A3)
    assert remove_files(home, A3, [inbox], NEWEST)["portal_snapshots"] == 2
    assert not any(p.exists() for p in old)
    assert all(p.exists() for p in (*of_others, *newest, *later))


def test_no_snapshot_goes_before_one_was_accepted(home: Home, inbox: Path) -> None:
    kept = snapshot(inbox, "20260111", A3)
    assert remove_files(home, A3, [inbox], None)["portal_snapshots"] == 0
    assert all(p.exists() for p in kept)


def test_an_account_that_happens_to_be_called_like_the_agency_does_not_name_it(home: Home, inbox: Path) -> None:
    touch(inbox / "_portal" / "PORTAIL_RATTACHEMENTS_20260111.csv", "id\nA0003;A0001;sdgi;A0003;2026\nFIN;1\n")
    assert remove_files(home, A3, [inbox], NEWEST)["portal_snapshots"] == 0


def test_superseded_snapshots_are_looked_through_once_a_day(inbox: Path) -> None:
    snapshot(inbox, "20260111")
    snapshot(inbox, "20260112")
    assert sorted(superseded(inbox, NEWEST, since=dt.date(2026, 1, 12))) == [dt.date(2026, 1, 12)]


def test_what_a_crash_left_in_the_home_goes_and_the_evidence_stays(home: Home) -> None:
    half = touch(home.root / "shelves" / ".A0003.sqlite.tmp")
    archived = touch(home.root / "archive" / "A0003" / "old.zip")
    evidence = [
        touch(home.ledger(A3) / "entries"), touch(home.log_key(A3)), touch(home.certificates / "A0003-20260114.json"),
        touch(home.root / "erasures" / "A0003.jsonl"), touch(home.locks / "A0003.lock"),
    ]  # fmt: skip
    others = [touch(home.shelf(A1)), touch(home.keyring(A1)), touch(home.house)]
    assert sorted(leftovers(home, A3)) == sorted([half, archived.parent])
    assert remove_files(home, A3, [], None)["leftovers"] == 2
    assert not half.exists()
    assert not archived.exists()
    assert all(p.exists() for p in evidence + others)


def test_the_key_ring_and_the_shelf_are_left_to_their_own_steps(home: Home) -> None:
    touch(home.keyring(A3))
    touch(home.shelf(A3))
    assert leftovers(home, A3) == []


def test_an_inbox_that_is_gone_is_counted_and_no_obstacle(home: Home, inbox: Path) -> None:
    assert remove_files(home, A3, [inbox], NEWEST) == {"deliveries": 0, "leftovers": 0, "portal_snapshots": 0}
    assert absent([inbox, home.root]) == 2


def test_names_of_files_tell_codes_apart_from_dates() -> None:
    assert named("SDGI_A0003_20260105_0210.zip") == {A3}
    assert "20260" not in named("SDGI_A0003_20260105_0210.zip")
    assert named("GPIA0003.000001") == {A3}


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("PORTAIL_COMPTES_20260112.csv", dt.date(2026, 1, 12)),
        ("PORTAIL_RATTACHEMENTS_20260112.csv", dt.date(2026, 1, 12)),
        ("PORTAIL_COMPTES_20260231.csv", None), ("PORTAIL_COMPTES_20260112.csv.bak", None), ("A0003.csv", None),
    ],
)  # fmt: skip
def test_the_day_of_a_portal_file_is_in_its_name(name: str, day: dt.date | None) -> None:
    assert portal_day(name) == day
