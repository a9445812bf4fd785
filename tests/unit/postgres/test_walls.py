"""What one agency's login can reach of another agency, in raw SQL: nothing. And what stands behind that wall."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import DataError, errors, sql
from sqlalchemy import exc
from sqlalchemy.exc import IntegrityError

from pipelines import opening
from schemas.capability import Act
from schemas.errors import Malformed, NotVerified, Refused
from schemas.home import Home
from schemas.ids import AgencyCode
from store import engine, keys
from store.agency import OpenShelf, Shelf
from store.engine import of
from store.house import META as HOUSE
from store.keys import Keyring, open_root
from store.postgres.engine import FEW
from store.postgres.sessions import Sessions
from store.postgres.settings import Login, Settings, parsed
from store.register import META as REGISTER
from store.tables import META, ROWS
from tests.leave import capability, warrant
from tests.postgres import Cluster
from tests.unit.postgres.conftest import A, B
from tests.unit.retention.conftest import put


@pytest.fixture
def own(furnished: Home) -> Iterator[psycopg.Connection]:
    """A session of the agency A as a programme that was taken over would have it."""
    settings = Settings.read(furnished)
    password = keys.login(furnished, A)
    with psycopg.connect(settings.address, user=settings.agency(A), password=password, autocommit=True) as db:
        yield db


def test_an_agency_sees_its_own_rows_whatever_it_asks_for(own: psycopg.Connection) -> None:
    assert own.execute("SELECT agency, source_key FROM shelf.person ORDER BY 2").fetchall() == [
        ("A0001", "C:1"), ("A0001", "C:A0001"),
    ]  # fmt: skip
    for name in META.tables:
        found = own.execute(sql.SQL("SELECT DISTINCT agency FROM shelf.{}").format(sql.Identifier(name))).fetchall()
        assert found in ([], [("A0001",)]), name
    assert own.execute("SELECT count(*) FROM shelf.person WHERE agency = 'A0002' OR true").fetchone() == (2,)
    with own.cursor().copy("COPY (SELECT source_key FROM shelf.person) TO STDOUT") as rows:
        assert sorted(bytes(r) for r in rows) == [b"C:1\n", b"C:A0001\n"]


def granted(db: psycopg.Connection) -> None:
    """The session's own capability, by which its own rows can be written."""
    db.execute("INSERT INTO shelf.granted SELECT agency, digest FROM shelf.capability ORDER BY size DESC LIMIT 1")


def test_an_agency_changes_no_row_of_another(own: psycopg.Connection, furnished: Home, cluster: Cluster) -> None:
    before = cluster.dump(Settings.read(furnished))
    with own.transaction(force_rollback=True):
        granted(own)
        assert own.execute("UPDATE shelf.person SET loc = 'x' WHERE agency = 'A0002'").rowcount == 0
        assert own.execute("DELETE FROM shelf.person WHERE agency <> 'A0001'").rowcount == 0
        assert own.execute("UPDATE shelf.person SET loc = 'x'").rowcount == 2, "its own it can"
    for statement in (
        "INSERT INTO shelf.flow (agency, system, cursor) VALUES ('A0002', 'sdgi', '9')",
        "UPDATE shelf.person SET agency = 'A0002'",
    ):
        with own.transaction(force_rollback=True):
            granted(own)
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                own.execute(statement)
    assert cluster.dump(Settings.read(furnished)) == before


WAYS_OUT = {
    "another agency's role": "SET ROLE {b}",
    "the owner's role": "SET ROLE {owner}",
    "the group's session": "SET SESSION AUTHORIZATION {b}",
    "the setting behind it": "SELECT set_config('role', {b_text}, false)",
    "no row security": "ALTER TABLE shelf.person DISABLE ROW LEVEL SECURITY",
    "another policy": "CREATE POLICY all_of_it ON shelf.person USING (true)",
    "another function": "CREATE OR REPLACE FUNCTION dep.agency() RETURNS text LANGUAGE sql AS 'SELECT ''A0002'''",
    "a table of its own beside": "CREATE TABLE shelf.copy AS SELECT * FROM shelf.person",
    "a bulk load": "COPY shelf.person FROM STDIN",
    "emptying": "TRUNCATE shelf.person",
    "ending a shelf": "SELECT dep.drop_shelf('A0002')",
    "counting a shelf": "SELECT dep.tally('A0002')",
    "letting an agency in": "SELECT dep.make_shelf('A0009', 'SCRAM-SHA-256$x')",
    "the house": "SELECT * FROM house.agency",
    "the list of shelves": "SELECT * FROM dep.shelf",
    "passwords": "SELECT rolpassword FROM pg_authid",
    "a file of the server": "SELECT pg_read_file('pg_hba.conf')",
    "a programme of the server": "COPY (SELECT 1) TO PROGRAM 'true'",
    "membership": "GRANT {b} TO {a}",
    "a new role": "CREATE ROLE more SUPERUSER",
}


@pytest.mark.parametrize("statement", WAYS_OUT.values(), ids=WAYS_OUT.keys())
def test_no_statement_leads_out(own: psycopg.Connection, furnished: Home, statement: str) -> None:
    s = Settings.read(furnished)
    names = {"a": s.agency(A), "b": s.agency(B), "owner": s.owner}
    made = sql.SQL(statement).format(**{n: sql.Identifier(v) for n, v in names.items()}, b_text=sql.Literal(names["b"]))
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidParameterValue, errors.FeatureNotSupported)):
        own.execute(made)
    assert own.execute("SELECT count(*) FROM shelf.person").fetchone() == (2,)


def test_switching_row_security_off_is_an_error_and_not_a_view_of_everybody(own: psycopg.Connection) -> None:
    own.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
        own.execute("SELECT * FROM shelf.person")


def test_the_owners_own_setting_opens_nothing_to_an_agency(own: psycopg.Connection) -> None:
    own.execute("SELECT set_config('dep.ending', 'A0002', false)")
    assert own.execute("SELECT DISTINCT agency FROM shelf.person").fetchall() == [("A0001",)]


def test_what_an_agency_stages_no_other_can_see(own: psycopg.Connection, furnished: Home) -> None:
    own.execute("CREATE TEMPORARY TABLE staged_person (source_key text)")
    own.execute("INSERT INTO staged_person VALUES ('C:1')")
    (schema,) = own.execute("SELECT nspname FROM pg_namespace WHERE oid = pg_my_temp_schema()").fetchone() or ("",)
    s = Settings.read(furnished)
    with (
        psycopg.connect(s.address, user=s.agency(B), password=keys.login(furnished, B), autocommit=True) as other,
        pytest.raises(errors.InsufficientPrivilege),
    ):
        other.execute(sql.SQL("SELECT * FROM {}.staged_person").format(sql.Identifier(schema)))


def test_the_planner_remembers_no_key(own: psycopg.Connection, furnished: Home, cluster: Cluster) -> None:
    with cluster.admin(parsed(str(Settings.read(furnished).manager)).database or "") as db:
        db.execute("ANALYZE")
        kept = db.execute("SELECT tablename, attname FROM pg_stats WHERE schemaname = 'shelf'").fetchall()
    assert kept, "the search must be able to find something"
    assert {column for _, column in kept} <= {"agency", "system"}


def test_an_agency_has_the_keys_of_another_in_its_way_never(own: psycopg.Connection) -> None:
    """A unique key of one agency is free for another: no error tells what the other has."""
    with own.transaction(force_rollback=True):
        granted(own)
        assert own.execute("UPDATE shelf.person SET source_key = 'C:A0002' WHERE source_key = 'C:1'").rowcount == 1


# -- behind the wall ---------------------------------------------------------------------------------------------------


def test_a_row_that_was_moved_to_another_agency_does_not_open(furnished: Home, cluster: Cluster) -> None:
    """Whoever gets past the wall by the server itself has sealed rows, and A's keys open none of B's."""
    with cluster.admin(parsed(str(Settings.read(furnished).manager)).database or "") as db:
        db.execute("ALTER TABLE shelf.person DISABLE TRIGGER guard")
        db.execute("DELETE FROM shelf.person WHERE agency = 'A0001'")
        db.execute("UPDATE shelf.person SET agency = 'A0001' WHERE agency = 'A0002'")
    leave = warrant(A)
    with (
        Keyring.open(furnished, open_root(furnished), leave.capability) as keyring,
        OpenShelf.open(furnished, keyring, leave) as shelf,
    ):
        for row in shelf.db.execute(ROWS["person"].select()).all():
            with pytest.raises(NotVerified):
                shelf.open_row("person", row.system, row.source_key, row.kid, row.sealed)


def test_without_its_keys_nobody_logs_in_as_an_agency(furnished: Home) -> None:
    Keyring.destroy(furnished, capability(A, Act.ERASE))
    with pytest.raises(Refused, match="keys of this agency"):
        Shelf.known(furnished, A)
    with Shelf.known(furnished, B) as other:
        assert other.counts()["person"] == 2


def test_a_login_that_would_see_everybody_is_not_used(furnished: Home, cluster: Cluster) -> None:
    settings = Settings.read(furnished)
    database = parsed(str(settings.manager)).database or ""
    for made in ("BYPASSRLS", "SUPERUSER"):
        with cluster.admin(database) as db:
            role = sql.Identifier(settings.agency(A))
            db.execute(sql.SQL(f"ALTER ROLE {{}} {made}").format(role))
            with pytest.raises(Refused, match="would see every agency"):
                Sessions(settings).agency(Login(settings.agency(A), keys.login(furnished, A)))
            db.execute(sql.SQL(f"ALTER ROLE {{}} NO{made}").format(role))


def test_a_password_that_does_not_fit_is_refused_and_a_server_that_is_gone_is_waited_for(furnished: Home) -> None:
    settings = Settings.read(furnished)
    with pytest.raises(Refused, match="does not let"):
        Sessions(settings).agency(Login(settings.agency(A), "wrong"))


# -- every table -------------------------------------------------------------------------------------------------------


def test_every_table_of_the_shelves_has_the_wall(furnished: Home, cluster: Cluster) -> None:
    query = """SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity,
        (SELECT a.attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]
         WHERE i.indrelid = c.oid AND i.indisprimary),
        (SELECT bool_and(a.attcollation = 'pg_catalog."C"'::regcollation) FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.atttypid = 'text'::regtype),
        (SELECT array_agg(p.polname::text ORDER BY p.polname) FROM pg_policy p WHERE p.polrelid = c.oid)
        FROM pg_class c WHERE c.relnamespace = 'shelf'::regnamespace AND c.relkind = 'r'"""
    with cluster.admin(parsed(str(Settings.read(furnished).manager)).database or "") as db:
        found = {name: rest for name, *rest in db.execute(query).fetchall()}
    assert found.keys() == set(META.tables)
    for name, (walled, first, collated, policies) in found.items():
        assert (name, walled, first, collated) == (name, True, "agency", True)
        assert {"own", "ending", "eye"} <= set(policies) <= {"own", "ending", "eye", "clerk", "noting"}, name
        assert ("noting" in policies) == (name in ("delivery", "flow", "capability", "granted"))


def test_the_tables_are_those_of_the_other_engine(furnished: Home, cluster: Cluster) -> None:
    query = """SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum) FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'r' GROUP BY 1"""
    with cluster.admin(parsed(str(Settings.read(furnished).manager)).database or "") as db:
        shelf: dict[str, list[str]] = dict(db.execute(query, ("shelf",)).fetchall())
        house: dict[str, list[str]] = dict(db.execute(query, ("house",)).fetchall())
    assert {n: set(c) for n, c in shelf.items()} == {
        n: {"agency", *(c.name for c in t.c)} for n, t in META.tables.items()
    }
    tables = {**HOUSE.tables, **REGISTER.tables}
    assert {n: set(c) for n, c in house.items()} == {n: {c.name for c in t.c} for n, t in tables.items()}


# -- making a store ----------------------------------------------------------------------------------------------------


def test_a_home_made_twice_is_made_once_and_another_home_does_not_take_its_database(
    home: Home, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert opening.make(home, None) is False
    url = Settings.read(home).manager
    other = Home.at(tmp_path_factory.mktemp("other") / "home")
    with pytest.raises(Refused, match="has a store already"):
        opening.make(other, None, store=url)


@pytest.mark.parametrize(
    "url", ["mysql://root:geheim@h/d", "geheim", "postgresql://u:geheim@h", "postgresql://u:geheim@h:port/d", ""]
)
def test_a_url_that_is_none_is_refused_without_a_word_of_it(url: str) -> None:
    with pytest.raises(Malformed) as told:
        Settings.new(url)
    assert "geheim" not in str(told.value)


def test_nothing_that_shows_settings_shows_a_password(home: Home) -> None:
    s = Settings.read(home)
    shown = f"{s!r} {s} {s.clerk!r} {s.eye}"
    passwords = [str(p) for p in (s.clerk_password, s.eye_password, s.broom_password)]
    assert not [p for p in passwords if len(p) < 32 or p in shown]
    assert home.store.stat().st_mode & 0o777 == 0o600
    assert (parsed(s.address).username, parsed(s.address).password) == (None, None)


@pytest.mark.parametrize("rows", [1, FEW, FEW + 1])
def test_an_error_of_the_database_repeats_no_value(furnished: Home, rows: int) -> None:
    leave = warrant(A)
    with (
        Keyring.open(furnished, open_root(furnished), leave.capability) as keyring,
        OpenShelf.open(furnished, keyring, leave) as shelf,
    ):
        with pytest.raises(IntegrityError, match="23505") as told:
            put(shelf, "person", "sdgi", "C:1", {"last_name": "MARQUE-UNIQUE"}, 0)
        keys_of_all = [*(f"{n}" for n in range(rows - 1)), "MARQUE\0"]
        lines: dict[str, list[Any]] = {
            "id": list(range(10**6, 10**6 + rows)), "key": keys_of_all, "system": ["sdgi"] * rows, "live": [1] * rows,
            "source": ["x"] * rows, "signature": [bytes(16)] * rows,
        }  # fmt: skip
        with pytest.raises((DataError, exc.DataError)) as staged, shelf.writing() as db:
            of(furnished).put_lines(db, lines)
    for each in (told, staged):
        assert "MARQUE" not in str(each.value)
        assert "C:1" not in str(each.value)


def test_a_dropped_shelf_leaves_nothing_and_its_neighbour_as_it_was(furnished: Home, cluster: Cluster) -> None:
    store = engine.of(furnished)
    assert store.tally(A)["person"] == 2
    assert store.drop(A)
    store.purge()
    assert (store.holds(A), store.tally(A), store.drop(A)) == (False, {}, False)
    assert b"A0001" not in cluster.dump(Settings.read(furnished))
    with cluster.admin() as db:
        role = Settings.read(furnished).agency(A)
        assert db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None
    assert store.tally(B)["person"] == 2
    assert not store.holds(AgencyCode("A0009"))
