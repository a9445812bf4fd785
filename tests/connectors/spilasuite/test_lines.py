"""SpiLaSuite, lines: what is quarantined and why, what is ignored, what is flagged (canonical §3–§5, §9)."""

import json
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from connectors.spilasuite.layout import load
from tests.connectors.spilasuite.installation import Cell, Installation, heard, heard_row

COLUMNS = [(view, column) for view in load().incremental for column in view.read]
PARTS = [(v.name, c.name) for v, c in COLUMNS if c.required and c.when_empty == "row.missing_key"]
REFERENCES = [(v.name, c.name) for v, c in COLUMNS if c.rule in ("key", "ref", "via")]
DATES = [(v.name, c.name) for v, c in COLUMNS if c.rule == "date"]
AMOUNTS = [(v.name, c.name) for v, c in COLUMNS if c.rule == "decimal"]
WORDS = [(v.name, c.name) for v, c in COLUMNS if c.rule in ("choice", "bool")]
# A column that is read only on some rows: the row must be such a one.
WHERE: dict[str, dict[str, Cell]] = {"v_compte": {"type_objet": "IMMEUBLE"}}


def _verdicts(folder: Path, view: str, column: str, values: Sequence[Cell]) -> set[str]:
    """What becomes of good rows in which one cell is each of these values, in one reading."""
    source = Installation()
    for value in values:
        source.add(view, {**WHERE.get(view, {}), column: value})
    return {line["reason"] or line["outcome"] for line in heard(source, folder).lines()}


def _verdict(folder: Path, view: str, **cells: Cell) -> str:
    return heard_row(folder, view, {**WHERE.get(view, {}), **cells}).verdict(view)


@pytest.mark.parametrize(("view", "column"), REFERENCES)
def test_a_key_or_a_reference_that_became_a_number_is_quarantined(view: str, column: str, tmp_path: Path) -> None:
    assert _verdict(tmp_path, view, **{column: "4,5E+11"}) == "row.scientific_key"


@pytest.mark.parametrize(("view", "column"), PARTS)
def test_a_line_without_what_it_needs_has_a_missing_key(view: str, column: str, tmp_path: Path) -> None:
    assert _verdicts(tmp_path, view, column, [None, "", " \u00a0"]) == {"row.missing_key"}


def test_what_a_line_needs_is_what_the_contract_and_the_records_say() -> None:
    assert set(PARTS) == {
        ("v_tiers", "id_tiers"), ("v_tiers_role", "id_role"), ("v_tiers_role", "id_tiers"),
        ("v_tiers_role", "id_objet"),
        ("v_tiers_lien", "id_tiers_groupe"), ("v_tiers_lien", "id_tiers_membre"), ("v_immeuble", "id_immeuble"),
        ("v_immeuble", "code_immeuble"), ("v_copropriete", "id_copropriete"), ("v_copropriete", "id_immeuble"),
        ("v_lot", "id_lot"), ("v_lot", "id_immeuble"), ("v_lot", "numero_lot"), ("v_lot_cle", "id_lot"),
        ("v_lot_cle", "code_cle"), ("v_lot_proprietaire", "id_lot"), ("v_lot_proprietaire", "id_tiers"),
        ("v_mandat", "id_mandat"), ("v_mandat_lot", "id_mandat"), ("v_mandat_lot", "id_lot"), ("v_bail", "id_bail"),
        ("v_bail", "id_lot"), ("v_bail_tiers", "id_bail"), ("v_bail_tiers", "id_tiers"),
        ("v_utilisateur", "id_utilisateur"), ("v_compte", "id_compte"), ("v_compte", "id_tiers"),
        ("v_compte", "numero_compte"), ("v_coordonnees_bancaires", "id_coordonnees"),
        ("v_coordonnees_bancaires", "id_tiers"), ("v_document", "id_document"), ("v_suppression", "cle"),
    }  # fmt: skip


@pytest.mark.parametrize(("view", "column"), DATES)
def test_an_impossible_date_is_quarantined_also_where_it_is_not_stored(view: str, column: str, tmp_path: Path) -> None:
    bad = ["2026-02-31", "05/01/2026", "2026-1-5", "demain", "20260105"]
    assert _verdicts(tmp_path, view, column, bad) == {"row.bad_date"}


@pytest.mark.parametrize(("view", "column"), DATES)
def test_a_sentinel_is_no_date_but_a_flag(view: str, column: str, tmp_path: Path) -> None:
    answer = heard_row(tmp_path, view, {column: "1900-01-01"})
    assert (answer.verdict(view), answer.flags(view)) == ("ok", {"sentinel"})


def test_every_date_that_is_read_is_tried_here_and_the_others_are_not_looked_at(tmp_path: Path) -> None:
    assert len(DATES) == 19
    assert ("v_copropriete", "date_reglement") in DATES
    answer = heard_row(tmp_path, "v_tiers", {"date_modif": "hier", "id_agence": "une"})
    assert (answer.verdict("v_tiers"), answer.flags("v_tiers")) == ("ok", set())


@pytest.mark.parametrize("text", ["2026-01-05 10:00:00", "2026-01-05T00:00:00", " 2026-01-05"])
def test_of_a_date_with_a_time_the_first_ten_characters_count(text: str, tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_document", {"date_document": text})
    assert str(answer.row("document")["document_date"]) == "2026-01-05"


@pytest.mark.parametrize(("view", "column"), AMOUNTS)
def test_an_amount_that_is_none_is_quarantined(view: str, column: str, tmp_path: Path) -> None:
    assert _verdicts(tmp_path, view, column, ["812,40", "douze", "1 000", "12.3.4"]) == {"row.bad_amount"}


@pytest.mark.parametrize("empty", [None, ""], ids=["null", "empty"])
def test_an_account_needs_a_balance(empty: Cell, tmp_path: Path) -> None:
    assert _verdict(tmp_path, "v_compte", solde=empty) == "row.bad_amount"


@pytest.mark.parametrize(
    ("number", "cents"),
    [(0.125, 12), (0.375, 38), (2.675, 268), (1e15, 10**17), (-0.005, 0), (812.4, 81240), (7, 700), ("12.345", 1234)],
)
def test_amounts_round_half_to_even_from_their_shortest_text(number: Cell, cents: int, tmp_path: Path) -> None:
    assert heard_row(tmp_path, "v_bail", {"loyer_hc": number}).row("lease")["rent"] == cents


@pytest.mark.parametrize(
    ("view", "column"),
    [("v_tiers_lien", "quote_num"), ("v_tiers_lien", "quote_den"), ("v_lot_cle", "tantiemes"),
     ("v_lot_cle", "base_tantiemes")],
)  # fmt: skip
def test_a_number_that_is_not_digits_is_quarantined(view: str, column: str, tmp_path: Path) -> None:
    assert _verdicts(tmp_path, view, column, ["-1", "1.5", "un"]) == {"row.bad_number"}


@pytest.mark.parametrize(("view", "column"), WORDS)
def test_a_word_off_its_closed_list_is_quarantined(view: str, column: str, tmp_path: Path) -> None:
    assert _verdicts(tmp_path, view, column, ["?", "pp", "2"]) == {"row.bad_enum"}


@pytest.mark.parametrize(
    ("view", "column"),
    [("v_tiers", "type_tiers"), ("v_tiers_role", "code_role"), ("v_tiers_role", "type_objet"),
     ("v_tiers_lien", "type_lien"), ("v_bail_tiers", "qualite"), ("v_document", "audience"),
     ("v_suppression", "nom_vue"), ("v_suppression", "motif")],
)  # fmt: skip
def test_an_empty_word_is_off_the_list_where_one_is_needed(view: str, column: str, tmp_path: Path) -> None:
    assert _verdict(tmp_path, view, **{column: None}) == "row.bad_enum"


@pytest.mark.parametrize("code", ["\x01", "\x0b", "\x1f"])
@pytest.mark.parametrize(
    ("view", "column"), [("v_tiers", "nom"), ("v_document", "type_courrier"), ("v_suppression", "cle")]
)
def test_a_control_character_anywhere_in_the_line_is_quarantined(
    view: str, column: str, code: str, tmp_path: Path
) -> None:
    assert _verdict(tmp_path, view, **{column: f"a{code}b"}) == "row.control_char"


def test_tabs_and_line_breaks_are_white_space_and_a_break_inside_is_flagged(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"adr_ligne4": "12 RUE\r\nHAUTE", "ville": "\tBASTIA\n", "nom": "A\tB"})
    row = answer.row("person")
    assert (row["address_3"], row["city"], row["last_name"]) == ("12 RUE HAUTE", "BASTIA", "A B")
    assert answer.flags("v_tiers") == {"newline"}


ORDER: list[tuple[str, dict[str, Cell]]] = [
    ("row.scientific_key", {"id_tiers": "4,5E+11"}),
    ("row.missing_key", {"id_bail": None}),
    ("row.control_char", {"date_fin": "\x01"}),
    ("row.bad_enum", {"qualite": "?"}),
    ("row.bad_date", {"date_debut": "?"}),
]


@pytest.mark.parametrize(("before", "after"), list(pairwise(ORDER)), ids=lambda pair: pair[0])
def test_the_reasons_of_a_line_come_in_the_order_of_the_contract(
    before: tuple[str, dict[str, Cell]], after: tuple[str, dict[str, Cell]], tmp_path: Path
) -> None:
    assert _verdict(tmp_path, "v_bail_tiers", **after[1], **before[1]) == before[0]


def test_of_several_bad_values_the_leftmost_gives_the_reason(tmp_path: Path) -> None:
    assert _verdict(tmp_path, "v_compte", solde="?", date_solde="?") == "row.bad_amount"
    assert _verdict(tmp_path, "v_compte", solde="1", date_solde="?", montant_appele="?") == "row.bad_date"


def test_a_quarantined_line_yields_nothing_and_is_kept_whole(tmp_path: Path) -> None:
    answer = heard_row(tmp_path, "v_tiers", {"nom": "DURANDAL", "email": "a@bureau.test", "type_tiers": "X"})
    assert (answer.rows("person"), answer.rows("contact")) == ([], [])
    (kept,) = answer.reading.content.to_pylist()
    assert kept["line"] == answer.line("v_tiers")["line"]
    said = json.loads(kept["content"])
    assert (said["nom"], said["type_tiers"], said["prenom"], "rv" in said) == ("DURANDAL", "X", None, False)


def test_lines_are_found_again_by_their_key_and_have_none_when_it_is_damaged(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_lot_cle", code_cle="A:1%")
    source.add("v_lot_cle", id_lot=None)
    source.add("v_lot_cle", code_cle="1E+5")
    source.add("v_lot_cle", code_cle="ASC", tantiemes="x")
    found = [(line["key"], line["loc"]) for line in heard(source, tmp_path).lines()]
    assert found == [
        ("500:A%3A1%25", "500:A%3A1%25"), (None, "-:GEN"), (None, "500:1E+5"), ("500:ASC", "500:ASC"),
    ]  # fmt: skip


# ---------------------------------------------------------------- repeated lines


def test_the_same_row_twice_is_ignored_the_second_time_and_flagged(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_tiers", nom="DURANDAL")
    source.add("v_tiers", nom="DURANDAL")
    answer = heard(source, tmp_path)
    assert [line["outcome"] for line in answer.lines()] == ["ok", "ignored"]
    assert len(answer.rows("person")) == 1
    assert answer.reading.lines["flags"].to_pylist()[1] != 0


def test_of_two_rows_with_one_key_the_lower_version_wins(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_tiers", rv=9, nom="SECOND")
    source.add("v_tiers", rv=8, nom="FIRST")
    answer = heard(source, tmp_path)
    assert [line["reason"] for line in answer.lines()] == [None, "row.duplicate_key"]
    assert answer.row("person")["last_name"] == "FIRST"


def test_a_quarantined_row_does_not_make_the_next_one_a_repetition(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_document", date_document="?")
    source.add("v_document")
    assert [line["reason"] for line in heard(source, tmp_path).lines()] == ["row.bad_date", None]


def test_rows_that_differ_in_a_column_nobody_reads_are_not_the_same(tmp_path: Path) -> None:
    source = Installation()
    source.add("v_tiers", date_modif="2026-01-01")
    source.add("v_tiers", date_modif="2026-01-02")
    assert [line["reason"] for line in heard(source, tmp_path).lines()] == [None, "row.duplicate_key"]


# ---------------------------------------------------------------- roles


@pytest.mark.parametrize("role", [None, "AUTRE"])
def test_of_an_unknown_role_nothing_but_the_role_is_wrong(role: str | None, tmp_path: Path) -> None:
    cells: dict[str, Cell] = {"type_objet": None, "id_objet": None, "date_debut": "2026-02-31"}
    assert _verdict(tmp_path, "v_tiers_role", code_role=role, **cells) == "row.bad_enum"


@pytest.mark.parametrize("role", ["COPRO", "LOCAT", "PROPR", "GARAN", "GESTI"])
def test_other_roles_than_the_council_are_ignored_and_not_read_further(role: str, tmp_path: Path) -> None:
    answer = heard_row(
        tmp_path, "v_tiers_role",
        {"code_role": role, "id_tiers": None, "type_objet": "LOT", "id_objet": None, "date_debut": "?"},
    )  # fmt: skip
    assert (answer.verdict("v_tiers_role"), answer.flags("v_tiers_role")) == ("ignored", set())
    assert answer.rows("council_membership") == []


def test_an_ignored_role_still_needs_a_key_and_readable_characters(tmp_path: Path) -> None:
    assert _verdict(tmp_path, "v_tiers_role", code_role="COPRO", id_role=None) == "row.missing_key"
    assert _verdict(tmp_path, "v_tiers_role", code_role="COPRO", fonction="\x02") == "row.control_char"


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("view", "column", "text"),
    [
        ("v_tiers", "nom", "Ch?teau"), ("v_tiers", "prenom", "Zo\ufffd"), ("v_tiers", "nom_naissance", "Ã©"),
        ("v_tiers", "adr_ligne2", "B?T"), ("v_tiers", "adr_ligne5", "B?T"), ("v_tiers", "ville", "M?CON"),
        ("v_immeuble", "nom", "Ch?teau"), ("v_immeuble", "adr_ligne4", "all?e"), ("v_immeuble", "ville", "M?CON"),
        ("v_document", "libelle", "proc?s"), ("v_utilisateur", "nom", "L?o"),
    ],
)  # fmt: skip
def test_damaged_accents_are_flagged_and_kept(view: str, column: str, text: str, tmp_path: Path) -> None:
    answer = heard_row(tmp_path, view, {column: text})
    assert answer.flags(view) == {"mojibake"}
    assert any(text in row.values() for table in answer.reading.rows.values() for row in table.to_pylist())


@pytest.mark.parametrize(
    ("view", "column"),
    [("v_tiers", "lieu_naissance"), ("v_tiers", "forme_juridique"), ("v_lot", "nature"), ("v_document", "nom_fichier")],
)
def test_no_other_column_is_looked_at_for_damaged_accents(view: str, column: str, tmp_path: Path) -> None:
    assert heard_row(tmp_path, view, {column: "Ch?teau"}).flags(view) == set()


@pytest.mark.parametrize(
    ("cells", "flag"),
    [
        ({"email": "néant"}, "placeholder"),
        ({"email_2": "a.b"}, "email_invalid"),
        ({"tel_fixe": "12"}, "phone_unparsed"),
        ({"tel_mobile": "6,1E+08"}, "scientific"),
        ({"tel_mobile": "600001348"}, "excel_zero"),
        ({"tel_mobile": "0600001348 ou 0600001349"}, "multi_value"),
        ({"code_postal": "'20200"}, "apostrophe"),
    ],
)
def test_flags_of_a_person(cells: dict[str, Cell], flag: str, tmp_path: Path) -> None:
    assert heard_row(tmp_path, "v_tiers", cells).flags("v_tiers") == {flag}
