"""SpiLaSuite on a real PostgreSQL: accounts, passwords and rights."""

import sqlite3
import time
from pathlib import Path

import pytest
from psycopg import sql

from connectors.base import Known, Opened
from connectors.spilasuite import Spilasuite
from schemas.errors import Malformed, TryAgain
from tests.connectors.spilasuite.installation import delivery, from_script
from tests.connectors.spilasuite.servers import PostgreSql

DATA = Path(__file__).parent / "data"
SCRIPTS = sorted(DATA.glob("*.sql"))
PASSWORD = "a;b}c{d%41+e=é \"x'y"


def _opened(source: str, cursor: str | None = None) -> Opened:
    return Spilasuite().open(delivery(source), Known(cursor=cursor))


def _with_new_rules(postgresql: PostgreSql, rules: str) -> None:
    """Put rules of access before the others; returns when whoever connects meets them."""
    with postgresql.admin() as admin:
        (path,) = admin.execute("SHOW hba_file").fetchone() or ("",)
        Path(path).write_text(rules + Path(path).read_text())
        before = admin.execute("SELECT pg_conf_load_time()").fetchone()
        admin.execute("SELECT pg_reload_conf()")
    for _ in range(600):
        with postgresql.admin() as fresh:  # a connection knows the rules of the moment it was made
            if fresh.execute("SELECT pg_conf_load_time()").fetchone() != before:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not read its rules again")


def test_a_password_of_any_characters_opens_and_a_wrong_one_is_not_repeated(postgresql: PostgreSql) -> None:
    postgresql.load_script(SCRIPTS[0])
    with postgresql.admin() as admin:
        admin.execute(sql.SQL("CREATE ROLE lecteur LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        admin.execute("GRANT USAGE ON SCHEMA extranet TO lecteur")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA extranet TO lecteur")
    _with_new_rules(postgresql, "local all lecteur scram-sha-256\nhost all lecteur all scram-sha-256\n")
    assert _opened(postgresql.source(UID="lecteur", PWD=PASSWORD)).arrived.agency == "A0001"
    with pytest.raises(TryAgain) as refused:
        _opened(postgresql.source(UID="lecteur", PWD="Tr0ub4dor"))
    assert "Tr0ub4dor" not in str(refused.value)
    assert "lecteur" not in str(refused.value)


def test_an_account_that_may_not_read_a_view_is_a_matter_of_configuration(postgresql: PostgreSql) -> None:
    postgresql.load_script(SCRIPTS[0])
    with postgresql.admin() as admin:
        admin.execute("CREATE ROLE aveugle LOGIN")
        admin.execute("GRANT USAGE ON SCHEMA extranet TO aveugle")
    with pytest.raises(Malformed, match="42501"):
        _opened(postgresql.source(UID="aveugle"))


def test_the_sample_scripts_create_the_same_tables_everywhere(tmp_path: Path) -> None:
    base = sqlite3.connect(from_script(SCRIPTS[0], tmp_path / "views.sqlite"))
    assert base.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (20,)
    base.close()
