"""Portal, lines: what is stored, what is quarantined and why (portal.md, canonical §4–§5)."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.base import Recalled
from connectors.portal import Portal
from tests.connectors.portal.snapshot import (
    ACCOUNTS,
    ATTACHMENTS,
    GOOD,
    Answer,
    accounts,
    attachments,
    heard,
    opened,
    text,
)


def test_an_account_is_stored_in_utc_with_its_domain_in_lower_case(tmp_path: Path) -> None:
    answer = accounts(
        tmp_path,
        "CPT1;Ana.D; Ana.D@Courriel.TEST ;2025-10-07T09:12:44+02:00;2026-01-05T00:30:00+01:00;2026-01-05T10:00:00Z",
    )
    (row,) = answer.rows("portal_account")
    assert (row["source_key"], row["account_id"], row["login"]) == ("CPT1", "CPT1", "Ana.D")
    assert row["email"] == "Ana.D@courriel.test"
    assert (row["created_at"], row["last_login_at"], row["closed_at"]) == (
        datetime(2025, 10, 7, 7, 12, 44, tzinfo=UTC),
        datetime(2026, 1, 4, 23, 30, tzinfo=UTC),
        datetime(2026, 1, 5, 10, 0, tzinfo=UTC),
    )


def test_the_key_of_an_attachment_copies_its_parts_as_they_are(tmp_path: Path) -> None:
    (row,) = attachments(tmp_path, "CPT1;A0001;sdgi;C:IM%3A1:0014;2025-10-08T09:12:44+01:00").rows("portal_attachment")
    assert row["source_key"] == "CPT1:A0001:sdgi:C:IM%3A1:0014"
    assert (row["account_id"], row["agency_code"], row["person_system"], row["person_key"]) == (
        "CPT1", "A0001", "sdgi", "C:IM%3A1:0014",
    )  # fmt: skip
    assert row["attached_at"] == datetime(2025, 10, 8, 8, 12, 44, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;", "row.field_count"),
        ("CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;;", "row.field_count"),
        ("x", "row.field_count"),
        ("4,5E+11;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;", "row.scientific_key"),
        (";ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;", "row.missing_key"),
        ("CPT1; ;ana@courriel.test;2025-10-07T09:12:44+01:00;;", "row.missing_key"),
        ("CPT1;ana;;2025-10-07T09:12:44+01:00;;", "row.missing_key"),
        ("CPT1;a\0na;ana@courriel.test;2025-10-07T09:12:44+01:00;;", "row.nul_byte"),
        ("CPT1;a\x01na;ana@courriel.test;2025-10-07T09:12:44+01:00;;", "row.control_char"),
        ("CPT1;ana;ana@courriel.test;;;", "row.bad_date"),
        ("CPT1;ana;ana@courriel.test;2025-10-07;;", "row.bad_date"),
        ("CPT1;ana;ana@courriel.test;2025-10-07T09:12:44;;", "row.bad_date"),
        ("CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;hier;", "row.bad_date"),
        ("CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;2026-02-31T00:00:00+01:00", "row.bad_date"),
        ("CPT1;ana;;;;", "row.missing_key"),
        ("CPT1;a\x01na;ana@courriel.test;;;", "row.control_char"),
    ],
)
def test_an_account_that_cannot_be_believed_is_quarantined(line: str, reason: str, tmp_path: Path) -> None:
    answer = accounts(tmp_path, line, GOOD[ACCOUNTS])
    assert answer.lines(ACCOUNTS) == [("2", reason), ("3", "ok")]
    assert len(answer.rows("portal_account")) == 1
    assert answer.reading.content.to_pylist() == [{"line": 0, "content": line}]
    assert (answer.reading.lines["key"][0].as_py() is None) == (
        reason in {"row.field_count", "row.scientific_key", "row.missing_key"}
    )


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("CPT1;A0001;sdgi;4,5E+11;2025-10-08T09:12:44+01:00", "row.scientific_key"),
        ("CPT1;12E34;sdgi;1;2025-10-08T09:12:44+01:00", "ok"),
        ("CPT1;;sdgi;1;2025-10-08T09:12:44+01:00", "row.missing_key"),
        ("CPT1;A0001;sdgi;;2025-10-08T09:12:44+01:00", "row.missing_key"),
        ("CPT1;A0001;;1;2025-10-08T09:12:44+01:00", "row.bad_enum"),
        ("CPT1;A0001;SDGI;1;2025-10-08T09:12:44+01:00", "row.bad_enum"),
        ("CPT1;A0001;portal;1;2025-10-08T09:12:44+01:00", "row.bad_enum"),
        ("CPT1;A0001;sdgi;1;", "row.bad_date"),
        ("CPT1;A0001;?;1;?", "row.bad_enum"),
    ],
)
def test_an_attachment_that_cannot_be_believed_is_quarantined(line: str, reason: str, tmp_path: Path) -> None:
    assert attachments(tmp_path, line).lines(ATTACHMENTS) == [("2", reason)]


@pytest.mark.parametrize("system", ["spilasuite", "sdgi", "gpi", "login"])
def test_a_person_of_each_system_can_be_attached(system: str, tmp_path: Path) -> None:
    answer = attachments(tmp_path, f"CPT1;A0001;{system};1;2025-10-08T09:12:44+01:00")
    assert answer.rows("portal_attachment")[0]["person_system"] == system


def test_a_repeated_line_is_ignored_and_another_with_its_key_is_quarantined(tmp_path: Path) -> None:
    answer = accounts(tmp_path, GOOD[ACCOUNTS], GOOD[ACCOUNTS], GOOD[ACCOUNTS].replace("ana@", "zoe@"))
    assert answer.lines(ACCOUNTS) == [("2", "ok"), ("3", "ignored"), ("4", "row.duplicate_key")]
    assert answer.flags(ACCOUNTS)[1] == {"row_repeated"}
    assert [row["email"] for row in answer.rows("portal_account")] == ["ana@courriel.test"]


def test_quoted_fields_may_hold_anything_and_lines_keep_their_place(tmp_path: Path) -> None:
    answer = heard(
        tmp_path,
        text(
            ACCOUNTS,
            [
                'CPT1;"a;na ""d""";ana@courriel.test;2025-10-07T09:12:44+01:00;;',
                "",
                'CPT2;"two\nlines";b@courriel.test;2025-10-07T09:12:44+01:00;;',
                "CPT3;c;c@courriel.test;x;;",
                "CPT4",
            ],
            end="FIN;4\n",
        ),
    )
    assert answer.lines(ACCOUNTS) == [("2", "ok"), ("4", "ok"), ("6", "row.bad_date"), ("7", "row.field_count")]
    assert [row["login"] for row in answer.rows("portal_account")] == ['a;na "d"', "two lines"]
    assert answer.flags(ACCOUNTS)[:2] == [set(), {"newline"}]


def test_lines_are_numbered_on_from_one_file_to_the_other(tmp_path: Path) -> None:
    reading = heard(tmp_path).reading
    assert reading.lines.select(["line", "source", "loc"]).to_pylist() == [
        {"line": 0, "source": ACCOUNTS, "loc": "2"},
        {"line": 1, "source": ATTACHMENTS, "loc": "2"},
    ]
    assert [row["line"] for row in reading.rows["portal_attachment"].to_pylist()] == [1]


def test_both_files_are_snapshots_and_end_nothing_by_themselves(tmp_path: Path) -> None:
    reading = heard(tmp_path).reading
    assert (reading.snapshot, reading.locus) == (frozenset({ACCOUNTS, ATTACHMENTS}), "line")
    assert reading.endings.num_rows == 0
    assert Portal().yields == {ACCOUNTS: {"portal_account"}, ATTACHMENTS: {"portal_attachment"}}


def test_several_days_are_read_as_one_batch(tmp_path: Path) -> None:
    first = opened(tmp_path)
    second = opened(tmp_path, text(ACCOUNTS, [GOOD[ACCOUNTS].replace("ana", "zoe")]), text(ATTACHMENTS, []))
    answer = Answer(Portal().read([first, second], Recalled()))
    assert answer.lines(ACCOUNTS) == [("2", "ok"), ("2", "ok")]
    assert [row["login"] for row in answer.rows("portal_account")] == ["ana", "zoe"]
    assert answer.reading.lines["d"].to_pylist() == [0, 1, 0]


def test_an_empty_snapshot_and_an_empty_batch_are_readings_too(tmp_path: Path) -> None:
    answer = heard(tmp_path, text(ACCOUNTS, []), text(ATTACHMENTS, []))
    assert (answer.reading.lines.num_rows, answer.rows("portal_account")) == (0, [])
    assert Portal().read([], Recalled()).rows == {}
