"""Connections: one login for each purpose, and for each agency one of its own.

An agency's rows are told apart by the login itself (SESSION_USER): no statement, `SET ROLE` or setting can change it.
Every session is looked at before it is used: a superuser, or the tables' owner, would see all agencies.
"""

import threading
from typing import Any

import psycopg
from psycopg.errors import RestrictViolation
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from schemas.errors import Refused, StoreAway, StoreClosed, TryAgain
from store.postgres.copying import teach
from store.postgres.settings import Login, Settings

# The first releases with the corrections of row-level security that this store stands on (CVE-2023-39418,
# CVE-2024-10976).
OLDEST = {15: 150010, 16: 160006, 17: 170002}
_SETTINGS = " ".join(
    f"-c {name}={value}"
    for name, value in {
        "search_path": "shelf,house,dep", "jit": "off", "client_min_messages": "warning", "timezone": "UTC",
        "row_security": "on", "lock_timeout": "60s", "idle_in_transaction_session_timeout": "30min",
        # A machine that was cut off is given up after 25 seconds, and its locks are free.
        "tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
        "tcp_user_timeout": "25s", "client_connection_check_interval": "5s",
    }.items()
)  # fmt: skip


# The same from this end.
_KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 25_000,
}  # fmt: skip


class Sessions:
    """The connections of one home."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._who = threading.local()
        self._own = self._engine(NullPool)
        self._clerk = self._engine(None)

    def agency(self, login: Login) -> Connection:
        """As one agency. Each transaction sees one state of its rows, as on a file of its own."""
        db = self._opened(self._own, login).execution_options(isolation_level="REPEATABLE READ")
        db.info["leading"] = ("agency",)
        return db

    def clerk(self) -> Connection:
        return self._opened(self._clerk, self._settings.clerk)

    def apart(self) -> Connection:
        """As the clerk; each statement alone."""
        return self.clerk().execution_options(isolation_level="AUTOCOMMIT")

    def broom(self) -> Connection:
        return self._opened(self._own, self._settings.broom)

    def eye(self) -> Connection:
        return self._opened(self._own, self._settings.eye)

    def close(self) -> None:
        self._clerk.dispose()
        self._own.dispose()

    def _opened(self, engine: Engine, login: Login) -> Connection:
        # Why a login failed is told in the server's language only: whether another one gets in tells it too, and once
        # that one does, a server that was only being started lets this one in.
        for _ in range(2):
            self._who.login = login
            try:
                return engine.connect()
            except OperationalError:
                if login == self._settings.clerk or not self._has_room():
                    raise away() from None
            finally:
                self._who.login = None
        raise StoreClosed(
            f"the database does not let {login.role} in", "Its keys and its tables are not of the same home."
        )

    def _has_room(self) -> bool:
        """Whether the server answers, and not only just: one that had no connection left may have one again."""
        try:
            with self.clerk() as db:
                return bool(db.scalar(text(_ROOM)))
        except (Refused, TryAgain):
            return False

    def _engine(self, pool: type[NullPool] | None) -> Engine:
        kept = {"pool_size": 2, "max_overflow": 8, "pool_pre_ping": True}
        more: dict[str, Any] = {"poolclass": pool} if pool else kept
        engine = create_engine("postgresql+psycopg://", creator=self._connect, hide_parameters=True, **more)
        event.listen(engine, "connect", _looked_at)
        event.listen(engine, "handle_error", _without_values, retval=True)
        return engine

    def _connect(self) -> psycopg.Connection:
        """Called by SQLAlchemy, in the thread that asked."""
        login: Login = getattr(self._who, "login", None) or self._settings.clerk
        made = psycopg.connect(
            self._settings.address, user=login.role, password=login.password, options=_SETTINGS, connect_timeout=15,
            **_KEEPALIVE,
        )  # fmt: skip
        teach(made)
        return made


def manager(settings: Settings) -> psycopg.Connection:
    """As whoever made the store; each statement alone. Raises Refused where this machine does not know how."""
    if settings.manager is None:
        raise Refused(
            "this machine does not know the login that may change the database's tables",
            "Do this on the machine where `depositaire init` was run.",
        )
    try:
        return psycopg.connect(settings.manager, autocommit=True, options=_SETTINGS, connect_timeout=15)
    except psycopg.OperationalError:
        raise away() from None


def away() -> StoreAway:
    return StoreAway("the database does not answer", "Start it, or wait, then do the same again.")


def told(no: psycopg.Error, lost: bool = False) -> Exception:
    """An error that repeats no value: details, contexts and some messages of the database do. `lost`: with it went the
    connection."""
    if lost:
        return away()
    if (no.sqlstate or "").startswith(_NO_ROOM):
        return StoreAway("the database has no room left", "Make room on its disk or in memory, then do the same again.")
    ours = no.sqlstate == RestrictViolation.sqlstate  # raised by the triggers, in their own words
    return type(no)(str(no.diag.message_primary) if ours else f"the database refused: {no.sqlstate or 'no answer'}")


def _without_values(context: Any) -> Exception | None:
    if not isinstance(context.original_exception, psycopg.Error) or context.sqlalchemy_exception is None:
        return None
    if context.is_pre_ping:  # a connection that was lost while nothing was asked of it is made anew
        return None
    found = told(context.original_exception, context.is_disconnect)
    if isinstance(found, StoreAway):
        return found
    made: Exception = type(context.sqlalchemy_exception)(context.statement, None, found, hide_parameters=True)
    return made


_NO_ROOM = "53"  # SQLSTATE class: insufficient resources

# Fewer connections than are left to logins that are no superuser's, by a few.
_ROOM = """SELECT count(*) + 8 < current_setting('max_connections')::int
    - current_setting('superuser_reserved_connections')::int
FROM pg_stat_activity WHERE backend_type = 'client backend'"""


_STANDING = """SELECT rolsuper, rolbypassrls, pg_has_role(current_user, nspowner, 'member')
FROM pg_roles, pg_namespace WHERE rolname = session_user AND nspname = 'shelf'"""


def _looked_at(own: Any, _: Any) -> None:
    """Refuse a session that row-level security does not bind, and a server too old to bind one well."""
    version = own.info.server_version
    if version < OLDEST.get(version // 10000, OLDEST[15]):
        own.close()
        raise Refused("this PostgreSQL is too old", "Use 15.10, 16.6, 17.2 or a later release.")
    found = own.execute(_STANDING).fetchone()
    own.rollback()
    if found is None or any(found):
        own.close()
        raise Refused(
            "the database's login would see every agency", "Make the store anew with `depositaire init --store`."
        )
