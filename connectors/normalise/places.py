"""Countries and postal codes (canonical N7, N13). No department is ever derived from a postal code."""

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Mask, changed, truth
from connectors.normalise.text import fold


def country(a: pa.Array, table: Mapping[str, str]) -> tuple[pa.Array, Mask]:
    """N13: alpha-2 codes by the table of the system (keys folded), and which texts it does not know. Empty is null."""
    coded = a.dictionary_encode()
    words = fold(coded.dictionary).to_pylist()
    codes = pa.array([None if word is None else table.get(word) for word in words], pa.string())
    unknown = pa.array([word is not None and word not in table for word in words], pa.bool_())
    return codes.take(coded.indices), truth(unknown.take(coded.indices))


def postal_code(a: pa.Array, country: pa.Array | None = None) -> tuple[pa.Array, Mask]:
    """N7: four digits get their leading zero back where the country is FR or null; the mask tells where."""
    short = truth(pc.match_substring_regex(a, r"^[0-9]{4}$"))
    if country is not None:
        short &= ~truth(pc.not_equal(country, "FR"))
    return changed(a, short, lambda few: pc.binary_join_element_wise("0", few, "")), short
