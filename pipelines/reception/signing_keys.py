"""How a browser finds the passkeys that sign for an agency, and which of them wait for a signature.

Who may sign is what the agency's log says (`ledger.passkeys`), not what stands here: a row without an enrolment in the
log can do nothing.
"""

from collections.abc import Collection
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Row, delete, insert, select
from webauthn.helpers import bytes_to_base64url, decode_credential_public_key
from webauthn.registration.verify_registration_response import VerifiedRegistration

from ledger.canonical import sha256
from pipelines.reception.passkeys import Site
from pipelines.reception.tables import SIGNING_KEY, stamp
from pipelines.signing import Passkey, spki_of_cose
from schemas.errors import Refused

# Whoever waits for longer makes another one.
WAITS_FOR = timedelta(days=7)
INVITED_BY = "exploitant"  # accounts are made by invitation of the operator alone
RECORDED_BY = "portail"


@dataclass(frozen=True, slots=True)
class Key:
    """One row. `credential`: its name in the log; `id`: the authenticator's."""

    credential: str
    id: bytes
    account: str
    public_key: bytes
    algorithm: int
    function: str
    sign_count: int
    made_at: str

    def passkey(self, site: Site) -> Passkey:
        """As it is enrolled in the log."""
        return Passkey(
            self.public_key, self.algorithm, site.domain, site.origin, self.function, INVITED_BY, self.sign_count
        )  # fmt: skip

    def as_json(self) -> dict[str, str]:
        return {"credential": self.credential, "function": self.function, "made_at": self.made_at}

    @property
    def as_asked(self) -> dict[str, str]:
        """As the browser asks the authenticator for it."""
        return {"credential": self.credential, "id": bytes_to_base64url(self.id)}


def made(registration: VerifiedRegistration, account: str, function: str, at: datetime) -> Key:
    """Raises Malformed for a key of an algorithm that the log does not know."""
    public = spki_of_cose(registration.credential_public_key)
    algorithm = int(decode_credential_public_key(registration.credential_public_key).alg)
    return Key(
        f"CRD-{sha256(public)[:10]}", registration.credential_id, account, public, algorithm, function,
        registration.sign_count, stamp(at),
    )  # fmt: skip


def keep(db: Connection, mark: str, key: Key) -> None:
    db.execute(insert(SIGNING_KEY).values(agency_mark=mark, **asdict(key)))


def of(db: Connection, mark: str) -> list[Key]:
    """Those of one agency, the oldest first."""
    found = db.execute(
        select(SIGNING_KEY).where(SIGNING_KEY.c.agency_mark == mark).order_by(SIGNING_KEY.c.made_at, SIGNING_KEY.c.id)
    )
    return [_key(row) for row in found]


def waiting(db: Connection, mark: str, enrolled: Collection[str], at: datetime) -> list[Key]:
    """Those that no log knows yet. What waited for too long is forgotten."""
    alone = [k for k in of(db, mark) if k.credential not in enrolled]
    late = [k.credential for k in alone if k.made_at < stamp(at - WAITS_FOR)]
    if late:
        db.execute(delete(SIGNING_KEY).where(SIGNING_KEY.c.credential.in_(late)))
    return [k for k in alone if k.credential not in late]


def one(keys: Collection[Key], credential: str) -> Key:
    """Raises Refused."""
    found = next((k for k in keys if k.credential == credential), None)
    if found is None:
        raise Refused("no such passkey waits for a signature", "Make one, and have it signed within seven days.")
    return found


def _key(row: Row[tuple[object, ...]]) -> Key:
    return Key(**{k: v for k, v in row._mapping.items() if k != "agency_mark"})
