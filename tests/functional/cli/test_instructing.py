"""Instructing, previewing, restricting: what is told, what is written, and what is not."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.functional.cli.conftest import INSTRUCTION, SAMPLES, Desk

COMMON = 'reference = "AVENANT-3"\nchannel = "letter"\ngiven_by = "gerance"\n'


def written(desk: Desk, name: str, text: str) -> Path:
    path = desk.root / f"{name}.toml"
    path.write_text(text)
    return path


def restriction(desk: Desk, *tables: str) -> Path:
    return written(desk, "restrict", f'kind = "restrict"\n{COMMON}scope = "table"\ntables = {json.dumps(tables)}\n')


def logs(desk: Desk) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in sorted((desk.home / "ledger").rglob("*")) if p.is_file()}


def held(desk: Desk, table: str) -> int:
    found: dict[str, Any] = desk("status", "--agency", "A0001", "--json").json["agencies"][0]["held"]
    return int(found.get(table, 0))


def test_a_preview_counts_what_would_be_withheld_and_writes_nothing(after_night: Desk) -> None:
    before = logs(after_night)
    said = after_night(
        "instruct", "--agency", "A0001", "--file", restriction(after_night, "lot"), "--preview",
        "--at", "2026-01-06", "--json",
    )  # fmt: skip
    assert said.code == 0
    (found,) = said.json
    assert {c["table"] for c in found["withheld"]} == {"lot"}
    assert sum(c["rows"] for c in found["withheld"]) == held(after_night, "lot") > 0
    assert {c["persons"] for c in found["withheld"]} == {0}, "a lot names nobody"
    assert (found["allowed"], found["erased"], found["starts"], found["stops"]) == ([], [], [], [])
    assert logs(after_night) == before


def test_a_preview_of_an_erasure_counts_persons_and_rows(after_night: Desk) -> None:
    order = written(after_night, "erase", f'kind = "erase"\n{COMMON}tables = ["contact"]\n')
    (found,) = after_night("instruct", "--agency", "A0001", "--file", order, "--preview", "--json").json
    assert {c["table"] for c in found["erased"]} == {"contact"}
    assert sum(c["rows"] for c in found["erased"]) == held(after_night, "contact")
    assert all(0 < c["persons"] <= c["rows"] for c in found["erased"])
    assert "value_raw" in found["erased"][0]["fields"]
    assert "person_key" not in found["erased"][0]["fields"]


def test_a_preview_of_a_first_instruction_and_of_its_withdrawal_says_what_starts_and_stops(desk: Desk) -> None:
    desk.open()
    (made,) = desk("instruct", "--agency", "A0002", "--file", desk.instruction(), "--at", "2026-01-05", "--json").json
    stop = desk(
        "instruct", "--agency", "A0002", "--withdraw", made["instruction"], "--preview", "--at", "2026-01-06", "--json"
    ).json
    assert (stop[0]["stops"], stop[0]["kind"]) == (["sdgi", "gpi"], "withdraw")
    assert desk("instruct", "--agency", "A0002", "--withdraw", made["instruction"], "--at", "2026-01-07").code == 0
    (start,) = desk(
        "instruct", "--agency", "A0002", "--file", desk.instruction(), "--preview", "--at", "2026-01-08", "--json"
    ).json
    assert start["starts"] == ["sdgi", "gpi"]
    assert {c["system"] for c in start["allowed"]} >= {"sdgi", "gpi"}


def test_a_preview_of_what_stands_already_says_that_nothing_changes(desk: Desk) -> None:
    desk.open()
    said = desk("instruct", "--agency", "A0001", "--file", desk.instruction(), "--preview", "--at", "2026-01-06")
    assert "Nothing would change" in said.out
    assert "Nothing was written" in said.out


def test_a_preview_tells_only_what_is_new_and_as_of_the_instant_at_which_it_counts(after_night: Desk) -> None:
    order = written(after_night, "erase", f'kind = "erase"\n{COMMON}tables = ["contact"]\n')
    engage = f'{COMMON}tables = ["document"]\nname = "Imprimerie"\ncountry = "FR"\nservice = "impression"\n'
    for file in (
        order,
        *(written(after_night, kind, f'kind = "{kind}"\n{engage}') for kind in ("authorise", "object")),
    ):
        assert after_night("instruct", "--agency", "A0001", "--file", file, "--at", "2026-01-05T12:00").code == 0
    later = restriction(after_night, "lot")
    later.write_text(later.read_text() + 'valid_from = "2026-02-01"\n')
    (found,) = after_night(
        "instruct", "--agency", "A0001", "--file", later, "--preview", "--at", "2026-01-06", "--json"
    ).json
    assert found["effective_at"] == "2026-01-31T23:00:00Z"
    assert {c["table"] for c in found["withheld"]} == {"lot"}
    assert (found["erased"], found["conflicts"]) == ([], [])


@pytest.mark.usefixtures("french")
def test_a_preview_is_told_in_french_words(after_night: Desk) -> None:
    said = after_night("instruct", "--agency", "A0001", "--file", restriction(after_night, "lot"), "--preview")
    assert said.code == 0
    assert "désormais retenu" in said.out
    assert "Rien n'a été écrit" in said.out


def test_a_start_before_the_contract_is_refused_for_all_and_nothing_is_written(desk: Desk) -> None:
    desk("init")
    register = Path(__file__).parents[3] / "samples" / "agencies" / "AGENCES_20260105.csv"
    desk("agencies", "load", register, "--at", "2026-01-05")
    before = logs(desk)
    early = desk.instruction(INSTRUCTION.replace("2025-01-01", "2023-07-19"))
    for more in ((), ("--preview",)):
        said = desk("instruct", "--all", "--file", early, *more, "--at", "2026-01-05")
        assert said.code == 2
        assert "begins later, on 2023-07-20" in said.err
        assert "Let the instruction begin on that day" in said.err
    assert logs(desk) == before
    first_day = desk.instruction(INSTRUCTION.replace("2025-01-01", "2023-07-20"))
    assert desk("instruct", "--all", "--file", first_day, "--at", "2026-01-05").code == 0


def test_a_restricted_table_is_withheld_at_the_next_night_and_what_is_held_stays(after_night: Desk) -> None:
    lots = held(after_night, "lot")
    assert lots
    made = after_night(
        "instruct", "--agency", "A0001", "--file", restriction(after_night, "lot"), "--at", "2026-01-05T12:00", "--json"
    )
    assert made.code == 0
    after_night.place_day("2026-01-06")
    said = after_night("sync", "--inbox", after_night.inbox, "--at", "2026-01-06T06:00", "--json")
    told = [r for r in said.json if r["agency"] == "A0001" and r["outcome"] == "accepted"]
    assert sum(t.get("withheld", 0) for r in told for t in r["tables"].values())
    assert held(after_night, "lot") == lots
    listed = after_night("instructions", "--agency", "A0001", "--at", "2026-01-06", "--json").json
    states = {i["kind"]: i["state"] for i in listed}
    assert states == {"synchronise": "in_force", "restrict": "in_force"}


def test_an_infringing_instruction_stops_the_night_until_the_agency_answers(desk: Desk) -> None:
    desk.open()
    (given,) = desk("instructions", "--agency", "A0001", "--at", "2026-01-06", "--json").json
    told = written(
        desk, "alert",
        f'kind = "infringement"\nreference = "ALERTE-1"\nchannel = "email"\nlaw = "RGPD, art. 9"\n'
        f'instruction = "{given["instruction"]}"\n',
    )  # fmt: skip
    (alert,) = desk("instruct", "--agency", "A0001", "--file", told, "--at", "2026-01-06", "--json").json
    (now,) = desk("instructions", "--agency", "A0001", "--at", "2026-01-06", "--json").json
    assert now["state"] == "suspended"
    desk.place_day("2026-01-05")
    said = desk("sync", "--inbox", desk.inbox, "--agency", "A0001", "--at", "2026-01-06T06:00", "--json")
    assert {r["reason"] for r in said.json if r["agency"] == "A0001"} == {"agency.no_instruction"}
    answer = written(
        desk, "answer", f'kind = "answer"\n{COMMON}outcome = "maintained"\nnotice = "{alert["instruction"]}"\n'
    )
    assert desk("instruct", "--agency", "A0001", "--file", answer, "--at", "2026-01-07").code == 0
    (then,) = desk("instructions", "--agency", "A0001", "--at", "2026-01-07", "--json").json
    assert then["state"] == "in_force"


def test_what_contradicts_itself_is_told_when_it_is_recorded(desk: Desk) -> None:
    desk.open()
    engage = f'{COMMON}tables = ["document"]\nname = "Imprimerie"\ncountry = "FR"\nservice = "impression"\n'
    desk("instruct", "--agency", "A0001", "--file", written(desk, "yes", f'kind = "authorise"\n{engage}'))
    said = desk("instruct", "--agency", "A0001", "--file", written(desk, "no", f'kind = "object"\n{engage}'))
    assert said.code == 0
    assert "authorised and objected to" in said.out


def test_for_all_agencies_an_instruction_begins_with_each_contract_at_the_earliest(desk: Desk) -> None:
    text = (SAMPLES / "agencies" / "AGENCES_20260105.csv").read_text()
    rows = text.splitlines()
    rows[2] = rows[2].replace("2023-07-20", "2025-06-01")
    register = desk.root / "AGENCES_20260105.csv"
    register.write_text("\n".join(rows) + "\n")
    assert desk("init").code == 0
    assert desk("agencies", "load", register, "--at", "2026-01-05").code == 0
    given = ("instruct", "--file", desk.instruction(), "--at", "2026-01-05", "--json")
    alone = desk(*given, "--agency", "A0002")
    assert alone.code == 2
    assert "begins later, on 2025-06-01" in alone.err
    assert desk("instructions", "--agency", "A0002", "--json").json == []
    first = desk(*given, "--all")
    assert (first.code, len(first.json)) == (0, 3)
    assert desk(*given, "--all").json == first.json
    begins = {
        a: desk("instructions", "--agency", a, "--json").json[0]["valid_from"] for a in ("A0001", "A0002", "A0003")
    }
    assert begins == {
        "A0001": "2024-12-31T23:00:00Z", "A0002": "2025-05-31T22:00:00Z", "A0003": "2024-12-31T23:00:00Z",
    }  # fmt: skip
    paper = written(
        desk, "restrict",
        f'kind = "restrict"\n{COMMON}valid_from = "2025-01-01"\nscope = "table"\ntables = ["lot"]\n',
    )  # fmt: skip
    assert desk("instruct", "--all", "--file", paper, "--at", "2026-01-05").code == 0
    told = {a: desk("instructions", "--agency", a, "--json").json[1]["valid_from"] for a in begins}
    assert told == begins
    early = desk.instruction(INSTRUCTION.replace("2025-01-01", "2020-01-01"))
    refused = desk("instruct", "--all", "--file", early, "--at", "2026-01-05")
    assert (refused.code, "begins later" in refused.err) == (2, True)


def test_what_one_agency_cannot_be_told_is_recorded_for_none(desk: Desk) -> None:
    desk.open()
    (theirs,) = desk("instructions", "--agency", "A0001", "--json").json
    more = f'scope = "table"\ntables = ["lot"]\nsupersedes = ["{theirs["instruction"]}"]\n'
    file = written(desk, "restrict", f'kind = "restrict"\n{COMMON}{more}')
    before = logs(desk)
    refused = desk("instruct", "--all", "--file", file, "--at", "2026-01-06")
    assert refused.code == 2
    assert "supersedes" in refused.err
    assert logs(desk) == before
    assert desk("instruct", "--agency", "A0001", "--file", file, "--at", "2026-01-06").code == 0
