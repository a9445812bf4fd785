"""A server that has no connection left says so: it refuses no agency."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from pipelines import opening
from schemas.errors import Refused, TryAgain
from schemas.home import Home
from store import keys
from store.engine import of
from store.postgres.sessions import Sessions
from store.postgres.settings import Login, Settings
from tests.postgres import running
from tests.unit.postgres.conftest import A, fill

ALL, FOR_SUPERUSERS = 24, 3


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home on a server with few connections."""
    with running() as cluster:
        with cluster.admin() as db:
            db.execute(f"ALTER SYSTEM SET max_connections = {ALL}")
        cluster.again()
        home = Home.at(tmp_path_factory.mktemp("narrow") / "home")
        assert opening.make(home, None, store=cluster.database())
        yield fill(home)


def test_no_more_shelves_are_opened_at_once_than_leave_a_quarter_to_others(narrow: Home) -> None:
    assert of(narrow).shelves_at_once() == ALL * 3 // 4


def test_who_finds_no_connection_left_is_told_to_try_again(narrow: Home) -> None:
    settings = Settings.read(narrow)
    sessions, login = Sessions(settings), Login(settings.agency(A), keys.login(narrow, A))
    with ExitStack() as opened:
        opened.callback(sessions.close)
        for _ in range(ALL - FOR_SUPERUSERS - 2):  # the home has one, and whoever asks why is to get one
            opened.enter_context(sessions.agency(login))
        with pytest.raises(TryAgain, match="does not answer"):  # noqa: PT012 - how many were left is not ours to know
            for _ in range(3):
                opened.enter_context(sessions.agency(login))
        with pytest.raises(TryAgain, match="does not answer"):
            sessions.agency(Login(login.role, "wrong"))


def test_with_room_a_wrong_password_is_refused(narrow: Home) -> None:
    settings = Settings.read(narrow)
    with pytest.raises(Refused, match="does not let"):
        Sessions(settings).agency(Login(settings.agency(A), "wrong"))
