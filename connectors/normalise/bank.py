"""Bank accounts: kept as they came, flagged when their own check digits disown them (canonical N9)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Bits, Mask, Octets, Places, matrix, none, truth, without
from connectors.normalise.text import SPACES, blanks, empty_to_null, flag, scientific

_IBAN = r"^[A-Z]{2}[0-9]{2}[A-Z0-9]{10,30}$"
# ISO 13616: A = 10 … Z = 35.
_ISO = np.zeros(256, np.int64)
_ISO[ord("0") : ord("9") + 1] = range(10)
_ISO[ord("A") : ord("Z") + 1] = range(10, 36)
# Clé RIB: A–I = 1–9, J–R = 1–9, S–Z = 2–9.
_RIB = np.zeros(256, np.int64)
_RIB[ord("0") : ord("9") + 1] = range(10)
_RIB[ord("A") : ord("Z") + 1] = [*range(1, 10), *range(1, 10), *range(2, 10)]


def _mod_97(octets: Octets) -> Mask:
    """Which IBANs of one length have remainder 1 once their first four characters are put behind (ISO 7064)."""
    rest = np.zeros(len(octets), np.int64)
    for column in [*range(4, octets.shape[1]), *range(4)]:
        value = _ISO[octets[:, column]]
        rest = (rest * np.where(value > 9, 100, 10) + value) % 97
    right: Mask = rest == 1
    return right


def _number(octets: Octets) -> Places:
    """The number that some columns of an account write, letters taken as digits."""
    number = np.zeros(len(octets), np.int64)
    for column in range(octets.shape[1]):
        number = number * 10 + _RIB[octets[:, column]]
    return number


def _rib_holds(octets: Octets) -> Mask:
    """Which French IBANs carry the clé RIB that their bank (5), branch (5) and account (11) give."""
    if octets.shape[1] != 27:
        return none(len(octets))
    bank, branch, account, key = (_number(octets[:, a:b]) for a, b in ((4, 9), (9, 14), (14, 25), (25, 27)))
    digits = (octets[:, 25:] <= ord("9")).all(axis=1)
    right: Mask = digits & (key == 97 - (89 * bank + 15 * branch + 3 * account) % 97)
    return right


def iban(a: pa.Array) -> tuple[pa.Array, Bits]:
    """N9: IBANs in capitals without white space, points and hyphens, stored even when wrong; and the flags of each.

    One flag at most: an IBAN that its mod 97 disowns is not asked for its clé RIB.
    """
    lost = scientific(pc.utf8_trim(a, characters=SPACES))
    kept = pc.if_else(pa.array(lost), None, a) if lost.any() else a
    bare = empty_to_null(pc.utf8_upper(without(blanks(kept), b" .-")))
    shaped = truth(pc.match_substring_regex(bare, _IBAN))
    right, rib = none(len(a)), none(len(a))
    french = truth(pc.is_in(pc.utf8_slice_codeunits(bare, 0, 2), value_set=pa.array(["FR", "MC"])))
    for width in np.unique(pc.binary_length(bare.filter(pa.array(shaped))).to_numpy()):
        at, octets = matrix(bare, int(width))
        right[at] = _mod_97(octets)
        rib[at] = ~french[at] | _rib_holds(octets)
    right &= shaped
    wrong = ~right & truth(pc.is_valid(bare))
    return bare, flag(lost, "scientific") | flag(wrong, "iban_mod97") | flag(right & ~rib, "iban_rib_key")
