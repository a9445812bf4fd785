"""The export contracts that lie beside the connectors, as data: which versions there are and what each holds."""

import re
import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from schemas.ids import System
from store.register import HEADER


@dataclass(frozen=True, slots=True)
class Contract:
    """One version. `accepts`: the versions that a delivery may declare; `kinds`: files, records, elements or views."""

    system: str
    version: str
    layout: str
    file: str
    accepts: str
    kinds: int
    columns: int

    def as_json(self) -> dict[str, Any]:
        return {
            "system": self.system, "version": self.version, "layout": self.layout, "file": self.file,
            "accepts": self.accepts, "tables": self.kinds, "columns": self.columns,
        }  # fmt: skip


def known() -> list[Contract]:
    """Every contract version, by system and age; the register of agencies last."""
    folder = files("connectors") / "layouts"
    found = []
    for f in folder.iterdir():
        named = re.fullmatch(rf"({'|'.join(System)})-([0-9.]+)\.toml", f.name)
        if named:
            found.append(_contract(System(named[1]), named[2], f.name, tomllib.loads(f.read_text("utf-8"))))
    found.sort(key=lambda c: (list(System).index(System(c.system)), [int(p) for p in c.version.split(".")]))
    return [*found, Contract("agencies", "1.0", "agencies-1.0", "", "1.0", 1, len(HEADER))]


def _contract(system: System, version: str, file: str, said: dict[str, Any]) -> Contract:
    holds, accepts = _HOLDS[system](said), _ACCEPTS.get(system, version).format(major=version.partition(".")[0])
    return Contract(str(system), version, f"{system}-{version}", file, accepts, len(holds), sum(map(len, holds)))


# SDGI and LOGIN: the major version; GPI: what VERSTR begins with (README of the contracts, "Versions").
_ACCEPTS = {System.SDGI: "{major}.x", System.GPI: "{major}.xx", System.LOGIN: "{major}.x"}
_HOLDS = {
    System.SDGI: lambda said: list(said["files"].values()),
    System.GPI: lambda said: list(said["record"].values()),
    System.LOGIN: lambda said: [s["columns"] for s in said["sheet"] for _ in s["elements"]],
    System.SPILASUITE: lambda said: [v["columns"] for v in said["view"]],
    System.PORTAL: lambda said: [f["columns"] for f in said["file"]],
}
