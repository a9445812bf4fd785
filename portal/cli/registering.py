"""register: the register of processing (GDPR art. 30)."""

import os
from pathlib import Path
from typing import Annotated

import typer

from portal.cli import options
from portal.cli.screen import console, emit, line, shown
from portal.cli.setting import Setting
from portal.cli.words import language, say
from schemas.errors import Malformed
from schemas.ids import agency_code

FORMATS = ("json", "csv", "ods")


def register(
    setting: Setting,
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help=say("option.to"))],
    agency: options.Agencies = None,
    formats: Annotated[list[str] | None, typer.Option("--format", metavar="NAME", help=say("option.format"))] = None,
) -> int:
    from pipelines import processing_register, register_files

    if not set(formats or ()) <= set(FORMATS):
        raise Malformed("--format is neither json, csv nor ods", "Leave it out to write all three.")
    only = {agency_code(a) for a in agency} if agency else None
    os.umask(0o077)  # a sealed notice may be in it
    found = processing_register.collect(setting.home, setting.at, only, setting.passphrase)
    written = register_files.write(found, to, formats or FORMATS, language())
    parts = (found["article_30_2"], found["article_30_1"])
    count = sum(len(part["records"]) for part in parts if part is not None)
    if found["incomplete"]:
        missing = ", ".join(found["incomplete"])
        console(stderr=True).print(shown(say("processing.incomplete", missing=missing)), style="yellow")
    if setting.as_json:
        told = {"files": [p.name for p in written], "records": count, "incomplete": found["incomplete"]}
        emit({"to": str(to)} | told)
        return 0
    line(say("processing.written", count=count, files=", ".join(p.name for p in written), to=to))
    if only is None:
        line(say("processing.own"))
    return 0
