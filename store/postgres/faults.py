"""What an operator should know of the server: settings under which the store keeps less of its word than it says."""

import ipaddress

from sqlalchemy import text

from store.postgres import install
from store.postgres.sessions import Sessions

# A setting, the values that are right, and how the fault is called.
_RIGHT = (
    ("fsync", {"on"}, "not_durable"),
    ("full_page_writes", {"on"}, "not_durable"),
    ("synchronous_commit", {"on", "remote_apply", "remote_write", "local"}, "not_durable"),
    # A refused statement is repeated in the server's log, and with it the key of a row (docs/operations.md).
    ("log_error_verbosity", {"terse"}, "values_logged"),
    ("log_parameter_max_length_on_error", {"0"}, "values_logged"),
    ("log_min_error_statement", {"panic", "fatal"}, "values_logged"),
    ("log_statement", {"none", "ddl"}, "values_logged"),
)


def faults(sessions: Sessions) -> list[str]:
    """The names of what is not as it should be, each once: `behind`, `not_durable`, `values_logged`, `in_clear`."""
    found = ["behind"] if install.reached(sessions) != install.newest() else []
    with sessions.clerk() as db:
        set_to: dict[str, str] = {r.name: r.setting for r in db.execute(text("SELECT name, setting FROM pg_settings"))}
        where = db.scalar(text("SELECT host(inet_server_addr())"))
        sealed = db.scalar(text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"))
    found += [fault for name, right, fault in _RIGHT if name in set_to and set_to[name] not in right]
    if is_exposed(where, bool(sealed)):
        found.append("in_clear")
    return list(dict.fromkeys(found))


def is_exposed(server: str | None, encrypted: bool) -> bool:
    """Whether what is said between here and there can be read on the way. `server`: its address; None for a socket of
    this machine."""
    return server is not None and not encrypted and not ipaddress.ip_address(server).is_loopback
