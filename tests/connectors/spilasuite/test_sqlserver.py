"""SQL Server: what it would be asked, as text. It is run only where an operator names one (docs/odbc.md)."""

import socket
from typing import Any

import pytest

from connectors import odbc
from connectors.odbc.engines import BULK, SQL_SERVER
from connectors.spilasuite.layout import load
from connectors.spilasuite.snapshot import Proved, Views
from schemas.errors import TryAgain

LAYOUT = load()


class Overheard:
    """A reading that notes what it is asked, and finds nothing."""

    def __init__(self) -> None:
        self.statements: list[str] = []

    def read(self, doing: str, statement: str, expected: int) -> Any:
        self.statements.append(statement)
        return iter(())


def _asked(view: str, cursor: int, horizon: int) -> str:
    talk: Any = Overheard()
    proved = Proved(horizon, {}, {name: int(name == view) for name in LAYOUT.views})
    Views(odbc.Connection(SQL_SERVER, talk), LAYOUT).since(cursor, proved)
    (statement,) = talk.statements
    return str(statement)


def test_dates_are_asked_for_as_iso_text_and_versions_as_plain_numbers() -> None:
    assert _asked("v_tiers_role", 7, 2**63 - 1) == (
        "SELECT id_role, id_tiers, code_role, type_objet, id_objet, fonction, CONVERT(VARCHAR(33), date_debut, 126),"
        " CONVERT(VARCHAR(33), date_fin, 126), rv FROM extranet.v_tiers_role"
        " WHERE rv > 7 AND rv <= 9223372036854775807 ORDER BY rv"
    )


@pytest.mark.parametrize("view", [v.name for v in LAYOUT.incremental])
def test_every_date_of_every_view_is_converted_and_nothing_else_is(view: str) -> None:
    statement = _asked(view, 0, 1)
    dates = [c.installed for c in LAYOUT.views[view].columns if c.is_date]
    assert statement.count("CONVERT(") == len(dates)
    assert all(f"CONVERT(VARCHAR(33), {name}, 126)" in statement for name in dates)


def test_the_snapshot_is_the_isolation_of_that_name_and_text_is_national() -> None:
    assert SQL_SERVER.begin == ("SET TRANSACTION ISOLATION LEVEL SNAPSHOT",)
    assert SQL_SERVER.implicit
    assert SQL_SERVER.unicode == "SELECT CONCAT(N'Éœ€ ', LEN(N'Éœ€'))"


@pytest.mark.parametrize("driver", ["ODBC Driver 18 for SQL Server", "FreeTDS"])
def test_an_engine_that_was_not_proved_to_read_alike_is_read_by_the_exact_way(driver: str) -> None:
    assert odbc.parse(f"Driver={{{driver}}};Server=db").kind not in BULK
    assert not SQL_SERVER.bulk


def test_the_engines_of_the_fast_way_are_those_that_say_so() -> None:
    assert {engine.name for engine, _, _ in BULK.values()} == {e.name for e in odbc.ENGINES.values() if e.bulk}


def test_freetds_is_loaded_and_given_up_when_nobody_answers() -> None:
    pool = odbc.Pool(odbc.Limits(login=1, connect=3.0))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        source = f"Driver=FreeTDS;Server=127.0.0.1;Port={listener.getsockname()[1]};UID=u;PWD=p"
        with pytest.raises(TryAgain), odbc.connect(source, pool=pool):
            pass
    pool.close()
