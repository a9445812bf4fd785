"""How a home reaches its PostgreSQL: which logins there are, and their passwords.

The settings lie with the keys (`keys/store.json`, readable by their owner alone). `manager` is the URL that was given
to `depositaire init`: it makes and migrates tables and rewrites them after an erasure; a machine that only
synchronises does without it, and has a login of its own in the clerk's place.
"""

import json
import secrets
from dataclasses import asdict, dataclass, replace
from typing import Self

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from schemas.errors import Malformed, Refused
from schemas.home import PORTAL, Home
from schemas.ids import AgencyCode

FORMAT = "depositaire-store/1"


@dataclass(frozen=True, slots=True)
class Login:
    """A role of the database and its password."""

    role: str
    password: str

    def __repr__(self) -> str:
        return f"Login({self.role})"


@dataclass(frozen=True, slots=True)
class Settings:
    """`prefix` begins the names of all roles of this installation: roles belong to the whole server."""

    prefix: str
    address: str
    clerk_password: str
    broom_password: str | None
    eye_password: str | None
    manager: str | None
    worker: str | None = None  # whose settings these are, when they are not the home's own

    def __repr__(self) -> str:
        return f"Settings({self.prefix})"

    @classmethod
    def new(cls, url: str) -> Self:
        """Raises Malformed for what is no URL of a PostgreSQL database."""
        manager = parsed(url)
        bare = manager._replace(username=None, password=None)  # `set` would leave them as they are
        return cls(
            f"dep_{secrets.token_hex(4)}", bare.render_as_string(hide_password=False), secrets.token_urlsafe(32),
            secrets.token_urlsafe(32), secrets.token_urlsafe(32), manager.render_as_string(hide_password=False),
        )  # fmt: skip

    @classmethod
    def read(cls, home: Home) -> Self:
        try:
            body = json.loads(home.store.read_bytes())
        except FileNotFoundError:
            raise Malformed(
                "this home has lost the settings of its database",
                "Say where the keys are with --keys, or restore them.",
            ) from None
        if body.pop("format", None) != FORMAT:
            raise Malformed("the settings of the database have an unknown format")
        return cls(**body)

    def as_bytes(self) -> bytes:
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode()

    @property
    def owner(self) -> str:
        """Owns the tables, and nobody can log in as it."""
        return f"{self.prefix}_owner"

    @property
    def agencies(self) -> str:
        """What the logins of all agencies have in common."""
        return f"{self.prefix}_agency"

    @property
    def clerk(self) -> Login:
        role = f"{self.prefix}_clerk" if self.worker is None else self.role_of_worker(self.worker)
        return Login(role, self.clerk_password)

    @property
    def broom(self) -> Login:
        return Login(f"{self.prefix}_broom", _there(self.broom_password))

    @property
    def eye(self) -> Login:
        """Searches what is held for what should be gone. It sees no sealed column."""
        return Login(f"{self.prefix}_eye", _there(self.eye_password))

    def agency(self, agency: AgencyCode | None) -> str:
        """The role of an agency (None: of the portal's own accounts)."""
        return f"{self.prefix}_a_{agency or PORTAL}"

    def role_of_worker(self, name: str) -> str:
        return f"{self.prefix}_w_{name}"

    def of_worker(self, name: str, password: str) -> "Settings":
        """What a machine is told that only synchronises."""
        return replace(self, worker=name, clerk_password=password, broom_password=None, eye_password=None, manager=None)


def _there(password: str | None) -> str:
    if password is None:
        raise Refused(
            "this machine does not know that login of the database", "Do this on the machine that has the home."
        )
    return password


def parsed(url: str) -> URL:
    """Raises Malformed without repeating anything of it: a URL may hold a password."""
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):
        raise Malformed("--store is no URL of a database", "Write postgresql://user@host/database.") from None
    if found.get_backend_name() != "postgresql" or not found.database:
        raise Malformed("--store is no URL of a PostgreSQL database", "Write postgresql://user@host/database.")
    return found.set(drivername="postgresql")  # the form that the driver takes as it is
