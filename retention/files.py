"""Files of one agency: its deliveries in the inboxes, and what a crash may have left in the home.

Only where the contracts put deliveries: `INBOX/<CODE>/…`, `INBOX/<other>/<system>/<file>`, `INBOX/_portal/<file>`.
Nothing else under an inbox is looked at: somebody may have named `/` as one. Links are removed, never followed. Files
are not overwritten first: a delivery may be a hard link to a copy that is the agency's own.
"""

import os
import re
import shutil
import stat
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

from schemas.home import PORTAL, Home
from schemas.ids import AGENCY_SYSTEMS, AgencyCode

# What stays (retention.steps.Left), what other steps destroy, and what is no file of an agency.
_NOT_LEFTOVERS = frozenset({"ledger", "certificates", "erasures", "lineage", "locks", "dagster"})
CODE_LENGTH = 5
_PORTAL_FILE = re.compile(r"PORTAIL_(COMPTES|RATTACHEMENTS)_(\d{8})\.csv")


def remove_files(home: Home, agency: AgencyCode, inboxes: Iterable[Path], portal_before: date | None) -> dict[str, int]:
    """Remove every file of an agency. Returns how many there were."""
    gone = {"deliveries": 0, "leftovers": 0, "portal_snapshots": 0}
    for inbox in inboxes:
        for path in delivered(inbox, {agency}).get(agency, []):
            gone["deliveries"] += _remove(path)
        for pair in superseded(inbox, portal_before).values():
            if agency in attached(pair, {agency}):
                gone["portal_snapshots"] += sum(_remove(path) for path in pair)
    for path in leftovers(home, agency):
        gone["leftovers"] += _remove(path)
    return gone


def delivered(inbox: Path, agencies: Collection[AgencyCode]) -> dict[AgencyCode, list[Path]]:
    """Folders of these agencies, and files elsewhere that are named after one (refused as `agency.mismatch`, say)."""
    found: dict[AgencyCode, list[Path]] = {}
    for folder in _entries(inbox):
        if folder.name in agencies:
            found.setdefault(AgencyCode(folder.name), []).append(folder)
        elif folder.name != PORTAL and _real_folder(folder):
            for path in _deliveries(folder):
                for agency in named(path.name) & frozenset(agencies):
                    found.setdefault(agency, []).append(path)
    return found


def superseded(inbox: Path, before: date | None, since: date = date.min) -> dict[date, list[Path]]:
    """Files of the portal's pairs by day, from `since` up to the day before the newest accepted one: nobody needs
    them."""
    pairs: dict[date, list[Path]] = {}
    for path in _entries(inbox / PORTAL):
        day = portal_day(path.name)
        if day is not None and before is not None and since <= day < before:
            pairs.setdefault(day, []).append(path)
    return pairs


def attached(pair: Iterable[Path], agencies: Collection[AgencyCode]) -> set[AgencyCode]:
    """Which of these agencies a pair's file of attachments names. Read as bytes: it may be any file that somebody
    named so."""
    found: set[AgencyCode] = set()
    wanted = {a.encode(): a for a in agencies}
    for path in pair:
        if path.name.startswith("PORTAIL_RATTACHEMENTS") and _real_file(path):
            with path.open("rb") as f:
                found |= {wanted[column] for line in f for column in line.split(b";")[1:2] if column in wanted}
    return found


def leftovers(home: Home, agency: AgencyCode) -> list[Path]:
    """What is named after the agency in the home, besides the evidence: half-written files, archives, copies."""
    # The first two have a step of their own, which does more than remove a name; the key of the log stays with it.
    others = (home.keyring(agency), home.shelf(agency), home.log_key(agency))
    return [
        p
        for root in sorted({home.root, home.keys})
        for p in _below(root)
        if agency in named(p.name) and p not in others
    ]


def absent(inboxes: Iterable[Path]) -> int:
    """How many inboxes are no longer there: what they held cannot be looked at."""
    return sum(not p.is_dir() for p in inboxes)


def named(name: str) -> frozenset[AgencyCode]:
    """The codes in a file's name, as the contracts name deliveries: SDGI_A0001_…, LOGIN-A0001-…, GPIA0001.000001."""
    words = re.findall(r"[A-Za-z0-9]+", name)
    return frozenset(AgencyCode(w) for word in words for w in (word, word.removeprefix("GPI")) if len(w) == CODE_LENGTH)


def portal_day(name: str) -> date | None:
    """The day of a portal file, by its name."""
    found = _PORTAL_FILE.fullmatch(name)
    try:
        return datetime.strptime(found[2], "%Y%m%d").replace(tzinfo=UTC).date() if found else None
    except ValueError:
        return None


def _deliveries(folder: Path) -> Iterator[Path]:
    for system in _entries(folder):
        if system.name in AGENCY_SYSTEMS and _real_folder(system):
            yield from _entries(system)


def _below(root: Path) -> Iterator[Path]:
    """Files and folders under a home, outside what is not a leftover."""
    for entry in _entries(root):
        if entry.parent == root and entry.name in _NOT_LEFTOVERS:
            continue
        yield entry
        if _real_folder(entry):
            yield from _below(entry)


def _remove(path: Path) -> int:
    """Remove a file, a link or a folder; returns how many files went. Its name is off the disk when this returns."""
    try:
        if _real_folder(path):
            count = sum(len(files) for _, _, files in os.walk(path))
            shutil.rmtree(path)
        else:
            count = 1
            path.unlink()
    except FileNotFoundError:
        return 0
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return count or 1


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _real_folder(path: Path) -> bool:
    return _mode(path, stat.S_ISDIR)


def _real_file(path: Path) -> bool:
    return _mode(path, stat.S_ISREG)


def _mode(path: Path, is_kind: Callable[[int], bool]) -> bool:
    try:
        return is_kind(path.lstat().st_mode)
    except FileNotFoundError:
        return False
