"""What an agency's sign-in, or somebody in its place, may not do: each is refused where it should be, and nothing of it
is written down."""

import base64
import hmac
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

from pipelines.reception.oidc import fetching
from pipelines.reception.oidc.metadata import Providers
from schemas.access import Role
from tests.functional.test_canary import hits
from tests.functional.web.conftest import Browser, Door
from tests.functional.web.providers import (
    CLIENT,
    KEYS,
    SECRET,
    Claims,
    Provider,
    dripping,
    jwks,
    provider,
    said,
    signed,
)
from tests.functional.web.through import configure, entrance, idp, joined, local, noted, there, through

__all__ = ["idp"]
SUBJECT = "CANARI-connue-3317"
SMALL_STRANGER = ECKey.generate_key("P-256", {"kid": "ec-1"})
STRANGER = RSAKey.generate_key(2048, {"kid": "rsa-1"})


class Log(logging.Handler):
    """All that is logged, but by the client that these tests ask with: it is not ours."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("httpx2", "httpcore2")):
            self.lines.append(f"{record.name} {record.getMessage()} {record.exc_text or record.exc_info or ''}")


@pytest.fixture
def known(
    door: Door, idp: Provider, capfd: pytest.CaptureFixture[str]
) -> Iterator[Provider]:  # fmt: skip
    """A sign-in by which somebody came in before. Whatever is done with it, no log and no file has any of it after."""
    log = Log()
    logging.getLogger().addHandler(log)
    before = logging.getLogger().level
    logging.getLogger().setLevel(logging.DEBUG)
    joined(door, idp, "connue@agence.example", SUBJECT)
    desk = door.service.counter.desk
    object.__setattr__(desk, "providers", Providers())  # as after a start: nothing of the provider is known
    yield idp
    logging.getLogger().removeHandler(log)
    logging.getLogger().setLevel(before)
    spoken = capfd.readouterr()
    written = "\n".join(log.lines) + spoken.out + spoken.err
    assert any("asyncio" in line for line in log.lines)
    assert not [mark for mark in idp.marked if mark in written]
    assert hits([door.site.home.root], idp.marked) == {}


def came(idp: Provider, browser: Browser, door: Door) -> tuple[int, bool]:
    """Status, and whether a session was given."""
    answer = through(idp, browser, f"{entrance(door)}/go")
    return answer.status_code, "__Host-session" in answer.headers.get("set-cookie", "").replace('__Host-session=""', "")


def refused(idp: Provider, door: Door, why: str) -> None:
    assert came(idp, door.browser(), door) == (403, False)
    assert noted(door) == ("not verified", why)


def changed(**new: Any) -> Callable[[Claims], str]:
    """A token that is signed as it should be, and says something else; None: it does not say it."""
    return lambda claims: signed({n: v for n, v in (claims | new).items() if v is not None})


def later(**by: int) -> Callable[[Claims], str]:
    return lambda claims: signed(claims | {n: claims["iat"] + seconds for n, seconds in by.items()})


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def plainly(header: Claims, claims: Claims) -> str:
    """Signed with the right key, whatever the header says: no library would."""
    head = f"{part(header)}.{part(claims)}"
    key = KEYS["RSA"].private_key
    assert isinstance(key, RSAPrivateKey)
    signature = key.sign(head.encode(), PKCS1v15(), SHA256())
    return f"{head}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def by_stranger(**header: Any) -> Callable[[Claims], str]:
    return lambda claims: jwt.encode({"alg": "RS256", "kid": "rsa-1", **header}, claims, STRANGER)


def by_small_stranger(claims: Claims) -> str:
    """Its header is short enough to be read."""
    jwk = SMALL_STRANGER.as_dict(private=False)
    return jwt.encode({"alg": "ES256", "kid": "ec-1", "jwk": jwk}, claims, SMALL_STRANGER)


def with_secret(key: str | bytes) -> Callable[[Claims], str]:
    """HS256, as somebody signs who takes something public, or the client's secret, for a key."""

    def minted(claims: Claims) -> str:
        head = f"{part({'alg': 'HS256', 'kid': 'rsa-1'})}.{part(claims)}"
        seal = hmac.digest(key if isinstance(key, bytes) else key.encode(), head.encode(), "sha256")
        return f"{head}.{base64.urlsafe_b64encode(seal).rstrip(b'=').decode()}"

    return minted


PUBLIC = KEYS["RSA"].as_pem(private=False)
FORGED: dict[str, tuple[Callable[[Claims], Any], str]] = {
    "alg none": (lambda c: f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(c)}.", "algorithm"),
    "alg None": (lambda c: f"{part({'alg': 'None', 'kid': 'rsa-1'})}.{part(c)}.", "algorithm"),
    "HS256 with the public key": (with_secret(PUBLIC), "algorithm"),
    "HS256 with the client's secret": (with_secret(SECRET), "algorithm"),
    "RS512": (lambda c: jwt.encode({"alg": "RS512", "kid": "rsa-1"}, c, KEYS["RSA"], ["RS512"]), "algorithm"),
    "another key of that name": (by_stranger(), "signature"),
    "its own key, jwk": (by_stranger(jwk=STRANGER.as_dict(private=False)), "signature"),
    "its own small key, jwk": (by_small_stranger, "signature"),
    "its own key, x5c": (by_stranger(x5c=["MIIB"]), "signature"),
    "a key of another kind": (lambda c: signed(c, "ES256", kid="rsa-1"), "key"),
    "an unknown key": (lambda c: signed(c, kid="rsa-9"), "key"),
    "no key named, of two": (lambda c: jwt.encode({"alg": "RS256"}, c, STRANGER), "signature"),
    "a token for something else": (lambda c: signed(c, typ="at+jwt"), "header"),
    "an unknown critical part": (
        lambda c: plainly({"alg": "RS256", "kid": "rsa-1", "crit": ["x"], "x": 1}, c), "signature",
    ),
    "one bit changed": (lambda c: signed(c)[:-3] + "AAA", "signature"),
    "other claims below the signature": (
        lambda c: ".".join([signed(c).split(".")[0], part(c | {"sub": "autre"}), signed(c).split(".")[2]]), "signature",
    ),
    "wrong nonce": (changed(nonce="n" * 43), "nonce"),
    "no nonce": (changed(nonce=None), "nonce"),
    "foreign issuer": (changed(iss="https://ailleurs.example"), "iss"),
    "no issuer": (changed(iss=None), "iss"),
    "for another client": (changed(aud="ailleurs"), "aud"),
    "for us and another": (changed(aud=[CLIENT, "ailleurs"], azp=CLIENT), "aud"),
    "for nobody": (changed(aud=None), "aud"),
    "handed to another": (changed(azp="ailleurs"), "azp"),
    "expired": (later(iat=-1000, exp=-700, nbf=-1000), "iat"),
    "expired a minute ago": (later(exp=-60), "exp"),
    "no end": (changed(exp=None), "time"),
    "an end that is a text": (changed(exp="9999999999"), "time"),
    "an end that is true": (changed(exp=True), "time"),
    "an end without end": (lambda c: signed(c | {"exp": float("inf")}), "time"),
    "made in the future": (later(iat=120, exp=300), "iat"),
    "made before it was asked for": (later(iat=-60), "iat"),
    "no beginning": (changed(iat=None), "time"),
    "not yet": (later(nbf=120), "nbf"),
    "no subject": (changed(sub=None), "sub"),
    "an empty subject": (changed(sub=""), "sub"),
    "a subject that is a number": (changed(sub=12), "sub"),
    "a subject without end": (changed(sub="s" * 256), "sub"),
    "no token": (lambda _: None, "token"),
    "a token that is a list": (lambda _: ["a.b.c"], "token"),
    "half a token": (lambda c: signed(c).rpartition(".")[0], "signature"),
    "not JSON": (lambda _: "e30.e30.e30", "signature"),
    "far too long": (lambda c: signed(c | {"x": "y" * 40_000}), "token"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_token_that_does_not_hold_lets_nobody_in(door: Door, known: Provider, name: str) -> None:
    known.mint, why = FORGED[name]
    refused(known, door, why)
    known.mint = signed
    assert came(known, door.browser(), door) == (303, True)


def test_a_key_that_a_token_says_where_to_fetch_is_not_fetched(door: Door, known: Provider) -> None:
    for name in ("jku", "x5u"):
        known.mint = by_stranger(**{name: f"{known.issuer}/theirs"})
        refused(known, door, "signature")
    assert known.asked["/theirs"] == 0


def test_a_token_is_good_for_the_way_it_was_asked_for(door: Door, known: Provider) -> None:
    kept: list[str] = []

    def keeping(claims: Claims) -> str:
        kept.append(signed(claims))
        return kept[-1]

    known.mint = keeping
    assert came(known, door.browser(), door) == (303, True)
    known.mint = lambda _: kept[0]
    refused(known, door, "nonce")


def test_a_state_is_good_once_in_the_browser_that_it_was_made_for(door: Door, known: Provider) -> None:
    mine, theirs = door.browser(), door.browser()
    back = local(known.browse(there(mine, f"{entrance(door)}/go")))
    there(theirs, f"{entrance(door)}/go")
    answer = theirs.get(back)
    assert (answer.status_code, noted(door)) == (403, ("not verified", "state"))
    assert mine.get(back).status_code == 403  # it was used up: whoever stole it has spoilt it, and no more
    bare = door.browser()
    back = local(known.browse(there(mine, f"{entrance(door)}/go")))
    assert bare.get(back).status_code == 403
    back = local(known.browse(there(mine, f"{entrance(door)}/go")))
    assert mine.get(back).status_code == 303
    again = mine.get(back)
    assert (again.status_code, noted(door)) == (403, ("not verified", "state"))
    assert known.asked["/token"] == 2  # one for the first who came in, one here: nothing was asked for the others


def test_a_code_is_good_once(door: Door, known: Provider) -> None:
    browser = door.browser()
    first = local(known.browse(there(browser, f"{entrance(door)}/go")))
    assert browser.get(first).status_code == 303
    code = parse_qs(urlsplit(first).query)["code"][0]
    fresh = parse_qs(urlsplit(known.browse(there(browser, f"{entrance(door)}/go"))).query)
    replayed = browser.get(f"{entrance(door)}/return?{urlencode({'code': code, 'state': fresh['state'][0]})}")
    assert (replayed.status_code, noted(door)) == (403, ("not verified", "status"))
    assert known.troubles == ["code"]


def test_a_code_of_another_way_is_kept_from_us_by_its_challenge(door: Door, known: Provider) -> None:
    """PKCE: a code that was stolen on its way to somebody else is put into one's own way."""
    mine, theirs = door.browser(), door.browser()
    stolen = parse_qs(urlsplit(known.browse(there(theirs, f"{entrance(door)}/go"))).query)["code"][0]
    own = parse_qs(urlsplit(known.browse(there(mine, f"{entrance(door)}/go"))).query)["state"][0]
    assert mine.get(f"{entrance(door)}/return?{urlencode({'code': stolen, 'state': own})}").status_code == 403
    assert known.troubles == ["challenge"]


def test_an_answer_of_one_agencys_sign_in_is_not_taken_for_anothers(door: Door, known: Provider) -> None:
    """Mix-up (RFC 9207, RFC 9700 §4.4): by the issuer that an answer names, and by the address that it comes to."""
    known.says_issuer = "https://ailleurs.example"
    refused(known, door, "issuer")
    known.says_issuer = known.issuer
    assert came(known, door.browser(), door) == (303, True)
    known.says_issuer = None
    known.metadata = {"authorization_response_iss_parameter_supported": True}
    object.__setattr__(door.service.counter.desk, "providers", Providers())
    refused(known, door, "issuer")
    known.metadata = {}
    object.__setattr__(door.service.counter.desk, "providers", Providers())
    with provider(clock=door.clock) as other:
        configure(door, other, "A0002")
        browser = door.browser()
        query = urlsplit(known.browse(there(browser, f"{entrance(door)}/go"))).query
        answer = browser.get(f"{entrance(door, 'A0002')}/return?{query}")
        assert (answer.status_code, noted(door)) == (403, ("not verified", "state"))
        assert other.asked["/token"] == 0


def test_somebody_who_was_refused_there_is_not_let_in_here(door: Door, known: Provider) -> None:
    browser = door.browser()
    state = parse_qs(urlsplit(there(browser, f"{entrance(door)}/go")).query)["state"][0]
    told = {"error": "access_denied", "error_description": "CANARI-texte <b>d'ailleurs</b>", "state": state}
    known.marked.add("CANARI-texte")
    answer = browser.get(f"{entrance(door)}/return?{urlencode(told)}")
    assert (answer.status_code, noted(door)) == (403, ("not verified", "refused there"))
    assert "CANARI-texte" not in answer.text


def test_a_token_without_a_second_factor_lets_nobody_in(door: Door, known: Provider) -> None:
    known.amr = ["pwd"]
    refused(known, door, "second factor")


def test_an_invitation_that_was_used_meanwhile_binds_nobody(door: Door, known: Provider) -> None:
    token = door.invite("course@agence.example", Role.READER, "A0001")
    first, second = door.browser(), door.browser()
    known.subject = "premiere"
    backs = [local(known.browse(there(b, f"/invitation/{token}/agency"))) for b in (first, second)]
    assert [first.get(backs[0]).status_code, second.get(backs[1]).status_code] == [303, 404]


# -- a provider that is away, slow, large, or odd ----------------------------------------------------------------------


def answering(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    return lambda handler: said(handler, status, body, **headers)


def cut_off(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{")


# What is answered, with which status it ends, and what did not hold (nothing: it is said to be away).
ODD: dict[str, tuple[Callable[[BaseHTTPRequestHandler], None], int, str | None]] = {
    "an error": (answering(500, b"{}"), 503, None),
    "not there": (answering(404, b"{}"), 403, "status"),
    "led elsewhere": (answering(302, b"{}", Location="/theirs"), 403, "status"),
    "no JSON": (answering(200, b"<html>"), 403, "json"),
    "a list": (answering(200, b"[]"), 403, "json"),
    "a deep one": (answering(200, b"[" * 100_000), 403, "json"),
    "a huge one": (answering(200, b'{"x": "' + b"y" * 300_000 + b'"}'), 403, "size"),
    "cut off": (cut_off, 403, "json"),
}


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/jwks", "/token"])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_is_a_no_and_not_a_fault(door: Door, known: Provider, name: str, path: str) -> None:
    known.answers[path], status, why = ODD[name]
    browser = door.browser()
    begun = browser.get(f"{entrance(door)}/go")
    last = browser.get(local(known.browse(begun.headers["location"]))) if begun.status_code == 303 else begun
    assert (last.status_code, known.asked["/theirs"]) == (status, 0)
    assert (begun.status_code == 303) == (path != "/.well-known/openid-configuration")
    if begun.status_code == 303:
        assert noted(door) == ("later" if why is None else "not verified", why)


def test_a_provider_that_is_away_is_said_to_be(door: Door, known: Provider) -> None:
    with provider(clock=door.clock) as gone:
        configure(door, gone)
    answer = door.browser().get(f"{entrance(door)}/go")
    assert (answer.status_code, "ne répond pas" in answer.text) == (503, True)


def test_a_slow_provider_is_given_its_time_and_nobody_else_waits(
    door: Door, known: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "SECONDS", 0.7)
    known.answers["/.well-known/openid-configuration"] = dripping
    spent: list[float] = []

    def one() -> None:
        start = time.monotonic()
        assert door.browser().get(f"{entrance(door)}/go").status_code == 503
        spent.append(time.monotonic() - start)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.1)
    start = time.monotonic()
    assert door.browser().get("/sign-in").status_code == 200
    other = door.browser().get(entrance(door, "A0002"))
    assert (other.status_code, time.monotonic() - start < 5) == (404, True)
    for thread in threads:
        thread.join()
    assert len(spent) == 6
    assert max(spent) < 10  # twenty seconds of drips
    assert known.asked["/.well-known/openid-configuration"] == 1 + 2  # by `joined`, and two at once


@pytest.mark.parametrize(
    ("said_there", "word"),
    [
        ({"issuer": "https://ailleurs.example"}, "metadata"),
        ({"token_endpoint": "http://ailleurs.example/token"}, "metadata"),
        ({"jwks_uri": "file:///etc/passwd"}, "metadata"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "metadata"),
        ({"id_token_signing_alg_values_supported": ["HS256"]}, "metadata"),
        ({"token_endpoint_auth_methods_supported": ["none"]}, "metadata"),
    ],
)
def test_a_document_that_is_not_this_issuers_leads_nowhere(
    door: Door, known: Provider, said_there: Claims, word: str
) -> None:
    known.metadata = said_there
    answer = door.browser().get(f"{entrance(door)}/go")
    assert (answer.status_code, "location" in answer.headers) == (403, False)
    assert word


def test_an_algorithm_that_the_provider_does_not_name_is_not_taken(door: Door, known: Provider) -> None:
    known.metadata = {"id_token_signing_alg_values_supported": ["ES256"]}
    refused(known, door, "algorithm")


def test_keys_that_are_not_to_be_used_are_not(door: Door, known: Provider) -> None:
    """Keys to encrypt to, weak ones, secret ones, other curves: as if they were not there."""
    weak = RSAKey.generate_key(1024, {"kid": "weak"}, auto_kid=False)
    own = KEYS["RSA"].as_dict(private=False)
    published = [weak.as_dict(private=False), own | {"use": "enc"}, own | {"alg": "RS512"},
                 {"kty": "oct", "kid": "rsa-1", "k": part("secret")}, own | {"n": "AAAA"}, "key", None]  # fmt: skip
    known.answers["/jwks"] = answering(200, json.dumps({"keys": published}).encode())
    refused(known, door, "key")
    known.mint = lambda c: jwt.encode({"alg": "RS256", "kid": "weak"}, c, weak)
    refused(known, door, "key")


def test_a_storm_of_unknown_keys_reads_the_keys_once_a_minute(door: Door, known: Provider) -> None:
    assert came(known, door.browser(), door) == (303, True)
    before = known.asked["/jwks"]
    names = iter(range(1000))
    known.mint = lambda claims: signed(claims, kid=f"unknown-{next(names)}")
    for _ in range(12):
        refused(known, door, "key")
    assert known.asked["/jwks"] == before
    door.clock.pass_(seconds=61)
    for _ in range(5):
        refused(known, door, "key")
    assert known.asked["/jwks"] == before + 1


def test_two_who_come_at_once_wait_for_the_same_keys(door: Door, known: Provider) -> None:
    def slowly(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.6)
        said(handler, 200, json.dumps(jwks()).encode())

    known.answers["/jwks"] = slowly
    before, let_in = known.asked["/jwks"], list[tuple[int, bool]]()
    browsers = [door.browser() for _ in range(2)]
    threads = [threading.Thread(target=lambda b=b: let_in.append(came(known, b, door))) for b in browsers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert let_in == [(303, True)] * 2
    assert known.asked["/jwks"] == before + 1


def test_keys_that_could_not_be_read_are_asked_for_again(door: Door, known: Provider) -> None:
    known.answers["/jwks"] = answering(500, b"")
    assert came(known, door.browser(), door) == (503, False)
    del known.answers["/jwks"]
    assert came(known, door.browser(), door) == (303, True)


def test_a_key_that_the_provider_begins_to_use_is_found(door: Door, known: Provider) -> None:
    assert came(known, door.browser(), door) == (303, True)
    fresh = RSAKey.generate_key(2048, {"kid": "rsa-2", "use": "sig"})
    known.answers["/jwks"] = answering(200, json.dumps(jwks(KEYS | {"new": fresh})).encode())
    known.mint = lambda claims: jwt.encode({"alg": "RS256", "kid": "rsa-2"}, claims, fresh)
    door.clock.pass_(seconds=61)
    assert came(known, door.browser(), door) == (303, True)
    known.answers["/jwks"] = answering(200, json.dumps(jwks({"new": fresh})).encode())
    known.mint = signed
    door.clock.pass_(hours=1, seconds=1)  # a key that was taken back is over within the hour
    refused(known, door, "key")
