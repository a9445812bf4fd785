"""How property tests run here: without a deadline, since a busy machine is no fault of the code. And on which database
the installations of the tests are."""

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("depositaire", deadline=None)
settings.load_profile("depositaire")


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "what the tests' installations keep their records in (default: sqlite)"
    parser.addoption("--store", choices=("sqlite", "postgresql"), default="sqlite", help=told)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A test about files says nothing of a database server."""
    if config.getoption("--store") == "postgresql":
        away = [i for i in items if i.get_closest_marker("files")]
        items[:] = [i for i in items if not i.get_closest_marker("files")]
        config.hook.pytest_deselected(items=away)


@pytest.fixture(scope="session", autouse=True)
def _store(request: pytest.FixtureRequest) -> Iterator[None]:
    if request.config.getoption("--store") == "sqlite":
        yield
        return
    from store import engine
    from tests import engines
    from tests.postgres import Cluster

    folder = Path(tempfile.mkdtemp(prefix="dep-pg-"))  # a short path: a socket's name has a limit
    cluster = Cluster(folder)
    engines.CLUSTERS.append(cluster)
    try:
        yield
    finally:
        engine.close_all()
        engines.CLUSTERS.clear()
        cluster.stop()
        subprocess.run(["rm", "-rf", folder], check=False)  # some hundred thousand files


@pytest.fixture(scope="module", autouse=True)
def _connections(_store: None) -> Iterator[None]:
    """What a module's homes kept open is closed after it: a server has so many connections, and no more."""
    yield
    from store import engine

    engine.close_all()
