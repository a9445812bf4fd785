"""The command line, driven in this process as a person would: arguments in, an exit code and two streams out."""

import io
import json
import shutil
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from portal.cli import run
from tests import engines

SAMPLES = Path(__file__).parents[3] / "samples"
INSTRUCTION = """\
reference = "ANNEXE-RGPD-2026-01"
kind = "synchronise"
systems = ["spilasuite", "sdgi", "gpi", "login"]
tables = ["*"]
purposes = ["extranet"]
valid_from = "2025-01-01"
given_by = "gerance"
"""


@dataclass(frozen=True)
class Said:
    """What one call came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def call(*arguments: str | Path) -> Said:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(a) for a in arguments])
    return Said(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Desk:
    """A home with an inbox and sources beside it."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def inbox(self) -> Path:
        return self.root / "inbox"

    def __call__(self, *arguments: str | Path) -> Said:
        return call(*arguments, "--home", self.home)

    def instruction(self, text: str = INSTRUCTION) -> Path:
        path = self.root / "instruction.toml"
        path.write_text(text)
        return path

    def place(self, files: Path, agency: str, system: str) -> None:
        """Put a delivery into the inbox; for SpiLaSuite, point the agency's source at it."""
        if files.suffix == ".sqlite":
            folder = self.root / "sources"
            folder.mkdir(exist_ok=True)
            copy = shutil.copy(files, folder / f"{agency}.sqlite")
            self("sources", "set", "--agency", agency, "--odbc", f"Driver=SQLite3;Database={copy}")
        elif files.suffix != ".sql":
            folder = self.inbox / agency / system
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(files, folder)

    def place_day(self, day: str) -> None:
        for path in sorted((SAMPLES / "deliveries" / day).glob("A*/*/*")):
            self.place(path, path.parts[-3], path.parts[-2])
        portal = self.inbox / "_portal"
        portal.mkdir(parents=True, exist_ok=True)
        for path in (SAMPLES / "deliveries" / day / "_portal").iterdir():
            shutil.copy(path, portal)

    def open(self) -> None:
        """A home with its register and its instructions, before the first delivery."""
        url = engines.store()
        assert self("init", *(("--store", url) if url else ())).code == 0
        assert self("agencies", "load", SAMPLES / "agencies" / "AGENCES_20260105.csv", "--at", "2026-01-05").code == 0
        assert self("instruct", "--all", "--file", self.instruction(), "--at", "2026-01-05").code == 0


def plainly(surroundings: pytest.MonkeyPatch) -> None:
    """English, and no home or passphrase from the environment of whoever runs the tests."""
    for variable in ("DEPOSITAIRE_HOME", "DEPOSITAIRE_KEYS", "DEPOSITAIRE_PASSPHRASE", "LC_MESSAGES", "LANG"):
        surroundings.delenv(variable, raising=False)
    surroundings.setenv("LC_ALL", "C.UTF-8")


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    plainly(monkeypatch)


@pytest.fixture
def french(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.fixture(scope="session")
def _first_night(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Said]:
    made = Desk(tmp_path_factory.mktemp("first-night"))
    with pytest.MonkeyPatch.context() as surroundings:
        plainly(surroundings)
        made.open()
        made.place_day("2026-01-05")
        said = made("sync", "--inbox", made.inbox, "--at", "2026-01-05T06:00", "--json")
    return made.root, said


@pytest.fixture
def first_sync(_first_night: tuple[Path, Said]) -> Said:
    """What the sync of the first night said."""
    return _first_night[1]


@pytest.fixture(scope="session")
def night(_first_night: tuple[Path, Said]) -> Desk:
    """The home after the first night. Only for looking: whoever changes something takes `after_night`."""
    return Desk(_first_night[0])


@pytest.fixture
def after_night(_first_night: tuple[Path, Said], tmp_path: Path) -> Desk:
    """A copy of the home after the first night: a home can be copied and moved."""
    engines.copied(_first_night[0], tmp_path / "copy")
    return Desk(tmp_path / "copy")
