"""Identifiers, parsed once at the door and trusted below it."""

import re
from enum import StrEnum
from typing import NewType

from schemas.errors import Malformed

AgencyCode = NewType("AgencyCode", str)
_AGENCY = re.compile(r"[A-Z0-9]{5}")


class System(StrEnum):
    """The four agency systems (R43) and the portal's own accounts."""

    SPILASUITE = "spilasuite"
    SDGI = "sdgi"
    GPI = "gpi"
    LOGIN = "login"
    PORTAL = "portal"


AGENCY_SYSTEMS = (System.SPILASUITE, System.SDGI, System.GPI, System.LOGIN)
# As their vendors write them (R43): what people read. Files for machines keep the words above.
_NAMES = {System.SPILASUITE: "SpiLaSuite", System.SDGI: "SDGI", System.GPI: "GPI", System.LOGIN: "LOGIN"}
_PORTAL = {"fr": "portail", "en": "portal"}


def system_name(code: str, language: str = "fr") -> str:
    """What people call a system; what is none stays as it is."""
    names: dict[str, str] = {str(s): name for s, name in _NAMES.items()} | {str(System.PORTAL): _PORTAL[language]}
    return names.get(str(code), str(code))


def agency_code(raw: str) -> AgencyCode:
    """Five capitals or digits (register of agencies 1.0). The text that failed is not repeated: it may be a path."""
    if not _AGENCY.fullmatch(raw):
        raise Malformed("an agency code is five capital letters or digits", "Check the register of agencies.")
    return AgencyCode(raw)


def key_part(part: str | None) -> str:
    """One part of a source key: `%` and `:` escaped, a missing part is `-` (canonical §1)."""
    return "-" if part is None else part.replace("%", "%25").replace(":", "%3A")


def source_key(*parts: str | None) -> str:
    """Parts joined by `:` (canonical §1)."""
    return ":".join(key_part(p) for p in parts)
