"""What a rule of the links does and how it is said (lineage_rules.toml): in OpenLineage's types, in French and English.

A rule is written in the layouts as short codes, some joined by ", " or "; ". Whole rules have words of their own; the
others are put together from their parts.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from schemas.errors import Malformed

# Subtypes of columnLineage 1-2-0: in the first two the value comes from the column; else the column decides about it.
DIRECT = ("IDENTITY", "TRANSFORMATION")
INDIRECT = ("CONDITIONAL", "JOIN", "SORT")
# When a rule has parts, the first of these that one of them is says what the whole does.
_STRONGEST = ("TRANSFORMATION", "IDENTITY", "JOIN", "CONDITIONAL", "SORT")


@dataclass(frozen=True, slots=True)
class Rule:
    """`kind`: DIRECT or INDIRECT; `masking`: nothing of the value can be told from what is kept."""

    code: str
    kind: str
    subtype: str
    masking: bool
    fr: str
    en: str


@cache
def rule(code: str) -> Rule:
    """The words and the type of a rule of the links. Raises Malformed for one without."""
    known = _known()
    parts = [code] if code in known else _parts(code, known)
    said = [known[p] for p in parts]
    subtype = next(s for s in _STRONGEST if any(p["kind"] == s for p in said))
    kind = "DIRECT" if subtype in DIRECT else "INDIRECT"
    masking = any(p.get("masking") for p in said)
    french, english = (" ; ".join(p["fr"] for p in said), "; ".join(p["en"] for p in said))
    return Rule(code, kind, subtype, masking, french, english)


def _parts(code: str, known: Mapping[str, Any]) -> list[str]:
    """The longest parts that have words, from left to right."""
    bits = re.split(r"([,;:] )", code)
    parts: list[str] = []
    at = 0
    while at < len(bits):
        ends = [n for n in range(len(bits), at, -2) if "".join(bits[at:n]) in known]
        if not ends:
            raise Malformed("a rule of the links has no words", "Add it to lineage_rules.toml.")
        parts.append("".join(bits[at : ends[0]]))
        at = ends[0] + 1
    return parts


@cache
def _known() -> dict[str, dict[str, Any]]:
    said: dict[str, dict[str, Any]] = tomllib.loads((files("pipelines") / "lineage_rules.toml").read_text("utf-8"))
    return said
