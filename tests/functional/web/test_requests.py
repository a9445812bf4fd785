"""Requests of persons: registered without a name, with their deadlines, answered under the mandate, forgotten whole."""

import csv
import datetime as dt
import io
import json
import re
from html import unescape

import pytest

from ledger.entry import Instruction
from ledger.orders import Channel, Erase
from pipelines.reception import forgetting, requests
from pipelines.reception.requests import later
from schemas.access import Role
from schemas.ids import AGENCY_SYSTEMS, AgencyCode
from schemas.mandate import Purpose
from store.keys import open_root
from tests.functional.conftest import SAMPLES, read_jsonl
from tests.functional.web.conftest import Browser, Door

TRUTH = SAMPLES / "truth" / "A0001" / "2026-01-06"
WITH = next(r for r in read_jsonl(TRUTH / "contact.jsonl") if r["source_system"] == "sdgi")
KEY = WITH["person_key"]
REFERENCE = "RGPD-2026-CANARY"


def words(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


@pytest.fixture(scope="module")
def signatory(standing: Door) -> Browser:
    return standing.person(Role.SIGNATORY, "A0001", "demandes@agence.example").browser


def register(browser: Browser, kind: str = "access", key: str = KEY, day: str = "2026-01-05") -> str:
    sent = browser.send(
        "/a/A0001/requests", "/a/A0001/requests",
        kind=kind, system="sdgi", person=key, reference=REFERENCE, received_on=day,
    )  # fmt: skip
    assert sent.status_code == 303, words(sent.text)
    return sent.headers["location"]


def test_a_request_has_its_deadline_and_no_name_is_kept(door: Door, signatory: Browser) -> None:
    path = register(signatory)
    said = words(signatory.get(path).text)
    assert REFERENCE in said
    assert "5 février 2026" in said
    assert "30 jours restants" in said
    kept = b"".join(p.read_bytes() for p in door.site.home.reception.glob("*.db*"))
    assert KEY.encode() not in kept  # neither the key of the person nor the agency's own number is readable
    assert REFERENCE.encode() not in kept
    assert KEY not in path


def test_who_is_not_held_has_no_request(signatory: Browser) -> None:
    form = {"kind": "access", "system": "sdgi", "person": "C:NOBODY:1", "reference": "R-1", "received_on": "2026-01-05"}
    answer = signatory.send("/a/A0001/requests", "/a/A0001/requests", **form)
    assert answer.status_code == 400
    assert "Aucune personne de cette clé n'est détenue" in words(answer.text)
    assert "C:NOBODY:1" not in answer.text  # typed anew
    for wrong in ({"received_on": "2026-02-05"}, {"kind": "x"}, {"reference": ""}, {"received_on": "hier"}):
        assert signatory.send("/a/A0001/requests", "/a/A0001/requests", **form | wrong).status_code == 400


def test_one_month_is_the_same_day_or_the_last_of_the_month() -> None:
    assert later(dt.date(2026, 1, 31), 1) == dt.date(2026, 2, 28)
    assert later(dt.date(2027, 12, 15), 1) == dt.date(2028, 1, 15)
    assert later(dt.date(2027, 11, 30), 3) == dt.date(2028, 2, 29)


def test_two_months_more_are_given_once_and_only_when_the_person_was_told_in_time(signatory: Browser) -> None:
    path = register(signatory)
    late = signatory.send(f"{path}/longer", path, told_on="2026-02-06")
    assert (late.status_code, "ne peut pas être prolongé" in words(late.text)) == (403, True)
    assert signatory.send(f"{path}/longer", path, told_on="2026-02-05").status_code == 303
    assert "5 avril 2026" in words(signatory.get(path).text)
    assert signatory.send(f"{path}/longer", path, told_on="2026-02-05").status_code == 403


def test_the_package_needs_an_instruction_for_support_and_holds_each_value_with_where_it_came_from(
    door: Door, signatory: Browser
) -> None:
    path = register(signatory, "portability")
    assert signatory.send(f"{path}/package", path, **{"as": "json"}).status_code == 403
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    entry = Instruction(AgencyCode("A0001"), AGENCY_SYSTEMS, ("*",), (Purpose.SUPPORT,), at, None, "S", "gerance", at)
    door.site.log("A0001").append(entry, door.clock())
    answer = signatory.send(f"{path}/package", path, **{"as": "json"})
    assert answer.status_code == 200, words(answer.text)
    found = json.loads(answer.content)
    truth = {
        (table, r["source_key"])
        for table in (
            "person",
            "contact",
            "co_ownership",
            "council_membership",
            "bank_detail",
            "document",
            "lease_party",
        )
        for r in read_jsonl(TRUTH / f"{table}.jsonl")
        if r["source_system"] == "sdgi" and KEY in (r.get("person_key"), r["source_key"])
    }
    assert truth
    assert truth <= {(r["table"], r["source_key"]) for r in found["rows"]}
    assert all(r["from"]["delivery"].startswith("SDGI_A0001_") and r["from"]["place"] for r in found["rows"])
    values = {v["value"] for r in found["rows"] for v in r["values"]}
    assert WITH["value"] in values
    sheet = signatory.send(f"{path}/package", path, **{"as": "csv"})
    assert sheet.headers["content-disposition"].startswith("attachment")
    assert sheet.headers["cache-control"] == "no-store"
    rows = list(csv.reader(io.StringIO(sheet.content.decode("utf-8-sig")), delimiter=";"))
    assert any(WITH["value"] in row[5] for row in rows[1:])
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row)
    said = words(signatory.get(path).text)
    assert "Données remises en JSON" in said
    assert "Données remises en CSV" in said
    log = [a for a in door.service.counter.journal.of(AgencyCode("A0001")) if a["question"] == "requests.package"]
    assert [a["outcome"] for a in log] == ["refused", "answered", "answered"]
    assert all(a["object"] == path.rpartition("/")[2] for a in log)


def test_what_was_ordered_for_the_person_is_found_in_the_log(door: Door, signatory: Browser) -> None:
    path = register(signatory, "erasure")
    page = signatory.get(path).text
    number = path.rpartition("/")[2]
    assert f"/a/A0001/instruct?does=erase&amp;system=sdgi&amp;request={number}" in page
    assert "Prendre en JSON" not in page
    with requests._engine(door.site.home).connect() as db:
        person = db.scalar(requests.REQUEST.select().with_only_columns(requests.REQUEST.c.person))
    order = Erase(
        agency=AgencyCode("A0001"), reference="L-1", recorded_by="dpo", recorded_at=door.clock(),
        channel=Channel.LETTER, given_by="dpo", valid_from=door.clock(), tables=("person",), subjects=(str(person),),
    )  # fmt: skip
    line = door.site.log("A0001").append(order, door.clock())
    page = signatory.get(path).text
    assert f'/a/A0001/log/{line.number}"' in page
    assert "en cours chez nous" in words(page)


def test_a_closed_request_stays_closed_and_readers_only_read(door: Door, signatory: Browser) -> None:
    path = register(signatory)
    reader = door.person(Role.READER, "A0001", "lecteur.demandes@agence.example").browser
    page = reader.get(path).text
    assert REFERENCE in page
    assert "Clore la demande" not in page
    assert reader.send(f"{path}/close", path, outcome="done").status_code == 404
    assert signatory.send(f"{path}/close", path, outcome="done").status_code == 303
    assert signatory.send(f"{path}/close", path, outcome="turned_down").status_code == 403
    assert "exécutée" in words(signatory.get(path).text)
    other = door.person(Role.SIGNATORY, "A0002", "autre.demandes@agence.example").browser
    assert other.get(path).status_code == 404
    assert other.get(path.replace("A0001", "A0002")).headers["location"] == "/a/A0002/requests"


def test_a_request_that_is_due_stands_on_the_first_page(door: Door, signatory: Browser) -> None:
    register(signatory, day="2025-12-08")
    said = words(signatory.get("/a/A0001").text)
    assert "à répondre sous une semaine" in said
    assert "2 jours restants" in words(signatory.get("/a/A0001/requests").text)


def test_an_agency_that_is_forgotten_leaves_no_request(door: Door, signatory: Browser) -> None:
    """Last: nothing of it is left."""
    home, root = door.site.home, open_root(door.site.home)
    gone = forgetting.forget(home, root, AgencyCode("A0001"), door.clock())
    assert gone["requests"] >= 6
    assert forgetting.forget(home, root, AgencyCode("A0001"), door.clock())["requests"] == 0
    with requests._engine(home).connect() as db:
        assert db.execute(requests.STEP.select()).all() == []
