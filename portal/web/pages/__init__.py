"""The pages, by subject. Importing this lists all of them (`portal.web.registry`)."""

from portal.web.pages import assets, home, inviting, log, own, signing_in

__all__ = ["assets", "home", "inviting", "log", "own", "signing_in"]
