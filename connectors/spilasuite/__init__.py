"""SpiLaSuite 1.0: read-only views by ODBC, incremental by row version (contract spilasuite.md).

`odbc` connects, `snapshot` proves and fetches, `lines` normalises, `ends` hears tombstones, `reading` puts it together,
`reconciliation` looks for rows that vanished without a word.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from hashlib import sha256
from zoneinfo import ZoneInfo

import pyarrow as pa

from connectors import odbc
from connectors.base import Asked, Delivery, Known, Opened, Permitted, Recalled
from connectors.cut import ReadWhole
from connectors.spilasuite import reading
from connectors.spilasuite.layout import Layout, load
from connectors.spilasuite.reconciliation import absent_keys
from connectors.spilasuite.snapshot import Proved, Views, cursor_of, source_of
from schemas.frames import Arrived, Reading
from schemas.ids import System

__all__ = ["Spilasuite", "absent_keys"]

_PARIS = ZoneInfo("Europe/Paris")
_SILENCE = sha256(b"no line above the cursor").digest()


class Spilasuite(ReadWhole):
    """The connector. An installation with other names brings its own layout (connectors/layouts)."""

    a_byte = 0

    system = System.SPILASUITE

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = load() if layout is None else layout

    @property
    def yields(self) -> Mapping[str, frozenset[str]]:
        return {view.name: view.yields for view in self.layout.incremental}

    def day_of(self, delivery: Delivery) -> date | None:
        """The day of reading, in Europe/Paris."""
        return delivery.at.astimezone(_PARIS).date()

    def named(self, delivery: Delivery) -> bool:  # noqa: ARG002 — there is no file, so no name can be wrong
        return True

    def fingerprint(self, delivery: Delivery) -> str | None:  # noqa: ARG002 — a reading has no file
        return None

    def open(self, delivery: Permitted, known: Known) -> Opened:
        """Prove and fetch in one snapshot; the cursor moves to the horizon. The same state again reads as nothing."""
        cursor = cursor_of(known.cursor)

        def read(connection: odbc.Connection) -> tuple[Proved, dict[str, pa.Table]]:
            views = Views(connection, self.layout)
            proved = views.prove(delivery.agency, cursor)
            return proved, views.since(cursor, proved)

        proved, tables = odbc.in_one_snapshot(source_of(delivery), read)
        arrived = Arrived(
            agency=delivery.agency,
            system=self.system,
            name=delivery.name,
            day=delivery.at.astimezone(_PARIS).date(),
            sha256=None,
            layout=f"{self.layout.name} {self.layout.version}",
            cursor=str(proved.horizon),
            likeness=None if tables else _SILENCE,
            silence=_SILENCE,
        )
        return Opened(arrived, tables)

    def asks(self, opened: Sequence[Opened]) -> Sequence[Asked]:  # noqa: ARG002 — a row of a view says everything itself
        return ()

    def read(self, opened: Sequence[Opened], recalled: Recalled) -> Reading:  # noqa: ARG002 — nothing was asked
        return reading.read(self.layout, [o.arrived for o in opened], [o.raw for o in opened])
