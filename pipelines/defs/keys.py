"""Names of the assets, in one place: runs of the command line use them without loading what they describe."""

import dagster as dg

from schemas.ids import System


def export_key(system: System) -> dg.AssetKey:
    """What an agency's software, or the portal, sends."""
    return dg.AssetKey(["export", str(system)])


def sync_key(system: System) -> dg.AssetKey:
    return dg.AssetKey(["sync", str(system)])


def table_key(table: str) -> dg.AssetKey:
    """A canonical table, over all agencies."""
    return dg.AssetKey(["table", table])


def invariants(system: System) -> str:
    """The check of a canonical table on what one system brings. Dagster keeps one result of a check in a run."""
    return f"invariants_{system}"


WINDOWS = dg.AssetKey(["contract_windows"])
ERASURE = dg.AssetKey(["agency_erasure"])
NOTHING_LEFT = "nothing_left"
SYNC_JOB = "sync"
ERASE_JOB = "erasure"
RECONCILE = dg.AssetKey(["reconcile", "spilasuite"])
RECONCILE_JOB = "reconcile"
