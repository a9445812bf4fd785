"""Which database the installations of this run of the tests have: files, or (`pytest --store postgresql`) a real
PostgreSQL. The tests are the same."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from pipelines import opening
from pipelines.defs.address import Address
from schemas.home import Home
from store import engine
from store.house import House
from store.postgres.settings import Settings

if TYPE_CHECKING:  # the server's package has something to say on standard error when it is imported
    from tests.postgres import Cluster

CLUSTERS: "list[Cluster]" = []


def store() -> str | None:
    """The URL of a new, empty database for a home; None when its shelves are files."""
    return CLUSTERS[0].database() if CLUSTERS else None


def furnish(home: Home) -> None:
    """A house for a home that has its keys."""
    if (url := store()) is not None:
        opening.choose_store(home, url)
    House.open(home, create=True).db.close()


def write_instance(home: Home) -> None:
    """Dagster's settings for a home: files, or a database of its own."""
    from pipelines.defs.instance import write_instance

    write_instance(home, store())


def copied(source: Path, target: Path) -> Path:
    """A copy of everything below a folder, with a copy of its database when it has one."""
    engine.close_all()
    shutil.copytree(source, target)
    for path in target.rglob("store.json"):
        body = json.loads(path.read_bytes())
        body.pop("format")
        path.write_bytes(CLUSTERS[0].copy(Settings(**body)).as_bytes())
    for path in target.rglob("dagster.json"):
        body = json.loads(path.read_bytes())
        path.write_text(json.dumps(body | {"url": CLUSTERS[0].duplicate(body["url"])}))
    return target


def written(home: Home) -> bytes:
    """Every row of a home's PostgreSQL as text, and of its Dagster's; nothing for one whose records are files."""
    if not CLUSTERS:
        return b""
    dagster = Address.read(home)
    there = CLUSTERS[0].dump(Settings.read(home))
    return there + (CLUSTERS[0].rows(str(make_url(dagster.url).database)) if dagster else b"")
