"""What every command is told: which home, as if it were when, and how to answer."""

import os
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from schemas.errors import Malformed
from schemas.home import Home


@dataclass(frozen=True, slots=True)
class Setting:
    """The common options of one call."""

    root: Path | None = None
    keys: Path | None = None
    as_json: bool = False
    quiet: bool = False
    instant: str | None = None

    @classmethod
    def of(cls, root: Path | None, keys: Path | None, as_json: bool, quiet: bool, instant: str | None) -> "Setting":
        """With what the environment says where an option is silent."""
        root = root or _path(os.environ.get("DEPOSITAIRE_HOME"))
        keys = keys or _path(os.environ.get("DEPOSITAIRE_KEYS"))
        return cls(root, keys, as_json, quiet, instant)

    @property
    def has_home(self) -> bool:
        return self.root is not None

    @property
    def home(self) -> Home:
        if self.root is None:
            raise Malformed("no home was named", "Say where it is with --home or DEPOSITAIRE_HOME.")
        return Home.at(self.root, self.keys)

    @property
    def at(self) -> datetime:
        """The instant of --at, else now."""
        return datetime.now(UTC) if self.instant is None else instant(self.instant)

    @property
    def passphrase(self) -> str | None:
        """Never an option: it would stand in the list of processes."""
        return os.environ.get("DEPOSITAIRE_PASSPHRASE") or None


def instant(text: str, option: str = "--at") -> datetime:
    """A day (its first instant in Paris), an instant with its offset, or one of Paris time. Raises Malformed naming the
    option."""
    from schemas.window import PARIS, midnight

    try:
        if len(text) == len("2026-01-14"):
            return midnight(date.fromisoformat(text))
        found = datetime.fromisoformat(text)
    except ValueError:
        raise Malformed(
            f"{option} is not an instant", "Write 2026-01-14, 2026-01-14T08:00 or 2026-01-14T08:00:00+01:00."
        ) from None
    return found if found.tzinfo else found.replace(tzinfo=PARIS)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None
