"""A signatory at a browser: enrols a passkey, signs what the page shows, and signs nothing else."""

import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, CDPSession, Page

from ledger import signing
from ledger.entry import Window, body_of
from ledger.mandate import fold, stand
from ledger.signatures import Enrolled, decoded
from ledger.signing import Prepared
from tests.browser.served_log import ServedLog, written
from tests.browser.test_verify_log import instruction, verdict
from tests.unit.ledger import made
from tests.unit.ledger.orders_made import AT, CODE
from tests.unit.ledger.passkeys_made import SoftPasskey, later

OPTIONS: dict[str, Any] = {
    "rp": {"id": "localhost", "name": "Portail Exemple"},
    "user": {"id": "AAECAw", "name": "signataire", "displayName": "signataire"},
    "challenge": "AAECAwQFBgcICQoLDA0ODw",
    "pubKeyCredParams": [{"type": "public-key", "alg": a} for a in (-7, -8, -257)],
    "authenticatorSelection": {"userVerification": "required", "residentKey": "required"},
}


@pytest.fixture
def served(tmp_path: Path) -> Iterator[ServedLog]:
    ready = ServedLog(made.log_at(tmp_path), made.keys_at(tmp_path), later(60))
    with ready.running():
        yield ready


@pytest.fixture
def page(context: BrowserContext, served: ServedLog) -> Page:
    """A tab with an authenticator of its own, whose owner is there and is made sure of."""
    return with_authenticator(context)[0]


def with_authenticator(context: BrowserContext) -> tuple[Page, CDPSession, str]:
    tab = context.new_page()
    session = context.new_cdp_session(tab)
    session.send("WebAuthn.enable")
    kind = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    made_one = session.send("WebAuthn.addVirtualAuthenticator", {"options": kind})
    return tab, session, made_one["authenticatorId"]


def go(page: Page, served: ServedLog) -> str | None:
    """Press the button; what the page says then."""
    page.goto(f"{served.address}/sign")
    page.click("[data-go]")
    page.wait_for_selector("[data-told][data-verdict]")
    return page.get_attribute("[data-told]", "data-verdict")


def registered(page: Page, served: ServedLog) -> tuple[Enrolled, str]:
    """What the browser posted of a new passkey, as it is enrolled, and its raw id."""
    served.sign = {"options": OPTIONS, "fields": {}}
    assert go(page, served) == "done"
    said = served.posted[-1]
    enrolled = SoftPasskey().enrolled(
        algorithm=said["algorithm"], public_key=said["public_key"], relying_party="localhost", origin=served.address
    )
    return enrolled, said["rawId"]


def enrol(page: Page, served: ServedLog) -> tuple[Enrolled, str]:
    enrolled, raw_id = registered(page, served)
    signing.enrol(served.log, enrolled, AT)
    return enrolled, raw_id


def ask(served: ServedLog, passkey: tuple[Enrolled, str], prepared: Prepared | None = None) -> Prepared:
    """A page that asks for the signature of an instruction."""
    made_now = prepared or signing.prepare(served.log, instruction(), AT)
    fields = {k: written(v) for k, v in body_of(made_now.entry).items()}
    passkeys = [{"credential": passkey[0].id, "id": passkey[1]}]
    served.sign = {"prepared": made_now.as_json(), "fields": fields, "passkeys": passkeys}

    def record(said: dict[str, Any]) -> dict[str, Any]:
        assertion = {k: said[k] for k in ("authenticator_data", "client_data", "signature")}
        line = signing.record(served.log, made_now, said["credential"], assertion, later(1))
        return {"number": line.number}

    served.record = record
    return made_now


def test_a_passkey_of_the_browser_signs_an_instruction_and_the_ledger_and_the_browser_believe_it(
    context: BrowserContext, page: Page, served: ServedLog
) -> None:
    passkey = enrol(page, served)
    prepared = ask(served, passkey)
    assert go(page, served) == "done"
    assert page.inner_text("[data-content]") == prepared.foreseen.content.decode()
    history = served.log.read()
    assert [type(e).__name__ for e in history.entries] == ["Enrolled", "Synchronise", "Signed"]
    assert list(stand(history, later(60)).signers.values()) == [passkey[0].id]
    assert len(fold(history, later(60)).grants) == 1
    served.show_all()
    assert verdict(context, served) == "first"
    page.goto(served.address)
    page.wait_for_selector("[data-verdict-of-entry][data-verdict=signed]")


def test_a_second_passkey_is_signed_for_by_the_first(context: BrowserContext, page: Page, served: ServedLog) -> None:
    first = enrol(page, served)
    other, _, _ = with_authenticator(context)
    second, _ = registered(other, served)
    ask(served, first, signing.prepare_enrolment(served.log, second, AT))
    assert go(page, served) == "done"
    assert sorted(e.id for e in served.log.read().entries if isinstance(e, Enrolled)) == sorted(
        [first[0].id, second.id]
    )


def test_a_server_that_shows_one_instruction_and_has_another_signed_gets_no_signature(
    page: Page, served: ServedLog
) -> None:
    passkey = enrol(page, served)
    prepared = ask(served, passkey)
    honest = dict(served.sign)
    asked = len(served.posted)
    lies = {
        "another field": ("shown", {"fields": honest["fields"] | {"tables": "lot"}}),
        "nothing shown": ("shown", {"fields": {}}),
        "another content": (
            "challenge",
            {"prepared": prepared.as_json() | {"content": prepared.as_json()["content"].replace("sdgi", "gpi")}},
        ),
        "another salt": ("challenge", {"prepared": prepared.as_json() | {"salt": "00" * 32}}),
        "another leaf": (
            "challenge",
            {"prepared": prepared.as_json() | {"leaf": prepared.as_json()["leaf"].replace('"index":1', '"index":2')}},
        ),
        "another place": ("challenge", {"prepared": prepared.as_json() | {"index": 2}}),
        "another instant": ("challenge", {"prepared": prepared.as_json() | {"at": "2026-01-05T03:31:00Z"}}),
    }
    for name, (code, lie) in lies.items():
        served.sign = honest | lie
        assert go(page, served) == code, name
    assert len(served.posted) == asked, "the passkey was not even asked"
    served.sign = honest
    assert go(page, served) == "done"


def test_what_was_signed_and_then_changed_or_forged_is_refused_and_nothing_is_written(
    page: Page, served: ServedLog
) -> None:
    passkey = enrol(page, served)
    ask(served, passkey)
    record, size = served.record, served.log.head().size
    stranger = SoftPasskey(number=9)

    def changed(said: dict[str, Any]) -> dict[str, Any]:
        return record(said | {"signature": said["signature"][:-8] + "AAAAAAAA"})

    def forged(said: dict[str, Any]) -> dict[str, Any]:
        return record(said | stranger.assertion(bytes(32), party="localhost", origin=served.address))

    for lie in (changed, forged):
        served.record = lie
        assert go(page, served) == "refused"
        assert served.log.head().size == size


def test_a_log_that_grew_while_the_person_read_asks_to_sign_again(page: Page, served: ServedLog) -> None:
    passkey = enrol(page, served)
    ask(served, passkey)
    served.log.append(Window(dt.date(2023, 7, 20), None, dt.date(2026, 1, 5)), AT)
    assert go(page, served) == "again"
    ask(served, passkey)
    assert go(page, served) == "done"


def test_whoever_is_not_made_sure_of_signs_nothing(context: BrowserContext, served: ServedLog) -> None:
    tab, session, authenticator = with_authenticator(context)
    passkey = enrol(tab, served)
    ask(served, passkey)
    session.send("WebAuthn.setUserVerified", {"authenticatorId": authenticator, "isUserVerified": False})
    assert go(tab, served) == "cancelled"
    assert served.log.head().size == 1


def test_the_key_that_the_browser_hands_over_is_the_one_in_the_registration(page: Page, served: ServedLog) -> None:
    from webauthn import verify_registration_response
    from webauthn.helpers import base64url_to_bytes

    from pipelines.signing import spki_of_cose

    enrolled, _ = registered(page, served)
    said = {k: v for k, v in served.posted[-1].items() if k not in ("public_key", "algorithm")}
    verified = verify_registration_response(
        credential=said, expected_challenge=base64url_to_bytes(OPTIONS["challenge"]), expected_rp_id="localhost",
        expected_origin=served.address, require_user_verification=True,
    )  # fmt: skip
    assert spki_of_cose(verified.credential_public_key) == decoded(enrolled.public_key)
    assert enrolled.agency == CODE
