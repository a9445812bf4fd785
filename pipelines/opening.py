"""Before the first night: a home, the register of agencies, sealed sources. Said twice is done once."""

import csv
import io
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from connectors import odbc
from ledger.lines import write_whole
from pipelines.erasure import note_ends
from pipelines.night import Night
from pipelines.premises import served
from pipelines.warrants import Warrants
from schemas.capability import Act
from schemas.errors import Malformed, Refused
from schemas.home import Home
from schemas.ids import AgencyCode, System, agency_code
from schemas.report import Report
from store import engine, register
from store.house import House, demand
from store.keys import Keyring, create_root, open_root
from store.postgres.settings import Settings

SOURCES_HEADER = ["code_agence", "systeme", "odbc"]
READ_BY_ODBC = (System.SPILASUITE,)


# -- a home ------------------------------------------------------------------------------------------------------------


def make(home: Home, passphrase: str | None, protect: bool = False, store: str | None = None) -> bool:
    """Make a home; True when there was none. `protect`: the passphrase guards its root key. `store`: the URL of a
    PostgreSQL database; without it each shelf is a file.

    A home that is there stays as it is. One that was only half made has sealed nothing yet: it is made again.
    """
    there = engine.of(home).has_house()
    if there and home.root_key.exists() and home.signing_key.exists():
        if protect:
            raise Refused("this home has its root key already", "A passphrase is chosen when the home is made.")
        return False
    if there:
        raise Malformed("this home has lost its keys", "Say where they are with --keys, or restore them.")
    if protect and passphrase is None:
        raise Malformed("there is no passphrase", "Put it in the environment variable DEPOSITAIRE_PASSPHRASE.")
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.root_key.exists() and not home.signing_key.exists():
        home.root_key.unlink()
    if not home.root_key.exists():
        create_root(home, passphrase)
    if store is not None:
        choose_store(home, store)
    House.open(home, create=True).db.close()
    return True


def choose_store(home: Home, url: str) -> None:
    """A home whose records are in this PostgreSQL database, noted before anything is made in it."""
    if not home.store.exists():
        write_whole(home.store, Settings.new(url).as_bytes())
    write_whole(home.settings, engine.POSTGRESQL.encode())


def faults(home: Home) -> list[str]:
    """What is not as it should be with the home's database, by name (`store.postgres.faults`)."""
    demand(home)
    return engine.of(home).faults()


def upgrade(home: Home) -> tuple[str, str]:
    """The versions of the database's tables before and after. Raises Refused where the login that may change them is
    not known, TryAgain when the database is away."""
    demand(home)
    return engine.of(home).upgrade()


# -- the register ------------------------------------------------------------------------------------------------------


def load_register(home: Home, path: Path, at: datetime, passphrase: str | None = None) -> Report:
    """Load a register; what it says of ends goes into the ledgers of the agencies (R22)."""
    with House.open(home) as house:
        root = open_root(home, passphrase)
        with house.writing() as db:
            report = register.load(db, path, root)
        note_ends(house, at, root)
    return report


def living(home: Home) -> list[AgencyCode]:
    """Every agency of the register that was not erased."""
    with House.open(home) as house:
        return [a.code for a in register.everyone(house.db) if not a.contract.erased]


def known(home: Home, codes: Collection[str]) -> list[AgencyCode]:
    """These agencies, each in the register and not erased. Raises for one that is not, before anything is done."""
    with House.open(home) as house:
        everyone = {a.code: a for a in register.everyone(house.db)}
    found = []
    for raw in dict.fromkeys(codes):
        code = agency_code(raw)
        if code not in everyone:
            raise Malformed(f"agency {code} is not in the register", "Load a register that names it.")
        if everyone[code].contract.erased:
            raise Refused(f"agency {code} was erased", "A register with a new contract starts it again.")
        found.append(code)
    return found


def chosen(home: Home, codes: Collection[str] | None) -> list[AgencyCode]:
    """These agencies; None: every agency of the register that is not erased."""
    if codes is not None:
        return known(home, codes)
    with House.open(home) as house:
        return [a.code for a in register.everyone(house.db) if not a.contract.erased]


def remember(night: Night) -> None:
    """Note an inbox before it is read, so that an erasure knows of it even after a crash.

    Raises Malformed when there is no such inbox, or an agency was named that neither the register nor the inbox knows.
    """
    arrivals = night.arrivals
    if arrivals is not None and not arrivals.there():
        raise Malformed("there is no such inbox", "Check the address, and what KEYS/inbox.json or the environment say.")
    with House.open(night.home) as house:
        registered = {a.code for a in register.everyone(house.db)}
        for code in night.agencies or ():
            if code not in registered and not (arrivals and code in arrivals.folders()):
                raise Malformed(f"agency {code} is neither in the register nor in the inbox", "Check the code.")
        if night.inbox is not None:
            house.remember_inbox(night.inbox)


# -- sources -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Source:
    """Where one agency's system is read. `text` is a secret."""

    agency: AgencyCode
    system: System
    text: str

    def __repr__(self) -> str:
        return f"Source({self.agency}, {self.system})"


def set_source(home: Home, agency: str, system: str, text: str, at: datetime, passphrase: str | None = None) -> None:
    """Seal a connection string, once it is found sound. No error repeats any value of it."""
    (code,) = known(home, [agency])
    _seal(home, [Source(code, _system(system), _sound(text))], at, passphrase)


def load_sources(home: Home, path: Path, at: datetime, passphrase: str | None = None) -> list[Source]:
    """Seal every source of a CSV `code_agence;systeme;odbc`. All or nothing; errors name file and line."""
    sources = list(_listed(home, path))
    _seal(home, sources, at, passphrase)
    return sources


def _listed(home: Home, path: Path) -> Iterator[Source]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError:
        raise Malformed("the file of sources cannot be read", "Give the path of a CSV file.") from None
    except UnicodeDecodeError:
        raise Malformed(f"{path.name} is not UTF-8", "Save it as UTF-8.") from None
    codes = frozenset(chosen(home, None))
    seen: set[tuple[str, str]] = set()
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";", strict=True)
    try:
        if next(reader, None) != SOURCES_HEADER:
            raise Malformed(f"{path.name}, line 1: the header is not {';'.join(SOURCES_HEADER)}")
        for fields in reader:
            if fields:
                yield _one(fields, f"{path.name}, line {reader.line_num}", codes, seen)
    except csv.Error:
        raise Malformed(f"{path.name}, line {reader.line_num}: this is no CSV", "Check the quotes.") from None


def _one(fields: list[str], where: str, codes: Collection[AgencyCode], seen: set[tuple[str, str]]) -> Source:
    if len(fields) != len(SOURCES_HEADER):
        hint = "A connection string with ; in it stands between double quotes."
        raise Malformed(f"{where}: {len(fields)} fields instead of {len(SOURCES_HEADER)}", hint)
    try:
        code, system, text = agency_code(fields[0]), _system(fields[1]), _sound(fields[2])
    except Malformed as no:
        raise Malformed(f"{where}: {no.what}", no.hint) from None
    if code not in codes:
        raise Malformed(f"{where}: agency {code} is not in the register, or was erased", "Load a register first.")
    if (code, system) in seen:
        raise Malformed(f"{where}: {code} has its {system} twice", "Keep one line.")
    seen.add((code, system))
    return Source(code, system, text)


def _system(name: str) -> System:
    if name not in READ_BY_ODBC:
        raise Malformed("only spilasuite is read from a source", "The other systems are read from the inbox.")
    return System(name)


def _sound(text: str) -> str:
    odbc.parse(text)
    return text


def _seal(home: Home, sources: Sequence[Source], at: datetime, passphrase: str | None) -> None:
    with House.open(home) as house:
        root = open_root(home, passphrase)
        warrants = Warrants(home, root, at)
        for source in sources:
            leave = warrants.grant(source.agency, Act.CONFIGURE).capability
            with Keyring.open(home, root, leave, create=True) as keyring:
                house.set_source(source.agency, source.system, source.text, keyring)


def sourced(home: Home) -> list[AgencyCode]:
    """The agencies that have a source set."""
    with House.open(home) as house:
        return house.with_source(System.SPILASUITE)


def check(home: Home, passphrase: str | None = None) -> None:
    """Raises Say unless this is a home whose root key opens, or whose host answers."""
    House.open(home).db.close()
    elsewhere = served(home)
    if elsewhere is None:
        open_root(home, passphrase)
    else:
        elsewhere.keyed([])
