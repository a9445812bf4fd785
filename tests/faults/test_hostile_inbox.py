"""What an agency lays into its folder instead of a delivery costs it a refusal or nothing, and nobody else anything."""

import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Known, Opened, Permitted
from connectors.sdgi import Sdgi
from schemas.ids import System
from tests.functional.conftest import SAMPLES, Installation, noon

DAY = "2026-01-05"
HOSTILE, OTHER = "A0001", "A0002"
SECONDS = 60.0


def sample(agency: str) -> Path:
    return next((SAMPLES / "deliveries" / DAY / agency / "sdgi").iterdir())


@pytest.fixture
def prepared(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path)
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    for agency in (HOSTILE, OTHER):
        installation.instruct(agency)
    installation.place(sample(OTHER), OTHER, "sdgi")
    (installation.inbox / HOSTILE / "sdgi").mkdir(parents=True)
    return installation


def settled(i: Installation) -> dict[tuple[str, str], tuple[str, str | None]]:
    """In a thread: whatever hangs is seen to hang."""
    found: list[dict[str, Any]] = []
    night = threading.Thread(target=lambda: found.extend(i.sync(noon(DAY), [System.SDGI], portal=False)), daemon=True)
    night.start()
    night.join(SECONDS)
    assert not night.is_alive()
    return {(r["agency"], r["delivery"]): (r["outcome"], r["reason"]) for r in found}


ACCEPTED = {(OTHER, sample(OTHER).name): ("accepted", None)}


def test_a_link_is_no_delivery_wherever_it_leads(prepared: Installation, tmp_path: Path) -> None:
    elsewhere = Path(shutil.copy(sample(HOSTILE), tmp_path / "elsewhere.zip"))
    (prepared.inbox / HOSTILE / "sdgi" / sample(HOSTILE).name).symlink_to(elsewhere)
    (prepared.inbox / HOSTILE / "sdgi" / "SDGI_A0001_20260106_0210.zip").symlink_to("/dev/zero")
    (prepared.inbox / HOSTILE / "sdgi" / "SDGI_A0001_20260107_0210.zip").symlink_to("SDGI_A0001_20260107_0210.zip")
    assert settled(prepared) == ACCEPTED


def test_a_pipe_and_a_folder_named_like_deliveries_are_not_waited_for(prepared: Installation) -> None:
    folder = prepared.inbox / HOSTILE / "sdgi"
    os.mkfifo(folder / sample(HOSTILE).name)
    (folder / "SDGI_A0001_20260106_0210.zip").mkdir()
    os.mkfifo(folder / "SDGI_A0001_20260107_0210.zip.tmp")
    assert settled(prepared) == ACCEPTED


def test_a_file_that_grows_while_it_is_read_waits_for_the_next_night(
    prepared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.place(sample(HOSTILE), HOSTILE, "sdgi")
    mine = prepared.inbox / HOSTILE / "sdgi" / sample(HOSTILE).name
    read = Sdgi.open

    def grown(self: Sdgi, delivery: Permitted, known: Known) -> Opened:
        opened = read(self, delivery, known)
        if delivery.agency == HOSTILE:
            with mine.open("ab") as file:
                file.write(b"more")
        return opened

    monkeypatch.setattr(Sdgi, "open", grown)
    assert settled(prepared) == ACCEPTED | {(HOSTILE, mine.name): ("refused", "source.unreachable")}


def test_a_file_that_vanishes_before_it_is_read_costs_a_refusal(
    prepared: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared.place(sample(HOSTILE), HOSTILE, "sdgi")
    mine = prepared.inbox / HOSTILE / "sdgi" / sample(HOSTILE).name
    read = Sdgi.open

    def gone(self: Sdgi, delivery: Permitted, known: Known) -> Opened:
        if delivery.agency == HOSTILE:
            mine.unlink()
        return read(self, delivery, known)

    monkeypatch.setattr(Sdgi, "open", gone)
    assert settled(prepared) == ACCEPTED | {(HOSTILE, mine.name): ("refused", "source.unreachable")}
