"""Titles of persons to the closed list of the house (canonical N4)."""

from collections.abc import Mapping

import pyarrow as pa

from connectors.normalise.text import fold

_WORDS = {
    "M": ("M", "MR", "MONSIEUR"),
    "MME": ("MME", "MLLE", "MRS", "MADAME", "MADEMOISELLE"),
    "M_MME": (
        "M ET MME", "M OU MME", "MME MR", "MR ET MME", "MR OU MME", "MME ET M", "M MME", "MONSIEUR ET MADAME",
        "MONSIEUR OU MADAME", "M_MME",
    ),
    "COMPANY": ("SCI", "SARL", "SAS", "SASU", "SA", "SNC", "EURL", "STE", "SOCIETE", "ETS", "ASSOCIATION"),
    "JOINT_OWNERS": ("INDIVISION", "INDIV", "CONSORTS"),
    "ESTATE": ("SUCCESSION", "SUCC", "HOIRIE", "HERITIERS"),
}  # fmt: skip
TITLES: dict[str, str] = {word: title for title, words in _WORDS.items() for word in words}


def title(a: pa.Array, extra: Mapping[str, str] | None = None) -> pa.Array:
    """N4: the normalised title of each text (after N1). What no table knows is OTHER; null stays null.

    `extra` maps words of one system (already folded) to titles, and is asked first.
    """
    coded = a.dictionary_encode()
    words = fold(coded.dictionary).to_pylist()
    table = TITLES if extra is None else {**TITLES, **extra}
    titles = [None if word is None else table.get(word, "OTHER") for word in words]
    return pa.array(titles, pa.string()).take(coded.indices)
