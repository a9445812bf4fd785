"""SpiLaSuite, ends: tombstones, replacements, and rows that came back (spilasuite.md "Ends", canonical §7)."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from connectors.base import Recalled
from connectors.spilasuite import Spilasuite
from tests.connectors.spilasuite.installation import Answer, Cell, Installation, heard, heard_row, opened

PERSON: dict[str, Cell] = {"nom_vue": "v_tiers", "cle": "1009"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"motif": "SORTIE", "cle_remplacement": "7"}, ("SORTIE", None, None)),
        ({"motif": "DOUBLON", "cle_remplacement": "1004"}, ("DOUBLON", "1004", "1009")),
        ({"motif": "DOUBLON"}, ("DOUBLON", None, "1009")),
        ({"motif": "EFFACEMENT"}, ("EFFACEMENT", None, "1009")),
    ],
    ids=["SORTIE", "DOUBLON", "DOUBLON into nobody", "EFFACEMENT"],
)
def test_a_tombstone_ends_a_person(
    cells: dict[str, Cell], expected: tuple[str, str | None, str | None], tmp_path: Path
) -> None:
    answer = heard_row(tmp_path, "v_suppression", {**PERSON, **cells})
    (end,) = answer.endings()
    assert (end["source"], end["key"], end["on"], end["implied"]) == ("v_tiers", "1009", date(2026, 1, 6), False)
    assert (end["reason"], end["merged_into"], end["person"]) == expected
    assert end["line"] == answer.line("v_suppression", "v_tiers:1009")["line"]


def test_a_tombstone_of_a_nested_key_is_found_by_that_key(tmp_path: Path) -> None:
    cells: dict[str, Cell] = {"nom_vue": "v_tiers_lien", "cle": "1017:1018:REPRESENTANT"}
    answer = heard_row(tmp_path, "v_suppression", cells)
    assert answer.line("v_suppression")["loc"] == "v_tiers_lien:1017:1018:REPRESENTANT"
    assert answer.endings()[0]["key"] == "1017:1018:REPRESENTANT"


@pytest.mark.parametrize("view", ["v_tiers_role", "v_copropriete", "v_document", "v_bail", "v_utilisateur"])
@pytest.mark.parametrize(
    ("reason", "verdict"), [("SORTIE", "ok"), ("DOUBLON", "row.bad_enum"), ("EFFACEMENT", "row.bad_enum")]
)
def test_only_persons_are_merged_or_erased(view: str, reason: str, verdict: str, tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_suppression", {"nom_vue": view, "cle": "1", "motif": reason})
    assert answer.verdict("v_suppression") == verdict
    assert len(answer.endings()) == (verdict == "ok")


def test_a_reason_that_is_not_for_this_view_is_told_before_a_bad_date(tmp_path: Path) -> None:
    cells: dict[str, Cell] = {"nom_vue": "v_bail", "motif": "DOUBLON", "date_suppression": "?"}
    assert heard_row(tmp_path, "v_suppression", cells).verdict("v_suppression") == "row.bad_enum"


@pytest.mark.parametrize("reason", ["FIN_CONTRAT", "sortie", "AUTRE"])
def test_the_end_of_a_contract_never_comes_from_a_view(reason: str, tmp_path: Path) -> None:
    assert heard_row(tmp_path, "v_suppression", {"motif": reason}).verdict("v_suppression") == "row.bad_enum"


@pytest.mark.parametrize("view", ["v_agence", "v_controle", "v_horizon", "v_suppression", "v_paiement"])
def test_only_views_with_rows_can_lose_one(view: str, tmp_path: Path) -> None:
    assert heard_row(tmp_path, "v_suppression", {"nom_vue": view}).verdict("v_suppression") == "row.bad_enum"


def test_a_sentinel_leaves_the_end_without_a_date(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_suppression", {"date_suppression": "9999-12-31"})
    assert (answer.endings()[0]["on"], answer.flags("v_suppression")) == (None, {"sentinel"})


def test_the_same_tombstone_twice_is_ignored_and_another_for_the_key_is_quarantined(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_suppression")
    source.add("v_suppression")
    source.add("v_suppression", date_suppression="2026-01-07")
    answer = heard(source, tmp_path)
    assert [line["reason"] or line["outcome"] for line in answer.lines()] == ["ok", "ignored", "row.duplicate_key"]
    assert len(answer.endings()) == 1


# ---------------------------------------------------------------- rows that came back


@pytest.mark.parametrize(
    ("row", "tombstone", "outcome"),
    [(5, 6, "ok"), (6, 6, "ok"), (7, 6, "ignored")],
    ids=["it ended after", "at once", "it came back"],
)
def test_a_tombstone_older_than_its_row_is_void(row: int, tombstone: int, outcome: str, tmp_path: Path) -> None:
    source = Installation()
    source.add("v_bail_tiers", rv=row)
    source.add("v_suppression", rv=tombstone, nom_vue="v_bail_tiers", cle="700:1004:PRINCIPAL")
    answer = heard(source, tmp_path)
    assert answer.verdict("v_suppression") == outcome
    assert len(answer.endings()) == (outcome == "ok")


def test_a_row_that_came_back_damaged_still_voids_its_tombstone(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_suppression", nom_vue="v_document", cle="40000")
    source.add("v_document", audience="?")
    assert heard(source, tmp_path).verdict("v_suppression") == "ignored"


def test_a_row_of_another_view_or_key_voids_nothing(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_suppression", nom_vue="v_lot", cle="500")
    source.add("v_mandat", id_mandat=500)
    source.add("v_lot", id_lot=501)
    assert heard(source, tmp_path).verdict("v_suppression") == "ok"


def test_a_row_of_another_agency_voids_nothing(tmp_path: Path) -> None:
    ended, living = Installation(), Installation()
    ended.add("v_suppression")
    living.add("v_lot", rv=9)
    both = [opened(source, tmp_path) for source in (ended, living)]
    assert Answer(Spilasuite().read(both, Recalled())).verdict("v_suppression") == "ok"


def test_a_row_above_the_horizon_voids_nothing_yet(tmp_path: Path) -> None:
    source = Installation(horizons=[3])
    source.add("v_suppression", rv=2)
    source.add("v_lot", rv=4)
    assert heard(source, tmp_path).verdict("v_suppression") == "ok"


def test_a_damaged_tombstone_is_quarantined_even_when_it_is_void(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_suppression", date_suppression="?")
    source.add("v_lot")
    assert heard(source, tmp_path).verdict("v_suppression") == "row.bad_date"


# ---------------------------------------------------------------- replacements


def test_a_person_that_names_its_replacement_is_stored_and_ends_on_the_day_of_reading(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_tiers", nom="DURANDAL", id_tiers_remplace_par=1031)
    answer = heard(source, tmp_path, at=datetime(2026, 1, 5, 23, 30, tzinfo=UTC))
    assert answer.row("person")["last_name"] == "DURANDAL"
    (end,) = answer.endings()
    assert end == {
        "line": answer.line("v_tiers")["line"], "d": 0, "source": "v_tiers", "key": "1004", "reason": "DOUBLON",
        "on": date(2026, 1, 6), "merged_into": "1031", "person": "1004", "implied": True,
    }  # fmt: skip


def test_a_quarantined_person_is_not_replaced(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"id_tiers_remplace_par": 1031, "type_tiers": None})
    assert answer.endings() == []
