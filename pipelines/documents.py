"""Documents of an agency by audience, against what décret n° 2019-502 wants online: what is missing in each
co-ownership, what is old, and what is open to the wrong people. Counts and keys; a title when it is asked for.

Of a document, only where it belongs is in clear: its kind and its audience are sealed. So counting opens rows, and
needs an instruction in force for the purpose support, like opening a title.
"""

import tomllib
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import func, select

from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Refused
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.records import RECORDS
from store.agency import OpenShelf
from store.keys import Keyring, Root
from store.tables import ROWS

AUDIENCES = ("all", "individual", "council")
MOST = 200_000  # documents that one page looks through
# Décret n° 67-223, article 33-1-1: brought up to date once a year at the least.
FRESH_FOR = timedelta(days=366)
# What a document open to the wrong people is called, the worst first.
RULES = (
    "individual_open", "names_person", "council_open", "open_nowhere", "individual_nobody", "closed_too_far",
)  # fmt: skip
_NEEDED = ("kind", "audience", "label")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing on the list. `wanted`: the décret wants it online."""

    name: str
    audience: str
    article: int | None
    codes: frozenset[str]
    words: tuple[str, ...]
    said: Mapping[str, str]

    @property
    def wanted(self) -> bool:
        return self.article is not None


@cache
def items() -> tuple[Item, ...]:
    said = tomllib.loads(Path(__file__).with_name("document_audiences.toml").read_text(encoding="utf-8"))
    return tuple(
        Item(
            name, i["audience"], i.get("article"), frozenset(i["codes"]), tuple(i["words"]),
            {"fr": i["fr"], "en": i["en"]},
        )
        for name, i in said.items()
    )  # fmt: skip


def item_of(kind: str | None, label: str | None) -> str | None:
    """What a document is, by its kind; where that says nothing, by its title. None: nobody can tell."""
    code = (kind or "").strip().upper()
    by_code = next((i.name for i in items() if code in i.codes), None)
    if by_code is not None:
        return by_code
    for text in (_bare(kind), _bare(label)):
        found = next((i.name for i in items() if any(w in text for w in i.words)), None)
        if found is not None:
            return found
    return None


def _bare(text: str | None) -> str:
    plain = unicodedata.normalize("NFD", (text or "").lower().replace("’", "'"))
    return "".join(c for c in plain if not unicodedata.combining(c))


def overview(home: Home, root: Root, agency: AgencyCode, at: datetime) -> dict[str, Any]:
    """Counts by audience; of each co-ownership, what is missing and how old the newest document is; documents that are
    open to the wrong people, by rule. Raises Refused when no instruction for support covers documents."""
    with _opened(home, root, agency, at) as shelf:
        many = shelf.db.scalar(select(func.count()).select_from(ROWS["document"])) or 0
        if many > MOST:
            raise Refused("there are too many documents for a page", "Ask operations for an export.")
        documents, buildings = _documents(shelf), _co_ownerships(shelf)
    return {
        "audiences": {a: int((documents["audience"] == a).sum()) for a in AUDIENCES},
        "unknown": int(documents["item"].isna().sum()),
        "co_ownerships": [_state(b, documents, at.date()) for b in buildings],
        "findings": _findings(documents),
    }


def title(home: Home, root: Root, agency: AgencyCode, system: str, number: int, at: datetime) -> dict[str, Any] | None:
    """Title and name of file of one document, by its system and the number of its line. None: there is none."""
    with _opened(home, root, agency, at) as shelf:
        t = ROWS["document"]
        found = shelf.db.execute(select(t).where(t.c.system == system, t.c.owner == number)).all()
        if not found:
            return None
        row = shelf.opened(RECORDS["document"], found[:1])
        return {"key": found[0].source_key, "label": row["label"][0].as_py(), "file": row["file_name"][0].as_py()}


@contextmanager
def _opened(home: Home, root: Root, agency: AgencyCode, at: datetime) -> Iterator[OpenShelf]:
    warrant = Warrants(home, root, at).grant(agency, Act.LOOK)
    _demand(warrant.capability)
    with Keyring.open(home, root, warrant.capability) as keyring, OpenShelf.open(home, keyring, warrant) as shelf:
        yield shelf


def _demand(capability: Any) -> None:
    """Raises Refused unless support may see what a document is and says, in each system that it may see at all."""
    mandate, record = capability.mandate, RECORDS["document"]
    fields = [f for f in record.fields if f.name in _NEEDED]
    for system in capability.systems:
        grants = [g for g in mandate.for_system(system) if g.instruction in capability.ground]
        if not all(any(g.covers(record, f) for g in grants) for f in fields):
            raise Refused(
                "no instruction in force allows this",
                "Opening a value needs an instruction of the agency for the purpose support.",
            )


def _documents(shelf: OpenShelf) -> pd.DataFrame:
    """Open documents: where they belong, audience, what they are. Titles are looked at here and not kept."""
    t = ROWS["document"]
    wanted = select(t.c.system, t.c.source_key, t.c.owner)
    owners = pd.DataFrame(shelf.db.execute(wanted).all(), columns=["source_system", "source_key", "owner"])
    names = ["source_system", "source_key", "kind", "label", "document_date", "building_key", "person_key", "audience"]
    parts = [part.filter(part["ended_reason"].is_null()).select(names).to_pandas() for part in shelf.rows("document")]
    found = pd.concat([pd.DataFrame(columns=names), *parts], ignore_index=True)
    pairs = found[["kind", "label"]].astype(object).where(found[["kind", "label"]].notna(), None)
    known = {pair: item_of(*pair) for pair in set(map(tuple, pairs.to_numpy()))}
    found["item"] = [known[pair] for pair in map(tuple, pairs.to_numpy())]
    known_by: pd.DataFrame = found.drop(columns=["label"]).merge(owners, on=["source_system", "source_key"], how="left")
    return known_by


def _co_ownerships(shelf: OpenShelf) -> list[tuple[str, str]]:
    """Buildings of which the agency is syndic, by system and key; all that are not rental alone, where a source does
    not say."""
    found = []
    for part in shelf.rows("building"):
        open_ = part.filter(part["ended_reason"].is_null())
        for name, key, syndic, rental in zip(
            *(open_[c].to_pylist() for c in ("source_system", "source_key", "is_syndic", "is_rental")), strict=True
        ):
            if syndic or (syndic is None and not rental):
                found.append((name, key))
    return sorted(found)


def _state(building: tuple[str, str], documents: pd.DataFrame, today: date) -> dict[str, Any]:
    system, key = building
    mine = documents[(documents["source_system"] == system) & (documents["building_key"] == key)]
    there = {(i, a) for i, a in zip(mine["item"], mine["audience"], strict=True)}
    days = [d for d in mine["document_date"] if isinstance(d, date) and not pd.isna(d)]
    newest = max(days, default=None)
    # What is each co-owner's own is looked for as a kind: whether everybody has theirs cannot be told from here.
    missing = [i.name for i in items() if i.wanted and (i.name, i.audience) not in there]
    return {
        "system": system, "building": key, "documents": len(mine), "missing": missing,
        "newest": newest.isoformat() if newest else None,
        "stale": newest is None or today - newest > FRESH_FOR,
    }  # fmt: skip


def _findings(documents: pd.DataFrame) -> list[dict[str, Any]]:
    """Documents that the wrong people see, or the right ones do not: each once, by the worst of its rules."""
    audience_of = {i.name: i.audience for i in items()}
    meant = documents["item"].map(audience_of)
    is_open = documents["audience"].isin(["all", "council"])
    of_person, of_building = documents["person_key"].notna(), documents["building_key"].notna()
    masks = {
        "individual_open": is_open & (meant == "individual"),
        "names_person": is_open & of_person,
        "council_open": (documents["audience"] == "all") & (meant == "council"),
        "open_nowhere": is_open & ~of_building,
        "individual_nobody": (documents["audience"] == "individual") & ~of_person,
        "closed_too_far": (meant == "all") & (documents["audience"] != "all"),
    }
    left = pd.Series(True, index=documents.index)
    found: list[dict[str, Any]] = []
    for rule in RULES:
        hit = documents[masks[rule].fillna(False).astype(bool) & left]
        left &= ~documents.index.isin(hit.index)
        columns = ("source_system", "source_key", "owner", "item", "audience")
        for system, key, owner, item, audience in zip(*(hit[c] for c in columns), strict=True):
            known = None if pd.isna(item) else item
            found.append(
                {"rule": rule, "system": system, "key": key, "line": int(owner), "item": known, "audience": audience}
            )
    return found


def counted(findings: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """How many documents each rule names, in the order of the rules."""
    counts = Counter(f["rule"] for f in findings)
    return [{"rule": r, "count": counts[r]} for r in RULES if counts[r]]
