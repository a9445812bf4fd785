"""What the pages say, in both languages, and what every answer carries."""

import datetime as dt
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from ledger import deeds, orders, signatures
from ledger.entry import KINDS, Entry, Erased, Receipt, Window, Withdrawal
from pipelines.reception.questions.log import PAGE, SORTS
from portal.web import wording
from portal.web.guard import HEADERS
from schemas.access import Role
from schemas.ids import AgencyCode, System
from schemas.mandate import Basis, Duty, Ground, Purpose, RestrictedBy
from schemas.report import Counts
from tests.functional.web.conftest import Browser, Door
from tests.unit.ledger.passkeys_made import SoftPasskey

ROOT = Path(__file__).parents[3]
AT = dt.datetime(2026, 1, 6, 10, tzinfo=dt.UTC)
DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def french(standing: Door) -> Browser:
    return standing.person(Role.SIGNATORY, "A0001", "fr@agence.example").browser


@pytest.fixture(scope="module")
def english(standing: Door) -> Browser:
    return standing.person(Role.READER, "A0001", "en@agence.example", language="en").browser


def words(page: str) -> str:
    """What somebody reads."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", page, flags=re.DOTALL).replace("<wbr>", "")
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", body)))


def test_the_first_page_says_whether_all_is_well_and_what_waits(french: Browser, english: Browser, door: Door) -> None:
    said = words(french.get("/a/A0001").text)
    assert "1 chose vous attend. 3 lignes ont été mises de côté" in said
    assert "SDGI_A0001_20260106_0210.zip" in said
    assert "1 thing needs you. 3 lines were put aside" in words(english.get("/a/A0001").text)


def test_a_system_that_went_silent_is_told_of(door: Door, french: Browser) -> None:
    for _ in range(130):  # of 29 minutes: nobody is signed out meanwhile
        door.clock.pass_(minutes=29)
    late = door.person(Role.READER, "A0001", "silent@agence.example").browser
    said = words(late.get("/a/A0001").text)
    assert re.findall("Rien n.est venu de (.*?) depuis plus de deux jours", said) == ["SpiLaSuite, SDGI, GPI et LOGIN"]
    assert "2 choses vous attendent." in said


def test_whoever_is_not_of_the_agency_is_told_that_it_waits_for_the_agency(door: Door) -> None:
    """And is led to no page that they may not see."""
    page = door.person(Role.OPERATOR, None, "exploitant@exploitant.example").browser.get("/a/A0001").text
    assert "1 chose attend l'agence. 3 lignes" in words(page)
    assert "/a/A0001/requests" in page
    assert "/a/A0001/documents" not in page


def test_days_to_the_end_of_the_window_are_counted(door: Door) -> None:
    ending = door.person(Role.READER, "A0003", "ending@agence.example").browser
    said = words(ending.get("/a/A0003").text)
    assert "8 jours restants" in said
    assert "La fenêtre se ferme dans 8 jours" in said


def every_kind(n: int = 1) -> list[Entry]:
    """One entry of each kind that the samples do not bring by themselves."""
    ins = "INS-0123456789"
    common: dict[str, Any] = {"agency": AgencyCode("A0002"), "reference": "LETTRE-1", "recorded_by": "dpo"}
    told = common | {"recorded_at": AT}
    given = told | {"channel": orders.Channel.LETTER, "given_by": "gerance", "valid_from": AT}
    by_mail: dict[str, Any] = {"channel": orders.Channel.EMAIL}
    told_by: dict[str, Any] = {"capability": DIGEST, "carried_out_at": AT}
    law = told | {"jurisdiction": "FR", "tables": ("lot",), "valid_from": AT}
    engaged = given | {"country": "FR", "service": "hébergement", "tables": ("*",)}
    duty = orders.LegalObligation(**law, law="art. L123", duty=Duty.KEEP)
    doubt = orders.InfringementNotice(**told, **by_mail, instruction=ins, law="RGPD 5", told_at=AT)
    sixth = {"lot": Counts(3, 1, 1, 1)}
    return [
        Withdrawal(ins, AT, AT),
        Receipt("GPIA0002.000009", "gpi", DIGEST, "refused", "gpi.sequence", sixth, (), None, "1", "r"),
        Window(dt.date(2025, 1, 1), dt.date(2027, 1, 1), dt.date(2026, 1, 5)),
        orders.Synchronise(**given, systems=(System.GPI,), tables=("person",), purposes=(Purpose.EXTRANET,)),
        orders.Restrict(**given, scope=RestrictedBy.TABLE, targets=("bank_detail",)),
        orders.Rectify(**given, tables=("contact",), subjects=("REF-" + "0" * 32,)),
        orders.Erase(**given, tables=("bank_detail",)),
        orders.Return(**given, tables=("*",)),
        orders.Transfer(**given, tables=("lot",), country="CA", recipient="Hébergeur", basis=Basis.ADEQUACY),
        orders.Disclose(**given, tables=("lot",), ground=Ground.CONSENT, recipient="Notaire", evidence="PV-3"),
        orders.Engage(**engaged, decision=orders.Decision.AUTHORISE, name="Hébergeur"),
        orders.Engage(**engaged, decision=orders.Decision.OBJECT, name="Autre"),
        orders.Acknowledgement(**told, **by_mail, instruction=ins, acknowledged_at=AT),
        duty,
        orders.LegalNotice(**told, obligation=duty.id, channel=orders.Channel.LETTER),
        orders.LegalObligation(**law, law="art. SECRET", duty=Duty.DISCLOSE),
        doubt,
        orders.Answer(
            **told, **by_mail, notice=doubt.id, outcome=orders.Outcome.MAINTAINED, given_by="gerance", answered_at=AT
        ),
        deeds.Anchored(size=3, checkpoint_sha256=DIGEST, response_sha256=DIGEST, authority="horodateur", stamped_at=AT),
        deeds.Handed(
            **told_by, does=deeds.Handing.RETURN, recipient="gerance", country=None, tables={"lot": 3}, instructions=()
        ),
        deeds.Fulfilled(**told_by, instruction=ins, does=deeds.Task.ERASE, tables={"lot": 3}),
        SoftPasskey(number=n).enrolled(agency=AgencyCode("A0002"), recorded_at=AT),
        signatures.Signed(
            credential="CRD-0123456789", authenticator_data="AAAA", client_data="AAAA", signature="AAAA"
        ),
        signatures.Revoked(
            agency=AgencyCode("A0002"), credential="CRD-0123456789", reason=signatures.Loss.LOST,
            recorded_by="gérance", recorded_at=AT,
        ),
        signatures.SigningRule(agency=AgencyCode("A0002"), required=True, given_by="gérance", recorded_at=AT),
        deeds.Exceeded(system=System.GPI, delivery="GPIA0002.1", lines={"AYANT": 2}, values={"bank_detail.iban": 1}),
        Erased(dt.date(2026, 1, 1), AT, DIGEST, late_files=True),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def whole(standing: Door) -> int:
    """The log of A0002 with an entry of every kind, twice, so that it has several pages. Returns how many it has."""
    log = standing.site.log("A0002")
    for n in range(2):
        log.append_all([(entry, f"test:{n}:{i}") for i, entry in enumerate(every_kind(n + 1))], AT)
    assert {type(e) for e in log.read().entries} == set(KINDS)
    return log.head().size


def test_entries_of_every_kind_are_said_in_words_in_both_languages(door: Door, whole: int) -> None:
    read = {}
    for language in ("fr", "en"):
        browser = door.person(Role.READER, "A0002", f"all.{language}@agence.example", language=language).browser
        said = {n: words(browser.get(f"/a/A0002/log/{n}").text) for n in range(1, whole + 1)}
        assert all(browser.get(f"/a/A0002/log/{n}").status_code == 200 for n in (1, whole))
        for page in said.values():
            assert not re.search(r'[{}]|":|None|True|\[\'', page), page
        read[language] = {re.split(r" (?:inscription|entry) ", p)[0] for p in said.values()}
        shown = " ".join(said.values())
        assert "SECRET" not in shown  # an obligation of which no notice stands yet (R50)
        assert "0" * 32 not in shown
    titles = {
        t
        for t in wording._TITLES.values()
        if t not in ("Entry whose content was destroyed", "Delivery that had come before")
    }
    english = {t for t in titles if any(t in page for page in read["en"])}
    assert titles - english == set()
    assert not any(t in page for t in titles for page in read["fr"])


def test_what_the_law_seals_is_in_neither_the_page_nor_the_proof(door: Door, whole: int) -> None:
    browser = door.person(Role.OPERATOR, None, "op@house.example").browser
    sealed = [
        n for n in range(1, whole + 1) if "inscription qui ne peut pas" in browser.get(f"/a/A0002/log/{n}").text.lower()
    ]
    assert sealed
    given = browser.get(f"/a/A0002/log/entries?first={sealed[0] - 1}").json()["entries"][0]
    assert (given["content"], given["salt"]) == (None, None)
    assert given["leaf"]
    assert given["proof"]


def test_the_timeline_is_paged_and_every_entry_is_on_one_page(door: Door, whole: int) -> None:
    browser = door.person(Role.AUDITOR, "A0002", "pages@agence.example").browser
    path, seen = "/a/A0002/log", []
    while path:
        page = browser.get(path).text
        numbers = [int(n) for n in re.findall(r'<li class="\w+" data-number="(\d+)"', page)]
        assert len(numbers) <= PAGE
        seen += numbers
        found = re.search(r'<a href="([^"]+)" rel="next">', page)
        path = unescape(found[1]) if found else ""
    assert seen == list(range(whole, 0, -1))


def test_filters_show_their_kinds_and_no_others(door: Door, whole: int) -> None:
    browser = door.person(Role.READER, "A0002", "filters@agence.example").browser
    assert set(SORTS) == set(wording.SORTS)
    for sort, kinds in SORTS.items():
        shown = re.findall(r'<li class="(\w+)" data-number', browser.get(f"/a/A0002/log?sort={sort}").text)
        assert shown, sort
        assert set(shown) <= kinds
    assert "Aucune inscription" in browser.get("/a/A0002/log?since=2030-01-01").text
    systems = re.findall(r"GPIA0002|SDGI_A0002", browser.get("/a/A0002/log?system=gpi&until=2026-01-05").text)
    assert set(systems) == {"GPIA0002"}


@pytest.mark.parametrize(
    "query", ["before=-1", "before=x", "sort=%27--", "system=%00", "since=2026-99-99", "before=" + "9" * 40]
)
def test_an_address_that_was_typed_wrongly_is_no_fault(french: Browser, door: Door, query: str) -> None:
    assert french.get(f"/a/A0001/log?{query}").status_code in (200, 404)


def test_every_answer_carries_its_headers(french: Browser, door: Door) -> None:
    for path in ("/", "/sign-in", "/a/A0001", "/nothing", "/static/style.css", "/a/A0001/log/checkpoint"):
        answer = french.get(path)
        assert {k: answer.headers.get(k) for k in HEADERS} == HEADERS, path
        assert ("no-store" in answer.headers["cache-control"]) != path.startswith("/static"), path


def test_no_page_has_script_or_style_of_its_own(french: Browser, door: Door) -> None:
    for path in ("/sign-in", "/a/A0001", "/a/A0001/log", "/a/A0001/log/1", "/sessions"):
        page = french.get(path).text
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src)|https?://(?!www\.w3\.org)", page), path


def test_another_host_and_a_large_form_are_turned_away(door: Door, french: Browser) -> None:
    assert french.get("/sign-in", host="elsewhere.example").status_code == 400
    assert french.client.post("/sign-in", content=b"x" * 2_000_000).status_code == 413
    large = french.send("/sign-in", "/sign-in", email="x" * 300_000)
    assert large.status_code == 400


def test_cookies_are_of_the_host_alone(door: Door) -> None:
    from starlette.testclient import TestClient

    from portal.web.app import app
    from portal.web.site import Site

    secure = TestClient(app(door.socket, Site("https://depositaire.example")), base_url="https://depositaire.example")
    answer = secure.get("/sign-in")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-form=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= {p.strip() for p in cookie.split(";")}
    assert "Domain" not in cookie
    assert answer.headers["strict-transport-security"].startswith("max-age=63072000")


def test_a_fault_inside_shows_nobody_what_went_wrong(
    door: Door, french: Browser, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def failing(*_: object) -> None:
        raise ValueError("CANARY-9")

    monkeypatch.setattr("pipelines.status.of_agency", failing)
    answer = french.get("/a/A0001")
    assert (answer.status_code, "CANARY" in answer.text) == (500, False)
    out, err = capfd.readouterr()
    assert "CANARY" not in out + err
    assert "ValueError at test_pages.py" in err


def test_a_reception_that_does_not_answer_is_told_as_such(
    french: Browser, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portal.web.reception import Socket

    french.client.app.state.reception = Socket(Path("/nowhere.sock"), 1.0)  # type: ignore[attr-defined]
    try:
        answer = french.get("/a/A0001")
    finally:
        french.client.app.state.reception = door.socket  # type: ignore[attr-defined]
    assert answer.status_code == 503
    assert "La réception ne répond pas. Réessayez dans un instant." in words(answer.text)


def test_a_language_that_was_chosen_stays(door: Door) -> None:
    browser = door.person(Role.READER, "A0001", "tongue@agence.example").browser
    assert "Registre des instructions" in browser.get("/a/A0001").text
    assert browser.send("/language", "/a/A0001", language="en", back="/a/A0001").headers["location"] == "/a/A0001"
    assert "Instruction log" in browser.get("/a/A0001").text
    for back in ("//elsewhere.example", "https://elsewhere.example", "/\\elsewhere.example", "x"):
        assert browser.send("/language", "/sessions", language="fr", back=back).headers["location"] == "/"


def test_every_word_of_the_pages_has_its_french() -> None:
    method = [("**.py", "python"), ("templates/**.html", "jinja2")]
    keywords: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2), "say": None}
    told = {_first(m) for _, _, m, *_ in extract_from_dir(ROOT / "portal/web", method, keywords=keywords)}
    with (ROOT / "portal/web/locale/fr.po").open("rb") as f:
        french = {_first(m.id): m for m in read_po(f, locale="fr") if m.id}
    assert set(french) == told
    for message in french.values():
        every = (message.string,) if isinstance(message.string, str) else tuple(message.string or ("",))
        assert all(every), message.id
        assert not message.fuzzy
        parts = [sorted(re.findall(r"%\(\w+\)s", text)) for text in (_first(message.id), *every)]
        assert all(part == parts[0] for part in parts), message.id


def _first(text: Any) -> str:
    """A message, or the first of its forms."""
    return str(text if isinstance(text, str) else text[0])
