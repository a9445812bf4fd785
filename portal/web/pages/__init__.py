"""The pages, by subject. Importing this lists all of them (`portal.web.registry`)."""

from portal.web.pages import (
    acting,
    assets,
    audit,
    evidence,
    home,
    inviting,
    keys,
    lineage,
    log,
    own,
    register,
    signing_in,
)

__all__ = [
    "acting", "assets", "audit", "evidence", "home", "inviting", "keys", "lineage", "log", "own", "register",
    "signing_in",
]  # fmt: skip
