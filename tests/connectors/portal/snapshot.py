"""Writes the portal's two files for tests, whole unless told otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from connectors.base import Delivery, Known, Opened, Permitted, Recalled
from connectors.portal import Portal
from schemas.frames import BIT, FLAGS, Reading
from schemas.ids import System
from tests.leave import may_read

ACCOUNTS, ATTACHMENTS = "PORTAIL_COMPTES", "PORTAIL_RATTACHEMENTS"
HEADERS = {
    ACCOUNTS: "id_compte;identifiant;courriel;cree_le;derniere_connexion;ferme_le",
    ATTACHMENTS: "id_compte;code_agence;systeme;cle_personne;rattache_le",
}
GOOD = {
    ACCOUNTS: "CPT1;ana;ana@courriel.test;2025-10-07T09:12:44+01:00;;",
    ATTACHMENTS: "CPT1;A0001;sdgi;C:IM001:0014;2025-10-08T09:12:44+01:00",
}
NAME = f"{ACCOUNTS}_20260105.csv"


def text(file: str, lines: Sequence[str], *, header: str | None = None, end: str | None = None) -> str:
    """A file with its header, these data lines, and the last line that counts them."""
    return "".join(f"{line}\n" for line in (header or HEADERS[file], *lines)) + (end or f"FIN;{len(lines)}\n")


def delivery(path: Path, name: str | None = None) -> Permitted:
    return may_read(Delivery(None, System.PORTAL, name or path.name, datetime(2026, 1, 6, tzinfo=UTC), path=path))


def opened(folder: Path, accounts: str | bytes | None = None, attachments: str | bytes | None = None) -> Opened:
    """Both files, given whole or left to be good ones."""
    for file, given in ((ACCOUNTS, accounts), (ATTACHMENTS, attachments)):
        content = text(file, [GOOD[file]]) if given is None else given
        raw = content if isinstance(content, bytes) else content.encode()
        (folder / f"{file}_20260105.csv").write_bytes(raw)
    return Portal().open(delivery(folder / NAME), Known())


@dataclass(frozen=True)
class Answer:
    reading: Reading

    def lines(self, file: str) -> list[tuple[str, str]]:
        """Location and verdict of each line: `ok`, `ignored`, or the reason of a quarantined one."""
        found = [line for line in self.reading.lines.to_pylist() if line["source"] == file]
        return [(line["loc"], line["reason"] or line["outcome"]) for line in found]

    def flags(self, file: str) -> list[set[str]]:
        found = [line for line in self.reading.lines.to_pylist() if line["source"] == file]
        return [{name for name in FLAGS if line["flags"] & BIT[name]} for line in found]

    def rows(self, record: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.reading.rows[record].to_pylist()
        return found


def heard(folder: Path, accounts: str | None = None, attachments: str | None = None) -> Answer:
    return Answer(Portal().read([opened(folder, accounts, attachments)], Recalled()))


def accounts(folder: Path, *lines: str) -> Answer:
    return heard(folder, accounts=text(ACCOUNTS, lines))


def attachments(folder: Path, *lines: str) -> Answer:
    return heard(folder, attachments=text(ATTACHMENTS, lines))
