"""GPI, lines: what is quarantined and why, what is ignored, what is flagged, what ends (canonical §5, §7, §9)."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Recalled
from connectors.gpi import Gpi
from connectors.gpi.layout import layout
from tests.connectors.gpi.envois import Answer, Value, envoi, heard, opened, record

# One good record of each type: the key alone, and what may not be empty.
GOOD: dict[str, dict[str, Value]] = {
    "10": {"CODIMM": "G1"},
    "15": {"CODIMM": "G1", "NUMLOT": "7"},
    "20": {"NUMCOP": "1"},
    "25": {"NUMCOP": "1", "NUMORD": "2"},
    "30": {"NUMPRO": "1"},
    "35": {"NUMMAN": "1"},
    "40": {"NUMLOC": "1"},
    "45": {"NUMBAI": "1", "NUMLOC": "1", "CODIMM": "G1", "NUMLOT": "7"},
    "47": {"NUMBAI": "1", "NUMORD": "1"},
    "50": {"CODGES": "G001"},
    "55": {"TYPTIE": "CO", "NUMTIE": "1"},
    "60": {"TYPTIE": "CO", "NUMTIE": "1", "NUMCPT": "9", "SOLDE": 0},
    "70": {"NUMDOC": "1", "VISIBI": "T"},
    "80": {"TYPTIE": "CO", "NUMTIE": "1", "MOTIF": "S", "DATFIN": "080126"},
}
KEYS = {
    "10": "G1", "15": "G1:7", "20": "CO:1", "25": "CO:1:2", "30": "PR:1", "35": "1", "40": "LO:1", "45": "1",
    "47": "1:1", "50": "G001", "55": "CO:1:BQ", "60": "CO:1:-:9", "70": "1", "80": "CO:1",
}  # fmt: skip
NOT_KEYS = {("45", "NUMLOC"), ("45", "CODIMM"), ("45", "NUMLOT"), ("60", "SOLDE"), ("70", "VISIBI"), ("80", "MOTIF"),
            ("80", "DATFIN")}  # fmt: skip
PARTS = [(kind, name) for kind, fields in GOOD.items() for name in fields if (kind, name) not in NOT_KEYS]
DATES = [(kind, name) for kind in GOOD for name, span in layout().records[kind].items() if span.kind == "date6"]


def good(kind: str, movement: Value = "", **changed: Value) -> bytes:
    return record(kind, movement or ("S" if kind == "80" else "C"), **GOOD[kind] | changed)


def reasons(folder: Path, *body: bytes, **how: Any) -> list[str | None]:
    return heard(folder, *body, **how).reasons


# ---------------------------------------------------------------- lines


def test_each_record_between_header_and_trailer_is_a_line_with_its_key_and_offset(tmp_path: Path) -> None:
    answer = heard(tmp_path, *(good(kind) for kind in GOOD), end=b"\n")
    assert [(line["source"], line["key"]) for line in answer.lines] == list(KEYS.items())
    assert [line["loc"] for line in answer.lines] == [str(513 * i) for i in range(1, len(GOOD) + 1)]
    assert set(answer.outcomes) == {"ok"}
    assert (answer.reading.locus, answer.reading.snapshot) == ("offset", frozenset())


def test_many_deliveries_are_read_as_one(tmp_path: Path) -> None:
    """The same key in two deliveries is no repetition, and each delivery has its own day and offsets."""
    first = opened(tmp_path, envoi(good("20"), good("40", "S"), day="050126"))
    second = opened(tmp_path, envoi(good("20"), good("40", "S"), day="060126", number="000002", end=b""), "000002")
    answer = Answer(Gpi().read([first, second], Recalled()))
    assert [(line["d"], line["source"], line["loc"]) for line in answer.lines] == [
        (0, "20", "514"), (0, "40", "1028"), (1, "20", "512"), (1, "40", "1024"),
    ]  # fmt: skip
    assert set(answer.outcomes) == {"ok"}
    assert [end["on"] for end in answer.endings] == [date(2026, 1, 5), date(2026, 1, 6)]
    assert len({line["line"] for line in answer.lines}) == 4


def test_an_envoi_without_records_and_a_batch_without_envois_are_read(tmp_path: Path) -> None:
    assert heard(tmp_path).lines == []
    assert Gpi().read([], Recalled()).lines.num_rows == 0
    assert Gpi().asks([]) == ()


# ---------------------------------------------------------------- reasons


@pytest.mark.parametrize(("kind", "name"), PARTS)
@pytest.mark.parametrize("movement", ["C", "S"])
def test_a_missing_part_of_a_key_is_quarantined_without_a_key(
    tmp_path: Path, kind: str, name: str, movement: str
) -> None:
    answer = heard(tmp_path, good(kind, "S" if kind == "80" else movement, **{name: ""}))
    assert [(line["reason"], line["key"]) for line in answer.lines] == [("row.missing_key", None)]
    assert answer.endings == []


@pytest.mark.parametrize("name", ["NUMLOC", "CODIMM", "NUMLOT"])
def test_a_lease_needs_its_lot_and_its_tenant(tmp_path: Path, name: str) -> None:
    answer = heard(tmp_path, good("45", **{name: ""}))
    assert [(line["reason"], line["key"]) for line in answer.lines] == [("row.missing_key", "1")]


def test_a_number_in_scientific_notation_is_no_key_and_no_reference(tmp_path: Path) -> None:
    key, reference = good("20", NUMCOP="4,5E+11"), good("35", NUMPRO="1E+3")
    answer = heard(tmp_path, key, reference)
    assert answer.reasons == ["row.scientific_key", "row.scientific_key"]
    assert [line["key"] for line in answer.lines] == [None, "1"]


@pytest.mark.parametrize(
    ("byte", "reason"),
    [
        (0, "row.nul_byte"),
        (7, "row.control_char"),
        (9, "row.control_char"),
        (10, "row.control_char"),
        (31, "row.control_char"),
    ],
)
@pytest.mark.parametrize("at", [50, 511], ids=["in a field", "in the padding"])
@pytest.mark.parametrize("movement", ["C", "S"])
def test_a_byte_below_space_anywhere_in_a_record_is_quarantined(
    tmp_path: Path, byte: int, reason: str, at: int, movement: str
) -> None:
    cells = good("70", movement)
    answer = heard(tmp_path, cells[:at] + bytes([byte]) + cells[at + 1 :])
    assert [(line["reason"], line["key"]) for line in answer.lines] == [(reason, "1")]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("10", {"TYPGES": "X"}), ("20", {"TOPMEL": "X"}), ("55", {"TYPTIE": "XX"}), ("60", {"TYPTIE": "GA"}),
        ("70", {"TYPTIE": "XX"}), ("70", {"VISIBI": "X"}), ("70", {"VISIBI": ""}), ("80", {"MOTIF": "X"}),
        ("80", {"MOTIF": ""}), ("80", {"TYPTIE": "GA"}), ("80", {"CODMVT": "C"}), ("20", {"CODMVT": "X"}),
        ("20", {"CODMVT": " "}),
    ],
)  # fmt: skip
def test_a_code_outside_a_closed_list_is_quarantined(tmp_path: Path, kind: str, changed: dict[str, Value]) -> None:
    assert reasons(tmp_path, good(kind, **changed)) == ["row.bad_enum"]


@pytest.mark.parametrize(("kind", "name"), [d for d in DATES if d[0] != "80"])
def test_a_date_is_a_day_of_the_calendar_or_none(tmp_path: Path, kind: str, name: str) -> None:
    for said, reason in (("310226", "row.bad_date"), ("2026-1", "row.bad_date"), ("000000", None), ("", None)):
        assert reasons(tmp_path, good(kind, **{name: said})) == [reason]


@pytest.mark.parametrize("said", ["", "000000", "310226"])
def test_an_end_without_a_day_ends_nothing(tmp_path: Path, said: str) -> None:
    answer = heard(tmp_path, good("80", DATFIN=said))
    assert (answer.reasons, answer.endings) == (["row.bad_date"], [])


@pytest.mark.parametrize(("kind", "name"), [("45", "LOYER"), ("45", "CHARGE"), ("45", "DEPGAR"), ("60", "MTAPPE")])
def test_an_amount_is_digits_with_a_sign_or_blank(tmp_path: Path, kind: str, name: str) -> None:
    for said, reason in (
        ("12,50", "row.bad_amount"),
        ("0000000152S", "row.bad_amount"),
        ("0000000152}", None),
        ("", None),
    ):
        assert reasons(tmp_path, good(kind, **{name: said})) == [reason]


def test_a_balance_may_not_be_blank(tmp_path: Path) -> None:
    assert reasons(tmp_path, good("60", SOLDE="")) == ["row.bad_amount"]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("15", "SURFAC"), ("15", "TANGEN"), ("15", "TANBAS"), ("25", "QUONUM"), ("25", "QUODEN"), ("35", "TAUHON")],
)
def test_a_number_is_digits_or_blank(tmp_path: Path, kind: str, name: str) -> None:
    for said, reason in (("1O", "row.bad_number"), ("-1", "row.bad_number"), ("00010", None), ("", None)):
        assert reasons(tmp_path, good(kind, **{name: said})) == [reason]


@pytest.mark.parametrize(
    ("kind", "changed"),
    [("10", {"NBLOTS": "?", "DATENT": "999999", "DATSOR": "999999"}), ("45", {"JOUECH": "?"}), ("55", {"TOPREC": "?"}),
     ("30", {"CODDRO": "?", "CODDEM": "?"}), ("20", {"CODIMM": "4,5E+1", "CODDRO": "?", "CODDEM": "?"})],
)  # fmt: skip
def test_fields_that_are_not_read_and_open_lists_raise_nothing(
    tmp_path: Path, kind: str, changed: dict[str, Value]
) -> None:
    answer = heard(tmp_path, good(kind, **changed))
    assert (answer.reasons, answer.flags) == ([None], [set()])


def test_the_first_reason_of_the_canonical_order_is_given(tmp_path: Path) -> None:
    """A record wrong in every way, put right one thing after the other."""
    wrong: dict[str, Value] = {
        "NUMBAI": "4,5E+11", "NUMLOC": "", "TYPBAI": b"\x00\x07", "DATDEB": "310226", "LOYER": "x", "DATFIN": "310226",
    }  # fmt: skip
    repairs: list[dict[str, Value]] = [
        {}, {"NUMBAI": "1"}, {"NUMLOC": "1"}, {"TYPBAI": b"\x07"}, {"TYPBAI": "NU"}, {"DATDEB": ""}, {"DATFIN": ""},
        {"LOYER": ""},
    ]  # fmt: skip
    given = []
    for repair in repairs:
        wrong |= repair
        given += reasons(tmp_path, good("45", **wrong))
    assert given == [
        "row.scientific_key", "row.missing_key", "row.nul_byte", "row.control_char", "row.bad_date", "row.bad_date",
        "row.bad_amount", None,
    ]  # fmt: skip


def test_among_bad_values_the_leftmost_field_gives_the_reason(tmp_path: Path) -> None:
    assert reasons(tmp_path, good("70", TYPTIE="XX", DATDOC="x", VISIBI="x")) == ["row.bad_enum"]
    assert reasons(tmp_path, good("70", DATDOC="x", VISIBI="x")) == ["row.bad_date"]
    assert reasons(tmp_path, good("20", "X", DATENT="x")) == ["row.bad_enum"]


def test_a_quarantined_record_yields_no_row_and_keeps_its_text_apart(tmp_path: Path) -> None:
    spoiled = good("40", NOMPRE="ESSAI/Zoé", NOMCJT="ESSAI/Éloi", ADRMEL="zoe@courriel.test", DATNAI="x")
    answer = heard(tmp_path, spoiled, good("20"))
    assert [row["source_key"] for row in answer.rows("person")] == ["CO:1"]
    assert (answer.rows("contact"), answer.rows("person_link")) == ([], [])
    (kept,) = answer.reading.content.to_pylist()
    assert kept["line"] == answer.lines[0]["line"]
    assert kept["content"] == envoi(spoiled)[514:1026].decode("cp850")


# ---------------------------------------------------------------- repeated records


def test_a_record_sent_twice_is_ignored_the_second_time(tmp_path: Path) -> None:
    answer = heard(tmp_path, good("20"), good("40"), good("20"))
    assert answer.outcomes == ["ok", "ok", "ignored"]
    assert answer.flags == [set(), set(), {"row_repeated"}]
    assert len(answer.rows("person")) == 2


def test_a_second_record_of_a_key_that_says_something_else_is_quarantined(tmp_path: Path) -> None:
    body = (good("20", LIBACH="PARIS"), good("20", LIBACH="LYON"), good("20", LIBACH="PARIS"), good("20", "S"))
    answer = heard(tmp_path, *body)
    assert answer.outcomes == ["ok", "quarantined", "ignored", "quarantined"]
    assert answer.reasons == [None, "row.duplicate_key", None, "row.duplicate_key"]
    assert answer.row("person")["city"] == "PARIS"
    assert answer.endings == []


def test_a_bad_record_does_not_make_the_next_one_of_its_key_a_duplicate(tmp_path: Path) -> None:
    assert reasons(tmp_path, good("20", DATENT="x"), good("20")) == ["row.bad_date", None]


def test_the_same_key_in_two_types_of_record_is_no_repetition(tmp_path: Path) -> None:
    assert reasons(tmp_path, good("20"), good("80"), good("35"), good("70")) == [None] * 4


# ---------------------------------------------------------------- flags


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (kind, name)
        for kind in GOOD
        for name in ("NOMPRE", "NOMCJT", "ADRMEL", "LIBACH", "ADRL4")
        if name in layout().records[kind]
    ],
)
def test_a_value_that_fills_its_last_byte_may_be_cut_and_is_flagged(tmp_path: Path, kind: str, name: str) -> None:
    width = layout().records[kind][name].width
    start = "a@b." if name == "ADRMEL" else "É"
    full, short = start.ljust(width, "x"), start.ljust(width - 1, "x")
    answer = heard(tmp_path, good(kind, **{name: full}))
    assert answer.flags == [{"at_width"}]
    assert any(full in map(str, row.values()) for record in answer.reading.rows for row in answer.rows(record))
    assert heard(tmp_path, good(kind, **{name: short})).flags == [set()]


@pytest.mark.parametrize(
    ("kind", "name"),
    [("10", "NOMIMM"), ("10", "ADRL4"), ("10", "LIBACH"), ("20", "NOMPRE"), ("20", "NOMCJT"), ("25", "ADRL2"),
     ("30", "ADRL3"), ("40", "ADRL5"), ("47", "LIBACH"), ("50", "NOMPRE"), ("70", "LIBDOC")],
)  # fmt: skip
def test_destroyed_accents_in_names_addresses_and_labels_are_flagged(tmp_path: Path, kind: str, name: str) -> None:
    assert heard(tmp_path, good(kind, **{name: "CH?TEAU"})).flags == [{"mojibake"}]
    assert heard(tmp_path, good(kind, **{name: b"Gr\xc7\xffce"})).flags == [{"mojibake"}]  # Ã and a no-break space
    assert heard(tmp_path, good(kind, **{name: "CHÂTEAU ?"})).flags == [set()]


@pytest.mark.parametrize(
    ("kind", "name"), [("10", "ADRL2"), ("10", "ADRL5"), ("15", "PORTE"), ("40", "LIENAI"), ("70", "NOMFIC")]
)
def test_destroyed_accents_elsewhere_are_not_flagged(tmp_path: Path, kind: str, name: str) -> None:
    assert heard(tmp_path, good(kind, **{name: "A?B"})).flags == [set()]


@pytest.mark.parametrize(
    ("kind", "changed", "flags"),
    [
        ("20", {"ADRMEL": "néant"}, {"placeholder"}),
        ("20", {"ADRMEL": "a@b.test;c@d.test"}, {"multi_value"}),
        ("50", {"ADRMEL": "ana.courriel.test"}, {"email_invalid"}),
        ("47", {"TELPOR": "0000000000"}, {"phone_unparsed"}),
        ("50", {"TELLIG": "0000000000"}, {"phone_unparsed"}),
        ("20", {"TELDOM": "262001234", "CODPOS": "97400"}, {"excel_zero"}),
        ("20", {"CODPOS": "1000"}, {"excel_zero"}),
        ("20", {"CODPOS": "1000", "CODPAY": "FRA"}, {"excel_zero"}),
        ("20", {"CODPOS": "1000", "CODPAY": "BEL"}, set()),
        ("20", {"CODPAY": "NLD"}, {"country_unknown"}),
        ("20", {"CODPOS": "'7501"}, {"apostrophe", "excel_zero"}),
        ("20", {"NUMCOP": "'0001"}, {"apostrophe"}),
        ("55", {"IBAN": "FR7630006000011234567890188"}, {"iban_mod97"}),
        ("55", {"IBAN": "FR0630006000011234567890188"}, {"iban_rib_key"}),
        ("10", {"CODPOS": "1000", "CODPAY": "FRA"}, {"excel_zero"}),
        ("10", {"CODPAY": "NLD"}, set()),
    ],
)
def test_values_that_need_a_second_look_are_flagged(
    tmp_path: Path, kind: str, changed: dict[str, Value], flags: set[str]
) -> None:
    answer = heard(tmp_path, good(kind, **changed))
    assert (answer.outcomes, answer.flags) == (["ok"], [flags])


@pytest.mark.parametrize(
    ("said", "country"),
    [("FRA", "FR"), ("BEL", "BE"), ("CHE", "CH"), ("LUX", "LU"), ("DEU", "DE"), ("ESP", "ES"), ("ITA", "IT"),
     ("GBR", "GB"), ("NLD", None), ("", None)],
)  # fmt: skip
def test_countries_become_alpha_2_and_none_is_invented(tmp_path: Path, said: str, country: str | None) -> None:
    assert heard(tmp_path, good("40", CODPAY=said)).row("person")["country"] == country


# ---------------------------------------------------------------- ends


@pytest.mark.parametrize("kind", [kind for kind in GOOD if kind != "80"])
def test_a_record_s_of_any_type_ends_its_line_on_the_day_of_delivery(tmp_path: Path, kind: str) -> None:
    answer = heard(tmp_path, good(kind, "S"), day="070126")
    assert answer.endings == [
        {
            "source": kind, "key": KEYS[kind], "reason": "SORTIE", "on": date(2026, 1, 7), "merged_into": None,
            "person": None,
        }
    ]  # fmt: skip
    assert [answer.rows(record) for record in answer.reading.rows if answer.rows(record)] == []


def test_only_the_key_of_a_record_s_is_read(tmp_path: Path) -> None:
    spoiled: dict[str, dict[str, Value]] = {
        "20": {
            "TOPMEL": "X", "DATENT": "x", "NOMPRE": "CH?TEAU".ljust(60, "x"), "ADRMEL": "néant", "CODPAY": "NLD",
            "CODPOS": "1000",
        },
        "15": {"SURFAC": "x", "NUMCOP": "4,5E+11", "DATMUT": "x"},
        "45": {"NUMLOC": "", "CODIMM": "", "LOYER": "x"},
        "55": {"IBAN": "x", "DATSIG": "x"},
        "60": {"SOLDE": "", "MTAPPE": "x"},
        "70": {"VISIBI": "X", "TYPTIE": "XX"},
    }  # fmt: skip
    answer = heard(tmp_path, *(good(kind, "S", **fields) for kind, fields in spoiled.items()))
    assert answer.reasons == [None] * 6
    assert answer.flags == [set()] * 6
    assert {end["source"]: end["key"] for end in answer.endings} == {kind: KEYS[kind] for kind in spoiled}


@pytest.mark.parametrize(("person", "source"), [("CO", "20"), ("PR", "30"), ("LO", "40")])
@pytest.mark.parametrize(
    ("motive", "reason", "merged", "erased"),
    [("S", "SORTIE", False, False), ("D", "DOUBLON", True, False), ("E", "EFFACEMENT", False, True)],
)
def test_a_record_80_ends_a_person_for_the_reason_it_gives(
    tmp_path: Path, person: str, source: str, motive: str, reason: str, merged: bool, erased: bool
) -> None:
    end = record("80", "S", TYPTIE=person, NUMTIE="00000004", MOTIF=motive, NUMREM="00000009", DATFIN="020126")
    assert heard(tmp_path, end, day="070126").endings == [{
        "source": source, "key": f"{person}:00000004", "reason": reason, "on": date(2026, 1, 2),
        "merged_into": f"{person}:00000009" if merged else None, "person": f"{person}:00000004" if erased else None,
    }]  # fmt: skip


def test_a_double_whose_survivor_is_unknown_is_merged_into_nobody(tmp_path: Path) -> None:
    (end,) = heard(tmp_path, good("80", MOTIF="D")).endings
    assert (end["reason"], end["merged_into"]) == ("DOUBLON", None)
