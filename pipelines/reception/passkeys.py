"""Passkeys (W3C Web Authentication Level 3): discoverable, with the user verified, so that one is two factors.

The challenge is random, kept by its digest, good once and for five minutes. Nobody types an address: the credential
says whose it is, so that there is nothing to try names on.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Engine, delete, insert, select, update
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from ledger.signatures import Algorithm
from pipelines.reception.tables import CHALLENGE, PASSKEY, stamp
from pipelines.reception.vault import digest
from schemas.errors import NotVerified

GOOD_FOR = timedelta(minutes=5)
# What a browser signs to come in is the hash of this and of what it was given: never the hash of a leaf, which begins
# with a zero byte. So nobody can have an instruction signed by asking somebody to sign in (`static/passkey.js`).
_SIGN_IN = b"depositaire-sign-in/1\n"
_NAME = "Depositaire"


@dataclass(frozen=True, slots=True)
class Site:
    """Where the pages are: `origin` as a browser says it, `domain` the one that passkeys are bound to."""

    origin: str
    domain: str


def challenge_to_make(db: Connection, site: Site, account: str, name: str, at: datetime) -> dict[str, Any]:
    """What a browser is asked to make a passkey with."""
    mine = db.execute(select(PASSKEY.c.id).where(PASSKEY.c.account == account)).scalars().all()
    options = generate_registration_options(
        rp_id=site.domain,
        rp_name=_NAME,
        user_id=account.encode(),
        user_name=name,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=i) for i in mine],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
        ),
    )
    _keep(db, options.challenge, "make", account, at)
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def challenge_to_enrol(
    db: Connection, site: Site, account: str, name: str, known: Sequence[bytes], at: datetime
) -> dict[str, Any]:
    """What a browser is asked to make a passkey with that signs, and does not sign in: not discoverable, so that nobody
    is offered it at the door. `known`: those that the device may have already."""
    options = generate_registration_options(
        rp_id=site.domain,
        rp_name=_NAME,
        user_id=sha256(f"{account} {name}".encode()).digest(),
        user_name=name,
        exclude_credentials=[PublicKeyCredentialDescriptor(id=i) for i in known],
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.DISCOURAGED, user_verification=UserVerificationRequirement.REQUIRED
        ),
        supported_pub_key_algs=[COSEAlgorithmIdentifier(a) for a in Algorithm],
    )
    _keep(db, options.challenge, "enrol", account, at)
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def made(
    engine: Engine, site: Site, account: str, said: str, at: datetime, purpose: str = "make"
) -> VerifiedRegistration:
    """The passkey that a browser made. Raises NotVerified."""
    try:
        return verify_registration_response(
            credential=said,
            expected_challenge=_used(engine, said, purpose, account, at),
            expected_rp_id=site.domain,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
        raise _not_held() from None


def keep(db: Connection, account: str, made: VerifiedRegistration, at: datetime) -> None:
    """From now on the account's only one."""
    kept = {"id": made.credential_id, "account": account, "public_key": made.credential_public_key}
    db.execute(delete(PASSKEY).where(PASSKEY.c.account == account))
    db.execute(insert(PASSKEY).values(**kept, used=made.sign_count, made_at=stamp(at)))


def challenge_to_show(db: Connection, site: Site, at: datetime) -> dict[str, Any]:
    """What a browser is asked to sign in with: any passkey that it has for this site."""
    options = generate_authentication_options(rp_id=site.domain, user_verification=UserVerificationRequirement.REQUIRED)
    _keep(db, sha256(_SIGN_IN + options.challenge).digest(), "show", None, at)
    found: dict[str, Any] = json.loads(options_to_json(options))
    return found


def shown(engine: Engine, site: Site, said: str, at: datetime) -> str:
    """The account whose passkey it is. Raises NotVerified, with the same words whatever does not hold."""
    try:
        challenge = _used(engine, said, "show", None, at)
        named = base64url_to_bytes(json.loads(said)["id"])
        with engine.connect() as db:
            row = db.execute(select(PASSKEY).where(PASSKEY.c.id == named)).one_or_none()
        if row is None:
            raise _not_held()
        held = verify_authentication_response(
            credential=said,
            expected_challenge=challenge,
            expected_rp_id=site.domain,
            expected_origin=site.origin,
            credential_public_key=row.public_key,
            credential_current_sign_count=row.used,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError, KeyError, TypeError, AttributeError):
        raise _not_held() from None
    with engine.begin() as db:
        db.execute(update(PASSKEY).where(PASSKEY.c.id == row.id).values(used=held.new_sign_count))
    return str(row.account)


def _keep(db: Connection, challenge: bytes, purpose: str, account: str | None, at: datetime) -> None:
    db.execute(delete(CHALLENGE).where(CHALLENGE.c.expires_at <= stamp(at)))
    named = {"challenge": digest(bytes_to_base64url(challenge)), "purpose": purpose, "account": account}
    db.execute(insert(CHALLENGE).values(**named, expires_at=stamp(at + GOOD_FOR)))


def _used(engine: Engine, said: str, purpose: str, account: str | None, at: datetime) -> bytes:
    """The challenge that an answer names, if it was given for this and not used. It is used up whatever comes of it."""
    client = json.loads(base64url_to_bytes(json.loads(said)["response"]["clientDataJSON"]))
    text = str(client["challenge"])
    mine = (CHALLENGE.c.challenge == digest(text), CHALLENGE.c.purpose == purpose, CHALLENGE.c.expires_at > stamp(at))
    theirs = CHALLENGE.c.account.is_(None) if account is None else CHALLENGE.c.account == account
    with engine.begin() as db:
        gone = db.execute(delete(CHALLENGE).where(*mine, theirs)).rowcount
    if gone != 1:
        raise _not_held()
    return base64url_to_bytes(text)


def _not_held() -> NotVerified:
    return NotVerified("the passkey was not recognised", "Try again, or sign in another way.")
