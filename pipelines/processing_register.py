"""The register of processing of GDPR art. 30, collected from what really ran: logs, contracts, model, journal.

`30(2)`: for each agency as controller, what was done for it. `30(1)`: the portal's own accounts, of which the operator
is controller (R12, R40). Nothing personal is in it: names of organisations, words of the model, counts. A text that the
installation does not know is a placeholder that is told, never invented (R31).
"""

import json
import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from itertools import chain
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ledger.canonical import instant
from ledger.keys import LogKeys
from ledger.log import Log
from pipelines.lineage import edges
from pipelines.record_of_processing import COUNTS, OUTCOMES, Account, Fills, Record
from schemas.errors import Malformed
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.records import CONTROLLER_TABLES, RECORDS
from schemas.window import KEPT_DAYS
from store import register
from store.house import JOURNAL, House
from store.keys import Root, open_root
from store.moments import not_after
from store.register import Agency

FORMAT, VERSION = "depositaire-register", 1
PLACEHOLDER = "à compléter / to be completed"
IDENTITY = ("name", "address", "contact", "dpo")
LONGEST = 200
# R13: the closed list of what the portal's accounts are for.
OWN = "_portal"
OWN_RULES = {"transfers": [], "recipients_rule": "recipients_controller", "retention_rule": "retention_controller"}
PORTAL_PURPOSES = ("services", "security", "incidents")


def collect(
    home: Home, at: datetime, only: Collection[AgencyCode] | None = None, passphrase: str | None = None,
    root: Root | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The register at an instant, as docs/specs/register.md writes it.

    `only`: the part that goes to these agencies; nothing of another one is in it, nothing of the operator's own
    accounts, and nothing that the law forbids to tell them (R50). Raises Malformed for an agency that is unknown, and
    for an identity that is not understood.
    """
    known, missing = identity(home)
    with House.open(home) as house:
        keys = LogKeys(home, root or open_root(home, passphrase))
        outcomes = _outcomes(house, at)
        accounts = [
            Account.of(a, Log.at(home, a.code, keys).read(), at, fills(), outcomes.get(a.code, {}), only is not None)
            for a in _agencies(house, only)
        ]
        own = _portal(house, at) if only is None else None
    records = list(chain.from_iterable(a.records() for a in accounts))
    touched = frozenset(chain.from_iterable(r.columns for r in [*records, *([own] if own else [])]))
    return {
        "format": FORMAT, "version": VERSION, "at": instant(at), "about": sorted(only) if only is not None else None,
        "incomplete": [f"identity.{name}" for name in missing],
        "processor": known,
        "retention": {"requirement": "R22", "days": KEPT_DAYS, "rule": "retention_processor"},
        "measures": [dict(m) for m in measures()],
        "article_30_2": {
            "controllers": [a.controller() for a in accounts],
            "records": [r.as_json() for r in records],
        },
        "article_30_1": {"records": [own.as_json() | OWN_RULES]} if own else None,
        "model": {
            f"{table}.{f.name}": {"fr": f.label_fr, "en": f.label_en, "scope": str(RECORDS[table].scope)}
            for table, record in RECORDS.items() for f in record.fields if (table, f.name) in touched
        },
        "words": {part: {code: {"fr": fr, "en": en} for code, (fr, en) in words()[part].items()}
                  for part in ("processing", "purpose", "category", "persons", "rule")},
    }  # fmt: skip


# -- who the operator is ---------------------------------------------------------------------------------------------


def identity(home: Home) -> tuple[dict[str, str], tuple[str, ...]]:
    """Name, address, contact and data protection officer of the operator, and which of them nobody wrote down yet.

    From HOME/identity.toml, which may be missing. Raises Malformed naming the field, never its value.
    """
    said = _identity_file(home.identity)
    for name in said:
        if name not in IDENTITY:
            raise Malformed(f"identity.toml: unknown field: {_named(name)}", f"Known: {', '.join(IDENTITY)}.")
    known = {name: _line(name, said[name]) for name in IDENTITY if name in said}
    missing = tuple(name for name in IDENTITY if known.get(name, PLACEHOLDER) == PLACEHOLDER)
    return {name: known.get(name, PLACEHOLDER) for name in IDENTITY}, missing


def _identity_file(path: Path) -> Mapping[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return {}
    except OSError:
        raise Malformed("identity.toml cannot be read", "See docs/specs/register.md.") from None
    except UnicodeDecodeError:
        raise Malformed("identity.toml is not UTF-8", "Save it as UTF-8.") from None
    except tomllib.TOMLDecodeError:
        raise Malformed("identity.toml is not TOML", "See docs/specs/register.md.") from None


def _line(name: str, value: object) -> str:
    """One line of text. An address may be written over several."""
    text = " ".join(value.split()) if isinstance(value, str) else ""
    if not text or len(text) > LONGEST or any(unicodedata.category(c)[0] == "C" for c in text):
        raise Malformed(
            f"identity.toml: {name} is not a text of 1 to {LONGEST} characters", "See docs/specs/register.md."
        )
    return text


def _named(name: str) -> str:
    """A field's name as it may be repeated: somebody may have written an address in the wrong place."""
    return name if name.isidentifier() and len(name) < 40 else "(not a name)"


# -- data that the register is written with --------------------------------------------------------------------------


@cache
def words() -> dict[str, dict[str, tuple[str, str]]]:
    """Part → code → French, English (register_words.toml)."""
    said = tomllib.loads((files("pipelines") / "register_words.toml").read_text("utf-8"))
    return {part: {code: (fr, en) for code, (fr, en) in texts.items()} for part, texts in said.items()}


@cache
def measures() -> tuple[Mapping[str, Any], ...]:
    """The measures of art. 32(1) (R56), each with the tests that guard it (schemas/measures.toml)."""
    said = tomllib.loads((files("schemas") / "measures.toml").read_text("utf-8"))
    return tuple({"id": name} | measure for name, measure in said.items())


@cache
def fills() -> Fills:
    """(system, source table) → table → columns that its lines fill."""
    found: dict[tuple[str, str], dict[str, set[str]]] = {}
    for e in edges():
        found.setdefault((str(e.system), e.source_table), {}).setdefault(e.table, set()).add(e.column)
    return {key: {t: frozenset(columns) for t, columns in tables.items()} for key, tables in found.items()}


# -- what the house knows --------------------------------------------------------------------------------------------


def _agencies(house: House, only: Collection[AgencyCode] | None) -> list[Agency]:
    everyone = {a.code: a for a in register.everyone(house.db)}
    for code in only or ():
        if code not in everyone:
            raise Malformed(f"agency {code} is not in the register", "Check the code.")
    return [a for code, a in everyone.items() if only is None or code in only]


def _until(at: datetime) -> Any:
    """Entries of the journal up to an instant; they are written with the offset of whoever wrote them."""
    return not_after(JOURNAL.c.at, at)


def _outcomes(house: House, at: datetime) -> dict[str, dict[str, dict[str, int]]]:
    """Agency → system → outcome → deliveries. The journal of an erased agency is gone with it."""
    t = JOURNAL.c
    flow = (t.agency, t.system, t.outcome)
    counted = select(*flow, func.count()).where(_until(at)).group_by(*flow)
    found: dict[str, dict[str, dict[str, int]]] = {}
    for agency, system, outcome, count in house.db.execute(counted):
        found.setdefault(agency, {}).setdefault(system, {})[outcome] = count
    return found


def _portal(house: House, at: datetime) -> Record:
    """30(1): what came of the portal's own accounts."""
    rows = house.db.execute(
        select(JOURNAL).where(JOURNAL.c.system == str(System.PORTAL), JOURNAL.c.agency.is_(None), _until(at))
    ).all()
    accepted = [r for r in rows if r.outcome == "accepted"]
    counts = [c for r in accepted for c in json.loads(r.report)["tables"].values()]
    return Record(
        OWN, "portal_accounts", None, bool(accepted),
        purposes=PORTAL_PURPOSES,
        columns=frozenset((t, f.name) for t in CONTROLLER_TABLES for f in RECORDS[t].fields),
        deliveries={o: sum(r.outcome == o for r in rows) for o in OUTCOMES},
        days=tuple(datetime.fromisoformat(r.at) for r in accepted),
        lines={n: sum(c.get(n, 0) for c in counts) for n in COUNTS},
    )  # fmt: skip
