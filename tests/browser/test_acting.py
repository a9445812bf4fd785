"""A signatory at the real door, in the system's own browser: a passkey is enrolled, an instruction given, looked at,
signed, found in the log and verified there; and whatever a server that lies shows is told of on the real page."""

import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from tests.browser.test_door import (  # noqa: F401 - the door that is served, and its browser
    DESK,
    TELEPHONE,
    Served,
    chromium,
    contrasts,
    opened,
    served,
    with_authenticator,
)

LOG = "/a/A0001/log"
ALL = "[data-verdict-of-all]"
Lie = Callable[[Any], Any]


def picture(page: Page, name: str) -> None:
    """Kept for looking at, where somebody asks for them."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def arrived(served: Served, context: BrowserContext, email: str, role: str, button: str) -> Page:  # noqa: F811
    page = context.new_page()
    with_authenticator(page)
    page.goto(served.invite(email, role))
    page.get_by_role("button", name=button).click()
    page.wait_for_url("**/a/A0001")
    return page


def verdict(page: Page) -> str | None:
    page.wait_for_selector(f"{ALL}[data-verdict]")
    return page.get_attribute(ALL, "data-verdict")


@pytest.fixture(scope="module")
def signatory(served: Served, chromium: Browser) -> Iterator[Page]:  # noqa: F811
    """Somebody whose signing passkey is the agency's first."""
    with opened(chromium) as context:
        page = arrived(served, context, "signataire@agence.example", "signatory", "Créer une clé d'accès")
        page.get_by_role("link", name="Registre des instructions").first.click()
        assert verdict(page) == "first"
        page.get_by_role("link", name="Donner une instruction").click()
        expect(page.locator(".hint")).to_contain_text("Vous n'avez pas encore de clé de signature")
        picture(page, "instruct-without-key")
        page.locator("main").get_by_role("link", name="Clés de signature").click()
        picture(page, "keys-none")
        page.get_by_role("button", name="Continuer").click()
        picture(page, "key-new")
        page.get_by_role("button", name="La créer sur cet appareil").click()
        page.wait_for_url("**/keys?made=CRD-*")
        expect(page.locator(".rows")).to_contain_text("peut signer")
        picture(page, "keys-one")
        yield page


def look(page: Page, served: Served, reference: str) -> None:  # noqa: F811
    """The page on which a restriction is looked at, and signed."""
    page.goto(f"{served.origin}/a/A0001/instruct/restrict?scope=table")
    page.get_by_label("coordonnées", exact=True).check()
    page.get_by_label("Votre référence").fill(reference)
    page.get_by_role("button", name="Voir ce que cela changerait").click()
    page.wait_for_selector("[data-sign]")


def sign(page: Page) -> None:
    page.get_by_role("button", name="Signer avec ma clé").click()
    page.wait_for_url("**/log/*given=1")


def test_an_instruction_is_given_looked_at_signed_found_and_verified(
    served: Served,  # noqa: F811
    signatory: Page,
) -> None:
    page = signatory
    look(page, served, "LETTRE-7")
    expect(page.locator("main")).to_contain_text("Serait écarté dès lors")
    expect(page.locator("[data-content]")).to_contain_text('"reference":"LETTRE-7"')
    picture(page, "sign")
    sign(page)
    assert verdict(page) == "holds"  # the log was looked at before the first key was made
    expect(page.locator(ALL)).to_contain_text("Vérifié par votre navigateur")
    expect(page.locator("[data-verdict-of-entry]")).to_have_attribute("data-verdict", "signed")
    number = re.search(r"/log/(\d+)", page.url)
    assert number is not None
    picture(page, "given")
    page.goto(served.origin + LOG)
    assert verdict(page) == "holds"
    entry = page.locator(f'[data-number="{number[1]}"]')
    expect(entry.locator("[data-verdict-of-entry]")).to_contain_text("Signée par la clé CRD-")
    picture(page, "log")
    page.locator("select[name=sort]").select_option("instructions")
    expect(page.locator(".timeline li")).to_have_count(2)
    assert verdict(page) == "holds", "what a filter brought is verified too"
    page.goto(f"{served.origin}{LOG}/{number[1]}")
    page.get_by_role("button", name="Retirer cette instruction").click()
    expect(page.locator("main")).to_contain_text("Serait nouvellement autorisé")
    sign(page)
    page.goto(f"{served.origin}{LOG}/{number[1]}")
    expect(page.locator(".badge.withdrawn")).to_be_visible()
    said = json.loads(served.run("instructions", "--agency", "A0001"))
    assert [i["state"] for i in said if i["reference"] == "LETTRE-7"] == ["withdrawn"]


def test_the_same_in_english_on_a_telephone_by_a_colleague_whose_key_is_signed_for(
    served: Served,  # noqa: F811
    signatory: Page,
    chromium: Browser,  # noqa: F811
) -> None:
    with opened(chromium, "en-GB", TELEPHONE) as context:
        page = arrived(served, context, "colleague@agence.example", "signatory", "Make a passkey")
        page.goto(f"{served.origin}/a/A0001/keys")
        page.get_by_role("button", name="Continue").click()
        page.get_by_role("button", name="Make it on this device").click()
        page.wait_for_url("**/keys?made=CRD-*")
        expect(page.locator("main")).to_contain_text("Waiting for a signature")
        signatory.goto(f"{served.origin}/a/A0001/keys")
        signatory.get_by_role("button", name="Signer pour elle").click()
        sign(signatory)
        page.goto(f"{served.origin}/a/A0001/instruct/return")
        picture(page, "en-return")
        page.get_by_role("button", name="See what it would change").click()
        picture(page, "en-sign")
        page.get_by_role("button", name="Sign with my passkey").click()
        page.wait_for_url("**/log/*given=1")
        assert verdict(page) == "first"
        expect(page.locator(ALL)).to_contain_text("Verified by your browser")
        expect(page.locator("main")).to_contain_text("What happens now")
        assert page.evaluate("document.documentElement.scrollWidth") <= TELEPHONE["width"]
        picture(page, "en-given")


def test_the_digest_of_a_document_is_made_in_the_browser_and_the_file_stays(
    served: Served,  # noqa: F811
    signatory: Page,
    tmp_path: Path,
) -> None:
    document = tmp_path / "courrier.pdf"
    document.write_bytes(b"%PDF CANARY-DOCUMENT")
    page = signatory
    sent: list[bytes] = []
    page.on("request", lambda request: sent.append(request.post_data_buffer or b""))
    page.goto(f"{served.origin}/a/A0001/instruct/rectify")
    page.set_input_files("input[type=file]", document)
    digest = sha256(document.read_bytes()).hexdigest()
    expect(page.locator("#document")).to_have_value(digest)
    page.get_by_role("button", name="Voir ce que cela changerait").click()
    expect(page.locator('[data-field="document_sha256"]')).to_have_attribute("value", digest)
    assert sent
    assert not any(b"CANARY-DOCUMENT" in body for body in sent)


def test_a_log_that_grew_asks_to_prepare_again_and_then_it_is_signed(
    served: Served,  # noqa: F811
    signatory: Page,
) -> None:
    look(signatory, served, "LENTE")
    served.run(
        "instruct", "--agency", "A0001", "--file", str(_letter(served)),
    )  # fmt: skip
    signatory.get_by_role("button", name="Signer avec ma clé").click()
    told = signatory.locator("[data-told]")
    expect(told).to_have_attribute("data-verdict", "again")
    expect(told).to_contain_text("Rien n'est inscrit")
    picture(signatory, "again")
    signatory.get_by_role("button", name="Préparer de nouveau").click()
    signatory.wait_for_selector("[data-sign]")
    expect(signatory.locator('[data-field="reference"]')).to_have_text("LENTE")
    sign(signatory)


def _letter(served: Served) -> Path:  # noqa: F811
    path = served.home.parent / "lettre.toml"
    path.write_text(
        'kind = "return"\nreference = "LETTRE-8"\nchannel = "letter"\ngiven_by = "gerance"\ntables = ["*"]\n',
        encoding="utf-8",
    )
    return path


# -- a server that lies, on the real pages -----------------------------------------------------------------------------


def lying(page: Page, path: str, lie: Lie) -> None:
    """What the server answers at an address becomes what a lie makes of it: JSON for the script, HTML for the page."""

    def answer(route: Route) -> None:
        # What a page says of itself when it sends a form, and a request by itself does not.
        honest = route.fetch(headers=route.request.headers | {"sec-fetch-site": "same-origin"})
        kind = honest.headers["content-type"]
        if kind.startswith("application/json"):
            told = lie(honest.json())
            route.fulfill(response=honest, body=json.dumps(told))
        else:
            changed = lie(honest.text())
            assert changed != honest.text(), "the lie changed nothing"
            route.fulfill(response=honest, body=changed)

    page.route(re.compile(re.escape(path) + r"(\?.*)?$"), answer)


def other_content(told: Any) -> Any:
    first = told["entries"][0]
    return told | {"entries": [first | {"content": first["content"].replace("A0001", "A0002")}, *told["entries"][1:]]}


def other_leaf(told: Any) -> Any:
    *most, last = told["entries"]
    return told | {"entries": [*most, last | {"leaf": last["leaf"].replace('"kind":', '"kind":1')}]}


def without_signature(told: Any) -> Any:
    return told | {"entries": [e | {"signed": None} for e in told["entries"]]}


def without_an_entry(html: str) -> str:
    return re.sub(r'<li class="\w+" data-number="2".*?</li>', "", html, flags=re.DOTALL)


def other_words(html: str) -> str:
    return html.replace('data-field="systems" value="spilasuite, sdgi, gpi, login"', 'data-field="systems" value="gpi"')


def other_day(html: str) -> str:
    return re.sub(r'data-leaf="at" datetime="\d{4}', 'data-leaf="at" datetime="2019', html, count=1)


def other_size(told: Any) -> Any:
    return told | {"note": re.sub(r"\n\d+\n", "\n3\n", told["note"], count=1)}


LIES: dict[str, tuple[str, Lie, str]] = {
    "content changed": (f"{LOG}/entries", other_content, "content"),
    "leaf changed": (f"{LOG}/entries", other_leaf, "entry"),
    "signature left out": (f"{LOG}/entries", without_signature, "signature"),
    "entry left out": (LOG, without_an_entry, "missing"),
    "field changed": (LOG, other_words, "shown"),
    "day changed": (LOG, other_day, "shown"),
    "head changed": (f"{LOG}/checkpoint", other_size, "head"),
    "log said to be empty": (f"{LOG}/checkpoint", lambda t: t | {"note": "", "size": 0}, "shorter"),
    "key changed": (f"{LOG}/checkpoint", lambda t: t | {"key": t["key"][:-2] + "A="}, "key"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "lie", "code"), LIES.values(), ids=LIES)
def test_a_server_that_lies_is_caught_on_the_page_of_the_log(
    served: Served,  # noqa: F811
    signatory: Page,
    path: str,
    lie: Lie,
    code: str,
) -> None:
    page = signatory.context.new_page()
    page.goto(served.origin + LOG)
    assert verdict(page) in ("first", "holds")
    expect(page.locator(".advice")).to_be_hidden()
    lying(page, path, lie)
    page.goto(served.origin + LOG)
    assert verdict(page) == code
    expect(page.locator(ALL)).to_contain_text("Alerte")
    expect(page.locator(".advice")).to_be_visible()
    assert contrasts(page) == []
    picture(page, f"lie-{code}")
    page.unroute_all()
    page.goto(served.origin + LOG)
    assert verdict(page) == "holds", "nothing was kept of the lie"
    page.close()


def test_an_old_head_is_shown_to_be_older_than_the_one_this_browser_saw(
    served: Served,  # noqa: F811
    signatory: Page,
) -> None:
    page = signatory
    page.goto(served.origin + LOG)
    old = page.request.get(f"{served.origin}{LOG}/checkpoint").json()
    look(page, served, "PLUS-TARD")
    sign(page)
    assert verdict(page) == "holds"
    lying(page, f"{LOG}/checkpoint", lambda _: old)
    page.goto(served.origin + LOG)
    assert verdict(page) == "shorter"
    page.unroute_all()


SIGNING_LIES: dict[str, tuple[Lie, str]] = {
    "field": (lambda h: h.replace('data-field="targets" value="contact"', 'data-field="targets" value="lot"'), "shown"),
    "kind": (lambda h: h.replace('data-leaf="kind" value="7"', 'data-leaf="kind" value="9"'), "shown"),
    "leaf": (lambda h: re.sub(r'\\"kind\\":7', r'\\"kind\\":9', h, count=1), "shown"),
    "content": (lambda h: h.replace('[\\"contact\\"]', '[\\"lot\\"]', 1), "challenge"),
}


@pytest.mark.parametrize(("lie", "code"), SIGNING_LIES.values(), ids=SIGNING_LIES)
def test_a_server_that_shows_one_thing_and_has_another_signed_gets_no_signature(
    served: Served,  # noqa: F811
    signatory: Page,
    lie: Lie,
    code: str,
) -> None:
    page = signatory
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.url.endswith("/sign") else None)
    lying(page, "/instruct/restrict", lambda html: lie(html) if "data-sign" in html else html + " ")
    look(page, served, "MENTEUR")
    expect(page.locator("[data-told]")).to_have_attribute("data-verdict", code)
    expect(page.locator("[data-told]")).to_contain_text("Alerte")
    page.get_by_role("button", name="Signer avec ma clé").click()
    expect(page.locator("[data-told]")).to_have_attribute("data-verdict", code)
    assert posted == []
    page.unroute_all()
    look(page, served, "HONNETE")
    expect(page.locator("[data-content]")).to_contain_text("HONNETE")
    assert page.get_attribute("[data-told]", "data-verdict") is None, "the same page without the lie is signed"


# -- how it looks ------------------------------------------------------------------------------------------------------

PAGES = ("/keys", "/instruct", "/instruct/synchronise", "/instruct/restrict?scope=person")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("size", [DESK, TELEPHONE], ids=["desk", "telephone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_of_acting_fits_and_breaks_no_policy(
    served: Served,  # noqa: F811
    signatory: Page,
    path: str,
    size: dict[str, int],
    scheme: str,
) -> None:
    page = signatory.context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.text} {message.location}"))
    page.set_viewport_size(size)  # type: ignore[arg-type]
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(f"{served.origin}/a/A0001{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert contrasts(page) == []
    assert said == []
    picture(page, f"{path.strip('/').replace('/', '-').replace('?', '-')}-{size['width']}-{scheme}")
    page.close()


def test_whoever_only_reads_verifies_too_and_is_offered_nothing_to_sign(
    served: Served,  # noqa: F811
    signatory: Page,
    chromium: Browser,  # noqa: F811
) -> None:
    with opened(chromium) as context:
        page = arrived(served, context, "lectrice@agence.example", "reader", "Créer une clé d'accès")
        page.goto(served.origin + LOG)
        assert verdict(page) == "first"
        assert page.get_by_role("link", name="Donner une instruction").count() == 0
        answer = page.goto(f"{served.origin}/a/A0001/instruct")
        assert answer is not None
        assert answer.status == 404
