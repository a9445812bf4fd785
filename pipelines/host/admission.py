"""Which machines may ask the host, and how they are known: certificates of the home's own authority, one a worker.

    KEYS/host/authority.pem     the authority's certificate
    KEYS/host/authority.key     its key, wrapped by the root key
    KEYS/host/workers.json      every worker that was ever admitted, and until when
    KEYS/host/listen            the address that the host listened on last

The host's own certificate is made anew each time it starts; its key is never written down.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ledger.lines import write_whole
from pipelines.host.settings import Hosted
from pipelines.host.wire import SERVER_NAME
from schemas.errors import Malformed, Refused
from schemas.home import Home
from store.keys import Root
from store.postgres import workers
from store.postgres.settings import Settings

FORMAT = "depositaire-workers/1"
_NAME = re.compile(r"[a-z0-9](-?[a-z0-9]){0,31}")
_ADDRESS = re.compile(r"(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")
_PURPOSE = "host authority"
_AUTHORITY_DAYS, _LEAF_DAYS = 7300, 730
# Clocks of two machines differ.
_EARLIER = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Worker:
    """A machine that was admitted. `fingerprint`: SHA-256 of its certificate (DER)."""

    name: str
    fingerprint: str
    admitted_at: str
    dismissed_at: str | None = None


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key, both in PEM. The key is a secret."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Pair()"


def folder(home: Home) -> Path:
    return home.keys / "host"


# -- workers -----------------------------------------------------------------------------------------------------------


def admit(home: Home, root: Root, name: str, out: Path, address: str | None, now: datetime) -> Worker:
    """Write a folder that another machine uses as its home; the worker is admitted once it is whole.

    Raises Refused for a name that is taken, and where the records are files; Malformed for a folder that holds
    something.
    """
    if not _NAME.fullmatch(name):
        raise Malformed("this is no name for a worker", "Use up to 32 small letters, figures and single hyphens.")
    if not home.store.exists():
        raise Refused(
            "a home whose records are files is served to no other machine",
            "Several machines need PostgreSQL: `depositaire init --store`.",
        )
    known = read(home)
    if any(w.name == name and w.dismissed_at is None for w in known):
        raise Refused(f"worker {name} is admitted already", "Dismiss it first, or choose another name.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise Malformed("--out is not an empty folder", "Give the name of a new one.")
    hosted = Hosted(reached(home, address), name)
    signing = _authority(home, root, now)
    pair = _issued(signing, name, now, ExtendedKeyUsageOID.CLIENT_AUTH)
    _furnish(home, Home.at(out), hosted, signing[0], pair)
    worker = Worker(name, fingerprint(pair.certificate), now.astimezone(UTC).isoformat(timespec="seconds"))
    _write(home, (*known, worker))
    return worker


def dismiss(home: Home, name: str, now: datetime) -> bool:
    """Nothing is answered to this worker any more, and its login to the database is gone. False when it had been
    dismissed before. Raises Malformed for a name that was never admitted."""
    known = read(home)
    if all(w.name != name for w in known):
        raise Malformed("no worker of this name was ever admitted", "Check the name.")
    at = now.astimezone(UTC).isoformat(timespec="seconds")
    after = tuple(replace(w, dismissed_at=w.dismissed_at or at) if w.name == name else w for w in known)
    if after != known:
        _write(home, after)
    workers.dismiss(Settings.read(home), name)
    return after != known


def read(home: Home) -> tuple[Worker, ...]:
    """Every worker that was ever admitted, in the order of admission."""
    try:
        said = json.loads((folder(home) / "workers.json").read_bytes())
    except FileNotFoundError:
        return ()
    if said.get("format") != FORMAT:
        raise Malformed("the list of workers has an unknown format")
    return tuple(Worker(**w) for w in said["workers"])


def fingerprint(certificate: bytes) -> str:
    """Of a certificate in PEM."""
    return sha256(x509.load_pem_x509_certificate(certificate).public_bytes(Encoding.DER)).hexdigest()


class Admissions:
    """The list of workers as it stands now: a dismissal counts at the next call."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._path = folder(home) / "workers.json"
        self._seen: tuple[int, ...] | None = None
        self._names: Mapping[str, str] = {}
        self._prints: dict[bytes, str] = {}

    def names(self) -> Mapping[str, str]:
        """Fingerprint → name, of those who may ask."""
        try:
            stat = self._path.stat()
            seen: tuple[int, ...] | None = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        except FileNotFoundError:
            seen = None
        if seen != self._seen:
            self._names = {w.fingerprint: w.name for w in read(self._home) if w.dismissed_at is None}
            self._seen = seen
        return self._names

    def who(self, certificate: bytes) -> str | None:
        """The worker that shows this certificate (PEM, verified by TLS); None for whoever is not admitted."""
        known = self._prints.get(certificate)
        if known is None:
            known = self._prints[certificate] = fingerprint(certificate)
        return self.names().get(known)


def _write(home: Home, known: tuple[Worker, ...]) -> None:
    said = {"format": FORMAT, "workers": [asdict(w) for w in known]}
    write_whole(folder(home) / "workers.json", json.dumps(said, indent=1).encode())


# -- where -------------------------------------------------------------------------------------------------------------


def listening(home: Home, address: str) -> None:
    """Remember where the host listens, for workers that are admitted later."""
    write_whole(folder(home) / "listen", address.encode())


def reached(home: Home, address: str | None) -> str:
    """The address that a worker is told: the one that was given, else where the host listened last."""
    if address is None:
        try:
            address = (folder(home) / "listen").read_text(encoding="utf-8")
        except FileNotFoundError:
            raise Malformed("nobody knows where the host listens", "Say it with --address HOST:PORT.") from None
    where, _ = parsed(address)
    if where in ("0.0.0.0", "[::]"):  # noqa: S104 - it is what is turned down
        raise Malformed("a worker cannot reach the host by this address", "Say which with --address HOST:PORT.")
    return address


def parsed(address: str) -> tuple[str, int]:
    """Host and port. Raises Malformed."""
    found = _ADDRESS.fullmatch(address)
    if found is None or int(found[2]) > 65535:
        raise Malformed("this is no address", "Write HOST:PORT, an IPv6 address between brackets.")
    return found[1], int(found[2])


# -- certificates ------------------------------------------------------------------------------------------------------


def own_pair(home: Home, root: Root, now: datetime) -> tuple[bytes, Pair]:
    """The authority's certificate, and a new pair for the host."""
    signing = _authority(home, root, now)
    return _pem(signing[0]), _issued(signing, "host", now, ExtendedKeyUsageOID.SERVER_AUTH)


Signing = tuple[x509.Certificate, EllipticCurvePrivateKey]


def _authority(home: Home, root: Root, now: datetime) -> Signing:
    """Made when it is first needed."""
    place = folder(home)
    if not (place / "authority.pem").exists():
        key = generate_private_key(SECP256R1())
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        made = _built("depositaire authority", key, now, _AUTHORITY_DAYS)
        made = made.issuer_name(_named("depositaire authority"))
        made = made.add_extension(x509.BasicConstraints(True, 0), True).add_extension(usage, True)
        raw = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_whole(place / "authority.key", root.wrap(raw, _PURPOSE))
        write_whole(place / "authority.pem", _pem(made.sign(key, hashes.SHA256())))
    wrapped = (place / "authority.key").read_bytes()
    found: Any = load_der_private_key(root.unwrap(wrapped, _PURPOSE), None)
    return x509.load_pem_x509_certificate((place / "authority.pem").read_bytes()), found


def _issued(signing: Signing, name: str, now: datetime, usage: x509.ObjectIdentifier) -> Pair:
    key = generate_private_key(SECP256R1())
    made = _built(name, key, now, _LEAF_DAYS).issuer_name(signing[0].subject)
    made = made.add_extension(x509.BasicConstraints(False, None), True)
    made = made.add_extension(x509.ExtendedKeyUsage([usage]), True)
    if usage == ExtendedKeyUsageOID.SERVER_AUTH:
        made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), False)
    raw = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Pair(_pem(made.sign(signing[1], hashes.SHA256())), raw)


def _built(name: str, key: EllipticCurvePrivateKey, now: datetime, days: int) -> x509.CertificateBuilder:
    begins = now - _EARLIER
    made = x509.CertificateBuilder().subject_name(_named(name)).public_key(key.public_key())
    made = made.serial_number(x509.random_serial_number())
    return made.not_valid_before(begins).not_valid_after(begins + timedelta(days=days))


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


# -- the worker's folder -----------------------------------------------------------------------------------------------


def _furnish(home: Home, theirs: Home, hosted: Hosted, authority: x509.Certificate, pair: Pair) -> None:
    """Settings, certificate, a login to the database of its own, and the account at the inbox where that is an object
    store: no other key, and nobody's data."""
    for each in (theirs.root, theirs.keys, folder(theirs)):
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
        each.chmod(0o700)
    said = home.settings.read_text(encoding="utf-8").rstrip("\n")
    write_whole(folder(theirs) / "authority.pem", _pem(authority))
    write_whole(folder(theirs) / "worker.pem", pair.certificate)
    write_whole(folder(theirs) / "worker.key", pair.key)
    write_whole(theirs.store, workers.admit(Settings.read(home), hosted.name).as_bytes())
    write_whole(theirs.settings, f"{said}\n\n{hosted.as_toml()}".encode())
    if home.inbox_keys.exists():
        write_whole(theirs.inbox_keys, home.inbox_keys.read_bytes())


def own_papers(home: Home) -> tuple[bytes, Pair]:
    """A worker's: the authority's certificate, and its own pair. Raises Malformed when they are not there."""
    place = folder(home)
    try:
        authority, certificate, key = (
            (place / name).read_bytes() for name in ("authority.pem", "worker.pem", "worker.key")
        )
    except FileNotFoundError:
        raise Malformed(
            "this machine has lost its certificate", "Admit it anew, on the host: `depositaire host admit`."
        ) from None
    return authority, Pair(certificate, key)
