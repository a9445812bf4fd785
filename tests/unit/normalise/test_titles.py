"""Titles by the closed list of N4."""

import pyarrow as pa
import pytest

from connectors.normalise.titles import title

# The list of N4, word by word, as the contract prints it.
LISTED = {
    "M": "M, MR, MONSIEUR",
    "MME": "MME, MLLE, MRS, MADAME, MADEMOISELLE",
    "M_MME": "M ET MME, M OU MME, MME MR, MR ET MME, MR OU MME, MME ET M, M MME, MONSIEUR ET MADAME, "
    "MONSIEUR OU MADAME, M_MME",
    "COMPANY": "SCI, SARL, SAS, SASU, SA, SNC, EURL, STE, SOCIETE, ETS, ASSOCIATION",
    "JOINT_OWNERS": "INDIVISION, INDIV, CONSORTS",
    "ESTATE": "SUCCESSION, SUCC, HOIRIE, HERITIERS",
}


def titles(*values: str | None) -> list[str | None]:
    answer: list[str | None] = title(pa.array(values, pa.string())).to_pylist()
    return answer


@pytest.mark.parametrize("expected", LISTED)
def test_each_listed_word_has_its_title(expected: str) -> None:
    words = LISTED[expected].split(", ")
    assert titles(*words) == [expected] * len(words)
    assert titles(*(word.lower() for word in words)) == [expected] * len(words)


def test_accents_points_case_and_double_spaces_do_not_matter() -> None:
    assert titles("M.", "Mlle", "M.  et Mme.", "S.C.I.", "Société", "Héritiers", "indiv.") == [
        "M", "MME", "M_MME", "COMPANY", "COMPANY", "ESTATE", "JOINT_OWNERS",
    ]  # fmt: skip


def test_what_no_list_knows_is_other_and_nothing_is_null() -> None:
    assert titles("Me", "Dr", "M et M", "MMME", "1", None) == ["OTHER"] * 5 + [None]


def test_words_of_one_system_are_asked_first() -> None:
    answer = title(pa.array(["Autre", "Maître", "Mme"]), {"MAITRE": "M", "AUTRE": "OTHER"})
    assert answer.to_pylist() == ["OTHER", "M", "MME"]
