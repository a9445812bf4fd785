"""Closed lists (canonical N14)."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.distinct import looked_up
from connectors.normalise.octets import Mask, truth


def closed(a: pa.Array, table: Mapping[str, str]) -> tuple[pa.Array, Mask]:
    """N14: the house's word for each of the source's (after N1), and the mask of words off the list; null is null."""
    known = looked_up(a, table.get)
    return known, truth(pc.is_null(known)) & truth(pc.is_valid(a))
