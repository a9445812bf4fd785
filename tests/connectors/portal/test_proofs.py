"""Portal, proofs: both files of a day are whole and agree, or neither is read (portal.md)."""

from datetime import date
from pathlib import Path

import pytest

from connectors.base import Known
from connectors.portal import Portal
from connectors.portal.proof import digest
from schemas.errors import DeliveryRefused, Malformed
from tests.connectors.portal.snapshot import ACCOUNTS, ATTACHMENTS, GOOD, HEADERS, NAME, delivery, opened, text


def _reason(folder: Path, accounts: str | bytes | None = None, attachments: str | bytes | None = None) -> str:
    with pytest.raises(DeliveryRefused) as refused:
        opened(folder, accounts, attachments)
    assert "courriel.test" not in str(refused.value)
    return refused.value.reason


@pytest.mark.parametrize(
    "header",
    [
        "id_compte;identifiant;mail;cree_le;derniere_connexion;ferme_le",
        "identifiant;id_compte;courriel;cree_le;derniere_connexion;ferme_le",
        "id_compte;identifiant;courriel;cree_le;derniere_connexion",
        "id_compte;identifiant;courriel;cree_le;derniere_connexion;ferme_le;mot_de_passe",
        "ID_COMPTE;identifiant;courriel;cree_le;derniere_connexion;ferme_le",
        '"id_compte";identifiant;courriel;cree_le;derniere_connexion;ferme_le',
        "\ufeffid_compte;identifiant;courriel;cree_le;derniere_connexion;ferme_le",
        "id_compte;identifiant;courriel;cree_le;derniere_connexion;ferme_le\r",
        "CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;",
    ],
    ids=["renamed", "order", "missing", "more", "case", "quoted", "mark", "CRLF", "none"],
)  # fmt: skip
def test_the_header_is_exactly_the_one_of_the_contract(header: str, tmp_path: Path) -> None:
    assert _reason(tmp_path, text(ACCOUNTS, [GOOD[ACCOUNTS]], header=header)) == "portal.header_drift"


def test_the_header_of_the_second_file_counts_as_much(tmp_path: Path) -> None:
    bad = text(ATTACHMENTS, [GOOD[ATTACHMENTS]], header=HEADERS[ATTACHMENTS] + ";note")
    assert _reason(tmp_path, attachments=bad) == "portal.header_drift"


@pytest.mark.parametrize("file", [ACCOUNTS, ATTACHMENTS])
@pytest.mark.parametrize(
    "end",
    ["FIN;2\n", "FIN;0\n", "FIN;\n", "FIN;un\n", "FIN;-1\n", "FIN;1;\n", "FIN\n", "fin;1\n", "TOTAL;1\n", "\n",
     "FIN;1\nCPT2;x\n", "FIN;1\nFIN;1\n"],
)  # fmt: skip
def test_the_last_line_tells_how_many_lines_there_are(file: str, end: str, tmp_path: Path) -> None:
    bad = text(file, [GOOD[file]], end=end)
    given = {"accounts": bad} if file == ACCOUNTS else {"attachments": bad}
    assert _reason(tmp_path, **given) == "portal.count_mismatch"


@pytest.mark.parametrize("size", [0, 1, 60, 67, 100, -8, -5])
def test_a_file_cut_short_is_refused(size: int, tmp_path: Path) -> None:
    whole = text(ACCOUNTS, [GOOD[ACCOUNTS]])
    assert _reason(tmp_path, whole[:size]) in {"portal.header_drift", "portal.count_mismatch"}


def test_a_missing_last_line_end_and_blank_lines_are_no_error(tmp_path: Path) -> None:
    assert opened(tmp_path, text(ACCOUNTS, [GOOD[ACCOUNTS]]).removesuffix("\n")).arrived.agency is None
    assert opened(tmp_path, text(ACCOUNTS, ["", GOOD[ACCOUNTS]], end="\nFIN;1\n\n")).arrived.agency is None


def test_a_day_without_accounts_is_whole(tmp_path: Path) -> None:
    assert opened(tmp_path, text(ACCOUNTS, []), text(ATTACHMENTS, [])).arrived.day == date(2026, 1, 5)


def test_bytes_that_are_not_utf_8_cannot_be_counted(tmp_path: Path) -> None:
    assert _reason(tmp_path, text(ACCOUNTS, [GOOD[ACCOUNTS].replace("ana", "zoé")]).encode("cp1252")) == (
        "portal.count_mismatch"
    )


def test_a_quote_that_never_ends_swallows_the_last_line(tmp_path: Path) -> None:
    assert _reason(tmp_path, text(ACCOUNTS, ['CPT1;"ana;x@courriel.test;;;'])) == "portal.count_mismatch"
    assert _reason(tmp_path, text(ACCOUNTS, ['CPT1;"' + "a\n" * 100_000])) == "portal.count_mismatch"


@pytest.mark.parametrize("gone", [ACCOUNTS, ATTACHMENTS])
def test_one_file_alone_is_refused(gone: str, tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / f"{gone}_20260105.csv").unlink()
    with pytest.raises(DeliveryRefused) as refused:
        Portal().open(delivery(tmp_path / NAME), Known())
    assert refused.value.reason == "portal.count_mismatch"


def test_a_wrong_header_is_told_before_a_wrong_count(tmp_path: Path) -> None:
    header = HEADERS[ATTACHMENTS] + ";note"
    bad = text(ATTACHMENTS, [], header=header)
    assert _reason(tmp_path, text(ACCOUNTS, [], end="FIN;9\n"), bad) == "portal.header_drift"


def test_the_second_file_is_the_one_of_the_same_day(tmp_path: Path) -> None:
    opened(tmp_path)
    (tmp_path / f"{ATTACHMENTS}_20260105.csv").rename(tmp_path / f"{ATTACHMENTS}_20260104.csv")
    with pytest.raises(DeliveryRefused, match="not there"):
        Portal().open(delivery(tmp_path / NAME), Known())


def test_the_digest_covers_both_files_and_where_one_ends(tmp_path: Path) -> None:
    one = opened(tmp_path).arrived
    assert opened(tmp_path).arrived == one
    assert one.cursor == "20260105"
    assert len(one.sha256 or "") == 64
    more = text(ATTACHMENTS, [GOOD[ATTACHMENTS], GOOD[ATTACHMENTS].replace("0014", "0015")])
    assert opened(tmp_path, attachments=more).arrived.sha256 != one.sha256


def test_the_fingerprint_is_the_digest_and_needs_no_proof(tmp_path: Path) -> None:
    one = opened(tmp_path).arrived
    assert Portal().fingerprint(delivery(tmp_path / NAME)) == one.sha256
    (tmp_path / NAME).write_bytes(b"anything")
    assert Portal().fingerprint(delivery(tmp_path / NAME)) not in (None, one.sha256)
    assert Portal().fingerprint(delivery(tmp_path / NAME, "x.csv")) is None


def test_bytes_that_move_from_one_file_to_the_other_change_the_digest() -> None:
    assert digest({ACCOUNTS: b"ab", ATTACHMENTS: b"c"}) != digest({ACCOUNTS: b"a", ATTACHMENTS: b"bc"})


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("PORTAIL_COMPTES_20260105.csv", date(2026, 1, 5)),
        ("PORTAIL_COMPTES_20260230.csv", None),
        ("PORTAIL_COMPTES_2026010.csv", None),
        ("PORTAIL_COMPTES_٢٠٢٦٠١٠٥.csv", None),
        ("PORTAIL_RATTACHEMENTS_20260105.csv", None),
        ("portail_comptes_20260105.csv", None),
        ("PORTAIL_COMPTES_20260105.csv.tmp", None),
    ],
)
def test_the_day_is_the_date_in_the_name(name: str, day: date | None, tmp_path: Path) -> None:
    named = delivery(tmp_path / NAME, name)
    assert (Portal().day_of(named), Portal().named(named)) == (day, day is not None)


def test_a_delivery_that_is_no_file_is_malformed(tmp_path: Path) -> None:
    with pytest.raises(Malformed, match="PORTAIL_COMPTES"):
        Portal().open(delivery(tmp_path / NAME, "x.csv"), Known())
