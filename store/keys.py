"""Root key → agency key → person keys. Keys lie apart from data; destroying a key is the erasure that reaches every
copy.

- The root key comes from a provider: a key file, or a passphrase stretched by scrypt (RFC 7914).
- An agency's key is random, wrapped by the root key, alone in the agency's key ring; labels derive what it seals.
- A person's key is random too: a derived one could be recomputed for ever and so never be destroyed alone. 256 of
  them make a page, sealed under the agency's key; destroying one rewrites its page and vacuums the ring.
"""

import base64
import json
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Protocol, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from schemas.capability import Act, Capability
from schemas.errors import Malformed, NotVerified, Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System
from store.pages import NO_KEYS, FilePages, Pages, Sheet, connect
from store.sealing import Keyed, derive, framed, keyed, seal, unseal

SCRYPT_N = 2**17  # 128 MiB and about two seconds: what a guess costs
PAGE = 256
KEPT = 4096  # pages in memory
SIZE = 32
NO_KEY = bytes(SIZE)
ROOT_FORMAT = "depositaire-root-key/1"


_RING = """
CREATE TABLE IF NOT EXISTS page (no INTEGER PRIMARY KEY, used INTEGER NOT NULL, sealed BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS agency_key (id INTEGER PRIMARY KEY CHECK (id = 1), wrapped BLOB NOT NULL);
"""


class Root(Protocol):
    """What a provider of the root key can do. The root key itself never leaves it."""

    def wrap(self, secret: bytes, purpose: str) -> bytes: ...

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes: ...


class LocalRoot:
    """A root key in memory, from a key file or a passphrase."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def wrap(self, secret: bytes, purpose: str) -> bytes:
        return seal(self._cipher, secret, framed("root", purpose))

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes:
        return unseal(self._cipher, wrapped, framed("root", purpose))


def create_root(home: Home, passphrase: str | None = None) -> None:
    """Make the root key of a new home: random in a file only its owner reads, or stretched from a passphrase."""
    if home.root_key.exists():
        raise Refused("this home already has a root key", "Nothing was changed.")
    (home.keys / "agencies").mkdir(parents=True, exist_ok=True)
    home.keys.chmod(0o700)
    if passphrase is None:
        body = {"format": ROOT_FORMAT, "kdf": "none", "key": _b64(os.urandom(SIZE))}
    else:
        salt = os.urandom(16)
        check = LocalRoot(_stretch(passphrase, salt, SCRYPT_N)).wrap(b"depositaire", "check")
        body = {"format": ROOT_FORMAT, "kdf": "scrypt", "n": str(SCRYPT_N), "salt": _b64(salt), "check": _b64(check)}
    _write_private(home.root_key, json.dumps(body, indent=1).encode())
    root = open_root(home, passphrase)
    signing = Ed25519PrivateKey.generate().private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    _write_private(home.signing_key, root.wrap(signing, "signing"))


def open_root(home: Home, passphrase: str | None = None) -> Root:
    if not home.root_key.exists():
        raise Malformed("this home has no root key", "Run `depositaire init`, or say where the keys are with --keys.")
    body = json.loads(home.root_key.read_bytes())
    if body.get("format") != ROOT_FORMAT:
        raise Malformed("the root key file has an unknown format")
    if body["kdf"] == "none":
        return LocalRoot(base64.b64decode(body["key"]))
    if passphrase is None:
        raise Refused("the root key needs a passphrase", "Put it in the environment variable DEPOSITAIRE_PASSPHRASE.")
    root = LocalRoot(_stretch(passphrase, base64.b64decode(body["salt"]), int(body["n"])))
    try:
        root.unwrap(base64.b64decode(body["check"]), "check")
    except NotVerified:
        raise Refused("the passphrase is not the one of this home", "Nothing was changed.") from None
    return root


def signer(home: Home, root: Root) -> Ed25519PrivateKey:
    """The key that signs certificates (Ed25519, RFC 8032)."""
    return Ed25519PrivateKey.from_private_bytes(root.unwrap(home.signing_key.read_bytes(), "signing"))


class Keyring:
    """The keys of one agency (or of the portal). Use as a context manager."""

    def __init__(self, pages: Pages, agency: AgencyCode | None, key: bytes) -> None:
        self.agency = agency
        self._name = agency or "_portal"
        self._lie = pages
        self._pages_cipher = AESGCM(derive(key, "pages"))
        self._rows = AESGCM(derive(key, "rows"))
        self._pages: dict[int, bytearray] = {}
        self._sums: dict[int, bytes] = {}
        self._ciphers: dict[int, AESGCM] = {}
        self.contents = AESGCM(derive(key, "contents"))
        self.index = keyed(derive(key, "index"))
        self.digest = keyed(derive(key, "digest"))
        self.mark = keyed(derive(key, "erased"))
        self.proof = prover_of(key)
        self._reference = keyed(derive(key, "reference"))

    @classmethod
    def open(cls, home: Home, root: Root, capability: Capability, create: bool = False) -> "Keyring":
        """The keys of the capability's agency. Raises Refused when there are none."""
        key = agency_key(home, root, capability, create)
        return cls(FilePages(home.keyring(capability.agency)), capability.agency, key)

    @staticmethod
    def destroy(home: Home, capability: Capability) -> bool:
        """Overwrite and remove the key ring, under a capability to erase. True when there was one. What it sealed can
        never be read again, wherever it lies."""
        capability.demand(Act.ERASE, capability.agency)
        gone = False
        path = home.keyring(capability.agency)
        for each in (path, *(path.with_name(path.name + tail) for tail in ("-journal", "-wal", "-shm"))):
            if each.exists():
                with each.open("r+b") as f:
                    f.write(os.urandom(each.stat().st_size))
                    f.flush()
                    os.fsync(f.fileno())
                each.unlink()
                gone = True
        if gone:
            _sync_folder(path.parent)
        return gone

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._lie.close()

    def reference(self, system: System, table: str, key: str) -> str:
        """How the log names a row: nobody without this agency's key can tell which it is, or make another."""
        return f"REF-{self._reference(framed(str(system), table, key)).hex()}"

    def allocate(self, count: int) -> range:
        """`count` new person keys, on disk before anything is sealed with them; returns their ids."""
        if count == 0:
            return range(0)
        last = self._lie.last()
        first = last[0] * PAGE + last[1] + 1
        fresh = memoryview(os.urandom(SIZE * count))
        sheets, done = [], 0
        while done < count:
            no, slot = divmod(first - 1 + done, PAGE)
            take = min(PAGE - slot, count - done)
            page = self._page(no) if slot else bytearray(PAGE * SIZE)
            page[slot * SIZE : (slot + take) * SIZE] = fresh[done * SIZE : (done + take) * SIZE]
            self._pages[no] = page
            sheets.append(self._sheet(no, slot + take, page))
            done += take
        self._store(sheets)
        return range(first, first + count)

    def cipher(self, kid: int) -> AESGCM:
        """The cipher of a key id; 0 is the agency's own. Raises NotVerified when that key was destroyed."""
        if kid == 0:
            return self._rows
        known = self._ciphers.get(kid)
        if known is None:
            no, slot = divmod(kid - 1, PAGE)
            key = bytes(self._page(no)[slot * SIZE : (slot + 1) * SIZE])
            if key == NO_KEY:
                raise NotVerified("the key of this row was destroyed")
            if len(self._ciphers) > 4096:
                self._ciphers.clear()
            known = self._ciphers[kid] = AESGCM(key)
        return known

    def destroy_persons(self, kids: Iterable[int]) -> int:
        """Destroy single person keys; doing it twice changes nothing. Returns how many were there."""
        by_page: dict[int, list[int]] = {}
        for kid in sorted(set(kids) - {0}):
            by_page.setdefault((kid - 1) // PAGE, []).append((kid - 1) % PAGE)
            self._ciphers.pop(kid, None)
        gone, sheets = 0, []
        for no, slots in by_page.items():
            page = self._page(no)
            there = [slot for slot in slots if bytes(page[slot * SIZE : (slot + 1) * SIZE]) != NO_KEY]
            for slot in there:
                page[slot * SIZE : (slot + 1) * SIZE] = NO_KEY
            if there:
                sheets.append(self._sheet(no, None, page))
                gone += len(there)
        if gone:
            self._store(sheets)
            self._lie.vacuum()
        return gone

    def _page(self, no: int) -> bytearray:
        if no not in self._pages:
            sealed = self._lie.load(no)
            if sealed is None:
                raise NotVerified("a page of person keys is missing")
            if len(self._pages) > KEPT:
                self._pages.clear()
                self._sums.clear()
            self._pages[no] = bytearray(unseal(self._pages_cipher, sealed, framed(self._name, "page", str(no))))
            self._sums[no] = sha256(sealed).digest()
        return self._pages[no]

    def _sheet(self, no: int, used: int | None, page: bytearray) -> Sheet:
        sealed = seal(self._pages_cipher, bytes(page), framed(self._name, "page", str(no)))
        return Sheet(no, used, sealed, self._sums.get(no))

    def _store(self, sheets: Sequence[Sheet]) -> None:
        """On disk; what this key ring believes of pages that could not be stored is forgotten."""
        try:
            self._lie.store(sheets)
        except BaseException:
            self._pages.clear()
            self._sums.clear()
            raise
        self._sums |= {sheet.no: sha256(sheet.sealed).digest() for sheet in sheets}


def agency_key(home: Home, root: Root, capability: Capability, create: bool = False) -> bytes:
    """The key of the capability's agency, from its key ring. Raises Refused when there is none; `create` makes it."""
    path = home.keyring(capability.agency)
    purpose = f"agency {capability.agency or '_portal'}"
    wrapped = _wrapped(path)
    if wrapped is None and create:
        _begin(path, root.wrap(os.urandom(SIZE), purpose))
        wrapped = _wrapped(path)
    if wrapped is None:
        raise Refused(NO_KEYS)
    return root.unwrap(wrapped, purpose)


def _wrapped(path: Path) -> bytes | None:
    """The agency's key as it lies in its key ring; None where there is none. Whoever was killed while a ring was made
    left a file without one, which has sealed nothing."""
    if not path.exists():
        return None
    with closing(connect(path)) as db:
        if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'agency_key'").fetchone() is None:
            return None
        row = db.execute("SELECT wrapped FROM agency_key").fetchone()
    return None if row is None else bytes(row[0])


def _begin(path: Path, wrapped: bytes) -> None:
    """Make a key ring, or make whole what a killed maker left; of two that do so at once the first stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(connect(path, create=True)) as db:
        path.chmod(0o600)
        db.executescript(_RING)
        with db:
            db.execute("INSERT OR IGNORE INTO agency_key VALUES (1, ?)", (wrapped,))


def prover_of(key: bytes) -> Keyed:
    """What the proofs of an agency's flows are made with (`store.fixed`). It opens no row."""
    return keyed(derive(key, "proof"), SIZE)


def login(home: Home, agency: AgencyCode | None) -> str:
    """The password of an agency's login to the database, made when it is first asked for. It opens no row, and goes
    with the key ring: raises Refused when there is none."""
    with closing(connect(home.keyring(agency))) as db, db:
        db.execute("CREATE TABLE IF NOT EXISTS login (id INTEGER PRIMARY KEY CHECK (id = 1), password TEXT NOT NULL)")
        db.execute("INSERT OR IGNORE INTO login VALUES (1, ?)", (base64.urlsafe_b64encode(os.urandom(SIZE)).decode(),))
        return str(db.execute("SELECT password FROM login").fetchone()[0])


def _stretch(passphrase: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=SIZE, n=n, r=8, p=1).derive(passphrase.encode())


def _write_private(path: Path, body: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as f:
        f.write(body)
        f.flush()
        os.fsync(f.fileno())


def _sync_folder(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
