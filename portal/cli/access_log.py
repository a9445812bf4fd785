"""door log: what was asked at the web door, for people and for programmes that collect logs."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from portal.cli.screen import line, table
from portal.cli.setting import Setting
from portal.cli.words import say

if TYPE_CHECKING:
    from schemas.ids import AgencyCode

LATEST = 50
HEADS = ("at", "account", "agency", "question", "outcome")
NAMES = ("at", "who", "question", "reads", "object", "outcome")


def log(
    setting: Setting,
    after: Annotated[int, typer.Option("--after", metavar="NUMBER", min=0, help=say("option.after"))] = 0,
) -> int:
    """With --json a line of JSON for each question, the oldest first: what a programme asks for again with the last
    `number` that it has."""
    from pipelines import opening
    from pipelines.reception import tables
    from pipelines.reception.journal import Journal
    from pipelines.reception.vault import Vault
    from store.keys import open_root

    opening.check(setting.home, setting.passphrase)
    vault = Vault.of(setting.home, open_root(setting.home, setting.passphrase))
    engine = tables.access(setting.home)
    names = {vault.mark("agency", code): code for code in opening.living(setting.home)}
    try:
        journal = Journal(engine, vault)
        if setting.as_json:
            for row in journal.since(after):
                line(json.dumps(_told(row, names)))
        else:
            newest = [_told(row, names) for row in journal.since(max(after, journal.size() - LATEST))]
            if not newest:
                line(say("door.nothing_asked"))
            else:
                table([say(f"column.{h}") for h in HEADS], [_shown(row) for row in newest])
    finally:
        engine.dispose()
    return 0


def _told(row: Mapping[str, Any], names: Mapping[str, "AgencyCode"]) -> dict[str, Any]:
    """A line of the log with the agency's code in the place of its mark; None for one that was erased."""
    told = {"number": row["id"], **{name: row[name] for name in NAMES}}
    return told | {"agency": names.get(row["agency"] or "")}


def _shown(row: Mapping[str, Any]) -> tuple[object, ...]:
    return (row["at"], row["who"] or "–", row["agency"] or "–", row["question"], row["outcome"])
