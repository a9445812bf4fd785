"""The two databases of the web door: accounts, and what was asked.

Instants are texts of UTC (`ledger.canonical.instant`), so that they sort. Who an account is of is sealed; an agency is
named by a mark, so that nothing here names one that was erased.
"""

import os
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    Engine,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    create_engine,
    event,
)

from ledger.canonical import instant
from schemas.home import Home

META = MetaData()

ACCOUNT = Table(
    "account",
    META,
    Column("id", String, primary_key=True),  # a pseudonym, random
    Column("email", LargeBinary, nullable=False),  # sealed
    Column("email_mark", String, nullable=False, unique=True),
    Column("made_at", String, nullable=False),
    Column("language", String),
    Column("password", String),  # Argon2id, with its salt and its costs
    Column("totp", LargeBinary),  # sealed
    Column("totp_step", Integer, nullable=False, server_default="-1"),  # the last one that let somebody in
)

ROLE = Table(
    "role",
    META,
    Column("id", Integer, primary_key=True),
    Column("account", String, nullable=False, index=True),
    Column("role", String, nullable=False),
    Column("agency", LargeBinary),  # sealed; none: an operator's
    Column("agency_mark", String),
    Column("categories", String),  # separated by spaces; none: not limited
    Column("since", String, nullable=False),
    Column("until", String),
    Column("revoked_at", String),
)

INVITATION = Table(
    "invitation",
    META,
    Column("token", String, primary_key=True),  # SHA-256
    Column("account", String, nullable=False, index=True),
    Column("expires_at", String, nullable=False),
    Column("used_at", String),
    Column("totp", LargeBinary),  # sealed; what the person is shown before the password is chosen
)

PASSKEY = Table(
    "passkey",
    META,
    Column("id", LargeBinary, primary_key=True),  # the credential's
    Column("account", String, nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),  # COSE
    Column("used", Integer, nullable=False),
    Column("made_at", String, nullable=False),
)

# Passkeys that sign for an agency. What each may is in the agency's log; here is only how a browser finds it, and what
# waits for the signature of one that stands.
SIGNING_KEY = Table(
    "signing_key",
    META,
    Column("credential", String, primary_key=True),  # CRD-…, from the public key
    Column("id", LargeBinary, nullable=False),  # the authenticator's name for it
    Column("account", String, nullable=False, index=True),
    Column("agency_mark", String, nullable=False, index=True),
    Column("public_key", LargeBinary, nullable=False),  # SubjectPublicKeyInfo (DER)
    Column("algorithm", Integer, nullable=False),
    Column("function", String, nullable=False),
    Column("sign_count", Integer, nullable=False),
    Column("made_at", String, nullable=False),
)

CHALLENGE = Table(
    "challenge",
    META,
    Column("challenge", String, primary_key=True),  # SHA-256
    Column("purpose", String, nullable=False),
    Column("account", String),
    Column("expires_at", String, nullable=False),
)

SESSION = Table(
    "session",
    META,
    Column("token", String, primary_key=True),  # SHA-256
    Column("id", String, nullable=False, unique=True),  # names it on the page that lists them
    Column("account", String, nullable=False, index=True),
    Column("by", String, nullable=False),  # how; and of an agency's own sign-in its mark, after a space
    Column("begun_at", String, nullable=False),
    Column("seen_at", String, nullable=False),
    Column("ended_at", String),
)

ATTEMPT = Table(
    "attempt",
    META,
    Column("id", Integer, primary_key=True),
    Column("mark", String, nullable=False, index=True),
    Column("at", String, nullable=False),
)

# An agency's own sign-in (OpenID Connect): how it is reached, with its secret, all sealed; whom it lets in; who is on
# the way there and back.
PROVIDER = Table(
    "provider",
    META,
    Column("agency_mark", String, primary_key=True),
    Column("entrance", String, nullable=False, unique=True),  # names it in addresses, and nothing else
    Column("sealed", LargeBinary, nullable=False),
    Column("set_at", String, nullable=False),
)

BINDING = Table(
    "binding",
    META,
    Column("account", String, primary_key=True),
    Column("agency_mark", String, nullable=False),
    Column("subject_mark", String, nullable=False),  # of issuer and `sub`; never of an address
    Column("made_at", String, nullable=False),
    UniqueConstraint("agency_mark", "subject_mark"),
)

FLOW = Table(
    "flow",
    META,
    Column("state", String, primary_key=True),  # SHA-256
    Column("agency_mark", String, nullable=False),
    Column("browser", String, nullable=False),  # SHA-256
    Column("nonce", LargeBinary, nullable=False),  # sealed
    Column("verifier", LargeBinary, nullable=False),  # sealed
    Column("invitation", String),  # the digest of its token
    Column("begun_at", String, nullable=False),
    Column("expires_at", String, nullable=False),
)

# Evidence packs that were asked for. The file is named by the agency, so that an erasure finds it; the row is not.
PACK = Table(
    "pack",
    META,
    Column("id", String, primary_key=True),
    Column("account", String, nullable=False, index=True),
    Column("agency_mark", String, nullable=False),
    Column("asked_at", String, nullable=False),
    Column("categories", String),  # separated by spaces, as they were allowed; none: not limited
    Column("step", String, nullable=False),  # waiting, one of pipelines.evidence.STEPS, ready, failed
    Column("ready_at", String),
    Column("bytes", Integer),
    Column("entries", Integer),
    Column("hidden", Integer),
)

ACCESS_META = MetaData()

ACCESS = Table(
    "access",
    ACCESS_META,
    Column("id", Integer, primary_key=True),
    Column("at", String, nullable=False, index=True),
    Column("who", String),
    Column("question", String, nullable=False),
    Column("reads", String),
    Column("agency", String, index=True),  # a mark
    Column("object", String),
    Column("outcome", String, nullable=False),
    sqlite_autoincrement=True,  # a number is given once, also when all that was before it has been cleared
)

# Whatever else is wrong with a programme: what was asked is neither changed nor shortened before its time (CNIL,
# délibération 2021-122: six months to one year).
_APPEND_ONLY = (
    """CREATE TRIGGER IF NOT EXISTS access_unchanged BEFORE UPDATE ON access
    BEGIN SELECT RAISE(ABORT, 'append only'); END""",
    """CREATE TRIGGER IF NOT EXISTS access_kept BEFORE DELETE ON access
    WHEN OLD.at >= strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-12 months')
    BEGIN SELECT RAISE(ABORT, 'kept for twelve months'); END""",
)


def stamp(at: datetime) -> str:
    """An instant as these tables keep it, to the second: texts that sort."""
    return instant(at.replace(microsecond=0))


def accounts(home: Home) -> Engine:
    engine = database(home, "accounts.db")
    META.create_all(engine)
    return engine


def access(home: Home) -> Engine:
    engine = database(home, "access.db")
    ACCESS_META.create_all(engine)
    with engine.begin() as db:
        for trigger in _APPEND_ONLY:
            db.exec_driver_sql(trigger)
    return engine


def database(home: Home, name: str) -> Engine:
    """One of the files of the web door, which only their owner reads."""
    home.reception.mkdir(mode=0o700, parents=True, exist_ok=True)
    home.reception.chmod(0o700)
    path = home.reception / name
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
    engine = create_engine(f"sqlite:///{path}", connect_args={"timeout": 10})

    @event.listens_for(engine, "connect")
    def _tuned(connection: Any, _: object) -> None:
        for pragma in ("journal_mode=WAL", "secure_delete=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchone()

    return engine
