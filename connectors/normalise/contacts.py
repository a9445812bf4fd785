"""E-mails and phones: one field holds none, one or several of them (canonical N6, N8)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise import frame
from connectors.normalise.numbering import dialled
from connectors.normalise.octets import Bits, Mask, cut, none, nulls, only, put, truth
from connectors.normalise.text import SPACES, blanks, flag, n1, without_accents

_NONE_GIVEN = pa.array(["neant", "nc", "aucun", "aucune", "sans", "-", "n/a", "inconnu"])
_EMAIL_SEPARATORS = "[;,|/ ]+"
_EMAIL = r"^[^@ ]+@[^@ ]+\.[^@ .]+$"
# The word `ou` needs Unicode word limits, which RE2 lacks: RE2 finds the candidates, Python splits them.
_PHONE_HINT = r"[;/|,]|(?i:ou)"
_PHONE_SEPARATORS = re.compile(r"[;/|]|,\s|\bou\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the fields of a column hold: `parent` is the field of each token, ascending; `flags` are by field."""

    parent: npt.NDArray[np.int64]
    value: pa.Array
    raw: pa.Array
    flags: Bits


def _placeholder(a: pa.Array) -> Mask:
    """N6: the whole field is a word for `none`. A field with a digit or an at sign is never one."""
    words = ~truth(pc.match_substring_regex(a, r"[0-9@]")) & truth(pc.is_valid(a))
    return only(a, words, lambda few: pc.is_in(pc.utf8_lower(without_accents(few)), value_set=_NONE_GIVEN))


def _several(a: pa.Array, where: Mask, lists: pa.Array) -> tuple[npt.NDArray[np.int64], pa.Array]:
    """Tokens in reading order: the fields at `where` split into `lists`, the others whole; empty tokens left out."""
    whole = np.flatnonzero(truth(pc.is_valid(a)) & ~where)
    if not where.any():
        return whole, a if len(whole) == len(a) else a.take(pa.array(whole))
    parents = np.flatnonzero(where)[pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)]
    parts = pc.utf8_trim(pc.list_flatten(lists), characters=SPACES)
    filled = truth(pc.not_equal(parts, ""))
    parent = np.concatenate([whole, parents[filled]])
    raw = pa.concat_arrays([a.take(pa.array(whole)), parts.filter(pa.array(filled))])
    order = np.argsort(parent, kind="stable")
    return parent[order], raw.take(pa.array(order))


def _field_flags(n: int, parent: npt.NDArray[np.int64], placeholder: Mask, by_token: Bits) -> Bits:
    """Flags a field: its own, and those of its tokens."""
    flags = flag(placeholder, "placeholder") | flag(np.bincount(parent, minlength=n) > 1, "multi_value")
    flagged = np.flatnonzero(by_token)
    np.bitwise_or.at(flags, parent[flagged], by_token[flagged])
    return flags


def _given(a: pa.Array) -> tuple[pa.Array, Mask]:
    """The fields after N1 with placeholders taken out, and where those were."""
    text, _ = n1(a)
    placeholder = _placeholder(text)
    return (pc.if_else(pa.array(placeholder), None, text) if placeholder.any() else text), placeholder


def _lower_domain(valid: pa.Array) -> pa.Array:
    """The local part unchanged, the domain in lower case."""
    mixed = truth(pc.not_equal(valid, pc.utf8_lower(valid)))
    if not mixed.any():
        return valid
    few = valid.filter(pa.array(mixed))
    at, end = pc.find_substring(few, "@").to_numpy().astype(np.int64), pc.binary_length(few).to_numpy().astype(np.int64)
    local, domain = cut(few, np.zeros(len(few), np.int64), at), pc.utf8_lower(cut(few, at, end))
    return put(valid, mixed, pc.binary_join_element_wise(local, domain, ""))


def emails(a: pa.Array) -> Tokens:
    """N6: the addresses of each field. An invalid one keeps its text in `raw`, has no value and flags the field."""
    text, placeholder = _given(a)
    text = blanks(text)
    several = truth(pc.match_substring_regex(text, _EMAIL_SEPARATORS))
    lists = pc.split_pattern_regex(text.filter(pa.array(several)), _EMAIL_SEPARATORS)
    parent, raw = _several(text, several, lists)
    valid = pc.match_substring_regex(raw, _EMAIL)
    value = _lower_domain(pc.if_else(valid, raw, None))
    flags = _field_flags(len(a), parent, placeholder, flag(~truth(valid), "email_invalid"))
    return Tokens(parent, value, raw, flags)


def _split_phones(fields: list[str]) -> list[list[str]]:
    return [_PHONE_SEPARATORS.split(field) for field in fields]


def phones(a: pa.Array, country: pa.Array | None = None, postal_code: pa.Array | None = None) -> Tokens:
    """N8: the numbers of each field, in E.164 where they can be dialled from the person's country.

    `country` (alpha-2; None: all null) and `postal_code` (after N7; None: region FR) are those of each field's person.
    """
    text, placeholder = _given(a)
    several = truth(pc.match_substring_regex(text, _PHONE_HINT))
    lists = pa.array(_split_phones(text.filter(pa.array(several)).to_pylist()), pa.list_(pa.string()))
    parent, raw = _several(text, several, lists)
    at = pa.array(parent)
    value, token_flags = dialled(
        raw, None if country is None else country.take(at), None if postal_code is None else postal_code.take(at)
    )
    return Tokens(parent, value, raw, _field_flags(len(a), parent, placeholder, token_flags))


def _ranked(
    kind: str, line: npt.NDArray[np.integer], person_key: pa.Array, fields: Sequence[Tokens], keep: Mask | None
) -> pa.Table:
    """Rows of one kind of contact: ranks from 1 in reading order, the first field of a person first."""
    parent = np.concatenate([np.empty(0, np.int64), *(tokens.parent for tokens in fields)])
    if not len(parent):
        return frame.empty_rows("contact")
    order = np.argsort(parent, kind="stable")
    parent = parent[order]
    place = np.arange(len(parent))
    starts = np.flatnonzero(np.diff(parent, prepend=-1))
    rank = place - np.repeat(starts, np.diff(starts, append=len(parent))) + 1
    by_order = pa.array(order)
    persons, ranks = person_key.take(pa.array(parent)), pa.array(rank)
    numerals = pa.array([str(number) for number in range(int(rank.max()) + 1)])
    return frame.rows(
        "contact",
        line=line[parent],
        source_key=pc.binary_join_element_wise(persons, kind, numerals.take(ranks), ":"),
        keep=None if keep is None else keep[parent],
        person_key=persons,
        kind=kind,
        rank=ranks,
        value=pa.concat_arrays([tokens.value for tokens in fields]).take(by_order),
        value_raw=pa.concat_arrays([tokens.raw for tokens in fields]).take(by_order),
    )


def contact_rows(
    line: npt.NDArray[np.integer],
    person_key: pa.Array,
    emails: Sequence[Tokens],
    phones: Sequence[Tokens],
    keep: Mask | None = None,
) -> pa.Table:
    """The row frame of `contact` (canonical §1, nested keys). `line`, `person_key` and `keep` are by field."""
    return pa.concat_tables([
        _ranked("email", line, person_key, emails, keep),
        _ranked("phone", line, person_key, phones, keep),
    ])  # fmt: skip


def first_value(tokens: Tokens, n: int) -> pa.Array:
    """The value of the first token of each field; null when there is none or it is not valid."""
    if not len(tokens.parent):
        return nulls(n)
    parents, first = np.unique(tokens.parent, return_index=True)
    at, missing = np.zeros(n, np.int64), ~none(n)
    at[parents], missing[parents] = first, False
    return tokens.value.take(pa.array(at, mask=missing))
