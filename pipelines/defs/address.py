"""Where Dagster's own database is, and the broker of its workers: secrets, which lie with the keys and not beside
`dagster.yaml`.

`HOME/dagster/dagster.yaml` names two variables of the environment. Whoever starts Dagster sets them from the file (our
commands do), or has them set otherwise: a machine without the file takes them from its environment. Their names begin
so that no child process of a driver inherits them (`connectors.odbc.children`).
"""

import json
import os
from dataclasses import asdict, dataclass
from typing import Self

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from ledger.lines import write_whole
from schemas.errors import Malformed
from schemas.home import Home

URL_VARIABLE = "DEPOSITAIRE_DAGSTER_URL"
BROKER_VARIABLE = "DEPOSITAIRE_BROKER_URL"
FORMAT = "depositaire-dagster/1"

# SQLAlchemy 2.1 takes `postgresql://` for psycopg 3, on which every event of Dagster fails.
_DRIVER = "postgresql+psycopg2"
# What Dagster tells may be lost with the server's power: the store and the ledger are what counts. What a worker that
# was cut off held is free again half a minute later.
_OPTIONS = (
    "-c synchronous_commit=off -c tcp_keepalives_idle=10 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
    " -c client_connection_check_interval=5s"
)
_BROKERS = ("redis", "rediss", "unix", "redis+socket")


@dataclass(frozen=True, slots=True)
class Address:
    """`url`: of the database, as Dagster takes it. `broker`: of the workers' queue; None where runs go to no worker."""

    url: str
    broker: str | None = None

    def __repr__(self) -> str:
        return "Address()"

    @classmethod
    def of(cls, url: str, broker: str | None = None) -> Self:
        """Raises Malformed, without repeating anything of what it was given."""
        if broker is not None and broker.partition("://")[0] not in _BROKERS:
            raise Malformed("--broker is no URL of a Redis server", "Write redis://user:password@host:6379/0.")
        try:
            found = make_url(url)
        except (ArgumentError, ValueError):
            found = None
        if found is None or found.get_backend_name() != "postgresql" or not found.database:
            raise Malformed("--dagster is no URL of a PostgreSQL database", "Write postgresql://user@host/database.")
        given = found.query.get("options", "")
        options = f"{given if isinstance(given, str) else ' '.join(given)} {_OPTIONS}".strip()
        whole = found.set(drivername=_DRIVER).update_query_dict({"options": options})
        return cls(whole.render_as_string(hide_password=False), broker)

    @classmethod
    def read(cls, home: Home) -> Self | None:
        """What the file says; what the environment says where there is no file; None where neither says anything."""
        try:
            body = json.loads(home.orchestrator.read_bytes())
        except FileNotFoundError:
            url = os.environ.get(URL_VARIABLE, "")
            return cls(url, os.environ.get(BROKER_VARIABLE) or None) if url else None
        if body.pop("format", None) != FORMAT:
            raise Malformed("the settings of Dagster's database have an unknown format")
        return cls(**body)

    def write(self, home: Home) -> None:
        write_whole(home.orchestrator, json.dumps({"format": FORMAT, **asdict(self)}, indent=1).encode())

    def environment(self) -> dict[str, str]:
        return {URL_VARIABLE: self.url} | ({BROKER_VARIABLE: self.broker} if self.broker else {})


def is_named(home: Home) -> bool:
    """Whether this home's Dagster keeps its records in PostgreSQL, by its own settings."""
    try:
        return URL_VARIABLE in (home.dagster / "dagster.yaml").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def known(home: Home) -> Address | None:
    """How this home's Dagster is reached; None where it is files. Raises Malformed when its settings are lost."""
    if not is_named(home):
        return None
    found = Address.read(home)
    if found is None:
        raise Malformed(
            "this home has lost the settings of Dagster's database",
            f"Say where the keys are with --keys, restore them, or set {URL_VARIABLE}.",
        )
    return found
