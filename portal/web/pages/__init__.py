"""The pages, by subject. Importing this lists all of them (`portal.web.registry`)."""

from portal.web.pages import assets, audit, evidence, home, inviting, lineage, log, own, register, signing_in

__all__ = ["assets", "audit", "evidence", "home", "inviting", "lineage", "log", "own", "register", "signing_in"]
