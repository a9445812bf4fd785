"""Names that came in one field: split when the rule of the system makes it certain, else left alone (canonical N5)."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from connectors.normalise.octets import Mask, Octets, Places, cut, none, nulls, put, text, truth
from connectors.normalise.text import SPACES, empty_to_null

# S1 as the shape of a label, one letter a word. C: in capitals; c: in capitals with a single letter; n: née, né or nee;
# F: a first name; x: anything else, and all that speaks of several persons.
_SHAPE = r"^(?:C|[Cc]{2})[Cc]*(?:n[Cc]+)?F+$"


def _kind(word: str) -> str:
    """The letter of one word in the shape of a label (sdgi.md S1)."""
    if not word or word.lower() == "et" or any(sign in "/&" or sign.isdigit() for sign in word):
        return "x"
    if word in ("née", "né", "nee"):
        return "n"
    letters = [sign for sign in word if sign.isalpha()]
    if not any(sign.islower() for sign in letters):
        return "xcC"[min(len(letters), 2)]
    return "F" if word[0].isupper() or word[0].istitle() else "x"


def _shapes(words: pa.Array, first_word: Places) -> pa.Array:
    """The shape of each label, from the words of all labels laid end to end."""
    coded = words.dictionary_encode()
    kinds: Octets = np.frombuffer("".join(map(_kind, coded.dictionary.to_pylist())).encode("ascii"), np.uint8)
    return text(kinds[coded.indices.to_numpy()], first_word.astype(np.int32))


def _found(shape: pa.Array, letter: str) -> Places:
    """The number of the first word of this kind in each shape, -1 when there is none."""
    at: Places = pc.find_substring(shape, letter).to_numpy().astype(np.int64)
    return at


def _split(label: pa.Array) -> tuple[Mask, list[pa.Array]]:
    """Which of these labels S1 splits, and last_name, birth_name, first_names of those."""
    lists = pc.split_pattern(label, " ")
    words = lists.flatten()
    first_word: Places = lists.offsets.to_numpy().astype(np.int64)
    shape = _shapes(words, first_word - first_word[0])
    certain = truth(pc.match_substring_regex(shape, _SHAPE))
    if not certain.any():
        return certain, []
    label, shape, first = (label.filter(pa.array(certain)), shape.filter(pa.array(certain)), first_word[:-1][certain])
    # Where each word starts in the run of all words, one space after each: inside a label, distances are byte counts.
    widths = pc.binary_length(words).to_numpy().astype(np.int64) + 1
    starts = np.concatenate([[0], np.cumsum(widths)])
    births, given = _found(shape, "n"), _found(shape, "F")
    start_of_given = starts[first + given] - starts[first]
    has_birth = births >= 0
    birth = np.where(has_birth, births, given)  # the word at which the last name is over
    end_of_last = starts[first + birth] - starts[first] - 1
    start_of_birth = np.where(has_birth, starts[first + birth + has_birth] - starts[first], start_of_given - 1)
    whole = pc.binary_length(label).to_numpy().astype(np.int64)
    zero = np.zeros(len(label), np.int64)
    return certain, [
        cut(label, zero, end_of_last),
        empty_to_null(cut(label, start_of_birth, start_of_given - 1)),
        cut(label, start_of_given, whole),
    ]


def certain_split(label: pa.Array, title: pa.Array) -> tuple[pa.Array, pa.Array, pa.Array]:
    """last_name, birth_name, first_names of labels (after N1) by SDGI rule S1; null where nothing is certain."""
    n = len(label)
    asked = truth(pc.is_in(title, value_set=pa.array(["M", "MME"]))) & truth(pc.is_valid(label))
    if not asked.any():
        return nulls(n), nulls(n), nulls(n)
    certain, parts = _split(label if asked.all() else label.filter(pa.array(asked)))
    if not parts:
        return nulls(n), nulls(n), nulls(n)
    where = none(n)
    where[asked] = certain
    last, birth, first = (put(nulls(n), where, part) for part in parts)
    return last, birth, first


def slash_split(label: pa.Array, certain: Mask) -> tuple[pa.Array, pa.Array]:
    """last_name, first_names of labels `NOM/PRENOMS` (after N1) where `certain` and exactly one `/` (gpi.md)."""
    split = certain & truth(pc.equal(pc.count_substring(label, "/"), 1))
    if not split.any():
        return nulls(len(label)), nulls(len(label))
    asked = pc.if_else(pa.array(split), label, None)
    sides = pc.split_pattern(asked, "/")
    last, first = (pc.utf8_trim(pc.list_element(sides, side), characters=SPACES) for side in (0, 1))
    return empty_to_null(last), empty_to_null(first)
