"""Before a delivery is opened: the gate of the contracts, the instruction, its name, whether it came before.

What the store's books tell (`store.engine.Standing`) needs neither keys nor shelf: most of a night came before, or is
refused, and costs no more than this.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial

from connectors.base import Delivery, Known, Opened, Permitted
from pipelines.inbox import Afar, at_hand, is_file
from pipelines.night import Room
from pipelines.objects import AT_ONCE
from pipelines.premises import NoHost
from pipelines.unchanged import Recogniser, Same, recogniser
from schemas.capability import Act, Warrant
from schemas.errors import DeliveryRefused, Malformed, Refused, StoreAway, StoreClosed, TryAgain, place_of
from schemas.ids import AgencyCode, System
from schemas.mandate import Mandate
from schemas.report import Report
from schemas.window import Contract, gate, paris_day
from store import engine
from store.agency import OpenShelf
from store.engine import Standing
from store.hindrance import in_the_way
from store.keep import finish_erasures
from store.keys import Keyring
from store.register import Agency


@dataclass(slots=True)
class Ready:
    """A delivery that passed the gate and was proved whole, and the shelf that may take it."""

    delivery: Delivery
    opened: Opened
    shelf: OpenShelf

    @property
    def mandate(self) -> Mandate | None:
        return self.shelf.warrant.capability.mandate


@dataclass(slots=True)
class Awaited:
    """A source that is being read beside the others. `shelf`: opens it; `by`: whether it need be."""

    delivery: Delivery
    day: date | None
    shelf: Callable[[], OpenShelf]
    opening: Future[Opened]
    by: Recogniser | None

    def answered(self) -> Report | Ready | Same:
        try:
            opened = self.opening.result()
            if self.by is not None and opened.arrived.is_silent and self.by(opened.arrived):
                return Same.of(self.delivery, opened, self.by)
            return Ready(self.delivery, opened, self.shelf())
        except NoHost:
            raise
        except Exception as error:  # noqa: BLE001 — as in `before_opening`
            return _no(self.delivery, self.day, error)


@dataclass(frozen=True, slots=True)
class Looked:
    """What was looked up once for a whole batch, under its locks."""

    registered: Mapping[AgencyCode, Agency]
    standing: Mapping[AgencyCode | None, Standing]
    keyed: Collection[AgencyCode | None]

    def at_rest(self, delivery: Delivery) -> Standing | None:
        """What is known of a shelf on which nothing is to be made up for; None when it must be opened to know."""
        found = self.standing.get(delivery.agency)
        # Where the keys are gone, the shelf is not what it seems.
        if found is None or delivery.agency not in self.keyed:
            return None
        return found if found.at_rest else None


def look(room: Room, deliveries: Sequence[Delivery]) -> Looked:
    """Under the locks: an erasure that ran meanwhile has changed what the register says."""
    registered = room.books.registered()
    names = {d.agency: d.name for d in deliveries}
    standing = engine.of(room.night.home).standing(room.connector.system, names)
    return Looked(registered, standing, room.premises.keyed(standing))


def before_opening(
    room: Room, delivery: Delivery, looked: Looked, stack: ExitStack, readers: Executor, again: bool = False
) -> Report | Ready | Awaited | Same:
    """The gate of the contracts, in its order; then the instruction; only then is a byte of the delivery trusted.

    `again`: it was put back once; now it is read whatever is known of it.
    """
    day: date | None = None
    try:
        contract = _contract(delivery, looked.registered)
        # GPI's day lies inside the file: not even that is read without an instruction.
        early = _warrant(room, delivery) if delivery.system is System.GPI else None
        here = _at_hand(delivery) if early else delivery
        day = _in_window(room, here, contract)
        warrant = early or _warrant(room, delivery)
        if not room.connector.named(delivery):
            raise DeliveryRefused("delivery.name")
        here = _at_hand(delivery)
        held, shelf = looked.at_rest(delivery), None
        if held is None:
            shelf = _shelf(room, warrant, stack)
            held = _standing(shelf, delivery)
        if delivery.name in held.accepted and is_file(delivery):
            with _read(here):
                same = held.accepted[delivery.name] == room.connector.fingerprint(here)
            outcome, reason = ("replayed", None) if same else ("refused", "delivery.conflict")
            return Report(delivery.agency, delivery.system, delivery.name, day, outcome, reason)
        by = None if again else recogniser(room, delivery, warrant, held)
        if not is_file(delivery):
            # Its address is sealed with the agency's keys; the shelf is opened where it has something new to say.
            keyring = shelf.keyring if shelf is not None else _keyring(room, warrant, stack)
            told, said = _told(room, here, warrant, looked, held.cursor, keyring)
            opens = partial(_shelf, room, warrant, stack, keyring, shelf)
            return Awaited(delivery, day, opens, readers.submit(room.connector.open, told, said), by)
        told, said = _told(room, here, warrant, looked, held.cursor)
        with _read(here):
            opened = room.connector.open(told, replace(said, settled=by))
        if opened.known and by is not None:
            known = Same.of(delivery, opened, by)
            return replace(known, shelf=_shelf(room, warrant, stack)) if known.puts_aside else known
        return Ready(delivery, opened, shelf or _shelf(room, warrant, stack))
    except NoHost:  # without it there is nothing to be done for any agency
        raise
    except Exception as error:  # noqa: BLE001 — one agency's flow must not stop the others'
        return _no(delivery, day, error)


def fetch(room: Room, deliveries: Sequence[Delivery], looked: Looked) -> None:
    """What lies in an object store and will be read is fetched, several at once. What goes wrong is told by
    `before_opening`."""
    afar = [d for d in deliveries if isinstance(d, Afar) and _may_be_read(room, d, looked)]
    if afar:
        with ThreadPoolExecutor(min(AT_ONCE, len(afar))) as pool:
            for fetching in [pool.submit(at_hand, d) for d in afar]:
                fetching.exception()


def _may_be_read(room: Room, delivery: Delivery, looked: Looked) -> bool:
    """As `before_opening` asks, as far as it can be told without a byte of the delivery."""
    try:
        contract = _contract(delivery, looked.registered)
        if delivery.system is not System.GPI:
            _in_window(room, delivery, contract)
        _warrant(room, delivery)
    except Exception:  # noqa: BLE001 - `before_opening` tells it
        return False
    return delivery.system is System.GPI or room.connector.named(delivery)


def _at_hand(delivery: Delivery) -> Delivery:
    with _read(delivery):
        return at_hand(delivery)


@contextmanager
def _read(delivery: Delivery) -> Iterator[None]:
    """What is in the way of reading a file, or changes it meanwhile, may be gone the next time."""
    before, refused = _state(delivery), None
    try:
        yield
    except OSError:
        raise TryAgain("the file cannot be read", "Look at the inbox and its rights.") from None
    except DeliveryRefused as no:
        refused = no
    if before != _state(delivery):
        raise TryAgain("the file changed while it was read", "The next night takes it.")
    if refused is not None:
        raise refused


def _state(delivery: Delivery) -> tuple[int, ...]:
    if delivery.path is None:
        return ()
    try:
        now = delivery.path.stat()
    except OSError:
        return ()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns


def _no(delivery: Delivery, day: date | None, error: Exception) -> Report:
    """Why nothing was read. What an error says that is not ours may hold a value: only its kind and place are told."""
    where = ""
    match error:
        case DeliveryRefused():
            reason, where = error.reason, error.where
        case StoreAway():
            reason = "database.unreachable"
        case StoreClosed():
            reason = "database.closed"
        case Refused():  # what allowed it has changed since it was looked up
            reason = "agency.no_instruction"
        case TryAgain():
            reason = "source.unreachable"
        case Malformed():
            reason = "source.misconfigured"
        case _ if in_the_way(error):
            reason = "database.unreachable"
        case _:
            reason, where = "internal.error", place_of(error)
    return Report(delivery.agency, delivery.system, delivery.name, day, "refused", reason, where)


def _contract(delivery: Delivery, registered: Mapping[AgencyCode, Agency]) -> Contract | None:
    """None for the portal's own accounts."""
    if delivery.agency is None:
        return None
    known = registered.get(delivery.agency)
    if known is None:
        raise DeliveryRefused("agency.unknown")
    contract = known.contract
    if delivery.system not in contract.systems and not contract.erased:
        raise DeliveryRefused("agency.system_disabled")
    return contract


def _in_window(room: Room, delivery: Delivery, contract: Contract | None) -> date | None:
    """The day of the delivery, if its contract lets one of that day in."""
    day = room.connector.day_of(delivery)
    if contract is not None:
        reason = gate(contract, delivery.system, day or paris_day(room.night.at), room.night.at)
        if reason is not None:
            raise DeliveryRefused(reason)
    return day


def _warrant(room: Room, delivery: Delivery) -> Warrant:
    try:
        return room.warrants.grant(delivery.agency, Act.SYNCHRONISE, delivery.system)
    except Refused:
        raise DeliveryRefused(
            "agency.no_instruction", hint="Record the agency's instruction with `depositaire instruct`."
        ) from None


def _keyring(room: Room, warrant: Warrant, stack: ExitStack) -> Keyring:
    return stack.enter_context(room.premises.keyring(warrant.capability, room.connector.system, create=True))


def _shelf(
    room: Room, warrant: Warrant, stack: ExitStack, keyring: Keyring | None = None, known: OpenShelf | None = None
) -> OpenShelf:
    """The agency's shelf, open until its delivery is settled; what a crash may have left undone is done. `known`: it,
    where it is open already."""
    if known is not None:
        return known
    keys = keyring or _keyring(room, warrant, stack)
    shelf = stack.enter_context(OpenShelf.open(room.night.home, keys, warrant, create=True))
    finish_erasures(shelf)
    room.make_up(shelf)
    return shelf


def _standing(shelf: OpenShelf, delivery: Delivery) -> Standing:
    """The same as the books tell, from the shelf itself."""
    accepted = shelf.accepted_as(delivery.system, delivery.name) if is_file(delivery) else None
    return Standing({} if accepted is None else {delivery.name: accepted}, shelf.cursor(delivery.system))


def _told(
    room: Room,
    delivery: Delivery,
    warrant: Warrant,
    looked: Looked,
    cursor: str | None,
    keyring: Keyring | None = None,
) -> tuple[Permitted, Known]:
    """What the connector is told. `keyring`: of an agency whose source is to be connected to."""
    known = looked.registered.get(delivery.agency) if delivery.agency else None
    source = None
    if delivery.agency and keyring is not None:
        source = room.house.source(delivery.agency, delivery.system, keyring)
    leave = warrant.capability
    # What the log was told after the night began is looked up at a later instant than the night's.
    told = Permitted.of(delivery, leave, source, max(delivery.at, leave.minted_at))
    return told, Known(known.siret if known else None, cursor)
