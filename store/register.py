"""The register of agency contracts 1.0 (contracts/agencies.md): which agencies there are, until when, and which were
erased.

`AGENCES_<AAAAMMJJ>.csv`: UTF-8, `;`, `"` doubled, LF, header. The newest register is the truth: the file of an older
day than the last one loaded is refused with `agencies.out_of_order`; the same day may be loaded again, corrected or
not. An agency that a newer register does not name keeps its last row: absence ends no contract, only `date_fin` does.

A bad code is quarantined before anything else is looked at; it is used in no path, query or file name and repeated
nowhere. The rest of a row follows canonical §3 to §5. Of the contact's address, only a sealed form is kept, and none
without a seal.

After an erasure the row is its code, `date_fin` and the day erased, so that the same register loaded again does not
bring the agency back; a later `date_fin`, or none, is a new start.
"""

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Boolean, Column, Connection, Date, DateTime, LargeBinary, MetaData, Row, String, Table, select

from schemas.errors import Malformed, Refused
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System, agency_code
from schemas.report import Counts, Quarantined, Report
from schemas.window import LAST_END, Contract, EndReason, RestrictionScope, is_new_start

SYSTEM = "agencies"
SOURCE = "AGENCES"
HEADER = (
    "code_agence", "raison_sociale", "siret", "date_debut", "date_fin", "motif_fin", "restriction",
    "restriction_portee", "systemes", "contact_dpo",
)  # fmt: skip
LONGEST_LINE = 65_536
_NAME = re.compile(r"AGENCES_(\d{8})\.csv")
_SPACES = re.compile(r"[ \t\r\n\u00a0\u202f]+")
_CONTROL = re.compile(r"[\x01-\x08\x0b\x0c\x0e-\x1f]")
_SENTINELS = frozenset({"1900-01-01", "1970-01-01", "0001-01-01", "9999-12-31"})  # canonical N10

META = MetaData()

AGENCY = Table(
    "agency",
    META,
    Column("code", String, primary_key=True),
    Column("raison_sociale", String),
    Column("siret", String),
    Column("date_debut", Date),
    Column("date_fin", Date),
    Column("motif_fin", String),
    Column("restriction", Date),
    Column("restriction_portee", String),
    Column("systemes", String),
    Column("contact_dpo", LargeBinary),  # sealed, or nothing
    Column("erased_on", DateTime),  # UTC
    Column("closed", Date),  # date_fin at the erasure
    Column("end_set_on", Date),  # day of the register that first gave the present date_fin
    Column("end_moved", Boolean),  # whether it replaced another one, or a running contract
    Column("end_noted", Boolean),  # whether the agency's ledger knows the present date_fin
)

LOADED = Table("register_loaded", META, Column("day", Date, primary_key=True), Column("sha256", String, nullable=False))

# What is left of an erased agency (FIN_CONTRAT).
KEPT_COLUMNS = ("code", "date_fin", "erased_on", "closed")


class Sealer(Protocol):
    """What seals the contact's address: the root key (`store.keys.Root`)."""

    def wrap(self, secret: bytes, purpose: str) -> bytes: ...

    def unwrap(self, wrapped: bytes, purpose: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Agency:
    """One row of the register. After an erasure only the code, the end and the instant of the erasure are known."""

    contract: Contract
    legal_name: str | None = None
    siret: str | None = None
    end_reason: EndReason | None = None
    erased_on: datetime | None = None
    end_set_on: date | None = None
    end_moved: bool = False

    @property
    def code(self) -> AgencyCode:
        return self.contract.agency


@dataclass(frozen=True, slots=True)
class _Entry:
    """One record of the file that passed every check. `values` are columns of AGENCY."""

    line: int
    text: tuple[str, ...]
    code: AgencyCode
    values: dict[str, Any]
    sentinel: bool


def create(connection: Connection) -> None:
    """Make the register's tables where they are missing."""
    META.create_all(connection)


def load(connection: Connection, path: Path, sealer: Sealer | None = None) -> Report:
    """Read a register file into the caller's transaction; every good row or, when the file is refused, none.

    `sealer` seals the contact's address; without it the address is not kept. Refusals: `delivery.name`,
    `agencies.out_of_order`, `agencies.encoding`, `agencies.header_drift`, `agencies.not_csv`. Raises Malformed when
    the file cannot be read at all.
    """
    try:
        raw = path.read_bytes()
    except OSError:
        raise Malformed("the register cannot be read", "Give the path of a file AGENCES_<AAAAMMJJ>.csv.") from None
    day = _day_of(path.name)
    refusal, records = _records(connection, day, raw)
    if refusal or day is None:
        return Report(None, SYSTEM, path.name, day, "refused", refusal)
    good, quarantined, repeated = _sort(records)
    known = {row.code: row for row in connection.execute(select(AGENCY))}
    changed = [e for e in good if _changes(e, known.get(e.code), sealer)]
    for e in changed:
        _store(connection, e, known.get(e.code), day, sealer)
    connection.execute(LOADED.delete())
    connection.execute(LOADED.insert().values(day=day, sha256=hashlib.sha256(raw).hexdigest()))
    counts = Counts(len(records), len(changed), len(good) - len(changed), len(quarantined), repeated)
    flags = {"row_repeated": repeated, "sentinel": sum(e.sentinel for e in good)}
    return Report(None, SYSTEM, path.name, day, "accepted", tables={SOURCE: counts}, quarantined=tuple(quarantined),
                  flags={name: n for name, n in flags.items() if n})  # fmt: skip


def get(connection: Connection, code: AgencyCode) -> Agency | None:
    row = connection.execute(select(AGENCY).where(AGENCY.c.code == code)).one_or_none()
    return None if row is None else _agency(row)


def everyone(connection: Connection) -> tuple[Agency, ...]:
    """Every agency of the register, erased ones too, by code."""
    return tuple(_agency(row) for row in connection.execute(select(AGENCY).order_by(AGENCY.c.code)))


def erased_codes(connection: Connection) -> frozenset[AgencyCode]:
    """Agencies that were erased and have not started again: the portal's lines that name them are ignored."""
    return frozenset(
        AgencyCode(c) for c in connection.scalars(select(AGENCY.c.code).where(AGENCY.c.erased_on.is_not(None)))
    )


def contact(connection: Connection, code: AgencyCode, sealer: Sealer) -> str | None:
    """The address of the agency's data-protection contact."""
    return _contact(code, connection.scalar(select(AGENCY.c.contact_dpo).where(AGENCY.c.code == code)), sealer)


def to_note(connection: Connection) -> tuple[Agency, ...]:
    """Agencies whose end was set or moved and whose ledger does not say so yet."""
    rows = connection.execute(select(AGENCY).where(AGENCY.c.end_noted.is_(False), AGENCY.c.erased_on.is_(None)))
    return tuple(_agency(row) for row in rows)


def noted(connection: Connection, codes: Sequence[AgencyCode]) -> None:
    connection.execute(AGENCY.update().where(AGENCY.c.code.in_(codes)).values(end_noted=True))


def reduce_row(connection: Connection, code: AgencyCode, end: date) -> bool:
    """Forget everything of an agency but its code and its end. True when there was something to forget."""
    row = connection.execute(select(AGENCY).where(AGENCY.c.code == code)).one_or_none()
    if row is None:
        return False
    more = [c.name for c in AGENCY.c if c.name not in KEPT_COLUMNS and getattr(row, c.name) is not None]
    connection.execute(AGENCY.update().where(AGENCY.c.code == code).values(dict.fromkeys(more) | {"date_fin": end}))
    return bool(more)


def mark_erased(connection: Connection, code: AgencyCode, at: datetime, end: date | None = None) -> None:
    """Note that an agency was erased at an instant; `end` is the end of the contract that was erased (default: the
    register's).

    Doing it twice keeps the first instant. Refused for an agency without an end: its contract runs.
    """
    row = connection.execute(select(AGENCY).where(AGENCY.c.code == code)).one_or_none()
    closed = end or (row.date_fin if row else None)
    if row is None or closed is None:
        raise Refused("an agency that the register does not end cannot be marked as erased")
    reduce_row(connection, code, closed)
    if row.erased_on is None:
        values = {"erased_on": at.astimezone(UTC).replace(tzinfo=None), "closed": closed}
        connection.execute(AGENCY.update().where(AGENCY.c.code == code).values(values))


# -- reading the file --------------------------------------------------------------------------------------------------


def _day_of(name: str) -> date | None:
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        return datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None


def _records(
    connection: Connection, day: date | None, raw: bytes
) -> tuple[str | None, list[tuple[int, tuple[str, ...]]]]:
    """Why the file is refused, or every data record with the line on which it starts."""
    if day is None:
        return "delivery.name", []
    last = connection.scalar(select(LOADED.c.day))
    if last is not None and day < last:
        return "agencies.out_of_order", []
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return "agencies.encoding", []
    try:
        records = list(_split(text))
    except csv.Error:
        return "agencies.not_csv", []
    if not records or records[0][1] != HEADER:
        return "agencies.header_drift", []
    return None, records[1:]


def _split(text: str) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Records with the line on which each starts; blank lines are skipped. One row an agency: a loop is quick
    enough."""
    if any(len(line) > LONGEST_LINE for line in text.split("\n")):
        raise csv.Error("a line longer than any row of a register")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    start = 1
    for record in reader:
        if record:
            yield start, tuple(record)
        start = reader.line_num + 1


def _sort(records: list[tuple[int, tuple[str, ...]]]) -> tuple[list[_Entry], list[Quarantined], int]:
    """Good entries, quarantined records, and how many repeat an earlier one exactly."""
    good: dict[str, _Entry] = {}
    quarantined = []
    repeated = 0
    for line, fields in records:
        entry = _check(line, fields)
        first = good.get(entry.code) if isinstance(entry, _Entry) else None
        if isinstance(entry, str):
            quarantined.append(Quarantined(SOURCE, "line", str(line), entry))
        elif first is None:
            good[entry.code] = entry
        elif first.text == fields:
            repeated += 1
        else:
            quarantined.append(Quarantined(SOURCE, "line", str(line), "row.duplicate_key"))
    return list(good.values()), quarantined, repeated


def _check(line: int, fields: tuple[str, ...]) -> _Entry | str:
    """The entry of a record, or the reason code that puts it aside (canonical §5, in its order)."""
    if len(fields) != len(HEADER):
        return "row.field_count"
    try:
        code = agency_code(fields[0])
    except Malformed:
        return "agency.bad_code"
    raw = dict(zip(HEADER, fields, strict=True))
    text = {name: _SPACES.sub(" ", value).strip(" ") or None for name, value in raw.items()}
    if not (text["raison_sociale"] and text["siret"]):
        return "row.missing_key"
    if any("\0" in value for value in fields):
        return "row.nul_byte"
    if any(_CONTROL.search(value) for value in fields):
        return "row.control_char"
    try:
        values, sentinel = _values(text)
    except _BadValue as bad:
        return bad.reason
    return _Entry(line, fields, code, {"code": code} | values, sentinel)


class _BadValue(Exception):
    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _values(text: dict[str, str | None]) -> tuple[dict[str, Any], bool]:
    """The columns of a row, leftmost first: the first that is wrong gives the reason."""
    siret = _siret(text["siret"])
    start = _date(text["date_debut"])
    end = _date(text["date_fin"])
    if start is None or (end is not None and not start <= end <= LAST_END):
        raise _BadValue("row.bad_date")
    motif = _enum(EndReason, text["motif_fin"])
    restriction = _date(text["restriction"])
    scope = _enum(RestrictionScope, text["restriction_portee"])
    if scope is not None and restriction is None:
        raise _BadValue("row.bad_date")
    if restriction is not None and scope is None:
        raise _BadValue("row.bad_enum")
    values = {
        "raison_sociale": text["raison_sociale"],
        "siret": siret,
        "date_debut": start,
        "date_fin": end,
        "motif_fin": motif,
        "restriction": restriction,
        "restriction_portee": scope,
        "systemes": _systems(text["systemes"]),
        "contact_dpo": text["contact_dpo"],
    }
    dates = (text["date_debut"], text["date_fin"], text["restriction"])
    return values, any(d in _SENTINELS for d in dates)


def _siret(text: str | None) -> str:
    bare = (text or "").replace(" ", "")
    if not re.fullmatch(r"[0-9]{14}", bare):
        raise _BadValue("row.bad_number")
    return bare


def _date(text: str | None) -> date | None:
    """A day, or none for nothing and for the sentinels of canonical N10."""
    if text is None or text in _SENTINELS:
        return None
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _BadValue("row.bad_date")


def _enum(kind: type[EndReason] | type[RestrictionScope], text: str | None) -> str | None:
    if text is None:
        return None
    if text not in {str(k) for k in kind}:
        raise _BadValue("row.bad_enum")
    return text


def _systems(text: str | None) -> str:
    """The comma list in one order. Raises for none, and for one that is unknown."""
    named = {part.strip() for part in (text or "").split(",")}
    if not named <= {str(s) for s in AGENCY_SYSTEMS}:
        raise _BadValue("row.bad_enum")
    return ",".join(s for s in AGENCY_SYSTEMS if s in named)


# -- keeping what was read ---------------------------------------------------------------------------------------------

_PLAIN = (
    "raison_sociale",
    "siret",
    "date_debut",
    "date_fin",
    "motif_fin",
    "restriction",
    "restriction_portee",
    "systemes",
)


def _changes(entry: _Entry, row: Row[Any] | None, sealer: Sealer | None) -> bool:
    """Whether an entry brings something. An erased agency stays erased until a register starts it again."""
    if row is None:
        return True
    if row.erased_on is not None:
        return is_new_start(row.date_fin, entry.values["date_fin"])
    if sealer is not None and _contact(entry.code, row.contact_dpo, sealer) != entry.values["contact_dpo"]:
        return True
    return any(getattr(row, c) != entry.values[c] for c in _PLAIN)


def _store(connection: Connection, entry: _Entry, row: Row[Any] | None, day: date, sealer: Sealer | None) -> None:
    address = entry.values["contact_dpo"]
    sealed = sealer.wrap(address.encode(), _purpose(entry.code)) if sealer and address else None
    values = entry.values | {"contact_dpo": sealed, "erased_on": None, "closed": None}
    lived = row is not None and row.erased_on is None
    if row is None or not lived or row.date_fin != values["date_fin"]:
        values |= {"end_set_on": day, "end_moved": lived, "end_noted": values["date_fin"] is None and not lived}
    if row is None:
        connection.execute(AGENCY.insert().values(values))
    else:
        connection.execute(AGENCY.update().where(AGENCY.c.code == entry.code).values(values))


def _contact(code: AgencyCode, sealed: bytes | None, sealer: Sealer) -> str | None:
    return None if sealed is None else sealer.unwrap(sealed, _purpose(code)).decode()


def _purpose(code: AgencyCode) -> str:
    return f"contact of {code}"


def _agency(row: Row[Any]) -> Agency:
    erased = row.erased_on is not None
    scope = RestrictionScope(row.restriction_portee) if row.restriction_portee else None
    contract = Contract(
        agency=AgencyCode(row.code),
        # A reduced row knows its end only; it opens nothing.
        start=row.date_debut or date.min,
        end=row.date_fin,
        restriction=row.restriction,
        restriction_scope=scope,
        systems=frozenset(System(s) for s in (row.systemes or "").split(",") if s),
        erased=erased,
    )
    reason = EndReason(row.motif_fin) if row.motif_fin else None
    erased_on = row.erased_on.replace(tzinfo=UTC) if erased else None
    return Agency(contract, row.raison_sociale, row.siret, reason, erased_on, row.end_set_on, bool(row.end_moved))
