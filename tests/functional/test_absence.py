"""What an announced erasure takes along is not absent without a word (sdgi.md "Ends")."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.ids import System
from tests.connectors.sdgi.sending import CODE, Export, Line
from tests.functional.conftest import SAMPLES, Installation, noon

DOCUMENTS = [f"D{n};AG;Quittance;01/10/2023;;L;1;I;" for n in range(1, 9)]
GONE = ["L;;1;EFFACEMENT;;06/01/2026"]


def deliver(installation: Installation, stamp: str, documents: list[str], sorties: list[str]) -> dict[str, Any]:
    folder = installation.inbox / CODE / "sdgi"
    folder.mkdir(parents=True, exist_ok=True)
    tenants = [] if sorties else ["1;Mme;BELLERIVE Zoe;;;;;;;;"]
    lines: dict[str, Sequence[Line]] = {
        "LOCATAIRES.CSV": tenants,
        "DOCUMENTS.CSV": documents,
        "SORTIES.CSV": sorties,
    }
    path = Export(lines=lines, stamp=stamp, siret="94457746900017").write(folder).path
    day = f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}"
    [report] = installation.sync(noon(day), systems=(System.SDGI,), portal=False)
    assert path is not None
    path.unlink()
    return report


def started(installation: Installation) -> None:
    installation.load_register(SAMPLES / "agencies" / "AGENCES_20260105.csv")
    installation.instruct(CODE)
    assert deliver(installation, "202601050210", DOCUMENTS, [])["outcome"] == "accepted"


def test_documents_that_fall_with_an_erased_person_are_no_mass_disappearance(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    started(installation)
    report = deliver(installation, "202601060210", [], GONE)
    assert (report["delivery_flags"], report["ended"]) == ([], {"EFFACEMENT": 1})
    assert installation.tables(CODE)["document"] == []


def test_a_held_file_has_nothing_to_end_when_all_that_is_absent_fell_with_an_erased_person(tmp_path: Path) -> None:
    installation = Installation(tmp_path)
    started(installation)
    report = deliver(installation, "202601060210", ["one field"], GONE)
    assert [q["reason"] for q in report["quarantined"]] == ["row.field_count"]
    assert report["delivery_flags"] == []
