"""register: the three formats say the same, no cell runs as a formula, and the page of docs/ names every field."""

import datetime as dt
import io
import json
import re
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, strategies as st
from odfdo import Document

from pipelines import processing_register, register_files
from schemas.home import Home
from tests.functional.cli.conftest import Desk, Said
from tests.functional.cli.registering import (
    AT,
    IDENTITY,
    TRANSFER,
    order,
    records,
    rows_of,
    sheets,
    with_orders,
    written,
)


@pytest.fixture(scope="module")
def busy(_first_night: tuple[Path, Said], tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Only for looking."""
    return with_orders(_first_night[0], tmp_path_factory.mktemp("busy") / "copy")


def test_all_three_formats_agree(busy: Desk, tmp_path: Path) -> None:
    register = written(busy, tmp_path)
    found = records(register)
    lines = {r["Reference"]: r for part in ("2", "1") for r in rows_of(tmp_path / f"register-30-{part}.csv")}
    workbook = sheets(tmp_path / "register.ods")
    front = workbook.pop("Register")
    heads = front[next(n for n, row in enumerate(front) if row[0] == "Reference")]
    listed = {row[0]: dict(zip(heads, row, strict=False)) for row in front if "/" in row[0]}
    assert found.keys() == lines.keys() == listed.keys()
    assert {i.replace("/", " ") for i in found} == workbook.keys()
    assert len(found) == 12
    for name, record in found.items():
        stored = str(record["lines"].get("stored", ""))
        accepted = str(record["deliveries"].get("accepted", ""))
        assert (lines[name]["Rows stored"], lines[name]["Deliveries accepted"]) == (stored, accepted)
        assert (listed[name].get("Rows stored", ""), listed[name].get("Deliveries accepted", "")) == (stored, accepted)
        card: dict[str, list[str]] = {}
        last = ""
        for row in workbook[name.replace("/", " ")]:
            if len(row) == 2:
                last = row[0] or last
                card.setdefault(last, []).append(row[1])
        assert {head: " | ".join(texts) for head, texts in card.items()} == lines[name]
        assert lines[name]["Tables"].split(" | ") == record["tables"]


def test_the_workbook_opens_and_holds_no_formula(busy: Desk, tmp_path: Path) -> None:
    written(busy, tmp_path)
    document = Document(tmp_path / "register.ods")
    assert document.body.tables[0].name == "Register"
    content = zipfile.ZipFile(tmp_path / "register.ods").read("content.xml").decode()
    assert "table:formula" not in content
    assert set(re.findall(r'office:value-type="(\w+)"', content)) == {"string"}


def test_a_workbook_keeps_what_looks_like_a_formula_or_like_xml_as_text(night: Desk, tmp_path: Path) -> None:
    register = processing_register.collect(Home.at(night.home), dt.datetime(2026, 1, 8, tzinfo=dt.UTC))
    register["processor"]["name"] = "=1+1 <b> & co\x01"
    raw = register_files.as_ods(register, "fr")
    (tmp_path / "register.ods").write_bytes(raw)
    assert ["Nom", "=1+1 <b> & co\ufffd"] in sheets(tmp_path / "register.ods")["Registre"]
    content = zipfile.ZipFile(io.BytesIO(raw)).read("content.xml").decode()
    assert "table:formula" not in content


def test_only_what_was_asked_for_is_written(night: Desk, tmp_path: Path) -> None:
    assert night("register", "--to", tmp_path, "--format", "csv", *AT).code == 0
    assert {p.name for p in tmp_path.iterdir()} == {"register-30-1.csv", "register-30-2.csv"}
    assert night("register", "--to", tmp_path, "--format", "xls", *AT).code == 2


def test_the_same_instant_gives_the_same_bytes(night: Desk, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        written(night, tmp_path / folder)
    for name in ("register.json", "register-30-1.csv", "register-30-2.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@given(st.text(alphabet=st.sampled_from("=+-@\t\r '\"a1;"), max_size=6))
@example("=HYPERLINK(1)")
@example("  =1+1")
@example("\t=1")
@example("-2+3")
@example("@SUM(1)")
def test_no_cell_of_the_csv_begins_as_a_formula(text: str) -> None:
    assert not register_files.neutral(text).lstrip(" ").startswith(("=", "+", "-", "@", "\t", "\r"))
    assert register_files.neutral(text).removeprefix("'") == text.removeprefix("'")


def test_a_name_that_begins_as_a_formula_is_neutralised_in_the_csv(after_night: Desk, tmp_path: Path) -> None:
    (after_night.home / "identity.toml").write_text(IDENTITY.replace("Exemple Logiciels", "=cmd()", 1))
    register = written(after_night, tmp_path)
    assert register["processor"]["name"] == "=cmd()"
    assert {r["Name"] for r in rows_of(tmp_path / "register-30-2.csv")} == {"'=cmd()"}


def test_the_csv_is_for_a_french_spreadsheet(night: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    written(night, tmp_path)
    raw = (tmp_path / "register-30-2.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf" + "Référence;Catégorie de traitement;".encode())
    assert raw.count(b"\r\n") == 9
    assert "copropriétaires" in raw.decode()


def test_a_part_without_records_has_its_headings(desk: Desk, tmp_path: Path) -> None:
    assert desk("init").code == 0
    written(desk, tmp_path)
    (heads,) = (tmp_path / "register-30-2.csv").read_text("utf-8-sig").splitlines()
    assert heads.startswith("Reference;Category of processing;")
    assert sheets(tmp_path / "register.ods").keys() == {"Register", "_portal portal_accounts"}


# -- the page ----------------------------------------------------------------------------------------------------------

PAGE = Path(__file__).parents[3] / "docs" / "specs" / "register.md"


def shown(language: str) -> str:
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_page_shows_every_field_in_its_order(after_night: Desk, tmp_path: Path) -> None:
    order(after_night, "A0002", f'{TRANSFER}basis = "45"\n')
    register, page = written(after_night, tmp_path / "out", "--agency", "A0002"), json.loads(shown("json"))
    assert list(page) == list(register)
    for part in ("processor", "retention"):
        assert list(page[part]) == list(register[part])
    mine, its = (r["article_30_2"]["controllers"][0] for r in (register, page))
    assert list(its) == list(mine)
    for part in ("instructions", "transfers"):
        assert list(its[part][0]) == list(mine[part][0])
    assert list(page["article_30_2"]["records"][0]) == list(register["article_30_2"]["records"][0])
    assert list(page["measures"][0]) == list(register["measures"][0])


def test_the_identity_of_the_page_is_understood(tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.identity.write_text(shown("toml"))
    known, missing = processing_register.identity(home)
    assert (known["name"], missing) == ("Exemple Logiciels", ())
