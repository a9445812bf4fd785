"""Coming in through an agency's own sign-in: there with a state, back with a code, and in by issuer and subject.

Whoever is not invited, whose roles are over, or who is somebody else's, is told the same. What did not hold stands in
the log of what was asked, as one word.
"""

from datetime import datetime
from typing import Any
from urllib.parse import quote_plus, urlsplit

from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy import Connection

from pipelines.host.wire import Asked
from pipelines.reception import attempts
from pipelines.reception.desk import Answer, Answers, Visit
from pipelines.reception.oidc import fetching, flows, settings
from pipelines.reception.oidc.fetching import Unfit
from pipelines.reception.oidc.flows import Flow
from pipelines.reception.oidc.metadata import Metadata
from pipelines.reception.oidc.settings import Settings
from pipelines.reception.oidc.tokens import second_factor, verified
from pipelines.reception.questions import inviting
from pipelines.reception.questions.signing_in import begun
from pipelines.reception.vault import digest
from schemas.access import NotThere, Question
from schemas.errors import Malformed, NotVerified


def shown(visit: Visit, asked: Asked) -> Any:
    """Where the agency's sign-in is."""
    return {"host": urlsplit(_behind(visit, asked).issuer).netloc}


def begin(visit: Visit, asked: Asked) -> Any:
    return _begun(visit, _behind(visit, asked), None)


def begin_invited(visit: Visit, asked: Asked) -> Any:
    """With an invitation in hand: who comes back is bound to its account."""
    token, desk = asked.text("invitation"), visit.desk
    with desk.engine.begin() as db:
        found = inviting.by_digest(db, digest(token), visit.at)
        visit.who = found.account
        how = settings.offered(db, desk.vault, desk.accounts.grants(db, found.account), visit.at)
    if how is None:
        raise NotThere("there is no such page")
    return _begun(visit, how, found.token)


def returned(visit: Visit, asked: Asked) -> Any:
    """What the browser brought back. Raises NotVerified, TryAgain."""
    desk, how = visit.desk, _behind(visit, asked)
    tries = [f"provider return {visit.address}"]
    attempts.begin(desk.engine, tries, visit.at)
    mark = desk.vault.mark("agency", how.agency)
    flow = flows.taken(desk.engine, desk.vault, mark, asked.text("state"), asked.text("browser"), visit.at)
    try:
        if flow is None:
            raise Unfit("state")
        metadata = desk.providers.metadata(how.issuer, visit.at)
        _answers(asked, metadata)
        token = _exchanged(how, metadata, flow, asked.text("code"), back_to(visit, asked.text("entrance")))
        claims = verified(token, how, flow, desk.providers, visit.at)
    except (Unfit, Malformed) as no:
        visit.about = str(no) if isinstance(no, Unfit) else "metadata"
        raise NotVerified("signing in through the agency did not work", "Begin again.") from None
    if not second_factor(claims, how):
        visit.about = "second factor"
        raise NotVerified(
            "the agency's sign-in did not say that a second factor was used",
            "Sign in there with a second factor, or ask whoever runs it.",
        )
    subject = settings.subject_mark(desk.vault, how.issuer, claims["sub"])
    answer = _bound(visit, flow.invitation, mark, subject) if flow.invitation else _known(visit, mark, subject)
    attempts.forget(desk.engine, tries)
    return answer


def back_to(visit: Visit, entrance: str) -> str:
    """Where the sign-in sends its answers: an address of each agency's own (RFC 9700 §4.4.2.2)."""
    return f"{visit.desk.site.origin}/sign-in/agency/{entrance}/return"


def _behind(visit: Visit, asked: Asked) -> Settings:
    desk = visit.desk
    with desk.engine.connect() as db:
        how = settings.behind(db, desk.vault, asked.text("entrance"))
    if how is None:
        raise NotThere("there is no such page")
    return how


def _begun(visit: Visit, how: Settings, invitation: str | None) -> Any:
    desk = visit.desk
    tries = [f"provider {visit.address}"]
    attempts.begin(desk.engine, tries, visit.at)
    try:
        metadata = desk.providers.metadata(how.issuer, visit.at)
    except (Unfit, Malformed):
        visit.about = "metadata"
        raise NotVerified("signing in through the agency did not work", "Begin again.") from None
    with desk.engine.begin() as db:
        fresh = flows.begin(db, desk.vault, desk.vault.mark("agency", how.agency), invitation, visit.at)
    location = prepare_grant_uri(
        metadata.authorization, how.client_id, "code", back_to(visit, settings.entrance(desk.vault, how.agency)),
        "openid", fresh.state, nonce=fresh.nonce, code_challenge=create_s256_code_challenge(fresh.verifier),
        code_challenge_method="S256", acr_values=how.acr,
    )  # fmt: skip
    return {"location": location, "browser": fresh.browser}


def _answers(asked: Asked, metadata: Metadata) -> None:
    """That the answer is this sign-in's, and is a code (RFC 9207: whoever says who they are says it rightly)."""
    said = asked.text("issuer")
    if said != metadata.issuer and (said or metadata.says_issuer):
        raise Unfit("issuer")
    if asked.text("error") or not asked.text("code"):
        raise Unfit("refused there")


def _exchanged(how: Settings, metadata: Metadata, flow: Flow, code: str, back: str) -> Any:
    """The ID token for a code. Whatever else comes with it is left where it is."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    form = prepare_token_request("authorization_code", redirect_uri=back, code=code, code_verifier=flow.verifier)
    # RFC 6749 §2.3.1: both are encoded as in a form before they are joined; in a form the library does so itself.
    way, name, secret = (
        ("client_secret_post", how.client_id, how.secret)
        if metadata.secret_in_form
        else ("client_secret_basic", quote_plus(how.client_id), quote_plus(how.secret))
    )
    _, headers, form = ClientAuth(name, secret, way).prepare("POST", metadata.token, headers, form)
    return fetching.asked(metadata.token, form.encode(), headers).get("id_token")


def _known(visit: Visit, mark: str, subject: str) -> Any:
    desk = visit.desk
    with desk.engine.connect() as db:
        account = settings.bound(db, mark, subject)
        if account is None or not _own(visit, db, account, mark, visit.at):
            raise _nobody()
    return begun(visit, account, settings.by(mark))


def _bound(visit: Visit, invitation: str, mark: str, subject: str) -> Any:
    """Whoever came back is the one who was invited: the invitation is used up by that."""
    desk = visit.desk
    with desk.engine.begin() as db:
        found = inviting.by_digest(db, invitation, visit.at)
        visit.who = found.account
        how = settings.offered(db, desk.vault, desk.accounts.grants(db, found.account), visit.at)
        if how is None or desk.vault.mark("agency", how.agency) != mark:
            raise _nobody()
        if settings.bound(db, mark, subject) not in (None, found.account):
            raise _nobody()
        answer = inviting.used(db, found, settings.by(mark), visit.at)
        settings.bind(db, found.account, mark, subject, visit.at)
    return answer | {"language": None}


def _own(visit: Visit, db: Connection, account: str, mark: str, at: datetime) -> bool:
    grants = settings.own(visit.desk.accounts.grants(db, account), visit.desk.vault, mark)
    return any(g.counts(at) for g in grants)


def _nobody() -> NotVerified:
    return NotVerified("this sign-in lets nobody in here", "Open the invitation that you were given, or ask for one.")


ANSWERS: Answers = {
    Question.PROVIDER: Answer(shown, ("entrance",)),
    Question.PROVIDER_BEGIN: Answer(begin, ("entrance",)),
    Question.PROVIDER_INVITED: Answer(begin_invited, ("invitation",)),
    Question.PROVIDER_RETURN: Answer(returned, ("entrance", "browser", "state", "code", "issuer", "error")),
}
