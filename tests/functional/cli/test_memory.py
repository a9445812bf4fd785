"""How much memory a night may take is said by one option, and a delivery that would take more is read in slices."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from connectors.gpi import Gpi
from connectors.sdgi import Sdgi
from pipelines import batch
from pipelines.memory import LEAST, USUAL, in_bytes, of_home
from pipelines.night import Night
from schemas.errors import Malformed
from schemas.home import Home
from store.spool import Spool
from tests import engines
from tests.functional.cli.conftest import Desk
from tests.functional.cli.test_orders_and_restrictions import CODE, exported, instruct, somebody, sync

SPOOLS: list[Path] = []


class Counted(Spool):
    """A spool that is counted."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        SPOOLS.append(folder)


@pytest.fixture
def spools(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The folders in which spools were made. An SDGI delivery says that it takes 512 MiB."""
    SPOOLS.clear()
    monkeypatch.setattr(batch, "Spool", Counted)
    monkeypatch.setattr(Sdgi, "weight", lambda *_: LEAST)
    yield SPOOLS
    SPOOLS.clear()


@pytest.mark.parametrize(
    ("said", "size"),
    [("512MiB", 1 << 29), ("1.5GiB", USUAL), ("900 MB", 900_000_000), ("2gb", 2_000_000_000), (" 1GiB ", 1 << 30)],
)
def test_a_size_is_a_number_with_a_unit(said: str, size: int) -> None:
    assert in_bytes(said) == size


@pytest.mark.parametrize("said", ["", "2", "GiB", "2 TiB", "-1GiB", "1,5GiB", "511MiB", "٢GiB", "1.GiB", "2GiB!"])
def test_anything_else_is_refused(said: str) -> None:
    with pytest.raises(Malformed) as no:
        in_bytes(said)
    assert "memory" in str(no.value)


@pytest.mark.parametrize(
    ("settings", "size"),
    [("", USUAL), ("[night]\n", USUAL), ('[night]\nmemory = "2GiB"\n', 2 << 30)],
)
def test_a_home_may_say_it(settings: str, size: int, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    assert of_home(home) == USUAL
    home.settings.write_text(settings)
    assert of_home(home) == size


@pytest.mark.parametrize("settings", ["[night]\nmemory = 2\n", "[night\n", "night = 3\n"])
def test_settings_that_cannot_be_meant_are_refused(settings: str, tmp_path: Path) -> None:
    home = Home.at(tmp_path)
    home.settings.write_text(settings)
    with pytest.raises(Malformed, match=r"depositaire\.toml"):
        of_home(home)


def night_of(desk: Desk, *more: str) -> Any:
    desk.place_day("2026-01-06")
    at = ("--at", "2026-01-06T06:00", "--json")
    return desk("sync", "--inbox", desk.inbox, "--agency", CODE, "--system", "sdgi", *more, *at)


def test_what_fits_into_a_third_of_it_is_read_whole(after_night: Desk, spools: list[Path]) -> None:
    assert night_of(after_night, "--memory", "4GiB").json[-1]["outcome"] == "accepted"
    assert spools == []


def test_what_does_not_fit_is_read_in_slices(after_night: Desk, spools: list[Path]) -> None:
    assert night_of(after_night, "--memory", "512MiB").json[-1]["outcome"] == "accepted"
    assert spools == [Home.at(after_night.home).root]


def test_without_the_option_the_home_says_it(after_night: Desk, spools: list[Path]) -> None:
    home = Home.at(after_night.home)
    before = home.settings.read_text() if home.settings.exists() else ""
    home.settings.write_text(before + '\n[night]\nmemory = "4GiB"\n')
    assert night_of(after_night).json[-1]["outcome"] == "accepted"
    assert spools == []


def test_without_either_it_is_1_5_gib(after_night: Desk, spools: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sdgi, "weight", lambda *_: USUAL // 3 + 1)
    assert night_of(after_night).json[-1]["outcome"] == "accepted"
    assert len(spools) == 1


def test_too_little_is_refused_before_anything_is_read(after_night: Desk, spools: list[Path]) -> None:
    said = night_of(after_night, "--memory", "100MB")
    assert said.code == 2
    assert "too little" in said.err
    assert spools == []


def keys(tables: dict[str, list[dict[str, Any]]], name: str) -> list[str]:
    return sorted(r["source_key"] for r in tables[name] if r["source_system"] == "gpi")


RESTRICTIONS: dict[str, Callable[[dict[str, list[dict[str, Any]]]], str]] = {
    "person": lambda tables: f'scope = "person"\nsystem = "sdgi"\nkeys = [{json.dumps(somebody(tables, "sdgi"))}]',
    "role": lambda _: 'scope = "role"\nroles = ["tenant"]',
    "table": lambda _: 'scope = "table"\ntables = ["contact"]',
    "category": lambda _: 'scope = "category"\ncategories = ["contact"]',
    "building": lambda tables: f'scope = "building"\nsystem = "gpi"\nkeys = {json.dumps(keys(tables, "building"))}',
    "lot": lambda tables: f'scope = "lot"\nsystem = "gpi"\nkeys = {json.dumps(keys(tables, "lot"))}',
}


@pytest.mark.parametrize("kind", RESTRICTIONS)
@pytest.mark.parametrize("lines", [pytest.param(1, marks=pytest.mark.soak), 5])
def test_a_restriction_withholds_the_same_lines_in_slices(
    kind: str, lines: int, after_night: Desk, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path_factory.mktemp("copies")
    system = "gpi" if kind in ("building", "lot") else "sdgi"
    instruct(after_night, "restrict", RESTRICTIONS[kind](exported(after_night, "before")))
    engines.copied(after_night.root, copies / "copy")
    sliced = Desk(copies / "copy")
    whole = sync(after_night, "2026-01-06", system)
    for connector in (Sdgi, Gpi):
        monkeypatch.setattr(connector, "weight", lambda *_: 1 << 40)
    monkeypatch.setattr(Night, "slice_lines", lines)
    monkeypatch.setattr(batch, "Spool", Counted)
    SPOOLS.clear()
    in_slices = sync(sliced, "2026-01-06", system)
    assert len(SPOOLS) == 1
    assert in_slices == whole
    if kind != "table":
        assert sum(c.get("withheld", 0) for c in whole[-1]["tables"].values()) > 0
    assert exported(sliced, "during") == exported(after_night, "during")
