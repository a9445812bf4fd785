"""The databases that readings are tested on, each started once a session when a test asks for it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.connectors.spilasuite.servers import ENGINES, Database, MariaDb, PostgreSql, started


@dataclass
class Databases:
    """By engine; what was started is stopped at the end."""

    folder: Path
    found: dict[str, Database] = field(default_factory=dict)

    def __getitem__(self, engine: str) -> Database:
        if engine not in self.found:
            folder = self.folder / engine[:2]
            folder.mkdir()
            self.found[engine] = started(engine, folder)
        return self.found[engine]

    def stop(self) -> None:
        for database in self.found.values():
            database.stop()


@pytest.fixture(scope="session")
def databases() -> Iterator[Databases]:
    # Not among pytest's folders: a session beside this one closes them to the server's own account. A socket's path
    # has to be short, too.
    with TemporaryDirectory(prefix="dep", ignore_cleanup_errors=True) as folder:
        found = Databases(Path(folder))
        yield found
        found.stop()


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest, databases: Databases) -> Database:
    return databases[request.param]


@pytest.fixture
def postgresql(databases: Databases) -> PostgreSql:
    found = databases["postgresql"]
    assert isinstance(found, PostgreSql)
    return found


@pytest.fixture
def mariadb(databases: Databases) -> MariaDb:
    found = databases["mariadb"]
    assert isinstance(found, MariaDb)
    return found
