"""Random histories of deliveries: the shelf agrees with a plain model of canonical §6–§8, written with dictionaries.

The model reads line by line and knows no digest, no Arrow and no SQL. Each history is a few deliveries of one flow
with lines that come, change, disappear from their line, refer to each other well or badly, end, come back and are
erased.
"""

import datetime as dt
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from connectors.cut import cut
from connectors.normalise import frame
from schemas.admission import admit
from schemas.frames import CONTENT, ENDINGS, LINES, Arrived, Reading
from schemas.home import Home
from schemas.ids import AgencyCode, System
from schemas.mandate import Grant, Mandate, Purpose
from schemas.report import Report
from store.agency import OpenShelf
from store.keep import Errand, keep
from store.keys import Keyring, create_root, open_root
from store.spool import Spool
from tests.leave import capability, warrant

AGENCY = AgencyCode("A0001")
AT = dt.datetime(2026, 1, 5, 12, tzinfo=dt.UTC)
YIELDS = {
    "People": frozenset({"person", "contact"}), "Buildings": frozenset({"building"}),
    "Lots": frozenset({"lot", "co_ownership"}), "Accounts": frozenset({"account"}), "Mandates": frozenset({"mandate"}),
}  # fmt: skip
REFERS = {
    "contact": {"person_key": ("person", True)}, "lot": {"building_key": ("building", True)},
    "co_ownership": {"lot_key": ("lot", True), "person_key": ("person", True)},
    "account": {"person_key": ("person", True), "building_key": ("building", False)},
    "mandate": {"landlord_key": ("person", False)},
}  # fmt: skip
NAMES_A_PERSON = ("contact", "co_ownership", "account")


@dataclass
class Line:
    source: str
    key: str
    rows: list[tuple[str, str, dict[str, Any], bool]] = field(default_factory=list)  # table, key, columns, soft
    end: tuple[str, str, str, str | None] | None = None  # target source, target key, reason, survivor


@dataclass
class Held:
    columns: dict[str, Any]
    owner: tuple[str, str]
    ended: tuple[str, str] | None = None
    merged_into: str | None = None
    dropped: bool = False


class Model:
    """What the contracts say, one line at a time."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], Held] = {}
        self.erased: set[str] = set()

    def take(self, lines: list[Line], day: str) -> dict[str, str]:
        outcome: dict[int, str] = {}
        for n, line in enumerate(lines):
            if any(t == "person" and k in self.erased for t, k, _, _ in line.rows):
                outcome[n] = "quarantined"
        while True:
            arriving = {(t, k) for n, line in enumerate(lines) if n not in outcome for t, k, _, soft in line.rows}
            fallen = [
                n
                for n, line in enumerate(lines)
                if n not in outcome and any(not soft and self.dangles(t, c, arriving) for t, _, c, soft in line.rows)
            ]
            if not fallen:
                break
            outcome |= dict.fromkeys(fallen, "quarantined")
        settled = {
            n: self.settle(line, arriving) for n, line in enumerate(lines) if n not in outcome and line.end is None
        }
        for n, rows in settled.items():
            outcome[n] = self.store((lines[n].source, lines[n].key), rows, day)
        for reason in ("SORTIE", "DOUBLON", "EFFACEMENT"):
            for n, line in enumerate(lines):
                if line.end is not None and line.end[2] == reason:
                    outcome[n] = self.finish(line.end, day)
        return {f"{line.source}:{line.key}": outcome[n] for n, line in enumerate(lines)}

    def dangles(self, table: str, columns: dict[str, Any], arriving: set[tuple[str, str]]) -> bool:
        refs = REFERS.get(table, {})
        return any(required and not self.found(target, columns[c], arriving) for c, (target, required) in refs.items())

    def found(self, target: str, key: str | None, arriving: set[tuple[str, str]]) -> bool:
        return key is None or (target, key) in arriving or (target, key) in self.rows

    def settle(self, line: Line, arriving: set[tuple[str, str]]) -> list[tuple[str, str, dict[str, Any]]]:
        out = []
        for table, key, columns, soft in line.rows:
            if soft and self.dangles(table, columns, arriving):
                continue
            known = dict(columns)
            for c, (target, required) in REFERS.get(table, {}).items():
                if not required and not self.found(target, known[c], arriving):
                    known[c] = None
            out.append((table, key, known))
        return out

    def store(self, owner: tuple[str, str], rows: list[tuple[str, str, dict[str, Any]]], day: str) -> str:
        owned = {k for k, r in self.rows.items() if r.owner == owner and not r.dropped}
        given = {(t, k): c for t, k, c in rows}
        same = owned == set(given) and all(
            self.rows[k].columns == c and self.rows[k].ended is None for k, c in given.items()
        )
        if same and owned:
            return "unchanged"
        for k, c in given.items():
            self.rows[k] = Held(c, owner)
        for k in owned - set(given):
            if k[0] == "contact":
                del self.rows[k]
            else:
                self.rows[k].dropped = True
                self.rows[k].ended = self.rows[k].ended or ("SORTIE", day)
        return "stored"

    def finish(self, end: tuple[str, str, str, str | None], day: str) -> str:
        source, key, reason, survivor = end
        owned = {k: r for k, r in self.rows.items() if r.owner == (source, key)}
        if reason == "EFFACEMENT":
            persons = {k for t, k in owned if t == "person"} | {key}
            fresh = persons - self.erased
            self.erased |= persons
            for k, r in list(self.rows.items()):
                if r.owner == (source, key) or (k[0] in NAMES_A_PERSON and r.columns["person_key"] in persons):
                    del self.rows[k]
                elif k[0] == "mandate" and r.columns["landlord_key"] in persons:
                    r.columns["landlord_key"] = None
                elif r.merged_into in persons:
                    r.merged_into = None
            return "stored" if owned or fresh else "ignored"
        if not owned:
            return "ignored"
        before = {k: (r.ended, r.merged_into) for k, r in owned.items()}
        for k, r in owned.items():
            if reason == "DOUBLON" and k == ("person", key) and not r.dropped:
                r.ended, r.merged_into = ("DOUBLON", day), survivor if ("person", survivor) in self.rows else None
            r.ended = r.ended or (reason, day)
        return "stored" if before != {k: (r.ended, r.merged_into) for k, r in owned.items()} else "unchanged"


def history(rng: random.Random) -> list[list[Line]]:
    return [delivery(rng) for _ in range(rng.randint(2, 6))]


def delivery(rng: random.Random) -> list[Line]:
    people, buildings, lots = [f"p{n}" for n in range(5)], [f"b{n}" for n in range(2)], [f"l{n}" for n in range(3)]
    maybe: Any = lambda options: rng.choice([*options, None])  # noqa: E731
    lines: dict[tuple[str, str], Line] = {}

    def add(line: Line) -> None:
        lines.setdefault((line.source, line.key), line)

    for key in rng.sample(people, rng.randint(0, 4)):
        rows: list[Any] = [("person", key, {"kind": "natural", "last_name": rng.choice(["A", "B", None])}, False)]
        rows += [
            (
                "contact",
                f"{key}:email:{n}",
                {"person_key": key, "kind": "email", "rank": n, "value_raw": rng.choice("xy")},
                False,
            )
            for n in range(rng.randint(0, 2))
        ]
        add(Line("People", key, rows))
    for key in rng.sample(buildings, rng.randint(0, 2)):
        add(Line("Buildings", key, [("building", key, {"code": rng.choice("uv")}, False)]))
    for key in rng.sample(lots, rng.randint(0, 3)):
        rows = [("lot", key, {"building_key": rng.choice([*buildings, "b9"]), "number": key}, False)]
        rows += [
            ("co_ownership", f"{key}:{p}", {"lot_key": key, "person_key": p, "right": "full"}, True)
            for p in rng.sample([*people, "p9"], rng.randint(0, 2))
        ]
        add(Line("Lots", key, rows))
    for n in range(rng.randint(0, 3)):
        columns = {
            "person_key": rng.choice([*people, "p9"]),
            "building_key": maybe([*buildings, "b9"]),
            "number": "1",
            "balance": rng.choice([1, 2]),
        }
        add(Line("Accounts", f"a{n}", [("account", f"a{n}", columns, False)]))
    for n in range(rng.randint(0, 2)):
        add(Line("Mandates", f"m{n}", [("mandate", f"m{n}", {"landlord_key": maybe([*people, "p9"])}, False)]))
    for _ in range(rng.randint(0, 3)):
        source, key = rng.choice([("People", p) for p in [*people, "p8"]] + [("Lots", "l0"), ("Accounts", "a1")])
        reason = rng.choice(["SORTIE", "DOUBLON", "EFFACEMENT"]) if source == "People" else "SORTIE"
        add(
            Line(
                "Ends",
                f"{source}:{key}",
                [],
                (source, key, reason, rng.choice([*people, "p9", None]) if reason == "DOUBLON" else None),
            )
        )
    return list(lines.values())


def reading(lines: list[Line], day: dt.date, n: int) -> Reading:
    numbered = list(enumerate(lines))
    columns: dict[str, list[Any]] = {name: [] for name in LINES.names}
    for i, line in numbered:
        for name, value in zip(LINES.names, (i, 0, line.source, line.key, line.key, "ok", None, 0, False), strict=True):
            columns[name].append(value)
    rows = {}
    for table in {t for _, line in numbered for t, _, _, _ in line.rows}:
        parts = []
        for i, line in numbered:
            for t, key, given, soft in line.rows:
                if t == table:
                    import numpy as np

                    parts.append(
                        frame.rows(
                            table,
                            line=np.array([i]),
                            source_key=pa.array([key]),
                            soft=soft,
                            **{c: pa.array([v]) for c, v in given.items() if v is not None},
                        )
                    )
        rows[table] = pa.concat_tables(parts).combine_chunks()
    ends = [(i, line.end) for i, line in numbered if line.end is not None]
    told = [
        (i, 0, s, k, why, day, survivor, k if why == "EFFACEMENT" else None, False) for i, (s, k, why, survivor) in ends
    ]
    endings = pa.table([list(c) for c in zip(*told, strict=True)] or [[]] * len(ENDINGS), schema=ENDINGS)
    arrived = Arrived(AGENCY, System.LOGIN, f"d{n}", day, "0" * 64, "model 1", str(n))
    return Reading(
        System.LOGIN, "ref", (arrived,), pa.table(columns, schema=LINES), rows, endings, CONTENT.empty_table()
    )


def shelf_rows(shelf: OpenShelf) -> dict[tuple[str, str], Any]:
    out = {}
    for table in ("person", "contact", "building", "lot", "co_ownership", "account", "mandate"):
        for part in shelf.rows(table):
            for row in part.to_pylist():
                ended = (row["ended_reason"], row["ended_on"].isoformat()) if row["ended_reason"] else None
                out[(table, row["source_key"])] = (row, ended)
    return out


@pytest.mark.parametrize("seed", range(60))
def test_the_shelf_agrees_with_the_plain_model(seed: int, tmp_path: Path) -> None:
    agrees(seed, tmp_path, None)


@pytest.mark.parametrize("lines", [1, 2, 7])
@pytest.mark.parametrize("seed", range(60, 75))
def test_the_shelf_agrees_with_the_plain_model_a_slice_at_a_time(seed: int, lines: int, tmp_path: Path) -> None:
    agrees(seed, tmp_path, lines)


def agrees(seed: int, tmp_path: Path, lines_at_once: int | None) -> None:
    rng = random.Random(seed)
    home = Home.at(tmp_path)
    create_root(home)
    model = Model()
    mandate = Mandate(AGENCY, AT, (Grant("I", frozenset(System), frozenset({"*"}), frozenset({Purpose.EXTRANET})),))
    with (
        Keyring.open(home, open_root(home), capability(AGENCY), create=True) as keyring,
        OpenShelf.open(home, keyring, warrant(AGENCY), create=True) as shelf,
    ):
        for n, lines in enumerate(history(rng)):
            day = dt.date(2026, 1, 5 + n)
            want = model.take(lines, day.isoformat())
            heard, errand = reading(lines, day, n), Errand("run", AT, "0")
            if lines_at_once is None:
                [(_, report)] = list(keep(admit(heard, [mandate], YIELDS), [shelf], errand))
            else:
                with Spool(home.root) as spool:
                    for some in cut(heard, lines_at_once):
                        spool.take(admit(some, [mandate], YIELDS))
                    [(_, report)] = list(keep(spool, [shelf], errand))
            assert report is not None
            assert totals(report) == tally(lines, want)
            have = shelf_rows(shelf)
            assert have.keys() == model.rows.keys()
            for key, held in model.rows.items():
                row, ended = have[key]
                assert {c: row[c] for c in held.columns} == held.columns, key
                assert (ended, row.get("merged_into")) == (held.ended, held.merged_into), key


def totals(report: Report) -> dict[str, dict[str, int]]:
    return {s: {k: v for k, v in c.as_json().items() if v and k != "read"} for s, c in report.tables.items()}


def tally(lines: list[Line], outcome: dict[str, str]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for line in lines:
        of = out.setdefault(line.source, {})
        name = outcome[f"{line.source}:{line.key}"]
        of[name] = of.get(name, 0) + 1
    return out
