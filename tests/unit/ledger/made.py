"""Logs for tests: their keys, their files, and what a checker needs to know of them."""

import shutil
from pathlib import Path

from ledger import fsck
from ledger.keys import LogKeys
from ledger.log import Log
from ledger.stored import Keys, Stored
from schemas.home import Home
from schemas.ids import AgencyCode
from store.keys import LocalRoot

CODE = AgencyCode("A0003")
ROOT = LocalRoot(bytes(range(32)))


def home_at(root: Path) -> Home:
    return Home.at(root / "home", root / "keys")


def keys_at(root: Path) -> LogKeys:
    return LogKeys(home_at(root), ROOT)


def log_at(root: Path, agency: AgencyCode = CODE) -> Log:
    return Log.at(home_at(root), agency, keys_at(root))


def fsck_keys(keys: LogKeys, agency: AgencyCode = CODE) -> fsck.Keys:
    return fsck.Keys(keys.signer.public_key().public_bytes_raw(), lambda name: keys.of_salts(AgencyCode(name)))


def reading_keys(keys: LogKeys, agency: AgencyCode = CODE) -> Keys:
    return Keys(str(keys.verifier(agency)), keys.of_salts(agency))


def as_files(stored: Stored) -> fsck.Files:
    return fsck.Files(stored.entries, stored.contents, stored.salts, stored.tiles, stored.checkpoint)


def write_stored(folder: Path, stored: Stored) -> None:
    """Put these bytes where a log's are."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tiles").mkdir(parents=True)
    for name in ("entries", "contents", "salts"):
        (folder / name).write_bytes(getattr(stored, name))
    for level, raw in enumerate(stored.tiles):
        (folder / "tiles" / str(level)).write_bytes(raw)
    if stored.checkpoint is not None:
        (folder / "checkpoint").write_bytes(stored.checkpoint)
