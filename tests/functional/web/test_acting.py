"""An agency acts from its browser: passkeys are enrolled; instructions shown with what they change, signed, kept."""

import json
import re
from html import unescape

import pytest

from ledger import orders
from ledger.entry import Entry, History, Receipt, Withdrawal
from ledger.orders import Channel, Erase, InfringementNotice, Restrict, Return, Synchronise
from ledger.passkeys import Passkeys
from ledger.signatures import Enrolled, Revoked, Signed, SigningRule
from pipelines.reception.signing_keys import WAITS_FOR
from portal.cli import run
from portal.web.words import catalogue
from schemas.access import Question, Role
from schemas.errors import Malformed
from schemas.ids import AgencyCode
from tests.functional.web.conftest import AGENCIES, Door
from tests.functional.web.signatories import Signatory, block
from tests.functional.web.test_pages import ROOT, words
from tests.unit.ledger.passkeys_made import SoftPasskey

_NUMBERS = iter(range(100, 1000))


def signatory(door: Door, agency: str = "A0001", language: str = "fr") -> Signatory:
    """Somebody new, with a device of their own."""
    number = next(_NUMBERS)
    person = door.person(Role.SIGNATORY, agency, f"signataire{number}@agence.example", language)
    return Signatory(person.browser, agency, SoftPasskey(number=number))


def log(door: Door, agency: str = "A0001") -> History:
    return door.site.log(agency).read()


def kinds(door: Door, agency: str = "A0001", last: int = 2) -> list[type[Entry]]:
    return [type(e) for e in log(door, agency).entries[-last:]]


@pytest.fixture(scope="module")
def gerant(standing: Door) -> Signatory:
    """The first signatory of A0001, whose passkey stands."""
    made = signatory(standing)
    answer = made.make_key()
    assert answer.status_code == 200, answer.text
    return made


# -- passkeys ----------------------------------------------------------------------------------------------------------


def test_the_first_passkey_stands_at_once_and_is_named_on_the_page(gerant: Signatory, door: Door) -> None:
    (enrolled,) = [e for e in log(door).entries if isinstance(e, Enrolled)]
    assert (enrolled.id, enrolled.function, enrolled.signatory) == (gerant.passkey.id, "gérance", None)
    page = words(gerant.browser.get("/a/A0001/keys").text)
    assert f"{gerant.passkey.id} peut signer la vôtre" in page
    assert "Une seule clé compte. Enregistrez-en une seconde" in page


def test_a_second_passkey_waits_until_one_that_stands_has_signed_for_it(gerant: Signatory, door: Door) -> None:
    other = signatory(door)
    assert other.make_key("comptabilité").json()["location"] == f"/a/A0001/keys?made={other.passkey.id}"
    assert other.passkey.id not in Passkeys.of(log(door)).now.passkeys
    page = other.send("/instruct/return", all="all")
    assert "Vous n'avez pas de clé de signature qui compte" in words(page.text)
    assert other.sign(page).status_code == 400
    alone = other.send(f"/keys/{other.passkey.id}/sign")
    assert other.sign(alone).status_code == 400, "nobody signs for their own first key"
    signed = gerant.sign(gerant.send(f"/keys/{other.passkey.id}/sign"))
    assert signed.status_code == 200, signed.text
    assert kinds(door) == [Enrolled, Signed]
    assert other.passkey.id in Passkeys.of(log(door)).now.passkeys
    assert other.sign(other.send("/instruct/return", all="all")).status_code == 200


def test_a_passkey_that_waited_for_too_long_is_forgotten(gerant: Signatory, door: Door) -> None:
    late = signatory(door)
    late.make_key()
    assert late.passkey.id in gerant.browser.get("/a/A0001/keys").text
    door.clock.at += WAITS_FOR
    door.clock.pass_(seconds=1)
    fresh = signatory(door)
    assert late.passkey.id not in fresh.browser.get("/a/A0001/keys").text


def test_a_registration_that_was_not_asked_for_here_is_refused(gerant: Signatory, door: Door) -> None:
    other = signatory(door)
    before = log(door).head
    made_up = other.registration("AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
    assert other.post("/keys/enrol", {"reference": "gérance", **made_up}).status_code == 409
    challenge = block(other.send("/keys/new").text, "options")["challenge"]
    elsewhere = other.registration(challenge, "https://elsewhere.example")
    assert other.post("/keys/enrol", {"reference": "gérance", **elsewhere}).status_code == 409
    assert other.post("/keys/enrol", {"reference": "gérance", **other.registration(challenge)}).status_code == 409
    assert log(door).head == before


def test_a_revoked_passkey_signs_nothing_more(gerant: Signatory, door: Door) -> None:
    other = signatory(door)
    other.make_key()
    assert gerant.sign(gerant.send(f"/keys/{other.passkey.id}/sign")).status_code == 200
    page = other.send("/instruct/return", all="all", reference="AVANT")
    assert gerant.send(f"/keys/{other.passkey.id}/revoke", reason="left").headers["location"] == "/a/A0001/keys"
    assert kinds(door, last=1) == [Revoked]
    before = log(door).head
    assert other.sign(page).status_code == 400
    assert log(door).head == before
    assert "révoquée" in words(other.browser.get("/a/A0001/keys").text)


# -- instructions ------------------------------------------------------------------------------------------------------


def test_an_instruction_is_shown_with_what_it_changes_then_signed_then_in_the_log(
    gerant: Signatory, door: Door
) -> None:
    size = log(door).head.size
    page = gerant.send("/instruct/restrict", scope="table", **{"tables.contact": "1"})
    said = words(page.text)
    assert re.search(
        r"Serait écarté dès lors : coordonnées \(SpiLaSuite\) – \d+ lignes tenues aujourd'hui, \d+ personnes", said
    )
    assert log(door).head.size == size, "to look writes nothing"
    done = gerant.sign(page)
    assert done.json() == {"location": f"/a/A0001/log/{size + 1}?given=1"}
    *_, given, signed = log(door).entries
    assert isinstance(given, Restrict)
    assert isinstance(signed, Signed)
    assert (given.channel, given.targets, given.reference) == (Channel.PORTAL, ("contact",), "PORTAIL-2026-01-06")
    result = gerant.browser.get(done.json()["location"]).text
    assert "C'est signé et inscrit." in result
    assert given.id in result
    assert f'data-signed-by="{gerant.passkey.id}"' in result
    assert 'data-field="targets" value="contact"' in result
    taken_back = gerant.send(f"/log/{size + 1}/withdraw")
    assert "Serait nouvellement autorisé : coordonnées (SpiLaSuite)" in words(taken_back.text)
    assert gerant.sign(taken_back).status_code == 200
    assert kinds(door) == [Withdrawal, Signed]


FORMS: dict[str, tuple[dict[str, str], type[Entry], dict[str, object]]] = {
    "synchronise": (
        {"systems.sdgi": "1", "purposes.extranet": "1", "purposes.legal": "1", "all": "some", "tables.lot": "1",
         "tables.identity": "1", "valid_from": "2026-02-01", "valid_until": "2026-12-31", "reference": "AVENANT-2"},
        Synchronise, {"tables": ("lot", "identity"), "reference": "AVENANT-2"},
    ),
    "restrict": (
        {"scope": "person", "keys": "C:00017\r\nC:00018\r\n", "system": "sdgi", "given_by": "direction"},
        Restrict, {"scope": "person", "given_by": "direction"},
    ),
    "rectify": ({"all": "all", "document": "AB" * 32}, orders.Rectify, {"document_sha256": "ab" * 32}),
    "erase": ({"all": "some", "tables.bank_detail": "1"}, Erase, {"tables": ("bank_detail",), "subjects": ()}),
    "return": ({"all": "all"}, Return, {"tables": ("*",), "recorded_by": "portail"}),
    "authorise": (
        {"name": "Hébergeur", "country": "fr", "service": "hébergement", "all": "all"},
        orders.Engage, {"decision": "authorise", "country": "FR"},
    ),
    "object": (
        {"name": "Autre", "country": "US", "service": "envoi de courriels", "all": "all"},
        orders.Engage, {"decision": "object", "name": "Autre"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def second(standing: Door) -> Signatory:
    """The first signatory of A0002."""
    made = signatory(standing, "A0002")
    assert made.make_key().status_code == 200
    return made


@pytest.mark.parametrize("act", FORMS)
def test_each_kind_is_signed_as_its_form_says(second: Signatory, door: Door, act: str) -> None:
    form, kind, expected = FORMS[act]
    done = second.sign(second.send(f"/instruct/{act}", **form))
    assert done.status_code == 200, done.text
    made = log(door, "A0002").entries[-2]
    assert type(made) is kind
    assert {name: getattr(made, name) for name in expected} == expected
    assert made.channel is Channel.PORTAL  # type: ignore[union-attr]
    assert words(second.browser.get(done.json()["location"]).text)


def test_rows_are_named_by_reference_and_what_is_not_held_is_said(second: Signatory, door: Door) -> None:
    page = second.send("/instruct/restrict", scope="person", keys="NOBODY-77", system="sdgi")
    assert "1 des clés n'est pas tenue aujourd'hui" in words(page.text)
    assert second.sign(page).status_code == 200
    (target,) = log(door, "A0002").entries[-2].targets  # type: ignore[union-attr]
    assert re.fullmatch(r"REF-[0-9a-f]{32}", target)
    with door.service.counter.journal._engine.connect() as db:
        assert "NOBODY" not in str(db.exec_driver_sql("select * from access").all())


def test_a_return_says_what_the_processor_will_do_and_by_when(door: Door) -> None:
    ending = signatory(door, "A0003")  # its window closes in eight days
    ending.make_key()
    done = ending.sign(ending.send("/instruct/return", all="all"))
    said = words(ending.browser.get(done.json()["location"]).text)
    assert "Il vous les remet avant le 14 janvier 2026" in said


def test_a_notice_is_answered_from_its_entry(gerant: Signatory, door: Door) -> None:
    history = log(door)
    notice = InfringementNotice(
        agency=AgencyCode("A0001"), reference="AVIS-1", recorded_by="dpo", recorded_at=door.clock(),
        instruction=history.given[0].id, law="RGPD, art. 5", channel=Channel.LETTER, told_at=door.clock(),
    )  # fmt: skip
    line = door.site.log("A0001").append(notice, door.clock())
    link = re.search(r'href="(/a/A0001/instruct/answer[^"]+)"', gerant.browser.get(f"/a/A0001/log/{line.number}").text)
    assert link is not None
    assert notice.id in gerant.browser.get(unescape(link[1])).text
    page = gerant.send("/instruct/answer", notice=notice.id, outcome="maintained")
    assert gerant.sign(page).status_code == 200
    answer = log(door).entries[-2]
    assert isinstance(answer, orders.Answer)
    assert (answer.outcome, answer.notice) == ("maintained", notice.id)


@pytest.mark.parametrize(
    ("act", "form", "told"),
    [
        ("synchronise", {"all": "all", "purposes.extranet": "1"}, "Choisissez au moins un système."),
        ("restrict", {"scope": "person", "keys": "C:1", "system": ""}, "Dites de quel système"),
        ("restrict", {"scope": "nothing"}, "Scope"),
        ("erase", {"all": "some"}, "cochez au moins une case"),
        ("erase", {"all": "all", "valid_from": "2026-02-30"}, "Écrivez 2025-01-01"),
        (
            "erase",
            {"all": "all", "valid_from": "2026-03-02", "valid_until": "2026-03-01"},
            "Le dernier jour vient avant",
        ),
        ("return", {"all": "all", "reference": "a@b.example"}, "Reference"),
        ("rectify", {"all": "all", "document": "abc"}, "Une empreinte a 64"),
    ],
)
def test_a_form_that_says_too_little_comes_back_as_it_was_and_writes_nothing(
    gerant: Signatory, door: Door, act: str, form: dict[str, str], told: str
) -> None:
    before = log(door).head
    page = gerant.send(f"/instruct/{act}", **form)
    assert page.status_code == 400
    alert = re.search(r'role="alert">([^<]+)<', page.text)
    assert alert is not None
    assert told in unescape(alert[1])
    assert log(door).head == before


def test_a_form_cannot_have_the_reception_read_a_file(gerant: Signatory, door: Door) -> None:
    """The field of an instruction file that names a document by its path is not one of the form's."""
    said = {"kind": "return", "tables": ["*"], "given_by": "gérance", "document": "/etc/hostname"}
    session = gerant.browser.client.cookies["__Host-session"]
    with pytest.raises(Malformed):
        door.socket.ask(Question.ACT_PREPARE, session, "127.0.0.1", agency="A0001", said=said, document="")


# -- what a signature is for, and what not -----------------------------------------------------------------------------


def test_a_log_that_grew_meanwhile_is_signed_anew(gerant: Signatory, door: Door) -> None:
    page = gerant.send("/instruct/return", all="all", reference="CROISE")
    receipt = Receipt("GPIA0001.000099", "gpi", None, "refused", "gpi.sequence", {}, (), None, "1", "r")
    door.site.log("A0001").append(receipt, door.clock())
    before = log(door).head
    assert gerant.sign(page).status_code == 409
    assert log(door).head == before
    again = gerant.send("/instruct/return", all="all", reference="CROISE")
    assert gerant.sign(again).status_code == 200


def test_what_waited_for_more_than_ten_minutes_is_signed_anew(gerant: Signatory, door: Door) -> None:
    page = gerant.send("/instruct/return", all="all", reference="LENT")
    door.clock.pass_(minutes=10, seconds=1)
    assert gerant.sign(page).status_code == 409


def test_a_signature_counts_once_and_for_what_it_was_given(gerant: Signatory, door: Door) -> None:
    first = gerant.send("/instruct/return", all="all", reference="UN").text
    other = gerant.send("/instruct/return", all="all", reference="DEUX").text
    swapped = gerant.signature(first) | {"reference": gerant.signature(other)["reference"]}
    before = log(door).head
    assert gerant.post("/sign", swapped).status_code == 409, "not verified"
    assert log(door).head == before
    said = gerant.signature(first)
    assert gerant.post("/sign", said).status_code == 200
    size = log(door).head.size
    assert gerant.post("/sign", said).status_code == 409
    assert log(door).head.size == size


def test_what_one_person_prepared_another_cannot_sign(gerant: Signatory, second: Signatory, door: Door) -> None:
    page = gerant.send("/instruct/return", all="all", reference="A-MOI").text
    assert second.post("/sign", gerant.signature(page)).status_code == 409
    other = signatory(door)
    assert other.post("/sign", gerant.signature(page)).status_code == 409


def test_whoever_only_reads_acts_on_nothing(door: Door, gerant: Signatory) -> None:
    """Also with the address of what another prepared, and the right form: the table of questions refuses first."""
    page = gerant.send("/instruct/return", all="all", reference="LU").text
    before = log(door).head
    for role in (Role.READER, Role.AUDITOR, Role.OPERATOR):
        agency = None if role is Role.OPERATOR else "A0001"
        browser = door.person(role, agency, f"only.{role}@agence.example").browser
        looking = Signatory(browser, "A0001", gerant.passkey)
        assert looking.send("/instruct/return", all="all").status_code == 404
        assert looking.post("/sign", gerant.signature(page)).status_code == 404
        assert looking.send(f"/keys/{gerant.passkey.id}/revoke", reason="lost").status_code == 404
        assert looking.send("/keys/rule", required="yes").status_code == 404
        assert "Donner une instruction" not in browser.get("/a/A0001/log").text
        keys = browser.get("/a/A0001/keys").text
        assert gerant.passkey.id in keys
        assert '<form method="post" action="/a/' not in keys
    assert log(door).head == before


# -- what counts without a signature -----------------------------------------------------------------------------------


def test_only_what_is_signed_counts_once_the_agency_says_so_and_only_a_signature_lifts_it(
    gerant: Signatory, door: Door
) -> None:
    assert gerant.send("/keys/rule", required="yes").status_code == 303
    assert kinds(door, last=1) == [SigningRule]
    assert gerant.send("/keys/rule", required="yes").status_code == 303
    assert kinds(door, last=2) != [SigningRule, SigningRule], "twice is once"
    assert "Seul ce qui est signé compte." in words(gerant.browser.get("/a/A0001/keys").text)
    page = gerant.send("/keys/rule", required="no")
    assert kinds(door, last=1) == [SigningRule]
    assert gerant.sign(page).status_code == 200
    assert kinds(door) == [SigningRule, Signed]
    assert not Passkeys.of(log(door)).now.required


def test_what_was_signed_and_withdrawn_here_is_so_for_the_operator_too(
    gerant: Signatory, door: Door, capsys: pytest.CaptureFixture[str]
) -> None:
    done = gerant.sign(gerant.send("/instruct/restrict", scope="role", reference="VU", **{"roles.tenant": "1"}))
    number = int(done.json()["location"].split("/")[-1].split("?")[0])
    given = log(door).entries[number - 1].id  # type: ignore[union-attr]
    at = door.clock().isoformat()
    listing = ["--home", str(door.site.home.root), "--json", "instructions", "--agency", "A0001", "--at", at]
    assert run(listing) == 0
    assert _state(capsys.readouterr().out, given) == ("in_force", gerant.passkey.id)
    assert gerant.sign(gerant.send(f"/log/{number}/withdraw")).status_code == 200
    assert run(listing) == 0
    assert _state(capsys.readouterr().out, given) == ("withdrawn", gerant.passkey.id)


def _state(text: str, instruction: str) -> tuple[str, str]:
    found = next(i for i in json.loads(text) if i["instruction"] == instruction)
    return found["state"], found["signed_by"]


# -- what the pages look like ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readings(standing: Door) -> dict[str, Signatory]:
    return {language: signatory(standing, "A0001", language) for language in ("fr", "en")}


@pytest.mark.parametrize("scope", ["agency", "table", "category", "role", "building", "lot", "person"])
def test_the_form_of_a_restriction_asks_for_what_its_scope_needs(
    readings: dict[str, Signatory], door: Door, scope: str
) -> None:
    page = readings["fr"].browser.get(f"/a/A0001/instruct/restrict?scope={scope}").text
    asked = set(re.findall(r'name="(tables|categories|roles|keys|system)[."]', page))
    wanted = {"agency": set(), "table": {"tables"}, "category": {"categories"}, "role": {"roles"}}
    assert asked == wanted.get(scope, {"keys", "system"})


def test_what_waits_on_another_page_leads_to_a_form_that_is_filled_in(gerant: Signatory, door: Door) -> None:
    ask = gerant.browser.get
    erasing = ask("/a/A0001/instruct?does=erase&system=sdgi&request=REQ-0123456789ab").text
    assert 'action="/a/A0001/instruct/erase"' in erasing
    assert 'name="reference" value="REQ-0123456789ab"' in erasing
    assert re.findall(r'<option value="(sdgi|gpi|login|spilasuite)" selected>', erasing) == ["sdgi"]
    restricting = ask("/a/A0001/instruct?does=restrict&system=sdgi&request=REQ-0123456789ab").text
    assert 'name="scope" value="person"' in restricting
    reading = ask("/a/A0001/instruct?does=synchronise&system=sdgi").text
    assert re.findall(r'name="systems\.(\w+)" value="1" checked', reading) == ["sdgi"]
    assert 'name="reference" value=""' in ask("/a/A0001/instruct?does=erase&request=<script>").text
    assert ask("/a/A0001/instruct?does=nothing").status_code == 404


def test_what_led_to_a_restriction_stays_when_another_scope_is_chosen(gerant: Signatory, door: Door) -> None:
    path = "/a/A0001/instruct/restrict?scope=person&system=gpi&request=REQ-0123456789ab"
    for scope in ("table", "agency", "lot", "category", "role", "building", "person"):
        links = re.findall(r'href="(/a/A0001/instruct/restrict\?[^"]*)"', gerant.browser.get(path).text)
        path = unescape(next(link for link in links if f"scope={scope}&" in link))
        page = gerant.browser.get(path).text
        assert f'name="scope" value="{scope}"' in page
        assert 'name="reference" value="REQ-0123456789ab"' in page
        kept = (
            '<option value="gpi" selected>' if scope in ("lot", "building", "person") else 'name="system" value="gpi"'
        )
        assert page.count(kept) == 1
    # Also on a form that comes back; and nothing that somebody typed stands in an address.
    filled = {"scope": "table", "system": "gpi", "reference": "REQ-0123456789ab"}
    again = gerant.browser.send("/a/A0001/instruct/restrict", path, **filled).text
    assert "scope=person&amp;system=gpi&amp;request=REQ-0123456789ab" in again
    typed = gerant.browser.send("/a/A0001/instruct/restrict", path, scope="table", system="CANARY", reference="CANARY")
    assert not re.search(r'href="[^"]*CANARY', typed.text)


def test_a_signatory_is_led_from_the_log_to_a_form_and_others_of_the_house_are_not(
    readings: dict[str, Signatory], door: Door
) -> None:
    for language, link in (("fr", "Donner une instruction"), ("en", "Give an instruction")):
        browser = readings[language].browser
        assert link in browser.get("/a/A0001/log").text
        assert link in browser.get("/a/A0001/instruct").text
        for act in FORMS:
            page = browser.get(f"/a/A0001/instruct/{act}")
            assert page.status_code == 200
            assert not re.search(r"[{}]|None|True", words(page.text)), act
    assert readings["fr"].browser.get("/a/A0001/instruct/nothing").status_code == 404
    assert len(AGENCIES) == 3


def test_what_was_filled_in_can_be_changed_before_it_is_signed(gerant: Signatory, door: Door) -> None:
    form = {"all": "some", "tables.lot": "1", "reference": "A-CHANGER", "given_by": "direction"}
    again = gerant.send("/instruct/erase", edit="1", **form).text
    assert re.search(r'name="tables.lot" value="1" checked', again)
    assert 'value="A-CHANGER"' in again
    assert '<option value="direction" selected>' in again
    page = gerant.send("/instruct/erase", **form).text
    assert '<input type="hidden" name="tables.lot" value="1">' in page


@pytest.mark.parametrize("template", ["verifying.html", "sign.html"])
def test_the_specification_has_the_texts_that_the_pages_have(template: str) -> None:
    text = (ROOT / "portal/web/templates" / template).read_text(encoding="utf-8")
    spec = (ROOT / "docs/specs/browser-verification.md").read_text(encoding="utf-8")
    found = re.findall(r'data-say-(\w+)="\{\{ _\("(.+?)"\) \}\}"', text)
    assert len(found) >= 8
    for code, english in found:
        french = catalogue("fr").gettext(english).replace("\u00a0", " ")
        assert f"| {code} | {french} | {english} |" in spec
