"""The ID token of an agency's sign-in: who it is of, once nothing of it is in doubt (OpenID Connect Core 1.0 §3.1.3.7).

A key comes from the issuer's set, by the name that the token gives; whatever key a token brings along is not looked at.
"""

import warnings
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from authlib.oidc.core import CodeIDToken
from joserfc import jws, jwt
from joserfc.errors import JoseError, SecurityWarning

from pipelines.reception.oidc.fetching import Unfit
from pipelines.reception.oidc.flows import Flow
from pipelines.reception.oidc.metadata import ALGORITHMS, Providers
from pipelines.reception.oidc.settings import Settings

# Providers say EdDSA still, whatever name RFC 9864 would rather have: nobody who reads standard error can change that.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)

LEEWAY = 30  # seconds that two clocks may differ by
_LONGEST, _LONGEST_SUBJECT = 32 * 1024, 255
# What RFC 8176 calls ways of showing who one is, by what they show. One kind alone is one factor. Codes by SMS or
# telephone, and questions, count as neither.
_KNOWN = frozenset({"pwd", "pin"})
_HELD = frozenset({"otp", "hwk", "swk", "sc", "pop"})
_IS = frozenset({"face", "fpt", "iris", "retina", "vbm"})


def verified(token: Any, how: Settings, flow: Flow, providers: Providers, at: datetime) -> Mapping[str, Any]:
    """The claims of a token that its issuer signed for us, in answer to this flow and no other. Raises Unfit, TryAgain.

    `at_hash` is not looked at: the access token that came along is thrown away unused.
    """
    if not isinstance(token, str) or not token.isascii() or len(token) > _LONGEST:
        raise Unfit("token")
    metadata = providers.metadata(how.issuer, at)
    try:
        header = jws.extract_compact(token.encode()).headers()
        algorithm, name = header.get("alg"), header.get("kid")
        if algorithm not in ALGORITHMS or algorithm not in metadata.algorithms:
            raise Unfit("algorithm")
        if header.get("typ", "JWT") != "JWT" or not isinstance(name, str | None):
            raise Unfit("header")
        key = providers.key(how.issuer, algorithm, name, at)
        claims = jwt.decode(token, key, algorithms=[algorithm]).claims
    except (JoseError, ValueError, TypeError, KeyError, RecursionError):
        raise Unfit("signature") from None
    _check(claims, how, flow, at)
    return claims


def _check(claims: dict[str, Any], how: Settings, flow: Flow, at: datetime) -> None:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isascii():
        raise Unfit("sub")
    # One audience, and it is us: somebody else who is named too could hand us a token that was given to them.
    if claims.get("aud") not in (how.client_id, [how.client_id]):
        raise Unfit("aud")
    if any(type(claims.get(n)) is not int for n in ("exp", "iat")):
        raise Unfit("time")
    if claims["iat"] < flow.begun_at.timestamp() - LEEWAY:
        raise Unfit("iat")
    wanted = {"iss": {"essential": True, "value": how.issuer}, "aud": {"essential": True, "value": how.client_id}}
    said = CodeIDToken(claims, {}, wanted, {"nonce": flow.nonce, "client_id": how.client_id})
    try:
        said.validate(now=int(at.timestamp()), leeway=LEEWAY)
    except JoseError as no:
        raise Unfit(str(getattr(no, "claim", None) or "claims")) from None
    except (ValueError, TypeError):
        raise Unfit("claims") from None


def second_factor(claims: Mapping[str, Any], how: Settings) -> bool:
    """Whether the agency's sign-in says that it saw two factors, or whether we were told not to ask."""
    said = claims.get("amr")
    ways = {w for w in said if isinstance(w, str)} if isinstance(said, list) else set()
    kinds = sum(1 for kind in (_KNOWN, _HELD, _IS) if ways & kind)
    strong = how.acr is not None and claims.get("acr") == how.acr
    return not how.require_mfa or strong or "mfa" in ways or kinds > 1
