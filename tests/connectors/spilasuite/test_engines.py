"""One reading on every engine: the same rows, served by real servers, give the same Reading by either way."""

from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest

from connectors import odbc
from connectors.base import Known, Recalled
from connectors.spilasuite import Spilasuite, reading
from connectors.spilasuite.layout import load
from connectors.spilasuite.snapshot import Views, _shortest
from schemas.errors import DeliveryRefused, Malformed
from schemas.frames import Arrived, Reading
from schemas.ids import System
from tests.connectors.spilasuite.conftest import Databases
from tests.connectors.spilasuite.installation import AGENCY, Answer, Installation, delivery, from_script, heard, opened
from tests.connectors.spilasuite.servers import Database, MariaDb, PostgreSql, Sqlite

SCRIPTS = sorted((Path(__file__).parent / "data").glob("*.sql"))
WAYS = pytest.mark.parametrize("exact", [False, True], ids=["bulk", "exact"])
CP1252 = "Éloïse Œuf – 100 € ‘Ž’ ÿ"
EMOJI = "Zoé 😀 漢字 e\u0301"


def read(source: str, *, exact: bool) -> Reading:
    """A first reading, by one way of reading only."""
    layout = load()
    with odbc.connect(source, exact=exact) as connection:
        views = Views(connection, layout)
        tables = views.since(0, views.prove(AGENCY, 0))
    arrived = Arrived(AGENCY, System.SPILASUITE, "x", date(2026, 1, 6), None, "spilasuite 1.0", cursor="1")
    return reading.read(layout, [arrived], [tables])


def same(one: Reading, other: Reading) -> None:
    for name in ("lines", "endings", "content"):
        assert getattr(one, name).to_pylist() == getattr(other, name).to_pylist(), name
    assert {n: t.to_pylist() for n, t in one.rows.items()} == {n: t.to_pylist() for n, t in other.rows.items()}
    assert one.rows == other.rows


def _everything(emoji: str = EMOJI) -> Installation:
    """Rows that engines and drivers write differently, or damage."""
    source = Installation()
    for n, name in enumerate(
        (CP1252, emoji, "é" * 80, "  blanks  ", "", 'it\'s \\ "quoted"; -- {}', "tab\there", None)
    ):
        source.add("v_tiers", id_tiers=1004 + n, nom=name, siren="123", code_pays="FR", accord_demat=" ")
    source.add("v_tiers", id_tiers=2000, type_tiers="X", siren="12", code_pays="F")  # quarantined, as it came
    for n, amount in enumerate(("0.00", "-0.05", "812.4", "1234567890123.45", None)):
        source.add("v_compte", id_compte=n, solde="100.10", montant_appele=amount, date_echeance="2026-02-28")
    source.add("v_compte", id_compte=99, id_tiers=None, solde="100.10")  # quarantined, too
    for n, day in enumerate(("2026-02-28", "1900-01-01", "9999-12-31", "0001-01-01", None)):
        source.add("v_lot_proprietaire", id_lot=n, nature_droit="PP", date_debut=day)
    source.add("v_lot", surface="12.50", numero_lot=" 7 ", etage="")
    source.add("v_bail", loyer_hc="100000000.00", provision_charges="0.10", date_effet="2026-01-01")
    source.add("v_suppression", cle="501")
    source.add("v_bail_tiers", qualite="NOBODY")
    source.add("v_mandat", rv=2**63 - 1, taux_honoraires="7.00")
    return source


@WAYS
def test_the_same_rows_give_the_same_reading(database: Database, exact: bool, tmp_path: Path) -> None:
    source = _everything()
    database.load(source.statements())
    there = Spilasuite().read([opened(source, tmp_path)], Recalled())
    here = read(database.source(), exact=exact)
    same(here, there)
    assert here.lines.num_rows == sum(map(len, source.rows.values()))
    names = here.rows["person"]["last_name"].to_pylist()
    assert names == [CP1252, EMOJI, "é" * 80, "blanks", None, 'it\'s \\ "quoted"; -- {}', "tab here", None]
    assert here.rows["account"]["called_amount"].to_pylist() == [0, -5, 81240, 123456789012345, None]
    assert here.rows["co_ownership"]["start_date"].to_pylist()[:2] == [date(2026, 2, 28), None]


@WAYS
def test_native_types_become_the_text_that_the_contract_names(database: Database, exact: bool) -> None:
    """Booleans, floats and timestamps where the contract has small numbers, amounts and days."""
    source = Installation(
        types={
            "v_immeuble.en_syndic": database.boolean, "v_immeuble.en_gerance": database.boolean,
            "v_bail.provision_charges": database.double, "v_document.date_document": database.timestamp,
            "v_lot_cle.tantiemes": "NUMERIC(9,1)", "v_compte.solde": database.double,
        }
    )  # fmt: skip
    source.add("v_immeuble", en_syndic="1", en_gerance="0")
    source.add("v_bail", provision_charges="12.345", loyer_hc="812.40")
    source.add("v_document", date_document="2026-01-05 09:00:00.123456")
    source.add("v_lot_cle", tantiemes="1004")
    source.add("v_compte", solde="123456789.12")
    database.load(source.statements())
    answer = Answer(read(database.source(), exact=exact))
    assert {line["reason"] for line in answer.lines()} == {None}
    building, lease, share = answer.row("building"), answer.row("lease"), answer.row("lot_share")
    assert (building["is_syndic"], building["is_rental"]) == (True, False)
    assert (lease["rent"], lease["charges"]) == (81240, 1234)
    assert (share["shares"], answer.row("account")["balance"]) == (1004, 12345678912)
    assert answer.row("document")["document_date"] == date(2026, 1, 5)


@WAYS
def test_microseconds_are_not_lost(database: Database, exact: bool) -> None:
    database.load([
        f"CREATE TABLE t (at {database.timestamp})", "INSERT INTO t VALUES ('2026-01-05 09:00:00.123456')"
    ])  # fmt: skip
    with odbc.connect(database.source(), exact=exact) as connection:
        column = connection.engine.date.format("at")
        ((said,),) = connection.rows("reading", f"SELECT {column} FROM {database.table('t')}")
    assert str(said).replace("T", " ") == "2026-01-05 09:00:00.123456"


@pytest.mark.parametrize("script", SCRIPTS, ids=[script.stem for script in SCRIPTS])
@pytest.mark.parametrize("cursor", [None, "100"])
def test_every_database_gives_one_reading_of_the_samples(
    database: Database, script: Path, cursor: str | None, tmp_path: Path
) -> None:
    database.load_script(script)
    here = Spilasuite().open(delivery(database.source()), Known(cursor=cursor))
    sample = odbc.sqlite(from_script(script, tmp_path / "views.sqlite"))
    there = Spilasuite().open(delivery(sample), Known(cursor=cursor))
    assert here.arrived == there.arrived
    one, other = (Spilasuite().read([found], Recalled()) for found in (here, there))
    assert one.lines.num_rows > 0
    same(one, other)


IMPOSSIBLE = [
    ("sqlite", "2026-02-31"), ("sqlite", "05/01/2026"), ("sqlite", "infinity"), ("mariadb", "2026-02-31"),
    ("mariadb", "0000-00-00"), ("mariadb", "2026-01-00"), ("postgresql", "infinity"), ("postgresql", "12026-01-05"),
]  # fmt: skip


@WAYS
@pytest.mark.parametrize(("engine", "day"), IMPOSSIBLE)
def test_a_date_that_cannot_be_is_told_as_it_is_stored(
    engine: str, day: str, exact: bool, databases: Databases
) -> None:
    database = databases[engine]
    source = Installation()
    source.add("v_bail", id_bail=1, date_fin=day)
    source.add("v_bail", id_bail=2)
    database.load(source.statements())
    answer = Answer(read(database.source(), exact=exact))
    assert (answer.verdict("v_bail", "1"), answer.verdict("v_bail", "2")) == ("row.bad_date", "ok")
    assert f'"{day}"' in answer.reading.content["content"].to_pylist()[0]


@WAYS
@pytest.mark.parametrize(
    "stored", ["cp1252 on PostgreSQL", "cp1252 on MariaDB", "UTF-16 on MariaDB", "UTF-16 on SQLite"]
)
def test_text_reads_the_same_however_it_is_stored(
    stored: str, exact: bool, postgresql: PostgreSql, mariadb: MariaDb, tmp_path: Path
) -> None:
    source = _everything(EMOJI if "UTF-16" in stored else "Zoé")
    there = Spilasuite().read([opened(source, tmp_path)], Recalled())
    if stored == "cp1252 on PostgreSQL":
        same(_from_cp1252(postgresql, source, exact=exact), there)
    elif stored == "UTF-16 on SQLite":
        other = Sqlite(tmp_path, "UTF-16le")
        other.load(source.statements())
        same(read(other.source(), exact=exact), there)
    else:
        charset = "utf16" if "UTF-16" in stored else "latin1"  # MariaDB's latin1 is cp1252
        mariadb.load(source.statements(f"CHARACTER SET {charset}"))
        same(read(mariadb.source(), exact=exact), there)


def _from_cp1252(server: PostgreSql, source: Installation, *, exact: bool) -> Reading:
    with server.admin() as admin:
        admin.execute("DROP DATABASE IF EXISTS ancien")
        admin.execute("CREATE DATABASE ancien ENCODING 'WIN1252' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0")
    try:
        server.base = "ancien"
        server.load(source.statements())
        return read(server.source(), exact=exact)
    finally:
        server.base = "postgres"


@WAYS
def test_all_views_are_read_from_one_snapshot_that_can_write_nothing(database: Database, exact: bool) -> None:
    source = Installation()
    source.add("v_tiers")
    source.add("v_lot")
    database.load(source.statements())
    tiers, lot = (f"SELECT COUNT(*) FROM {database.table(name)}" for name in ("v_tiers", "v_lot"))
    with odbc.connect(database.source(), exact=exact) as connection:
        assert connection.rows("counting", tiers) == [("1",)]
        database.run([f"DELETE FROM {database.table('v_tiers')}", f"DELETE FROM {database.table('v_lot')}"])
        connection.columns(database.table("v_lot"))
        assert connection.rows("counting", lot) == [("1",)]
        assert connection.rows("counting", tiers) == [("1",)]
    with odbc.connect(database.source(), exact=exact) as connection:
        assert connection.rows("counting", lot) == [("0",)]
        with pytest.raises(Malformed):
            connection.rows("writing", f"INSERT INTO {database.table('v_horizon')} VALUES (7)")
    with odbc.connect(database.source(), exact=exact) as connection:
        assert connection.rows("reading", f"SELECT rv FROM {database.table('v_horizon')}") == [("2",)]


def test_a_value_wider_than_declared_is_read_by_the_exact_way(tmp_path: Path) -> None:
    """SQLite holds what it is given, whatever the width of the column."""
    source = Installation()
    name = "É" * 5_000
    source.add("v_tiers", nom=name)
    answer = heard(source, tmp_path)
    assert answer.row("person")["last_name"] == name
    with pytest.raises(odbc.TooWide):
        read(odbc.sqlite(tmp_path / "views.sqlite"), exact=False)


@WAYS
def test_a_view_that_is_missing_is_told(database: Database, exact: bool) -> None:
    database.load(Installation(without={"v_mandat_lot"}).statements())
    with pytest.raises(DeliveryRefused) as refused:
        read(database.source(), exact=exact)
    assert (refused.value.reason, refused.value.where) == ("spilasuite.view_missing", "v_mandat_lot")


@WAYS
def test_what_a_driver_says_stays_with_it(database: Database, exact: bool) -> None:
    """A driver quotes the value that it could not read."""
    database.load(["CREATE TABLE t (nom VARCHAR(20))", "INSERT INTO t VALUES ('BELLERIVE')"])
    wrong = f"SELECT nom FROM {database.table('t')} WHERE BELLERIVE = nom"
    with odbc.connect(database.source(), exact=exact) as connection, pytest.raises(Malformed) as refused:
        connection.rows("reading", wrong)
    error: BaseException = refused.value
    assert "BELLERIVE" not in str(error)
    assert (error.__cause__, error.__context__) == (None, None)


@WAYS
def test_an_empty_answer_has_its_columns(database: Database, exact: bool) -> None:
    database.load(["CREATE TABLE t (nom VARCHAR(20), n BIGINT)"])
    with odbc.connect(database.source(), exact=exact) as connection:
        assert connection.columns(database.table("t")) == ("nom", "n")
        assert list(connection.batches("reading", f"SELECT * FROM {database.table('t')}", 1)) == []


@pytest.mark.parametrize("odd", ["1.0e+22", ".50", "-.50", "x.50", ".", None])
def test_numbers_lose_their_zeros_behind_and_nothing_else(odd: str | None) -> None:
    written = ["1004.0", "812.40", "0.00", "-3.", "10", None, "100.00", "0.050", "-0.10", odd]
    shortest = ["1004", "812.4", "0", "-3", "10", None, "100", "0.05", "-0.1", odd]
    assert _shortest(pa.chunked_array([written], pa.string())).to_pylist() == shortest
