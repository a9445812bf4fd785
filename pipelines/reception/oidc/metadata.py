"""What an agency's sign-in says of itself (OpenID Connect Discovery 1.0 §4), and the keys it signs with (RFC 7517).

Both are kept in memory for an hour. A token that names a key which is not there has the keys read once more, once a
minute at most: nobody makes us ask again and again by naming keys.
"""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from pipelines.reception.oidc.fetching import Unfit, address, asked, away, is_loopback
from schemas.errors import Malformed, TryAgain

KEPT, AGAIN = timedelta(hours=1), timedelta(minutes=1)
Key = RSAKey | ECKey | OKPKey
# What a token may be signed with, and the kind of key of each. Nothing that a secret signs, such as HS256; no `none`.
ALGORITHMS: Mapping[str, str] = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}
_CURVES: Mapping[str, tuple[str, ...]] = {"EC": ("P-256",), "OKP": ("Ed25519",)}
_PUBLIC: Mapping[str, tuple[str, ...]] = {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}
_LEAST_BITS = 2048  # of RSA
_MOST_KEYS = 50
_PATIENCE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Metadata:
    """`says_issuer`: an answer names the issuer (RFC 9207), and one that does not is none of its."""

    issuer: str
    authorization: str
    token: str
    keys: str
    algorithms: frozenset[str]
    secret_in_form: bool
    says_issuer: bool


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of a sign-in. `algorithm`: the only one that it may be used with, where the key says so."""

    name: str | None
    kind: str
    algorithm: str | None
    key: Key


@dataclass(slots=True)
class _Known:
    metadata: Metadata
    read_at: datetime
    signers: tuple[Signer, ...] = ()
    asked_at: datetime | None = None
    turn: threading.Lock = field(default_factory=threading.Lock)


class Providers:
    """Those that were asked since this process began. An hour later all of one is forgotten, its keys too."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()

    def metadata(self, issuer: str, at: datetime) -> Metadata:
        """Raises TryAgain, Unfit, Malformed."""
        return self._current(issuer, at).metadata

    def key(self, issuer: str, algorithm: str, name: str | None, at: datetime) -> Key:
        """The key that a token says it is signed with. Raises Unfit where there is none, or more than one."""
        known = self._current(issuer, at)
        if not known.turn.acquire(timeout=_PATIENCE_SECONDS):  # somebody else has them read just now
            raise away()
        try:
            if known.asked_at is None:
                self._read(known, at)
            found = _fitting(known.signers, algorithm, name)
            if not found and known.asked_at is not None and at - known.asked_at >= AGAIN:
                self._read(known, at)
                found = _fitting(known.signers, algorithm, name)
        finally:
            known.turn.release()
        if len(found) != 1:
            raise Unfit("key")
        return found[0]

    @staticmethod
    def _read(known: _Known, at: datetime) -> None:
        known.asked_at = at
        try:
            known.signers = published(known.metadata)
        except (TryAgain, Unfit):
            known.asked_at = None  # not read: the next who comes has them asked for
            raise

    def _current(self, issuer: str, at: datetime) -> _Known:
        with self._lock:
            known = self._known.get(issuer)
        if known is None or at - known.read_at >= KEPT:
            known = _Known(discovered(issuer), at)
            with self._lock:
                self._known[issuer] = known
        return known


def issuer_named(text: str) -> str:
    """Raises Malformed for what cannot be an issuer: https, or http on this machine; no query, no fragment."""
    found = address(text, "the issuer", loopback=True)
    if "?" in found or "#" in found:
        raise Malformed("the issuer has a query or a fragment", "Write it as the provider's own document does.")
    return found


def published(metadata: Metadata) -> tuple[Signer, ...]:
    """Raises TryAgain, Unfit."""
    return signers(asked(metadata.keys))


def discovered(issuer: str) -> Metadata:
    """Raises TryAgain where nobody answers; Unfit, Malformed for a document that is not this issuer's or not enough."""
    return read(issuer, asked(issuer_named(issuer).rstrip("/") + "/.well-known/openid-configuration"))


def read(issuer: str, said: Mapping[str, Any]) -> Metadata:
    if said.get("issuer") != issuer:
        raise Malformed("the provider's document names another issuer", "Write the issuer exactly as it stands there.")
    loopback = is_loopback(urlsplit(issuer))
    authorization, token, keys = (
        address(said.get(n), n, loopback) for n in ("authorization_endpoint", "token_endpoint", "jwks_uri")
    )  # fmt: skip
    signs = _texts(said, "id_token_signing_alg_values_supported") & ALGORITHMS.keys()
    if not signs:
        raise Malformed("the provider signs with nothing that is taken here", f"Taken: {', '.join(ALGORITHMS)}.")
    # RFC 8414 §2: what names no ways of its own has this one.
    ways = _texts(said, "token_endpoint_auth_methods_supported") or {"client_secret_basic"}
    if not ways & {"client_secret_basic", "client_secret_post"}:
        raise Malformed("the provider takes no secret of a client", "Have client_secret_basic allowed there.")
    in_form = "client_secret_basic" not in ways
    says = said.get("authorization_response_iss_parameter_supported") is True
    return Metadata(issuer, authorization, token, keys, frozenset(signs), in_form, says)


def signers(said: Mapping[str, Any]) -> tuple[Signer, ...]:
    """The keys of a set that can have signed a token here. Others, also secret ones, are as if they were not there."""
    keys = said.get("keys")
    if not isinstance(keys, list) or len(keys) > _MOST_KEYS:
        raise Unfit("keys")
    return tuple(s for s in map(_signer, keys) if s is not None)


def _signer(said: Any) -> Signer | None:
    if not isinstance(said, dict) or said.get("use") not in (None, "sig"):
        return None
    kind, name, algorithm = str(said.get("kty")), said.get("kid"), said.get("alg")
    if kind not in _PUBLIC or (kind in _CURVES and said.get("crv") not in _CURVES[kind]):
        return None
    if not isinstance(name, str | None) or (algorithm is not None and ALGORITHMS.get(str(algorithm)) != kind):
        return None
    try:
        key = import_key({"kty": kind} | {n: said[n] for n in _PUBLIC[kind]})
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(key, Key) or (isinstance(key, RSAKey) and key.public_key.key_size < _LEAST_BITS):
        return None
    return Signer(name, kind, algorithm, key)


def _fitting(signers: Sequence[Signer], algorithm: str, name: str | None) -> list[Key]:
    those = (s for s in signers if s.kind == ALGORITHMS[algorithm] and s.algorithm in (None, algorithm))
    return [s.key for s in those if name is None or s.name == name]


def _texts(said: Mapping[str, Any], name: str) -> set[str]:
    found = said.get(name)
    return {t for t in found if isinstance(t, str)} if isinstance(found, list) else set()
