"""A login for each machine that only synchronises, in the clerk's place: it may do what the clerk may, and ends alone.

It makes and changes no table, ends no shelf, and sees no row but through the login of an agency.
"""

import secrets

import psycopg
from psycopg import sql

from store.postgres.install import verifier
from store.postgres.sessions import manager
from store.postgres.settings import Login, Settings


def admit(settings: Settings, name: str) -> Settings:
    """Make the login; what the machine is told to reach the database."""
    theirs = settings.of_worker(name, secrets.token_urlsafe(32))
    with manager(settings) as db:
        _end(db, theirs.clerk.role)
        with db.transaction():
            role = sql.Identifier(theirs.clerk.role)
            made = sql.SQL(
                "CREATE ROLE {} LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
                " PASSWORD {} IN ROLE {}"
            )
            login = Login(theirs.clerk.role, theirs.clerk_password)
            db.execute(made.format(role, sql.Literal(verifier(db, login)), sql.Identifier(settings.clerk.role)))
            db.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))  # who ends its sessions must be one of it
    return theirs


def dismiss(settings: Settings, name: str) -> None:
    """End the login and every session of it: the locks that they held are free. Again is the same as once."""
    with manager(settings) as db:
        _end(db, settings.role_of_worker(name))


def _end(db: psycopg.Connection, role: str) -> None:
    if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone():
        return
    db.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
    db.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = %s", (role,))
    db.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))
