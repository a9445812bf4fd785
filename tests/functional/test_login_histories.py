"""LOGIN over several days, on a real shelf: erasures, chains of references, agencies whose keys look alike."""

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from schemas.ids import System
from tests.connectors.login.document import delta, envoi
from tests.functional.conftest import Installation, noon

AGENCIES = {"A0008": "91234567800013", "A0009": "91234567800021"}
INSTANTS = [f"2026-01-{day:02d}T02:00:00+01:00" for day in range(5, 9)]
REGISTER = (
    "code_agence;raison_sociale;siret;date_debut;date_fin;motif_fin;restriction;restriction_portee;systemes;contact_dpo"
)
GOOD = '<PersonnePhysique id="p-1" action="C"><Nom>BELLERIVE</Nom></PersonnePhysique>'
OTHER = '<PersonnePhysique id="p-2" action="C"><Nom>VALMONT</Nom></PersonnePhysique>'
# Falls with a member that nobody knows.
BROKEN = '<Indivision id="p-4" action="C"><Membres><Membre ref="p-9" droit="IN"/></Membres></Indivision>'
ERASED = '<Suppression objet="PersonnePhysique" ref="p-1" motif="EFFACEMENT" date="2026-01-06"/>'


def role(key: str, person: str) -> str:
    return f'<Bailleur id="{key}" action="C" personne="{person}"/>'


def account(key: str, holder: str) -> str:
    return f'<Compte id="{key}" action="C" titulaire="{holder}" numero="450" montant="0.00" sens="C"/>'


class Days:
    """The same agencies, one document each a day."""

    def __init__(self, root: Path, agencies: Sequence[str]) -> None:
        self.root, self.agencies, self.day = root, agencies, 0
        self.installation = Installation(root)
        register = root / "AGENCES_20260101.csv"
        rows = [f"{code};AGENCE;{siret};2020-01-01;;;;;login;dpo@agence.test" for code, siret in AGENCIES.items()]
        register.write_text("\n".join([REGISTER, *rows, ""]))
        self.installation.load_register(register)
        for code in agencies:
            self.installation.instruct(code)

    def hear(self, *documents: Sequence[str]) -> list[dict[str, Any]]:
        """The reports of one night; `documents`: the objects of each agency's document."""
        until = INSTANTS[self.day]
        for code, objects in zip(self.agencies, documents, strict=True):
            text = (
                envoi(*objects, until=until)
                if self.day == 0
                else delta(*objects, since=INSTANTS[self.day - 1], until=until)
            ).replace('siret="91234567800021" code="A0009"', f'siret="{AGENCIES[code]}" code="{code}"')
            file = self.root / f"LOGIN-{code}-{until[:10].replace('-', '')}T010000Z.xml.gz"
            file.write_bytes(gzip.compress(text.encode(), mtime=0))
            self.installation.place(file, code, "login")
        self.day += 1
        reports = self.installation.sync(noon(until[:10]), systems=(System.LOGIN,), portal=False)
        return [r for r in reports if until[:10].replace("-", "") in r["delivery"]]

    def keys(self, table: str, agency: str = "A0009") -> list[str]:
        return [row["source_key"] for row in self.installation.tables(agency)[table]]


@pytest.fixture
def days(tmp_path: Path) -> Days:
    return Days(tmp_path, ["A0009"])


def verdicts(report: dict[str, Any]) -> dict[str, str]:
    assert report["outcome"] == "accepted", report["reason"]
    return {q["ref"]: q["reason"] for q in report["quarantined"]}


def test_what_one_agency_still_says_keeps_nothing_alive_in_another(tmp_path: Path) -> None:
    person = '<PersonnePhysique id="p-1" action="C"><Courriels>{}</Courriels></PersonnePhysique>'
    first, second = "<Courriel>a@exemple.test</Courriel>", "<Courriel>b@exemple.test</Courriel>"
    both = person.format(first + second)
    days = Days(tmp_path, list(AGENCIES))
    days.hear([both], [both])
    days.hear([person.format(first)], [both.replace("b@", "c@")])
    assert days.keys("contact", "A0008") == ["p-1:email:1"]
    assert days.keys("contact", "A0009") == ["p-1:email:1", "p-1:email:2"]


def test_a_change_of_the_role_of_an_erased_person_dangles_and_the_rest_is_kept(days: Days) -> None:
    days.hear([GOOD, OTHER, role("b-1", "p-1")])
    days.hear([ERASED])
    [report] = days.hear(['<Bailleur id="b-1" action="M"/>', OTHER.replace("VALMONT", "MOREL")])
    assert verdicts(report) == {"b-1": "row.dangling_ref"}
    assert report["tables"]["PersonnePhysique"]["stored"] == 1


def test_a_change_of_an_erased_person_is_refused_as_such(days: Days) -> None:
    days.hear([GOOD])
    days.hear([ERASED])
    [report] = days.hear(['<PersonnePhysique id="p-1" action="M"><Nom>MOREL</Nom></PersonnePhysique>'])
    assert verdicts(report) == {"p-1": "row.erased_key"}


def test_an_account_that_fell_with_its_holder_is_not_known_any_more(days: Days) -> None:
    days.hear([GOOD, OTHER, role("b-1", "p-1"), account("ct-1", "b-1")])
    days.hear([ERASED])
    [report] = days.hear(['<Compte id="ct-1" action="M" montant="10.00"/>', OTHER.replace("VALMONT", "MOREL")])
    assert verdicts(report) == {"ct-1": "row.unknown_key"}


def test_an_erasure_said_twice_has_nothing_left_to_end(days: Days) -> None:
    days.hear([GOOD])
    [first], [second] = days.hear([ERASED]), days.hear([ERASED])
    assert (first["tables"]["Suppression"]["stored"], second["tables"]["Suppression"]["ignored"]) == (1, 1)


def test_only_accounts_behind_a_role_that_falls_fall_with_it(days: Days) -> None:
    roles = [role("b-1", "p-4"), role("b-2", "p-1"), role("b-3", "p-2")]
    [report] = days.hear([GOOD, OTHER, BROKEN, *roles, account("ct-1", "b-1"), account("ct-3", "b-3")])
    assert verdicts(report) == {"p-4": "row.dangling_ref", "b-1": "row.dangling_ref", "ct-1": "row.dangling_ref"}
    assert {row["person_key"] for row in days.installation.tables("A0009")["account"]} == {"p-2"}


def test_a_role_whose_new_person_falls_still_gives_the_person_it_had(days: Days) -> None:
    days.hear([GOOD, role("b-1", "p-1")])
    [report] = days.hear([BROKEN, role("b-1", "p-4"), account("ct-1", "b-1")])
    assert verdicts(report) == {"p-4": "row.dangling_ref", "b-1": "row.dangling_ref"}
    assert {row["person_key"] for row in days.installation.tables("A0009")["account"]} == {"p-1"}
