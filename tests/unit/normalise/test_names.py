"""Splitting one field into names, only when it is certain (N5, sdgi.md S1, gpi.md)."""

import numpy as np
import pyarrow as pa
import pytest

from connectors.normalise.names import certain_split, slash_split

Split = tuple[str | None, str | None, str | None]
NOTHING: Split = (None, None, None)


def split(label: str | None, title: str | None = "MME") -> Split:
    # A neighbour on each side: the answer must come from the label's own bytes.
    labels = pa.array(["ÉTIENNE Zoé", label, "DUPRÉ née LÉVY Ève Anne"], pa.string())
    last, birth, first = certain_split(labels, pa.array(["M", title, "MME"], pa.string()))
    assert (last[0].as_py(), birth[0].as_py(), first[0].as_py()) == ("ÉTIENNE", None, "Zoé")
    assert (last[2].as_py(), birth[2].as_py(), first[2].as_py()) == ("DUPRÉ", "LÉVY", "Ève Anne")
    return last[1].as_py(), birth[1].as_py(), first[1].as_py()


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("BELLERIVE Zoé", ("BELLERIVE", None, "Zoé")),
        ("BELLERIVE née VALMONT Zoé", ("BELLERIVE", "VALMONT", "Zoé")),
        ("BELLERIVE né VALMONT Zoé", ("BELLERIVE", "VALMONT", "Zoé")),
        ("BELLERIVE nee DE VALMONT Zoé", ("BELLERIVE", "DE VALMONT", "Zoé")),
        ("DE LA TOUR D'AUVERGNE Jean-Noël Marie", ("DE LA TOUR D'AUVERGNE", None, "Jean-Noël Marie")),
        ("H?TEL Jean", ("H?TEL", None, "Jean")),
        ("X Y Zoé", ("X Y", None, "Zoé")),
        ("ET-TAHIRI Zoé", ("ET-TAHIRI", None, "Zoé")),  # `et` is no word here
        ("ŒUVRARD Éléonore", ("ŒUVRARD", None, "Éléonore")),
        ("DURAND Zo?", ("DURAND", None, "Zo?")),
    ],
)
def test_a_certain_label_is_split(label: str, expected: Split) -> None:
    assert split(label) == expected
    assert split(label, "M") == expected


@pytest.mark.parametrize(
    "label",
    [
        "BELLERIVE",
        "Zoé",
        "Zoé BELLERIVE",
        "Bellerive Zoé",
        "BELLERIVE ZOÉ",
        "X Zoé",
        "BELLERIVE Zoé VALMONT",
        "BELLERIVE zoé",
        "BELLERIVE ?ric",
        "BELLERIVE d'Arc",
        "BELLERIVE née Zoé",
        "BELLERIVE née Valmont Zoé",
        "BELLERIVE Née VALMONT Zoé",
        "née VALMONT Zoé",
        "BELLERIVE née VALMONT",
        "BELLERIVE née VALMONT née DURAND Zoé",
        "BELLERIVE/VALMONT Zoé",
        "BELLERIVE & VALMONT Zoé",
        "BELLERIVE 2 Zoé",
        "BELLERIVE2 Zoé",
        "BELLERIVE ET VALMONT Zoé",
        "BELLERIVE et VALMONT Zoé",
        "BELLERIVE Et Zoé",
        "BELLERIVE - Zoé",
        "",
        None,
    ],
)
def test_a_label_that_is_not_certain_is_left_alone(label: str | None) -> None:
    assert split(label) == NOTHING


@pytest.mark.parametrize("title", ["M_MME", "COMPANY", "JOINT_OWNERS", "ESTATE", "OTHER", None])
def test_only_one_man_or_one_woman_is_split(title: str | None) -> None:
    assert split("BELLERIVE Zoé", title) == NOTHING


def test_a_slash_splits_last_name_and_first_names_when_it_is_the_only_one() -> None:
    labels = pa.array(
        ["BELLERIVE/ZOE ANNE", "BELLERIVE / ZOE", "A/B/C", "BELLERIVE", None, "BELLERIVE/", "/ZOE", "A/B"]
    )
    last, first = slash_split(labels, np.array([True] * 7 + [False]))
    assert last.to_pylist() == ["BELLERIVE", "BELLERIVE", None, None, None, "BELLERIVE", None, None]
    assert first.to_pylist() == ["ZOE ANNE", "ZOE", None, None, None, None, "ZOE", None]
