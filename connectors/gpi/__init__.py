"""GPI 01.02: fixed-width records of 512 bytes in cp850, in envois that follow each other without a gap."""

from collections.abc import Mapping, Sequence
from datetime import date
from zoneinfo import ZoneInfo

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled, digest_of_file
from connectors.cut import ReadWhole
from connectors.gpi import envoi, reading
from connectors.gpi.layout import layout
from connectors.gpi.records import TYPES
from schemas.errors import DeliveryRefused, Malformed, TryAgain
from schemas.frames import Arrived, Reading
from schemas.ids import System

PARIS = ZoneInfo("Europe/Paris")
BEGINNING = 512  # the header, which holds the day


class Gpi(ReadWhole):
    """The connector of GPI. Its cursor is NUMENV; it needs nothing of what is already held."""

    a_byte = 10

    @property
    def system(self) -> System:
        return System.GPI

    @property
    def yields(self) -> Mapping[str, frozenset[str]]:
        return {kind: records for kind, (records, _) in TYPES.items()}

    def day_of(self, delivery: Delivery) -> date:
        """DATENV; the day of arrival in Paris when it cannot be read (contracts README, "Gate")."""
        try:
            return _day(_bytes(delivery, BEGINNING), delivery)
        except TryAgain:
            return _arrival(delivery)

    def named(self, delivery: Delivery) -> bool:
        return envoi.NAME.fullmatch(delivery.name) is not None

    def fingerprint(self, delivery: Delivery) -> str | None:
        return digest_of_file(delivery)

    def open(self, delivery: Permitted, known: Known) -> Opened:
        """Prove the file whole, or raise `DeliveryRefused` with the first failing reason of the contract's table."""
        if delivery.path is not None and delivery.path.exists() and delivery.path.stat().st_size > layout().largest:
            raise DeliveryRefused("gpi.record_length", hint="The file is larger than any that is read: ask what it is.")
        data = _bytes(delivery)
        begun = envoi.begin(data, delivery, known, layout())
        arrived = Arrived(
            agency=delivery.agency,
            system=System.GPI,
            name=delivery.name,
            day=_day(data, delivery),
            sha256=begun.sha256,
            layout=f"{layout().name}-{layout().version}",
            cursor=begun.number,
            likeness=envoi.likeness(data, begun, layout()),
        )
        if known.knows(arrived):
            return Opened(arrived, None, known=True)
        envoi.finish(begun, layout())
        return Opened(arrived, begun)

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:  # noqa: ARG002 -- a record is always complete
        return ()

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:  # noqa: ARG002 -- nothing was asked
        return reading.read(opened, layout())


def _bytes(delivery: Delivery, size: int = -1) -> bytes:
    if delivery.path is None:
        raise Malformed("a delivery of GPI is a file", "Give the path of the file.")
    try:
        with delivery.path.open("rb") as file:
            return file.read(size)
    except OSError:
        raise TryAgain(f"{delivery.name}: the file cannot be read", "Look at the inbox and its rights.") from None


def _day(data: bytes, delivery: Delivery) -> date:
    return envoi.day_written(data, layout()) or _arrival(delivery)


def _arrival(delivery: Delivery) -> date:
    return delivery.at.astimezone(PARIS).date()
