"""Making the store in a database, and bringing it up to date: roles, then the steps of `migrations`.

Whoever does it may create roles (CREATEROLE) and owns the database; a superuser is not needed and never used
afterwards.
"""

import re
from importlib.resources import as_file, files

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine, text
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.pool import StaticPool

from schemas.errors import Refused, TryAgain
from store.postgres.sessions import Sessions, manager
from store.postgres.settings import Login, Settings

_STEP = re.compile(r"r(\d{4})_\w+\.py")


def install(settings: Settings) -> None:
    """Roles, schemas and tables. Raises Refused when this database has another store, TryAgain when it is away."""
    with manager(settings) as db, db.transaction():
        if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (settings.owner,)).fetchone():
            if db.execute("SELECT 1 FROM pg_namespace WHERE nspname IN ('shelf', 'house', 'dep')").fetchone():
                raise Refused("this database has a store already", "Give an empty database of its own.")
            _roles(db, settings)
            for schema in ("dep", "house", "shelf"):
                db.execute(_sql("CREATE SCHEMA {} AUTHORIZATION {}", schema, settings.owner))
    migrate(settings)


def is_installed(sessions: Sessions) -> bool:
    """Whether the tables are there. Raises TryAgain when the database does not answer."""
    try:
        with sessions.clerk() as db:
            return bool(db.scalar(text("SELECT to_regclass('house.agency') IS NOT NULL")))
    except Refused:
        return False


def newest() -> str:
    """The last step that this code knows."""
    steps = (files("store.postgres") / "migrations" / "versions").iterdir()
    return max(found[1] for step in steps if (found := _STEP.fullmatch(step.name)))


def reached(sessions: Sessions) -> str:
    """The last step that was done; empty when the store does not even tell."""
    try:
        with sessions.clerk() as db:
            return str(db.scalar(text("SELECT version_num FROM dep.revision")))
    except ProgrammingError:
        return ""


def demand_newest(sessions: Sessions) -> None:
    """Raises Refused when the store is of another version than this code."""
    there, known = reached(sessions), newest()
    if there < known:
        raise Refused(
            "the database's tables are those of an earlier version",
            "Run `depositaire store upgrade` where `depositaire init` was run, with nothing else running.",
        )
    if there > known:
        raise Refused("the database's tables are those of a later version", "Use that version of depositaire.")


def migrate(settings: Settings, to: str = "head") -> None:
    """Every step that is not done yet, each whole or not at all."""
    with manager(settings) as own:
        own.autocommit = False
        engine = create_engine("postgresql+psycopg://", creator=lambda: own, poolclass=StaticPool, hide_parameters=True)
        with engine.connect() as db, as_file(files("store.postgres") / "migrations") as scripts:
            db.exec_driver_sql(f'SET ROLE "{settings.owner}"')
            db.commit()
            config = Config()
            config.set_main_option("script_location", str(scripts))
            config.attributes |= {"connection": db, "prefix": settings.prefix}
            command.upgrade(config, to)


def vacuum(settings: Settings, schema: str, full: bool = False) -> None:
    """Free what was deleted, so that it is written over; `full`: write every table anew without it, and what the
    planner remembers of its values. Raises TryAgain when somebody holds a table for too long."""
    with manager(settings) as db:
        db.execute(_sql("SET ROLE {}", settings.owner))
        names = db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (schema,)).fetchall()
        tables = sql.SQL(", ").join(sql.Identifier(schema, name) for (name,) in names)
        try:
            db.execute(sql.SQL("VACUUM (FULL, ANALYZE) {}" if full else "VACUUM {}").format(tables))
        except psycopg.errors.LockNotAvailable:
            raise TryAgain("the database's tables are in use", "Do the same again when nothing else runs.") from None


def verifier(db: psycopg.Connection, login: Login) -> str:
    """What the server keeps of a password (SCRAM-SHA-256, RFC 7677): the password itself reaches no statement."""
    return db.pgconn.encrypt_password(login.password.encode(), login.role.encode(), b"scram-sha-256").decode()


def _roles(db: psycopg.Connection, settings: Settings) -> None:
    plain = "NOSUPERUSER NOCREATEDB NOREPLICATION NOBYPASSRLS"
    database = db.info.dbname
    db.execute(_sql(f"CREATE ROLE {{}} NOLOGIN CREATEROLE {plain}", settings.owner))
    db.execute(_sql("GRANT {} TO CURRENT_USER", settings.owner))
    db.execute(_sql(f"CREATE ROLE {{}} NOLOGIN NOCREATEROLE {plain}", settings.agencies))
    if db.info.server_version >= 160000:  # since then, who makes members of a role has to be told so
        db.execute(_sql("GRANT {} TO {} WITH ADMIN OPTION", settings.agencies, settings.owner))
    for login in (settings.clerk, settings.broom, settings.eye):
        made = _sql(f"CREATE ROLE {{}} LOGIN NOCREATEROLE {plain} PASSWORD ", login.role)
        db.execute(made + sql.Literal(verifier(db, login)))
    for role in (settings.agencies, settings.clerk.role, settings.broom.role, settings.eye.role):
        db.execute(_sql("GRANT CONNECT ON DATABASE {} TO {}", database, role))
    # An agency's own temporary tables take its rows in before they are merged; the eye's hold what it must find.
    for role in (settings.agencies, settings.eye.role):
        db.execute(_sql("GRANT TEMPORARY ON DATABASE {} TO {}", database, role))


def _sql(statement: str, *names: str) -> sql.Composed:
    return sql.SQL(statement).format(*(sql.Identifier(n) for n in names))
