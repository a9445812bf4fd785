"""What of a phone number can be dialled: E.164 by the rules of a maintained numbering-plan library (canonical N8)."""

from functools import cache

import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc
from phonenumbers import PhoneMetadata

from connectors.normalise.distinct import looked_up
from connectors.normalise.octets import Bits, changed, none, nulls, put, truth, without
from connectors.normalise.text import blanks, flag, scientific

# N8: the first three digits of a French postal code give the region of a national number.
OVERSEAS = {"971": "GP", "972": "MQ", "973": "GF", "974": "RE", "976": "YT"}
_ORDINARY = r"^[+0-9 .\-]*$"
_HYPHENS = r"[\x{2010}\x{2011}]"  # hyphens of Unicode; a dash is no hyphen
_EXTENSION = r"(?i) *(?:poste|p\.|ext) *[0-9]+ *$"
_INTERNATIONAL = r"^\+[1-9][0-9]{7,14}$"
_NATIONAL = r"^0[1-9][0-9]{8}$"
# Every kind of number but short codes and emergency calls, which cannot be dialled from abroad.
_KINDS = (
    "premium_rate", "toll_free", "shared_cost", "voip", "personal_number",
    "pager", "uan", "voicemail", "fixed_line", "mobile",
)  # fmt: skip


def _bare(raw: pa.Array) -> pa.Array:
    """The number alone: no `(0)`, no text in parentheses, no extension, no separators; a leading `00` becomes `+`."""
    odd = ~truth(pc.match_substring_regex(raw, _ORDINARY)) & truth(pc.is_valid(raw))
    bare = without(changed(raw, odd, _spoken), b" .-")
    abroad = truth(pc.starts_with(bare, "00"))
    return changed(bare, abroad, lambda few: pc.replace_substring(few, "00", "+", max_replacements=1))


def _spoken(raw: pa.Array) -> pa.Array:
    """Without what people write around a number: `(0)` first, then other text in parentheses, then the extension."""
    few = pc.replace_substring(blanks(raw), "(0)", "")
    few = pc.replace_substring_regex(few, r"\([^)]*\)", "")
    return pc.replace_substring_regex(pc.replace_substring_regex(few, _EXTENSION, ""), _HYPHENS, "")


def _region(postal_code: str) -> str:
    return OVERSEAS.get("".join(sign for sign in postal_code if sign.isdecimal())[:3], "FR")


@cache
def _plan(region: str) -> tuple[str, str]:
    """Country code of a region, and the pattern of its nine-digit national numbers, taken from the library's own data.

    Asking the library costs some 40 microseconds a number; the same patterns over a column cost a hundredth of that.
    """
    data = PhoneMetadata.metadata_for_region(region)
    if data is None:
        raise LookupError(f"the numbering plan of {region} is missing from the library")
    kinds = [getattr(data, kind) for kind in _KINDS]
    # A kind that names no lengths takes those of its region, which is nine digits for all that this module asks for.
    nine = {kind.national_number_pattern for kind in kinds if kind and 9 in (kind.possible_length or (9,))} - {None}
    return str(data.country_code), f"^(?:{'|'.join(sorted(nine))})$"


def _asked(digits: str, region: str) -> str | None:
    """The library's own answer, for a number that is not ten digits with one zero in front."""
    try:
        number = phonenumbers.parse(digits, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_valid_number_for_region(number, region):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _in_region(digits: pa.Array, region: str) -> pa.Array:
    """E.164 of national numbers of one region, null where the number is not valid there."""
    code, pattern = _plan(region)
    usual = truth(pc.match_substring_regex(digits, _NATIONAL))
    significant = pc.utf8_slice_codeunits(digits, 1)
    valid = usual & truth(pc.match_substring_regex(significant, pattern))
    e164 = pc.if_else(pa.array(valid), pc.binary_join_element_wise(f"+{code}", significant, ""), None)
    if usual.all():
        return e164
    return put(e164, ~usual, looked_up(digits.filter(pa.array(~usual)), lambda number: _asked(number, region)))


def _national(digits: pa.Array, postal_code: pa.Array | None) -> pa.Array:
    """E.164 of national numbers, each in the region of its postal code (N8)."""
    if postal_code is None:
        return _in_region(digits, "FR")
    regions = looked_up(postal_code, _region).fill_null("FR")
    answer = nulls(len(digits))
    for region in regions.unique().to_pylist():
        here = truth(pc.equal(regions, region))
        if here.all():
            return _in_region(digits, region)
        answer = put(answer, here, _in_region(digits.filter(pa.array(here)), region))
    return answer


def dialled(raw: pa.Array, country: pa.Array | None, postal_code: pa.Array | None) -> tuple[pa.Array, Bits]:
    """N8 for single tokens (trimmed): E.164 or null, and the flags scientific, excel_zero, phone_unparsed of each."""
    n = len(raw)
    lost = scientific(raw)
    bare = _bare(raw)
    value = pc.if_else(pc.match_substring_regex(bare, _INTERNATIONAL), bare, None)
    digits = truth(pc.ascii_is_decimal(bare))
    if country is not None:
        digits &= ~truth(pc.not_equal(country, "FR"))  # digits say nothing of a number of another country
    short = none(n)
    if digits.any():
        at = pa.array(digits)
        number = bare.filter(at)
        cut = truth(pc.match_substring_regex(number, r"^[1-9][0-9]{8}$"))
        short[digits] = cut
        number = changed(number, cut, lambda few: pc.binary_join_element_wise("0", few, ""))
        value = put(value, digits, _national(number, None if postal_code is None else postal_code.filter(at)))
    unread = truth(pc.is_null(value)) & ~lost
    return value, flag(lost, "scientific") | flag(short, "excel_zero") | flag(unread, "phone_unparsed")
