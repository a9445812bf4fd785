"""Where a test's Dagster storage still names an agency, whichever database it has."""

from pathlib import Path

from pipelines.defs.address import known
from pipelines.defs.database import rewrite
from pipelines.defs.trace import forget, mentions
from schemas.home import Home
from schemas.ids import AgencyCode
from tests import engines
from tests.functional.dagster.conftest import bytes_holding

FIRST_OWN = 16384  # the first number that a server gives (FirstNormalObjectId)


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
    return bytes_holding(home.dagster, code) + tables_holding(Path(engines.CLUSTERS[0].files(stored.url)), code)


def tables_holding(folder: Path, code: AgencyCode) -> list[str]:
    """Those of a database. Not its catalogue, whose files have the lowest numbers: there the server remembers names of
    its roles, which it looks at wherever it is, and a role of a store has an agency's code in its name."""
    return [name for name in bytes_holding(folder, code) if not _is_catalogue(name)]


def _is_catalogue(name: str) -> bool:
    number = name.partition("_")[0].partition(".")[0]
    return number.isdigit() and int(number) < FIRST_OWN
