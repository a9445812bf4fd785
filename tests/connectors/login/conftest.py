"""One agency whose documents follow each other, and what it holds after each."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Known
from connectors.login import Login
from schemas.frames import Reading
from tests.connectors.login.document import SIRET, delivered, delta, envoi
from tests.connectors.login.shelf import Outcome, Shelf


@dataclass
class Agency:
    """Documents in, rows out. Each document of changes begins where the last one stopped."""

    folder: Path
    shelf: Shelf

    def hears(self, text: str | bytes) -> Outcome:
        """Read one document and keep it."""
        connector = Login()
        opened = connector.open(delivered(self.folder, text), Known(SIRET, self.shelf.cursor))
        self.reading: Reading = connector.read([opened], self.shelf.recall(list(connector.asks([opened]))))
        self.outcome = self.shelf.keep(self.reading)
        return self.outcome

    def says(self, *objects: str) -> Outcome:
        """A complete document with these objects."""
        return self.hears(envoi(*objects))

    def changes(self, *objects: str) -> Outcome:
        """A delta with these objects, from the last instant to the same one: enough for a chain."""
        last = self.shelf.cursor
        assert last, "a change follows something"
        return self.hears(delta(*objects, since=last, until=last))

    def row(self, table: str, key: str) -> Mapping[str, Any]:
        return self.shelf.table(table)[key]

    def keys(self, table: str) -> set[str]:
        """Keys of the rows that have not ended."""
        return {key for key, row in self.shelf.table(table).items() if row["ended_reason"] is None}


@pytest.fixture
def agency(tmp_path: Path) -> Agency:
    return Agency(tmp_path, Shelf())
