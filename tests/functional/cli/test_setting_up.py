"""init, agencies, sources, instruct: a home is made once, and nothing secret is printed back."""

import json
from pathlib import Path

import pytest

from tests.functional.cli.conftest import INSTRUCTION, SAMPLES, Desk, call

REGISTER = SAMPLES / "agencies" / "AGENCES_20260105.csv"
SECRET = "hunter2-not-to-be-seen"


def test_init_asks_nothing_and_does_nothing_the_second_time(desk: Desk) -> None:
    first = desk("init", "--json")
    assert (first.code, first.json["created"]) == (0, True)
    key = (desk.home / "keys" / "root.key").read_bytes()
    second = desk("init", "--json")
    assert (second.code, second.json["created"]) == (0, False)
    assert (desk.home / "keys" / "root.key").read_bytes() == key


def test_init_finishes_a_home_that_was_half_made(desk: Desk) -> None:
    desk("init")
    (desk.home / "house.sqlite").unlink()
    (desk.home / "keys" / "signing.key").unlink()
    assert desk("init", "--json").json["created"] is True
    assert desk("agencies", "list").code == 0


def test_a_home_without_its_keys_is_told_and_left_alone(desk: Desk) -> None:
    desk("init")
    (desk.home / "keys" / "root.key").unlink()
    said = desk("init")
    assert said.code == 2
    assert "--keys" in said.err
    assert not (desk.home / "keys" / "root.key").exists()


def test_keys_may_lie_elsewhere(desk: Desk) -> None:
    keys = desk.root / "vault"
    assert desk("init", "--keys", keys).code == 0
    assert (keys / "root.key").exists()
    assert not (desk.home / "keys").exists()
    assert desk("agencies", "load", REGISTER, "--keys", keys).code == 0
    assert desk("agencies", "load", REGISTER).code == 2


def test_a_passphrase_comes_from_the_environment_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    assert desk("init", "--passphrase").code == 2
    monkeypatch.setenv("DEPOSITAIRE_PASSPHRASE", SECRET)
    assert desk("init", "--passphrase").code == 0
    assert json.loads((desk.home / "keys" / "root.key").read_text())["kdf"] == "scrypt"
    monkeypatch.setenv("DEPOSITAIRE_PASSPHRASE", "another")
    said = desk("agencies", "load", REGISTER)
    assert said.code == 2
    assert "passphrase" in said.err


def test_the_home_may_be_named_before_the_command_after_it_or_by_the_environment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk("init")
    assert call("--home", desk.home, "agencies", "list", "--json").json == []
    assert call("agencies", "--json", "list").code == 2, "a group has no options of its own"
    assert call("--json", "--home", desk.home, "agencies", "list").json == []
    monkeypatch.setenv("DEPOSITAIRE_HOME", str(desk.home))
    assert call("agencies", "list", "--json").json == []
    assert call("agencies", "list", "--json", "--home", desk.root / "elsewhere").code == 2


def test_a_register_is_told_as_a_delivery(desk: Desk) -> None:
    desk("init")
    said = desk("agencies", "load", REGISTER, "--at", "2026-01-05", "--json")
    assert said.code == 0
    assert said.json["system"] == "agencies"
    assert said.json["agency"] is None
    assert said.json["tables"] == {"AGENCES": {"read": 3, "stored": 3, "unchanged": 0, "quarantined": 0, "ignored": 0}}
    listed = desk("agencies", "list", "--at", "2026-01-07", "--json").json
    assert [(a["agency"], a["state"], a["days_left"]) for a in listed] == [
        ("A0001", "running", None), ("A0002", "running", None), ("A0003", "return", 7),
    ]  # fmt: skip


def test_a_register_with_a_bad_row_exits_3_and_one_that_is_refused_too(desk: Desk) -> None:
    desk("init")
    case = SAMPLES / "faults" / "agencies_path_code"
    said = desk("agencies", "load", case / "AGENCES_20260108.csv", "--json")
    assert said.code == 3
    expected = json.loads((case / "expect.json").read_text())
    assert [q["reason"] for q in said.json["quarantined"]] == [q["reason"] for q in expected["quarantined"]]
    older = desk("agencies", "load", REGISTER, "--json")
    assert (older.code, older.json["outcome"], older.json["reason"]) == (3, "refused", "agencies.out_of_order")
    assert desk("agencies", "load", desk.root / "nothing.csv").code == 2


def test_a_source_is_checked_sealed_and_never_printed_back(desk: Desk) -> None:
    desk.open()
    good = f"Driver=SQLite3;Database=/nowhere.sqlite;PWD={SECRET}"
    said = desk("sources", "set", "--agency", "A0001", "--system", "spilasuite", "--odbc", good)
    assert said.code == 0
    assert SECRET not in said.out + said.err
    for bad in (
        f"Driver=SQLite3;LoadExt={SECRET}",
        f"Driver=SQLite3;{SECRET}",
        f"PWD={SECRET}",
        f"Driver=/{SECRET};DSN=x",
    ):
        said = desk("sources", "set", "--agency", "A0001", "--odbc", bad)
        assert said.code == 2, bad
        assert said.err
        assert SECRET not in said.out + said.err
    everything = b"".join(p.read_bytes() for p in desk.home.rglob("*") if p.is_file())
    assert SECRET.encode() not in everything


def test_a_secret_in_the_wrong_place_is_not_repeated(desk: Desk) -> None:
    desk.open()
    for arguments in (
        ("sources", "set", "--agency", "A0001", SECRET),
        ("sources", "set", "--agency", "A0001", "--odbc", "x", "--port", SECRET),
        ("up", "--port", SECRET),
        (SECRET,),
    ):
        said = desk(*arguments)
        assert said.code == 2, arguments
        assert SECRET not in said.out + said.err


def test_sources_are_loaded_all_or_none(desk: Desk) -> None:
    desk.open()
    path = desk.root / "sources.csv"
    good = f'A0001;spilasuite;"Driver=SQLite3;Database=/x;PWD={SECRET}"'
    for line, place in (
        (f'A0009;spilasuite;"DSN={SECRET}"', 3),
        (f"A0003;spilasuite;DSN={SECRET};x", 3),
        (f"A0003;gpi;DSN={SECRET}", 3),
    ):
        path.write_text(f"code_agence;systeme;odbc\n{good}\n{line}\n")
        said = desk("sources", "load", path)
        assert said.code == 2
        assert f"sources.csv, line {place}" in said.err
        assert SECRET not in said.out + said.err
        assert desk("status", "--agency", "A0001", "--json").json["agencies"][0]["flows"][0]["source_set"] is False
    path.write_text(f'code_agence;systeme;odbc\n{good}\nA0003;spilasuite;"DSN={SECRET}"\n')
    said = desk("sources", "load", path, "--json")
    assert said.json == [{"agency": "A0001", "system": "spilasuite"}, {"agency": "A0003", "system": "spilasuite"}]
    assert desk("status", "--agency", "A0001", "--json").json["agencies"][0]["flows"][0]["source_set"] is True


def test_an_instruction_is_recorded_once_listed_and_withdrawn(desk: Desk) -> None:
    desk("init")
    desk("agencies", "load", REGISTER, "--at", "2026-01-05")
    given = ("instruct", "--agency", "A0001", "--agency", "A0002", "--file", desk.instruction(), "--json")
    made = desk(*given, "--at", "2026-01-05").json
    assert [m["agency"] for m in made] == ["A0001", "A0002"]
    assert desk(*given, "--at", "2026-01-06").json == made
    (listed,) = desk("instructions", "--agency", "A0001", "--at", "2026-01-06", "--json").json
    assert (listed["instruction"], listed["state"], listed["purposes"]) == (
        made[0]["instruction"],
        "in_force",
        ["extranet"],
    )
    assert desk("instructions", "--agency", "A0001", "--at", "2024-12-31", "--json").json[0]["state"] == "not_yet"
    taken = desk("instruct", "--agency", "A0001", "--withdraw", made[0]["instruction"], "--at", "2026-02-01", "--json")
    assert taken.code == 0
    states = {
        at: desk("instructions", "--agency", "A0001", "--at", at, "--json").json[0]["state"]
        for at in ("2026-01-31", "2026-02-01")
    }
    assert states == {"2026-01-31": "in_force", "2026-02-01": "withdrawn"}
    assert desk("instructions", "--agency", "A0003", "--json").json == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--agency", "A0009", "--file", "instruction.toml"),
        ("--agency", "../..", "--file", "instruction.toml"),
        ("--all", "--agency", "A0001", "--file", "instruction.toml"),
        ("--file", "instruction.toml"),
        ("--all",),
        ("--all", "--file", "nothing.toml"),
        ("--agency", "A0001", "--withdraw", "INS-0000000000"),
        ("--all", "--withdraw", "INS-0000000000"),
    ],
)
def test_an_instruction_that_cannot_be_recorded_exits_2_and_records_nothing(
    desk: Desk, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    desk("init")
    desk("agencies", "load", REGISTER, "--at", "2026-01-05")
    desk.instruction()
    monkeypatch.chdir(desk.root)
    said = desk("instruct", *arguments)
    assert said.code == 2
    assert said.err
    assert [p for p in (desk.home / "ledger").rglob("*") if p.is_file() and b"ANNEXE" in p.read_bytes()] == []


def test_a_malformed_instruction_names_its_field_and_not_its_value(desk: Desk) -> None:
    desk("init")
    desk("agencies", "load", REGISTER, "--at", "2026-01-05")
    wrong = desk.instruction(INSTRUCTION.replace('"extranet"', f'"{SECRET}"'))
    said = desk("instruct", "--all", "--file", wrong)
    assert said.code == 2
    assert "purposes" in said.err
    assert SECRET not in said.err


@pytest.mark.usefixtures("french")
def test_errors_are_said_in_french(desk: Desk) -> None:
    assert "Erreur : il n'y a pas d'installation ici" in desk("status").err
    assert "Erreur : aucune installation" in call("status").err
    assert "il manque" in call("export").err


def test_an_instant_may_be_a_day_a_time_in_paris_or_have_its_offset(desk: Desk) -> None:
    from portal.cli.setting import instant

    assert instant("2026-07-14").isoformat() == "2026-07-14T00:00:00+02:00"
    assert instant("2026-01-14T08:30").isoformat() == "2026-01-14T08:30:00+01:00"
    assert instant("2026-01-14T08:30:00Z").isoformat() == "2026-01-14T08:30:00+00:00"
    desk("init")
    assert desk("agencies", "list", "--at", "yesterday").code == 2


def test_a_home_may_be_moved(desk: Desk, tmp_path: Path) -> None:
    desk.open()
    (tmp_path / "elsewhere").mkdir()
    desk.home.rename(tmp_path / "elsewhere" / "home")
    moved = Desk(tmp_path / "elsewhere")
    assert len(moved("agencies", "list", "--json").json) == 3
    assert moved("instructions", "--agency", "A0001", "--json").json
