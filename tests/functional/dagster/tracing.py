"""Where a test's Dagster storage still names an agency, whichever database it has."""

from pathlib import Path

from pipelines.defs.address import known
from pipelines.defs.database import rewrite
from pipelines.defs.trace import forget, mentions
from schemas.home import Home
from schemas.ids import AgencyCode
from tests import engines
from tests.functional.dagster.conftest import bytes_holding


def named(home: Home, code: AgencyCode) -> dict[str, int]:
    return mentions(home.dagster, code, known(home))


def forgotten(home: Home, code: AgencyCode) -> dict[str, int]:
    """As an erasure does it: what is removed, by kind; then the rewriting that comes once a run."""
    stored = known(home)
    removed = forget(home.dagster, [code], address=stored)[code]
    if stored is not None:
        rewrite(stored)
    return removed


def bytes_naming(home: Home, code: AgencyCode) -> list[str]:
    """Files of Dagster's storage whose bytes hold the code: below the home, or those of its database on the server."""
    stored = known(home)
    if stored is None:
        return bytes_holding(home.dagster, code)
    return bytes_holding(home.dagster, code) + bytes_holding(Path(engines.CLUSTERS[0].files(stored.url)), code)
