"""On the way to an agency's sign-in and back: ten minutes, once, in the browser that began it.

State, nonce and verifier are 256 random bits each (RFC 7636, RFC 9700 §2.1). The browser holds another 256 in a cookie:
an answer that comes by another browser is not taken, whoever made it.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select

from ledger.canonical import read_instant
from pipelines.reception.tables import FLOW, stamp
from pipelines.reception.vault import Vault, digest, fresh_token

GOOD_FOR = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Begun:
    """What the browser and the sign-in are told."""

    state: str
    nonce: str
    verifier: str
    browser: str


@dataclass(frozen=True, slots=True)
class Flow:
    """What was kept of one. `invitation`: the digest of the token that it was begun with."""

    nonce: str
    verifier: str
    invitation: str | None
    begun_at: datetime


def begin(db: Connection, vault: Vault, mark: str, invitation: str | None, at: datetime) -> Begun:
    fresh = Begun(fresh_token(), fresh_token(), fresh_token(), fresh_token())
    db.execute(delete(FLOW).where(FLOW.c.expires_at <= stamp(at)))
    state = digest(fresh.state)
    sealed = {n: vault.seal(getattr(fresh, n), "flow", state, n) for n in ("nonce", "verifier")}
    named = {"state": state, "agency_mark": mark, "browser": digest(fresh.browser), "invitation": invitation}
    db.execute(insert(FLOW).values(**named, **sealed, begun_at=stamp(at), expires_at=stamp(at + GOOD_FOR)))
    return fresh


def taken(engine: Engine, vault: Vault, mark: str, state: str, browser: str, at: datetime) -> Flow | None:
    """The flow of an answer, if it was begun in this browser for this agency and was not used. It is used up whatever
    comes of it."""
    with engine.begin() as db:
        row = db.execute(select(FLOW).where(FLOW.c.state == digest(state))).one_or_none()
        if row is None or db.execute(delete(FLOW).where(FLOW.c.state == row.state)).rowcount != 1:
            return None
    if (row.agency_mark, row.browser) != (mark, digest(browser)) or row.expires_at <= stamp(at):
        return None
    nonce, verifier = (vault.open(getattr(row, n), "flow", row.state, n) for n in ("nonce", "verifier"))
    return Flow(nonce, verifier, row.invitation, read_instant(row.begun_at))
