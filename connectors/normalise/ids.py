"""Register numbers of companies (canonical N12)."""

import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import truth, without
from connectors.normalise.text import blanks


def siren(a: pa.Array) -> pa.Array:
    """N12: the SIREN of SIREN or SIRET texts: nine digits, or the first nine of fourteen; else, or all-zero, null."""
    bare = without(blanks(a), b" ")
    known = truth(pc.match_substring_regex(bare, r"^[0-9]{9}(?:[0-9]{5})?$"))
    known &= ~truth(pc.starts_with(bare, "000000000"))
    return pc.utf8_slice_codeunits(pc.if_else(pa.array(known), bare, None), 0, 9)
