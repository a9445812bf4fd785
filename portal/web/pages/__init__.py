"""The pages, by subject. Importing this lists all of them (`portal.web.registry`)."""

from portal.web.pages import (
    acting,
    assets,
    audit,
    documents,
    evidence,
    home,
    inviting,
    keys,
    lineage,
    log,
    own,
    preferences,
    quarantine,
    register,
    requests,
    signing_in,
)

__all__ = [
    "acting",
    "assets",
    "audit",
    "documents",
    "evidence",
    "home",
    "inviting",
    "keys",
    "lineage",
    "log",
    "own",
    "preferences",
    "quarantine",
    "register",
    "requests",
    "signing_in",
]
