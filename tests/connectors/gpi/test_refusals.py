"""GPI, "Refusals, in this order": each reason has a file that earns it, and the first of the table is the one given."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from connectors.base import Known
from connectors.gpi import Gpi
from connectors.gpi.envoi import _exact_sum
from schemas.errors import DeliveryRefused, TryAgain
from tests.connectors.gpi.envois import SIRET, delivered, envoi, opened, record

OWNER = record("20", NUMCOP="00000001", NOMPRE="ESSAI/Ana")
ACCOUNT = record("60", TYPTIE="CO", NUMTIE="00000001", NUMCPT="450000000001", SOLDE=-15237)
ENDED = record("60", "S", TYPTIE="CO", NUMTIE="00000002", NUMCPT="450000000002", SOLDE=100)
BODY = (OWNER, ACCOUNT, ENDED)


def refused(folder: Path, data: bytes, number: str = "000001", cursor: str | None = None) -> str:
    with pytest.raises(DeliveryRefused) as said:
        opened(folder, data, number, cursor)
    return said.value.reason


def changed(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


@pytest.mark.parametrize(("end", "step"), [(b"\r\n", 514), (b"\n", 513), (b"", 512)], ids=["crlf", "lf", "no line end"])
def test_a_whole_envoi_is_accepted_with_each_line_end_of_the_contract(tmp_path: Path, end: bytes, step: int) -> None:
    proved = opened(tmp_path, envoi(*BODY, end=end))
    assert proved.arrived.cursor == "000001"
    assert proved.arrived.layout == "gpi-01.02"
    assert proved.raw.step == step


def test_a_512_byte_file_whose_size_is_also_a_multiple_of_514_is_read_without_line_ends(tmp_path: Path) -> None:
    body = [record("20", NUMCOP=f"{i:08}") for i in range(255)]
    data = envoi(*body, end=b"")
    assert len(data) % 514 == 0
    assert opened(tmp_path, data).raw.step == 512


def test_a_code_in_the_name_that_is_not_the_agency_is_refused_before_the_file_is_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "GPIA0002.000001"
    path.write_bytes(b"no record at all")
    with pytest.raises(DeliveryRefused) as said:
        Gpi().open(delivered(path), Known(SIRET))
    assert said.value.reason == "agency.mismatch"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-100],
        lambda data: data[:700] + data[701:],
        lambda data: data[:700] + b"x" + data[700:],
        lambda data: changed(data, 512, b"\n\r"),
        lambda data: data.decode("cp850").encode("utf-8"),
    ],
    ids=["truncated", "a byte lost", "a byte added", "a line end spoiled", "saved again as UTF-8"],
)
def test_a_file_that_is_not_a_whole_number_of_records_is_refused(tmp_path: Path, damage: Any) -> None:
    data = envoi(record("20", NUMCOP="00000001", NOMPRE="ÉTÉ/Zoé"))
    assert refused(tmp_path, damage(data)) == "gpi.record_length"


def test_a_file_without_a_header_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, envoi(*BODY)[514:]) == "gpi.header_missing"
    assert refused(tmp_path, b"") == "gpi.header_missing"


def test_a_version_outside_01_is_refused_and_every_01_is_read(tmp_path: Path) -> None:
    assert refused(tmp_path, envoi(*BODY, head={"VERSTR": "0200"})) == "gpi.version"
    assert opened(tmp_path, envoi(*BODY, head={"VERSTR": "0199"})).arrived.layout == "gpi-01.02"


def test_another_character_set_than_cp850_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, envoi(*BODY, head={"JEUCAR": "CP1252"})) == "gpi.charset"


@pytest.mark.parametrize(
    "data",
    [
        envoi(*BODY, head={"SIRET": "91234567800021"}),
        envoi(*BODY, head={"NUMENV": "000002"}),
        envoi(OWNER, record("60", agency="A0002", TYPTIE="CO", NUMTIE="1", NUMCPT="1", SOLDE=0)),
        envoi(OWNER, record("60", agency="../..", TYPTIE="CO", NUMTIE="1", NUMCPT="1", SOLDE=0)),
    ],
    ids=["siret", "number of the envoi", "agency of one record", "path characters"],
)
def test_a_file_of_somebody_else_is_refused(tmp_path: Path, data: bytes) -> None:
    assert refused(tmp_path, data) == "agency.mismatch"


@pytest.mark.parametrize(
    "body",
    [(OWNER, record("99", "I")), (record("00", "I"), OWNER)],
    ids=["two trailers", "two headers"],
)
def test_a_second_header_or_trailer_is_refused(tmp_path: Path, body: tuple[bytes, ...]) -> None:
    assert refused(tmp_path, envoi(*body)) == "gpi.trailer_missing"


def test_a_file_cut_between_two_records_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, envoi(*BODY)[:-514]) == "gpi.trailer_missing"


@pytest.mark.parametrize("number", ["000003", "000002"], ids=["the last one again", "an older one"])
@pytest.mark.parametrize("mode", ["C", "D"], ids=["complete", "differential"])
def test_an_envoi_that_is_not_newer_than_the_last_is_refused(tmp_path: Path, number: str, mode: str) -> None:
    data = envoi(*BODY, number=number, previous="000003", mode=mode)
    assert refused(tmp_path, data, number, cursor="000003") == "gpi.out_of_order"


def test_a_differential_envoi_after_a_gap_is_refused_until_a_complete_one_restarts_the_chain(tmp_path: Path) -> None:
    gap = envoi(*BODY, number="000005", previous="000004", mode="D")
    assert refused(tmp_path, gap, "000005", cursor="000003") == "gpi.sequence_gap"
    complete = envoi(*BODY, number="000006", previous="000001", mode="C")
    assert opened(tmp_path, complete, "000006", cursor="000003").arrived.cursor == "000006"
    following = envoi(*BODY, number="000007", previous="000006", mode="D")
    assert opened(tmp_path, following, "000007", cursor="000006").arrived.cursor == "000007"


def test_the_first_differential_envoi_says_that_none_came_before_it(tmp_path: Path) -> None:
    assert opened(tmp_path, envoi(*BODY, mode="D", previous="000000")).arrived.cursor == "000001"
    assert refused(tmp_path, envoi(*BODY, number="000002", mode="D", previous="000001"), "000002") == "gpi.sequence_gap"


@pytest.mark.parametrize("number", [b"0000004", b"000000x", b"       "], ids=["skips one", "no digits", "blank"])
def test_records_that_are_not_numbered_one_by_one_are_refused(tmp_path: Path, number: bytes) -> None:
    assert refused(tmp_path, changed(envoi(*BODY), 2 * 514 + 3, number)) == "gpi.record_sequence"


def test_a_type_of_record_that_the_layout_does_not_know_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, envoi(OWNER, b"21" + OWNER[2:])) == "gpi.record_type"


@pytest.mark.parametrize("counted", ["NBRENR", "NB20", "NB60", "NB80"])
def test_a_count_that_differs_from_the_trailer_is_refused(tmp_path: Path, counted: str) -> None:
    assert refused(tmp_path, envoi(*BODY, tail={counted: 9})) == "gpi.count_mismatch"
    assert refused(tmp_path, envoi(*BODY, tail={counted: "x"})) == "gpi.count_mismatch"


def test_a_blank_count_is_right_only_for_a_type_of_which_there_is_no_record(tmp_path: Path) -> None:
    assert opened(tmp_path, envoi(*BODY, tail={"NB80": ""})).arrived.cursor == "000001"
    assert refused(tmp_path, envoi(*BODY, tail={"NB20": ""})) == "gpi.count_mismatch"


@pytest.mark.parametrize("total", [-15237, -15138, 15137, "", "wrong"], ids=str)
def test_balances_that_do_not_add_up_to_the_control_total_are_refused(tmp_path: Path, total: int | str) -> None:
    assert refused(tmp_path, envoi(*BODY, tail={"CTLSOL": total})) == "gpi.total_mismatch"


def test_the_control_total_counts_the_balances_of_ended_accounts(tmp_path: Path) -> None:
    assert opened(tmp_path, envoi(*BODY, tail={"CTLSOL": -15137})).arrived.cursor == "000001"


@pytest.mark.parametrize("movement", ["C", "S"])
def test_a_balance_that_cannot_be_read_is_refused_even_on_an_ended_account(tmp_path: Path, movement: str) -> None:
    account = record("60", movement, TYPTIE="CO", NUMTIE="1", NUMCPT="1", SOLDE="000000000152,3")
    assert refused(tmp_path, envoi(account)) == "gpi.total_mismatch"


def test_a_blank_balance_adds_nothing_to_the_control_total(tmp_path: Path) -> None:
    assert opened(tmp_path, envoi(record("60", "S", TYPTIE="CO", NUMTIE="1", NUMCPT="1"))).arrived.cursor == "000001"


def test_a_control_total_beyond_64_bits_is_still_exact() -> None:
    # A file with such a total would hold a hundred thousand records.
    cents = np.array([2**62, 2**62, 2**62, -3, 2**62], np.int64)
    assert _exact_sum(cents) == 4 * 2**62 - 3


def test_reasons_are_given_in_the_order_of_the_contract(tmp_path: Path) -> None:
    """A file wrong in every way, put right one thing after the other."""
    wrong_account = record("60", agency="A0002", TYPTIE="CO", NUMTIE="1", NUMCPT="1", SOLDE=1)
    right_account = record("60", TYPTIE="CO", NUMTIE="1", NUMCPT="1", SOLDE=1)
    how: dict[str, Any] = {"number": "000003", "previous": "000007", "mode": "D"}
    head: dict[str, Any] = {"VERSTR": "0300", "JEUCAR": "UTF-8"}
    tail: dict[str, Any] = {"NB60": 7, "CTLSOL": 7}
    odd = b"98" + OWNER[2:]

    def said(*body: bytes, cut: int = 0, cursor: str = "000003") -> str:
        data = envoi(*body, head=head, tail=tail, **how)
        data = changed(data, 514 + 3, b"0000009")
        return refused(tmp_path, data[: len(data) - cut], how["number"], cursor)

    given = [said(odd, wrong_account, cut=1), said(odd, wrong_account, cut=514)]
    del head["VERSTR"]
    given.append(said(odd, wrong_account, cut=514))
    del head["JEUCAR"]
    given += [said(odd, wrong_account, cut=514), said(odd, right_account, cut=514), said(odd, right_account)]
    how["number"] = "000004"
    given.append(said(odd, right_account))
    how["previous"] = "000003"
    given.append(said(odd, right_account))
    assert given == [
        "gpi.record_length", "gpi.version", "gpi.charset", "agency.mismatch", "gpi.trailer_missing",
        "gpi.out_of_order", "gpi.sequence_gap", "gpi.record_sequence",
    ]  # fmt: skip

    def still(*body: bytes) -> str:
        return refused(tmp_path, envoi(*body, tail=tail, **how), how["number"], "000003")

    given = [still(odd, right_account), still(right_account)]
    del tail["NB60"]
    given.append(still(right_account))
    assert given == ["gpi.record_type", "gpi.count_mismatch", "gpi.total_mismatch"]


def test_a_refusal_never_shows_a_value_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "GPIA0001.000001"
    path.write_bytes(
        envoi(record("60", agency="JEANN", TYPTIE="CO", NUMTIE="1", NUMCPT="1"), head={"RAISOC": "SECRET"})
    )
    with pytest.raises(DeliveryRefused) as said:
        Gpi().open(delivered(path), Known(SIRET))
    assert str(said.value) == "agency.mismatch (CODAGE)"


def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    with pytest.raises(TryAgain):
        Gpi().open(delivered(tmp_path / "GPIA0001.000001"), Known(SIRET))


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("GPIA0001.000001", True),
        ("GPIB9999.999999", True),
        ("GPI../...000001", True),  # of the right shape, with a code of nobody: agency.mismatch
        ("GPIA0001.00001", False),
        ("GPIA0001.0000001", False),
        ("GPIA0001.00000a", False),
        ("GPIA0001.000001.tmp", False),
        ("gpiA0001.000001", False),
        ("GPIA00012.000001", False),
        ("GPIA0001.٠٠٠٠٠١", False),
    ],
)
def test_a_name_fits_the_pattern_or_not(tmp_path: Path, name: str, fits: bool) -> None:
    delivery = delivered(Path("nowhere") / "GPIA0001.000001")
    assert Gpi().named(replace(delivery, name=name)) is fits


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("080126", "2026-01-08"),
        ("311249", "2049-12-31"),
        ("010150", "1950-01-01"),
        ("000000", "2026-01-09"),
        ("320126", "2026-01-09"),
        ("", "2026-01-09"),
    ],
    ids=["a day", "end of the window", "start of the window", "none", "impossible", "blank"],
)
def test_the_day_of_delivery_is_the_one_written_or_else_the_day_of_arrival(
    tmp_path: Path, written: str, day: str
) -> None:
    proved = opened(tmp_path, envoi(OWNER, day=written))
    assert str(proved.arrived.day) == day
    assert str(Gpi().day_of(delivered(tmp_path / "GPIA0001.000001"))) == day


def test_the_day_of_arrival_is_counted_in_paris_even_for_a_file_that_is_not_there(tmp_path: Path) -> None:
    late = delivered(tmp_path / "GPIA0001.000001")
    evening = replace(late, at=late.at.replace(hour=23, minute=30))
    assert str(Gpi().day_of(evening)) == "2026-01-10"
