"""Coming in through an agency's own sign-in: who may, as whom, how far, and until when."""

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from pipelines.reception.oidc import settings
from pipelines.reception.sweeping import sweep
from pipelines.reception.tables import ATTEMPT, BINDING, PROVIDER, SESSION
from portal.cli import run
from schemas.access import Grant, Question, Role, SignedOut
from schemas.ids import AgencyCode
from store.keys import open_root
from tests.functional.web.conftest import ORIGIN, PASSWORD, Door
from tests.functional.web.providers import CLIENT, SECRET, SUBJECT, Provider, signed
from tests.functional.web.through import configure, entrance, home, idp, joined, local, noted, there, through

__all__ = ["idp"]
FRENCH_NO = "connexion n&#39;ouvre rien ici"


def bindings(door: Door) -> int:
    with door.service.counter.desk.engine.connect() as db:
        return db.execute(select(func.count()).select_from(BINDING)).scalar_one()


def test_somebody_invited_comes_in_through_the_agencys_sign_in_and_comes_back_by_it(door: Door, idp: Provider) -> None:
    token = door.invite("par.agence@agence.example", Role.READER, "A0001")
    browser = door.browser()
    page = browser.get(f"/invitation/{token}").text
    assert f'href="/invitation/{token}/agency"' in page
    came = through(idp, browser, f"/invitation/{token}/agency")
    assert (came.status_code, came.headers["location"]) == (303, "/")
    assert home(browser) == 200
    assert "connexion de l&#39;agence" in browser.get("/sessions").text
    assert door.browser().get(f"/invitation/{token}").status_code == 404  # used up
    assert browser.send("/sign-out", "/sessions").status_code == 303
    assert browser.get("/a/A0001").headers["location"] == "/sign-in"
    offered = re.search(r'href="(/sign-in/agency/[0-9a-f]{32}/go)"', browser.get("/sign-in").text)
    assert offered is not None
    assert offered[1] == f"{entrance(door)}/go"
    assert through(idp, browser, offered[1]).status_code == 303
    assert home(browser) == 200
    assert idp.troubles == []


def test_what_the_sign_in_is_asked_is_a_code_with_proofs_and_no_name(door: Door, idp: Provider) -> None:
    joined(door, idp, "demande@agence.example", "demande")
    asked = idp.begun[-1]
    back = f"{ORIGIN}{entrance(door)}/return"
    fixed = {n: asked.pop(n) for n in ("response_type", "client_id", "redirect_uri", "scope", "code_challenge_method")}
    assert list(fixed.values()) == ["code", CLIENT, back, "openid", "S256"]
    assert set(asked) == {"state", "nonce", "code_challenge"}
    assert len(set(asked.values())) == 3
    assert min(map(len, asked.values())) == 43


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_each_way_of_signing_that_is_taken(door: Door, idp: Provider, algorithm: str) -> None:
    idp.mint = lambda claims: signed(claims, algorithm)
    assert home(joined(door, idp, f"{algorithm}@agence.example", algorithm)) == 200


def test_a_provider_that_wants_the_secret_in_the_form_is_given_it_there(door: Door, idp: Provider) -> None:
    idp.metadata["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert home(joined(door, idp, "formulaire@agence.example", "formulaire")) == 200


def test_whoever_is_not_invited_is_told_the_same_whoever_they_are(door: Door, idp: Provider) -> None:
    """Nobody here; somebody whose roles were taken away; somebody whose role is over; somebody of another agency."""
    joined(door, idp, "retiree@agence.example", "retiree")
    assert run(["--home", str(door.site.home.root), "door", "revoke", "--email", "retiree@agence.example"]) == 0
    brief = door.invite("brief.role@agence.example", Role.READER, "A0001", door.clock() + dt.timedelta(minutes=5))
    idp.subject = "brief"
    assert through(idp, door.browser(), f"/invitation/{brief}/agency").status_code == 303
    configure(door, idp, "A0002")
    joined(door, idp, "ailleurs@agence.example", "ailleurs", agency="A0002")
    door.clock.pass_(minutes=6)
    told = set()
    for subject in ("inconnue", "retiree", "brief", "ailleurs"):
        idp.subject = subject
        browser = door.browser()
        page = through(idp, browser, f"{entrance(door)}/go")
        assert "__Host-session" not in browser.client.cookies
        told.add((page.status_code, re.sub(r'content="[0-9a-f]{64}"', "", page.text)))
    assert len(told) == 1
    status, text = told.pop()
    assert (status, FRENCH_NO in text) == (403, True)


def test_the_address_of_a_sign_in_is_not_guessed_and_an_unknown_one_is_no_page(door: Door, idp: Provider) -> None:
    browser = door.browser()
    absent = browser.get("/nothing").content
    for guess in ("A0001", "a0001", "0" * 32, entrance(door, "A0002").rpartition("/")[2], "a.b", "x" * 300):
        for way in ("", "/go", "/return?code=c&state=s"):
            answer = browser.get(f"/sign-in/agency/{guess}{way}")
            assert (answer.status_code, answer.content) == (404, absent), (guess, way)
    page = browser.get("/sign-in").text
    assert "A0001" not in page
    assert "/sign-in/agency/" not in page
    assert browser.get(entrance(door)).status_code == 200


def test_the_sign_in_is_offered_to_the_agencys_own_people_alone(door: Door, idp: Provider) -> None:
    both = door.invite("deux@agence.example", Role.READER, "A0002")
    both = door.invite("deux@agence.example", Role.READER, "A0001")
    others = [
        both, door.invite("maison@agence.example", Role.OPERATOR, None),
        door.invite("audit@agence.example", Role.AUDITOR, "A0001"),
        door.invite("sans@agence.example", Role.READER, "A0002"),
    ]  # fmt: skip
    browser = door.browser()
    absent = browser.get("/invitation/no-such/agency").content
    for token in others:
        assert f"/invitation/{token}/agency" not in browser.get(f"/invitation/{token}").text
        answer = browser.get(f"/invitation/{token}/agency")
        assert (answer.status_code, answer.content) == (404, absent)


def test_a_session_that_an_agency_vouched_for_opens_nothing_of_another(door: Door, idp: Provider) -> None:
    """Whoever runs an agency's sign-in can say that anybody is there."""
    browser = joined(door, idp, "ici.et.la@agence.example", "ici")
    door.invite("ici.et.la@agence.example", Role.READER, "A0002")
    door.invite("ici.et.la@agence.example", Role.OPERATOR, None)
    door.accounts.invite(
        "ici.et.la@agence.example",
        Grant(Role.AUDITOR, AgencyCode("A0003"), door.clock(), door.clock() + dt.timedelta(days=9)),
        door.clock(),
    )
    assert [home(browser, a) for a in ("A0001", "A0002", "A0003")] == [200, 404, 404]
    assert browser.get("/").headers["location"] == "/a/A0001"


def test_what_is_revoked_is_over_at_once_and_does_not_come_back(door: Door, idp: Provider) -> None:
    browser = joined(door, idp, "revoquee@agence.example", "revoquee")
    assert home(browser) == 200
    door.accounts.revoke("revoquee@agence.example", door.clock())
    assert browser.get("/a/A0001").headers["location"] == "/sign-in"
    door.invite("revoquee@agence.example", Role.READER, "A0001")
    assert through(idp, browser, f"{entrance(door)}/go").status_code == 403


def test_an_invitation_anew_replaces_the_way_in(door: Door, idp: Provider) -> None:
    joined(door, idp, "nouveau@agence.example", "avant")
    joined(door, idp, "nouveau@agence.example", "apres")
    idp.subject = "avant"
    assert through(idp, door.browser(), f"{entrance(door)}/go").status_code == 403
    person = door.person(Role.READER, "A0001", "nouveau@agence.example")
    assert home(person.browser) == 200
    idp.subject = "apres"
    assert through(idp, door.browser(), f"{entrance(door)}/go").status_code == 403
    door.clock.pass_(minutes=1)
    joined(door, idp, "nouveau@agence.example", "encore")
    again = door.sign_in(door.browser(), person.email, PASSWORD, door.code(person.secret))
    assert again.status_code == 403  # the password went with the invitation


def test_a_subject_is_one_account_s_and_an_address_says_nothing(door: Door, idp: Provider) -> None:
    joined(door, idp, "premiere@agence.example", "meme")
    token = door.invite("seconde@agence.example", Role.SIGNATORY, "A0001")
    came = through(idp, door.browser(), f"/invitation/{token}/agency")
    assert (came.status_code, FRENCH_NO in came.text) == (403, True)
    assert door.browser().get(f"/invitation/{token}").status_code == 200  # not used up by it
    idp.subject, idp.more = "autre", {"email": "premiere@agence.example", "email_verified": True}
    assert through(idp, door.browser(), f"{entrance(door)}/go").status_code == 403


def test_removing_the_sign_in_ends_its_sessions_and_unbinds_its_people(
    door: Door, idp: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    browser = joined(door, idp, "jusque@agence.example", "jusque")
    other = door.person(Role.READER, "A0001", "motdepasse@agence.example")
    assert run(["--home", str(door.site.home.root), "--json", "door", "oidc", "remove", "--agency", "A0001"]) == 0
    assert json.loads(capsys.readouterr().out) == {"people": 1}
    assert browser.get("/a/A0001").headers["location"] == "/sign-in"
    assert home(other.browser) == 200
    assert browser.get(entrance(door)).status_code == 404
    configure(door, idp)
    assert through(idp, browser, f"{entrance(door)}/go").status_code == 403


def test_another_issuer_has_other_people(door: Door, idp: Provider) -> None:
    browser = joined(door, idp, "ancien@agence.example", "ancien")
    configure(door, idp)  # the same once more changes nothing
    assert home(browser) == 200
    desk = door.service.counter.desk
    how = settings.Settings(AgencyCode("A0001"), "https://connexion.agence.example", CLIENT, SECRET)
    settings.keep(desk.engine, desk.vault, how, door.clock())
    assert browser.get("/a/A0001").headers["location"] == "/sign-in"
    assert bindings(door) == 0


def test_what_is_kept_of_an_agencys_sign_in_goes_with_the_agency(door: Door, idp: Provider) -> None:
    gone = joined(door, idp, "efface@agence.example", "efface")
    configure(door, idp, "A0002")
    stays = joined(door, idp, "reste@agence.example", "reste", agency="A0002")
    there(door.browser(), f"{entrance(door)}/go")
    root = open_root(door.site.home)
    assert settings.forget(door.site.home, root, AgencyCode("A0001")) == 4  # settings, binding, a way begun, session
    assert settings.forget(door.site.home, root, AgencyCode("A0001")) == 0
    assert gone.get("/a/A0001").headers["location"] == "/sign-in"
    assert gone.get(entrance(door)).status_code == 404
    assert home(stays, "A0002") == 200
    mark = door.service.counter.desk.vault.mark("agency", "A0001")
    with door.service.counter.desk.engine.connect() as db:
        for table in (PROVIDER, BINDING):
            assert mark not in db.execute(select(table.c.agency_mark)).scalars().all()
        assert not [by for by in db.execute(select(SESSION.c.by)).scalars() if mark in by]


def test_a_forgotten_account_leaves_no_binding(door: Door, idp: Provider) -> None:
    role = door.invite("oubli@agence.example", Role.READER, "A0001", door.clock() + dt.timedelta(days=1))
    idp.subject = "oubli"
    assert through(idp, door.browser(), f"/invitation/{role}/agency").status_code == 303
    assert bindings(door) == 1
    assert sweep(door.service.counter.desk, door.service.counter.journal, door.clock() + dt.timedelta(days=45)).accounts
    assert bindings(door) == 0


TWO = [["mfa"], ["pwd", "otp"], ["pwd", "hwk", "user"], ["pin", "sc"], ["fpt", "swk"]]
ONE = [["pwd"], ["otp"], ["hwk"], ["pwd", "pin"], ["pwd", "sms"], [], None, "mfa", [["mfa"]]]


@pytest.mark.parametrize(("amr", "taken"), [*((a, True) for a in TWO), *((a, False) for a in ONE)], ids=str)
def test_two_factors_of_different_kinds_are_asked_for(door: Door, idp: Provider, amr: Any, taken: bool) -> None:
    token = door.invite("facteurs@agence.example", Role.READER, "A0001")
    idp.amr, idp.subject = amr, "facteurs"
    came = through(idp, door.browser(), f"/invitation/{token}/agency")
    assert came.status_code == (303 if taken else 403)
    if not taken and isinstance(amr, list | None):
        assert "second facteur" in came.text
        assert noted(door) == ("not verified", "second factor")


def test_an_acr_that_was_named_counts_for_two_factors_and_another_does_not(door: Door, idp: Provider) -> None:
    configure(door, idp, acr="urn:agence:deux")
    token = door.invite("acr@agence.example", Role.READER, "A0001")
    idp.amr, idp.more = ["pwd"], {"acr": "urn:agence:un"}
    assert through(idp, door.browser(), f"/invitation/{token}/agency").status_code == 403
    assert idp.begun[-1]["acr_values"] == "urn:agence:deux"
    idp.more = {"acr": "urn:agence:deux"}
    assert through(idp, door.browser(), f"/invitation/{token}/agency").status_code == 303


def test_an_operator_may_do_without_a_second_factor_for_an_agency(door: Door, idp: Provider) -> None:
    configure(door, idp, require_mfa=False)
    idp.amr = ["pwd"]
    assert home(joined(door, idp, "simple@agence.example", "simple")) == 200


def test_a_signatory_who_came_in_so_acts_and_signs_with_a_passkey_of_the_agency(door: Door, idp: Provider) -> None:
    browser = joined(door, idp, "signataire.oidc@agence.example", "signataire", Role.SIGNATORY)
    assert browser.get("/a/A0001/instruct/return").status_code == 200
    assert browser.get("/a/A0001/keys").status_code == 200
    token = browser.client.cookies["__Host-session"]
    state = door.socket.ask(Question.KEYS, token, "127.0.0.1", agency="A0001")
    assert (state["acts"], state["can_sign"]) == (True, False)


def test_nobody_elses_page_sends_somebody_on_their_way(door: Door, idp: Provider) -> None:
    token = door.invite("pousse@agence.example", Role.READER, "A0001")
    for start in (f"{entrance(door)}/go", f"/invitation/{token}/agency"):
        for site in ("cross-site", "same-site"):
            answer = door.browser().get(start, **{"sec-fetch-site": site})
            assert (answer.status_code, "location" in answer.headers) == (403, False)


def test_a_way_is_good_for_ten_minutes(door: Door, idp: Provider) -> None:
    joined(door, idp, "dix@agence.example", "dix")
    for minutes, status in ((9, 303), (11, 403)):
        browser = door.browser()
        location = there(browser, f"{entrance(door)}/go")
        door.clock.pass_(minutes=minutes)
        assert browser.get(local(idp.browse(location))).status_code == status


def test_setting_out_and_coming_back_too_often_waits(door: Door, idp: Provider) -> None:
    browser = door.browser()
    for path, status in ((f"{entrance(door)}/go", 303), (f"{entrance(door)}/return?code=c&state=s", 403)):
        with door.service.counter.desk.engine.begin() as db:
            db.execute(delete(ATTEMPT))
        assert [browser.get(path).status_code for _ in range(21)] == [status] * 20 + [429]


def test_signing_out_ends_the_session_here(door: Door, idp: Provider) -> None:
    browser = joined(door, idp, "sort@agence.example", "sort")
    token = browser.client.cookies["__Host-session"]
    assert browser.send("/sign-out", "/sessions").status_code == 303
    with pytest.raises(SignedOut):
        door.socket.ask(Question.WHO, token, "127.0.0.1")


# -- the command -------------------------------------------------------------------------------------------------------


def command(door: Door, *words: str) -> int:
    return run(["--home", str(door.site.home.root), *words])


def test_the_command_sets_shows_and_never_says_the_secret(
    door: Door, idp: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(f"{SECRET}\n")
    given = ("--agency", "A0002", "--issuer", idp.issuer, "--client-id", CLIENT, "--secret-file", str(secret))
    assert command(door, "--json", "door", "oidc", "set", *given, "--acr", "urn:deux") == 0
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["agency"], said["issuer"], said["require_mfa"], said["acr"]) == ("A0002", idp.issuer, True, "urn:deux")
    assert said["redirect_uri"] == said["sign_in"] + "/return"
    assert said["sign_in"].endswith(entrance(door, "A0002"))
    assert command(door, "door", "oidc", "show") == 0
    assert command(door, "--json", "door", "oidc", "show", "--agency", "A0002") == 0
    shown = capsys.readouterr()
    assert idp.issuer in shown.out
    assert SECRET not in shown.out + shown.err
    assert home(joined(door, idp, "commande@agence.example", "commande", agency="A0002"), "A0002") == 200


def test_the_command_keeps_nothing_that_cannot_work(
    door: Door, idp: Provider, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried(issuer: str, secret: str = SECRET) -> str:
        from io import StringIO

        monkeypatch.setattr("sys.stdin", StringIO(secret + "\n"))
        assert command(door, "door", "oidc", "set", "--agency", "A0003", "--issuer", issuer, "--client-id", CLIENT) == 2
        return capsys.readouterr().err

    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    assert "no address over https" in tried("http://connexion.agence.example")
    assert "no address over https" in tried("ftp://x")
    assert "another issuer" in tried(f"{idp.issuer}/")
    assert "does not answer" in tried("http://127.0.0.1:9")
    assert "empty" in tried(idp.issuer, "")
    idp.metadata = {"token_endpoint": "http://ailleurs.example/token"}
    assert "token_endpoint is no address over https" in tried(idp.issuer)
    idp.metadata = {"id_token_signing_alg_values_supported": ["HS256", "none"]}
    assert "signs with nothing" in tried(idp.issuer)
    idp.metadata = {"jwks_uri": f"{idp.issuer}/nothing"}
    assert "cannot be read" in tried(idp.issuer)
    with door.service.counter.desk.engine.connect() as db:
        mark = door.service.counter.desk.vault.mark("agency", "A0003")
        assert settings.find(db, door.service.counter.desk.vault, mark) is None


def test_what_is_kept_of_it_lies_sealed(door: Door, idp: Provider) -> None:
    joined(door, idp, "scelle@agence.example", SUBJECT)
    held = b"".join(p.read_bytes() for p in door.site.home.reception.glob("*.db*"))
    for text in (SECRET, SUBJECT, CLIENT, idp.issuer):
        assert text.encode() not in held
