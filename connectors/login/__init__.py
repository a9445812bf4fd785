"""LOGIN: gzipped XML, whole or by time window (login.md)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled, digest_of_file
from connectors.cut import ReadWhole
from connectors.login import likeness, proof
from connectors.login.layout import layout
from connectors.login.objects import is_change, key_of, objects_of
from connectors.login.reading import heard
from schemas.frames import Arrived, Reading
from schemas.ids import System

_NAME = re.compile(r"LOGIN-([A-Z0-9]{5})-([0-9]{8}T[0-9]{6}Z)\.xml\.gz")
_PARIS = ZoneInfo("Europe/Paris")


def _sent(name: str) -> tuple[str, date] | None:
    """The code in the name of a delivery, and its instant as a day in Paris; None when it does not fit the pattern."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    try:
        instant = datetime.strptime(found[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return found[1], instant.astimezone(_PARIS).date()
    except (ValueError, OverflowError):
        return None


class Login(ReadWhole):
    """The connector of LOGIN 2.x."""

    a_byte = 25

    @property
    def system(self) -> System:
        return System.LOGIN

    @property
    def yields(self) -> Mapping[str, frozenset[str]]:
        sheets = [sheet for sheet in layout().sheets.values() if sheet.record]
        return {element: records for sheet in sheets for element, records in sheet.elements.items()}

    def day_of(self, delivery: Delivery) -> date | None:
        """The instant in the name as a date in Europe/Paris."""
        sent = _sent(delivery.name)
        return sent[1] if sent else None

    def named(self, delivery: Delivery) -> bool:
        return _sent(delivery.name) is not None

    def fingerprint(self, delivery: Delivery) -> str | None:
        return digest_of_file(delivery)

    def open(self, delivery: Permitted, known: Known) -> Opened:
        """Prove that the document is whole and follows the last one; the proofs stand in `connectors.login.proof`."""
        contract, sent = layout(), _sent(delivery.name)
        if sent is None or delivery.path is None:
            raise ValueError("a LOGIN delivery is a file whose name fits its pattern")
        code, day = sent
        text, flags = proof.readable(delivery.path, contract)
        alike = likeness.of(text, flags, (code, delivery.agency, known.siret))
        arrived = Arrived(
            agency=delivery.agency,
            system=System.LOGIN,
            name=delivery.name,
            day=day,
            sha256=proof.digest(delivery.path),
            layout=f"{contract.name}-{contract.version}",
            cursor=proof.cursor(alike.until) if alike else "",
            flags=flags,
            likeness=alike.digest if alike else None,
        )
        if alike and alike.follows(known.cursor) and known.knows(arrived):
            return Opened(arrived, None, known=True)
        document = proof.believed(text, flags, contract, code, delivery.agency, known)
        return Opened(replace(arrived, cursor=proof.cursor(document.until)), document)

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:
        """The rows of every object that a delta changes: what it does not say must be completed."""
        return [
            Asked(d, keys) for d, one in enumerate(opened) if one.raw.delta and (keys := _changed(one.raw))
        ]  # fmt: skip

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:
        documents = [(one.raw.root, one.raw.delta) for one in opened]
        return heard(layout(), [one.arrived for one in opened], documents, recalled)


def _changed(document: proof.Document) -> dict[str, list[str]]:
    """Keys of the objects that a document changes, by element, each once."""
    keys: dict[str, dict[str, None]] = {}
    for element in objects_of(document.root):
        if is_change(element):
            keys.setdefault(proof.local_name(element), {})[key_of(element)] = None
    return {element: list(each) for element, each in keys.items()}
