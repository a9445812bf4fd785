"""Which contract a file fits, and where it departs from it. Names of the contract, places and counts; never a value.

The file is proved and read as it would be in a sync, by itself: neither the chain of deliveries, nor the register, nor
what is held is looked at. A column that no contract knows is told by its position: where a header is missing, its place
is taken by somebody's data.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine

from connectors import odbc
from connectors.base import Connector, Delivery, Permitted, Recalled, find
from connectors.portal.layout import load as portal_layout
from connectors.sdgi import archive, control, layout as sdgi_layout, records
from ledger.minting import mint_inspection
from pipelines.guessing import AGENCIES, Guess, guess
from schemas.errors import DeliveryRefused, Malformed, Say
from schemas.frames import BIT, Reading
from schemas.ids import AgencyCode, System
from schemas.report import Quarantined
from store import register


@dataclass(frozen=True, slots=True)
class Departure:
    """One column that is not as in the contract: `missing` or `double` (its name is the contract's), or `extra`."""

    file: str
    kind: str
    name: str | None = None
    position: int | None = None

    def as_json(self) -> dict[str, Any]:
        return {"file": self.file, "kind": self.kind, "name": self.name, "position": self.position}


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `system` None: no contract fits. `reason`: the code with which the delivery would be refused."""

    file: str
    system: str | None = None
    layout: str | None = None
    encoding: str | None = None
    name_fits: bool = True
    reason: str | None = None
    where: str = ""
    columns: tuple[Departure, ...] = ()
    tables: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    quarantined: tuple[Quarantined, ...] = ()
    flags: Mapping[str, int] = field(default_factory=dict)
    delivery_flags: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return self.system is not None and self.reason is None

    def as_json(self) -> dict[str, Any]:
        return {
            "file": self.file, "system": self.system, "layout": self.layout, "encoding": self.encoding,
            "name_fits": self.name_fits, "fits": self.fits, "reason": self.reason, "where": self.where or None,
            "columns": [c.as_json() for c in self.columns], "tables": {t: dict(n) for t, n in self.tables.items()},
            "quarantined": [q.as_json() for q in self.quarantined], "flags": dict(self.flags),
            "delivery_flags": list(self.delivery_flags),
        }  # fmt: skip


def inspect(path: Path) -> Inspection:
    """Look at one file. Raises Malformed when it cannot be read at all."""
    if not path.is_file():
        raise Malformed("there is no such file", "Give the path of a delivery.")
    seems = guess(path)
    if seems is None:
        return Inspection(path.name)
    if seems.system == AGENCIES:
        return _register(path)
    system = System(seems.system)
    about = Inspection(path.name, str(system), _newest(system), _ENCODINGS[system], seems.name_fits)
    try:
        about = _read(about, path, seems, find(system))
    except DeliveryRefused as no:
        about = replace(about, reason=no.reason, where=no.where, columns=tuple(_columns(system, path)))
    except Say:
        # Only a database can be out of reach; what a driver says may quote it.
        about = replace(about, reason="source.misconfigured")
    # A database is read where it lies: its file is no delivery, and no name of it is wrong.
    misnamed = not seems.name_fits and system is not System.SPILASUITE
    return replace(about, reason="delivery.name") if misnamed and about.reason is None else about


def _read(about: Inspection, path: Path, seems: Guess, connector: Connector) -> Inspection:
    agency = AgencyCode(seems.agency) if seems.agency else None
    source = odbc.sqlite(path) if connector.system is System.SPILASUITE else None
    named = _first_of_pair(path) if connector.system is System.PORTAL else path
    name = named.name if connector.system is System.PORTAL and seems.name_fits else seems.name
    delivery = Delivery(agency, connector.system, name, datetime.now(UTC), named, source)
    if not connector.named(delivery):
        return replace(about, name_fits=False, reason="delivery.name")
    opened = connector.open(Permitted.of(delivery, mint_inspection(delivery.at)), seems.known)
    reading = connector.read([opened], Recalled())
    return replace(
        about,
        layout=opened.arrived.layout.replace(" ", "-"),
        delivery_flags=opened.arrived.flags,
        tables=_tables(reading),
        quarantined=tuple(_quarantined(reading)),
        flags=_flags(reading),
    )


def _first_of_pair(path: Path) -> Path:
    """The portal's pair is named after its first file."""
    return path.with_name(path.name.replace("PORTAIL_RATTACHEMENTS", "PORTAIL_COMPTES"))


def _tables(reading: Reading) -> dict[str, dict[str, int]]:
    pairs = zip(reading.lines["source"].to_pylist(), reading.lines["outcome"].to_pylist(), strict=True)
    counted: dict[str, Counter[str]] = {}
    for source, outcome in pairs:
        counted.setdefault(source, Counter())[outcome] += 1
    return {
        source: {"read": sum(n.values()), "ok": n["ok"], "quarantined": n["quarantined"], "ignored": n["ignored"]}
        for source, n in sorted(counted.items())
    }


def _quarantined(reading: Reading) -> Iterator[Quarantined]:
    lines = reading.lines
    for n in np.flatnonzero(lines["outcome"].to_numpy(zero_copy_only=False) == "quarantined").tolist():
        yield Quarantined(
            lines["source"][n].as_py(), reading.locus, lines["loc"][n].as_py(), lines["reason"][n].as_py()
        )


def _flags(reading: Reading) -> dict[str, int]:
    outcome = reading.lines["outcome"].to_numpy(zero_copy_only=False)
    bits = reading.lines["flags"].to_numpy()[outcome != "quarantined"]
    return {name: n for name, bit in BIT.items() if (n := int(((bits & bit) != 0).sum()))}


def _register(path: Path) -> Inspection:
    """The register is read into a database that lives as long as this call."""
    with create_engine("sqlite://").connect() as db:
        register.create(db)
        report = register.load(db, path)
    about = Inspection(path.name, AGENCIES, "agencies-1.0", "UTF-8", report.reason != "delivery.name", report.reason)
    tables = {
        t: {"read": c.read, "ok": c.stored, "quarantined": c.quarantined, "ignored": c.ignored}
        for t, c in report.tables.items()
    }
    return replace(about, tables=tables, quarantined=report.quarantined, flags=report.flags)


_ENCODINGS = {
    System.SDGI: "cp1252",
    System.GPI: "CP850",
    System.LOGIN: "UTF-8, windows-1252",
    System.PORTAL: "UTF-8",
    System.SPILASUITE: "Unicode",
}


def _newest(system: System) -> str:
    from pipelines.contracts import known

    return max(c.layout for c in known() if c.system == system)


# -- columns that drifted ----------------------------------------------------------------------------------------------


def _columns(system: System, path: Path) -> Iterator[Departure]:
    """Where the headers of a refused delivery depart from the contract, file by file."""
    if system is System.SDGI:
        yield from _sdgi_columns(path)
    if system is System.PORTAL:
        yield from _portal_columns(path)


def _sdgi_columns(path: Path) -> Iterator[Departure]:
    newest = sdgi_layout.newest()
    try:
        with path.open("rb") as file:
            members = archive.unpack(file, (archive.CONTROL, *newest.files), newest.limits).members
        said = control.read_control(members[archive.CONTROL], newest.files)
    except DeliveryRefused:
        return
    layout = sdgi_layout.layout_for(said.version) or newest
    for name, described in layout.files.items():
        if records.misencoded(members[name]):
            continue
        found = records.split(members[name], layout.encoding)
        if len(found):
            yield from _drift(name, [described.named(f) for f in found.fields(0)], described.names)


def _portal_columns(path: Path) -> Iterator[Departure]:
    layout = portal_layout()
    first = _first_of_pair(path)
    for described in layout.files:
        each = first.with_name(first.name.replace(layout.files[0].name, described.name))
        if each.is_file():
            header = each.read_bytes().partition(b"\n")[0].decode("utf-8", "replace")
            yield from _drift(each.name, header.split(layout.separator), tuple(c.name for c in described.columns))


def _drift(file: str, found: list[str], wanted: tuple[str, ...]) -> Iterator[Departure]:
    counted = Counter(found)
    yield from (Departure(file, "missing", name) for name in wanted if name not in counted)
    yield from (Departure(file, "double", name) for name in wanted if counted[name] > 1)
    yield from (Departure(file, "extra", None, n) for n, name in enumerate(found, 1) if name not in wanted)
