"""The versions of the privacy policy that this installation works under. Instructions and receipts name the digest of
the one in force when they are recorded (R3).

A version is kept whole as `HOME/policies/<instant>-<sha256><suffix>`; what was in force at an instant follows from the
names.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from ledger.lines import write_whole
from schemas.errors import Malformed, Refused
from schemas.home import Home

_NAME = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{64})(\.[a-z0-9]{1,8})?")
_STAMP = "%Y%m%dT%H%M%SZ"
_LIMIT = 20 * 2**20
# What the published text leaves open (R31): in a policy that people read it must be filled in.
_PLACEHOLDER = "(indiquer ses coordonnées)"


@dataclass(frozen=True, slots=True)
class Policy:
    """One version: in force from `since` until the next. `open_place`: it still has the place for the DPO's address."""

    since: datetime
    sha256: str
    open_place: bool = False


def adopt(home: Home, file: Path, at: datetime) -> Policy:
    """Keep a version that is in force from `at` on. The version in force already is returned as it is."""
    try:
        raw = file.read_bytes()
    except OSError:
        raise Malformed("the policy cannot be read", "Give the path of its file.") from None
    if not raw or len(raw) > _LIMIT:
        raise Malformed("the policy is empty, or longer than 20 MiB", "Give the file that people are shown.")
    digest, since = sha256(raw).hexdigest(), at.astimezone(UTC).replace(microsecond=0)
    known = versions(home)
    # Of two that begin at one instant nobody could tell which is in force.
    if known and (known[-1].since > since or (known[-1].since == since and known[-1].sha256 != digest)):
        raise Refused(
            "a version of the policy of that instant or later is kept already",
            "Versions are kept in the order of their dates.",
        )
    made = Policy(since, digest, _PLACEHOLDER.encode() in raw)
    if known and known[-1].sha256 == digest:
        return Policy(known[-1].since, digest, made.open_place)
    write_whole(home.policies / f"{since.strftime(_STAMP)}-{digest}{_suffix(file)}", raw)
    return made


def versions(home: Home) -> list[Policy]:
    """Every version, the oldest first."""
    if not home.policies.is_dir():
        return []
    found = [m for p in home.policies.iterdir() if (m := _NAME.fullmatch(p.name))]
    named = sorted(found, key=lambda m: m[0])
    return [Policy(datetime.strptime(m[1], _STAMP).replace(tzinfo=UTC), m[2]) for m in named]


def in_force(home: Home, at: datetime) -> str | None:
    """The digest of the version in force at an instant; None before the first."""
    return max(((p.since, p.sha256) for p in versions(home) if p.since <= at), default=(None, None))[1]


def _suffix(file: Path) -> str:
    return file.suffix.lower() if re.fullmatch(r"\.[a-z0-9]{1,8}", file.suffix.lower()) else ""
