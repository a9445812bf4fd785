"""A small memory of rows, so that changes are read against what earlier documents left (canonical §6–§8).

It keeps one agency and knows nothing of sealing or instructions. Each rule stands alone, in plain Python, to be read.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pyarrow as pa

from connectors.base import Asked, Recalled
from schemas.frames import BIT, Reading, row_schema
from schemas.records import PROCESSOR_TABLES, RECORDS

Owner = tuple[str, str]
Key = tuple[str, str]
# Canonical §7: rows that name an erased person go with it.
_NAMED_IN = (
    "contact",
    "person_link",
    "co_ownership",
    "council_membership",
    "lease_party",
    "account",
    "bank_detail",
    "document",
)


@dataclass
class Held:
    """One row: who owns it, its columns, and its end."""

    owner: Owner
    values: dict[str, Any]
    ended: tuple[str, date] | None = None
    merged_into: str | None = None


@dataclass
class Outcome:
    """What became of the lines of one delivery."""

    tables: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)
    ended: Counter[str] = field(default_factory=Counter)
    flags: Counter[str] = field(default_factory=Counter)


class Shelf:
    """Rows of one agency by (record, source key)."""

    def __init__(self) -> None:
        self.rows: dict[Key, Held] = {}
        self.owners: set[Owner] = set()
        self.cursor: str | None = None

    # -- what a connector asks for ------------------------------------------------------------------------------------

    def recall(self, asked: list[Asked]) -> Recalled:
        """The rows that the asked lines own, whether they have ended or not."""
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for question in asked:
            wanted = {(source, key) for source, keys in question.keys.items() for key in keys}
            for (record, source_key), held in self.rows.items():
                if held.owner in wanted and not (held.ended and held.values.get("dropped")):
                    source, owner = held.owner
                    values = {
                        **held.values,
                        "d": question.d,
                        "source": source,
                        "owner": owner,
                        "source_key": source_key,
                    }
                    found[record].append(values)
        return Recalled({record: pa.Table.from_pylist(rows, _recalled(record)) for record, rows in found.items()})

    # -- what a delivery does -----------------------------------------------------------------------------------------

    def keep(self, reading: Reading) -> Outcome:
        """Store the lines of one delivery, then its ends."""
        outcome, arrived = Outcome(), reading.deliveries[0]
        lines = {line["line"]: line for line in reading.lines.to_pylist()}
        rows: dict[int, list[tuple[str, dict[str, Any]]]] = defaultdict(list)
        for record, table in reading.rows.items():
            for row in table.to_pylist():
                rows[row["line"]].append((record, row))
        self._unknown(lines)
        self._references(lines, rows)
        for number, line in lines.items():
            if line["outcome"] == "ok" and line["source"] != "Suppression":
                line["outcome"] = self._store((line["source"], line["key"]), rows[number], arrived.day)
        for reason in ("SORTIE", "DOUBLON", "EFFACEMENT"):
            for end in reading.endings.to_pylist():
                if end["reason"] == reason:
                    lines[end["line"]]["outcome"] = self._end(end, outcome)
        self.cursor = arrived.cursor
        return self._report(lines, outcome)

    @staticmethod
    def _report(lines: Mapping[int, dict[str, Any]], outcome: Outcome) -> Outcome:
        for line in lines.values():
            outcome.tables[line["source"]][line["outcome"]] += 1
            if line["outcome"] == "quarantined":
                outcome.quarantined.append((line["source"], line["loc"], line["reason"]))
            accepted = line["outcome"] in ("stored", "unchanged")
            repeated = BIT["row_repeated"] if line["outcome"] == "ignored" else 0
            counted = line["flags"] if accepted else line["flags"] & repeated
            outcome.flags.update(name for name, bit in BIT.items() if counted & bit)
        return outcome

    def _unknown(self, lines: Mapping[int, dict[str, Any]]) -> None:
        for line in lines.values():
            if line["outcome"] == "ok" and line["partial"] and (line["source"], line["key"]) not in self.owners:
                line.update(outcome="quarantined", reason="row.unknown_key")

    def _references(
        self, lines: Mapping[int, dict[str, Any]], rows: dict[int, list[tuple[str, dict[str, Any]]]]
    ) -> None:
        """Canonical §6: roles are looked up, then lines whose required references lead nowhere go, until none does."""
        while True:
            accepted = [row for number, line in lines.items() if line["outcome"] == "ok" for row in rows[number]]
            keys = {(record, row["source_key"]) for record, row in accepted} | self.rows.keys()
            said = {row["source_key"]: row["person_key"] for record, row in accepted if record == "role"}
            lost = [
                n
                for n, line in lines.items()
                if line["outcome"] == "ok" and not self._resolved(line, rows[n], keys, said)
            ]
            for number in lost:
                lines[number].update(outcome="quarantined", reason="row.dangling_ref")
            if not lost:
                return

    def _role(self, key: str, said: Mapping[str, str]) -> str | None:
        held = self.rows.get(("role", key))
        return said.get(key) or (held.values["person_key"] if held else None)

    def _resolved(
        self, line: dict[str, Any], rows: list[tuple[str, dict[str, Any]]], keys: set[Key], said: Mapping[str, str]
    ) -> bool:  # fmt: skip
        for record, row in rows:
            for ref in RECORDS[record].refs:
                via = row.get(f"via:{ref.name}")
                value = row[ref.name] if via is None else self._role(via, said)
                if value is not None and (ref.target, value) in keys:
                    row[ref.name] = value
                elif ref.required and (value is not None or via is not None or not ref.nullable):
                    return False
                elif value is not None or via is not None:
                    row[ref.name] = None
                    line["flags"] |= BIT["ref_unresolved"]
        return True

    def _store(self, owner: Owner, rows: list[tuple[str, dict[str, Any]]], day: date) -> str:
        changed = False
        for record, row in rows:
            names = [f.name for f in RECORDS[record].fields if f.name != "merged_into"]
            fresh = Held(owner, {name: row[name] for name in names})
            changed |= self.rows.get((record, row["source_key"])) != fresh
            self.rows[record, row["source_key"]] = fresh
        said = {(record, row["source_key"]) for record, row in rows}
        for key in [key for key, held in self.rows.items() if held.owner == owner and key not in said]:
            changed |= self._drop(key, day)
        self.owners.add(owner)
        return "stored" if changed else "unchanged"

    def _drop(self, key: Key, day: date) -> bool:
        """A row that its line no longer says (canonical §7): a contact goes, any other row has left."""
        if key[0] == "contact":
            del self.rows[key]
            return True
        held = self.rows[key]
        held.values["dropped"] = True
        if held.ended is None:
            held.ended = ("SORTIE", day)
            return True
        return False

    # -- ends ---------------------------------------------------------------------------------------------------------

    def _end(self, end: dict[str, Any], outcome: Outcome) -> str:
        owner = (end["source"], end["key"])
        owned = [key for key, held in self.rows.items() if held.owner == owner]
        if end["reason"] == "EFFACEMENT":
            self._erase(owned)
            outcome.ended["EFFACEMENT"] += bool(owned)
            return "stored"
        if not owned:
            return "ignored"
        before = [(self.rows[key].ended, self.rows[key].merged_into) for key in owned]
        for key in owned:
            held = self.rows[key]
            if key[0] == "person" and end["reason"] == "DOUBLON":
                held.ended, held.merged_into = ("DOUBLON", end["on"]), end["merged_into"]
            held.ended = held.ended or (end["reason"], end["on"])
        changed = before != [(self.rows[key].ended, self.rows[key].merged_into) for key in owned]
        outcome.ended[end["reason"]] += changed
        return "stored" if changed else "unchanged"

    def _erase(self, owned: list[Key]) -> None:
        persons = {key for record, key in owned if record == "person"}
        for key in owned:
            del self.rows[key]
        for key in [key for key, held in self.rows.items() if key[0] in _NAMED_IN and _names(held, persons)]:
            del self.rows[key]
        for held in self.rows.values():
            if held.values.get("landlord_key") in persons:
                held.values["landlord_key"] = None
            if held.merged_into in persons:
                held.merged_into = None

    # -- what is held -------------------------------------------------------------------------------------------------

    def table(self, record: str) -> dict[str, dict[str, Any]]:
        """The rows of a canonical table by key, ends included, as the return pack writes them."""
        return {
            key: {
                **{name: value for name, value in held.values.items() if name != "dropped"},
                **({"merged_into": held.merged_into} if record == "person" else {}),
                "ended_reason": held.ended[0] if held.ended else None,
                "ended_on": held.ended[1] if held.ended else None,
            }
            for (name, key), held in self.rows.items()
            if name == record
        }

    def tables(self) -> dict[str, dict[str, dict[str, Any]]]:
        return {record: self.table(record) for record in PROCESSOR_TABLES}


def _names(held: Held, persons: set[str]) -> bool:
    return any(held.values.get(name) in persons for name in ("person_key", "member_key", "group_key"))


def _recalled(record: str) -> pa.Schema:
    own = [field for field in row_schema(RECORDS[record]) if field.name not in ("line", "soft")]
    return pa.schema([("d", pa.int32()), ("source", pa.string()), ("owner", pa.string()), *own])
