"""What a snapshot of the portal still says of an agency that was erased (portal.md)."""

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import AgencyCode
from store import register
from store.house import House
from tests.functional.conftest import Installation, noon

ACCOUNTS = "id_compte;identifiant;courriel;cree_le;derniere_connexion;ferme_le"
ATTACHMENTS = "id_compte;code_agence;systeme;cle_personne;rattache_le"
REGISTER = (
    "code_agence;raison_sociale;siret;date_debut;date_fin;motif_fin;restriction;restriction_portee;systemes;contact_dpo"
)
AT = "2025-03-01T10:00:00Z"


def account(key: str) -> str:
    return f"{key};{key.lower()};{key.lower()}@exemple.test;{AT};;"


def attachment(key: str, agency: str, at: str = AT) -> str:
    return f"{key};{agency};login;p-1;{at}"


class Portal:
    """Snapshots of an installation whose agency A0001 ended, and is erased by `erase`."""

    def __init__(self, root: Path) -> None:
        self.installation = Installation(root)
        file = root / "AGENCES_20260101.csv"
        rows = [f"A000{n};AGENCE;9000000000000{n};2020-01-01;{end};;;;login;dpo@agence.test" for n, end in
                ((1, "2025-12-01"), (2, ""))]  # fmt: skip
        file.write_text("\n".join([REGISTER, *rows, ""]))
        self.installation.load_register(file)

    def erase(self) -> None:
        with House.open(self.installation.home) as house, house.writing() as db:
            register.mark_erased(db, AgencyCode("A0001"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    def hear(self, accounts: Sequence[str], attachments: Sequence[str], day: str = "2026-01-05") -> dict[str, Any]:
        folder = self.installation.inbox / "_portal"
        folder.mkdir(parents=True, exist_ok=True)
        for name, header, lines in (("COMPTES", ACCOUNTS, accounts), ("RATTACHEMENTS", ATTACHMENTS, attachments)):
            text = "\n".join([header, *lines, f"FIN;{len(lines)}", ""])
            (folder / f"PORTAIL_{name}_{day.replace('-', '')}.csv").write_text(text)
        *_, report = self.installation.sync(noon(day), systems=(), portal=True)
        assert report["outcome"] == "accepted", report["reason"]
        return report

    def keys(self, table: str) -> list[str]:
        return [row["source_key"] for row in self.installation.tables(None)[table]]


@pytest.fixture
def portal(tmp_path: Path) -> Portal:
    made = Portal(tmp_path)
    made.erase()
    return made


def test_an_attachment_to_an_erased_agency_is_not_kept(portal: Portal) -> None:
    portal.hear([account("C1"), account("C2")], [attachment("C1", "A0001"), attachment("C2", "A0002")])
    assert portal.keys("portal_account") == ["C2"]
    assert [key.split(":")[:2] for key in portal.keys("portal_attachment")] == [["C2", "A0002"]]


def test_what_is_held_of_an_agency_goes_with_the_first_snapshot_after_its_erasure(tmp_path: Path) -> None:
    portal = Portal(tmp_path)
    said = ([account("C1"), account("C2")], [attachment("C1", "A0001"), attachment("C2", "A0002")])
    portal.hear(*said)
    assert portal.keys("portal_account") == ["C1", "C2"]
    portal.erase()
    portal.hear(*said, day="2026-01-06")
    assert portal.keys("portal_account") == ["C2"]
    assert [key.split(":")[:2] for key in portal.keys("portal_attachment")] == [["C2", "A0002"]]


def test_an_account_whose_other_attachment_is_put_aside_stays(portal: Portal) -> None:
    report = portal.hear([account("C1")], [attachment("C1", "A0001"), attachment("C1", "A0002", "hier")])
    assert portal.keys("portal_account") == ["C1"]
    assert [q["reason"] for q in report["quarantined"]] == ["row.bad_date"]
    assert report["tables"]["PORTAIL_RATTACHEMENTS"]["ignored"] == 1


def test_a_wrong_attachment_to_an_erased_agency_is_ignored_with_its_account_and_not_put_aside(portal: Portal) -> None:
    report = portal.hear([account("C1"), account("C2")], [attachment("C1", "A0001", "hier")])
    assert portal.keys("portal_account") == ["C2"]
    assert report["quarantined"] == []
    assert {name: t["ignored"] for name, t in report["tables"].items()} == {
        "PORTAIL_COMPTES": 1,
        "PORTAIL_RATTACHEMENTS": 1,
    }


def test_a_wrong_account_that_is_attached_to_an_erased_agency_only_is_ignored(portal: Portal) -> None:
    report = portal.hear([account("C1").replace(AT, "hier")], [attachment("C1", "A0001")])
    assert report["quarantined"] == []
    assert report["tables"]["PORTAIL_COMPTES"]["ignored"] == 1
