"""An agency's own sign-in in a real browser, in French: from the invitation there and back, and in again later."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.test_door import DESK, TELEPHONE, Served, chromium, opened, served  # noqa: F401 - fixtures
from tests.functional.test_canary import hits
from tests.functional.web.providers import CLIENT, SECRET, Provider, provider

GO = "Aller à la connexion de mon agence"


@pytest.fixture
def idp(served: Served, tmp_path: Path) -> Iterator[Provider]:  # noqa: F811
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with provider() as made:
        given = ("--agency", "A0001", "--issuer", made.issuer, "--client-id", CLIENT, "--secret-file", str(secret))
        assert SECRET not in served.run("door", "oidc", "set", *given)
        yield made
        served.run("door", "oidc", "remove", "--agency", "A0001")


@pytest.mark.parametrize(("size", "script"), [(DESK, True), (TELEPHONE, False)], ids=["desk", "no script"])
def test_somebody_comes_in_through_their_agencys_sign_in_and_comes_back_by_it(
    served: Served,  # noqa: F811
    chromium: Browser,  # noqa: F811
    idp: Provider,
    size: dict[str, int],
    script: bool,
) -> None:
    context = chromium.new_context(locale="fr-FR", viewport=size, java_script_enabled=script)  # type: ignore[arg-type]
    with context:
        page = context.new_page()
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text))
        page.goto(served.invite(f"fournisseur.{size['width']}@agence.example", "signatory"))
        _picture(page.screenshot, "oidc-invitation", size)
        page.get_by_role("link", name=GO).click()
        expect(page.locator("h1")).to_have_text("Agence")  # theirs
        assert page.url.startswith(f"{idp.issuer}/authorize?")
        page.get_by_role("link", name="Continuer").click()
        page.wait_for_url(f"{served.origin}/a/A0001")
        page.get_by_role("button", name="Se déconnecter").click()
        page.wait_for_url("**/sign-in")
        _picture(page.screenshot, "oidc-sign-in", size)
        page.get_by_role("link", name=GO).click()
        page.get_by_role("link", name="Continuer").click()
        page.wait_for_url(f"{served.origin}/a/A0001")
        page.goto(f"{served.origin}/sessions")
        expect(page.locator(".rows li strong").first).to_have_text("connexion de l'agence")
        idp.subject = "CANARI-inconnue-9920"
        idp.marked.add(idp.subject)
        address = next(str(each["redirect_uri"]) for each in idp.begun).removesuffix("/return")
        page.goto(address)
        _picture(page.screenshot, "oidc-there", size)
        page.get_by_role("link", name=GO).click()
        page.get_by_role("link", name="Continuer").click()
        expect(page.get_by_role("alert")).to_contain_text("Cette connexion n'ouvre rien ici.")
        _picture(page.screenshot, "oidc-refused", size)
        assert [text for text in said if "Security Policy" in text or "Refused" in text] == []
    assert idp.troubles == []
    written = served.errors.read_text()
    assert not [mark for mark in idp.marked if mark in written]
    assert hits([served.home], idp.marked) == {}


def _picture(taken: object, name: str, size: dict[str, int]) -> None:
    if folder := os.environ.get("SCREENSHOTS"):
        taken(path=f"{folder}/{name}-{size['width']}.png", full_page=True)  # type: ignore[operator]
