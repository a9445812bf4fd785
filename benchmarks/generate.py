"""Made-up deliveries of any size: `python -m benchmarks.generate --persons 1000 --agencies 3 --to DIR`.

The same seed gives the same bytes. DIR takes the form of an inbox (`DIR/<agency>/<system>/<delivery>`) beside a register
of its agencies. Three nights in a row: `first`, `again` (nothing changed) and `changed` (one line in a hundred, or `--share`):

- sdgi sends the whole portfolio each time;
- gpi a complete envoi twice, then a differential one with the changed records;
- login a complete document twice, then a delta with the changed parts;
- spilasuite is a database that shows everything, the changed rows under later versions.
"""

import argparse
import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import gpi, login, sdgi, spilasuite
from benchmarks.portfolio import AGAIN, CHANGED, FIRST, FIRST_DAY, LEAST, Agency, Night
from schemas.ids import AGENCY_SYSTEMS, System

NIGHTS = {"first": FIRST, "again": AGAIN, "changed": CHANGED}
WRITERS: dict[System, Callable[[Agency, Night, Path], Path]] = {
    System.SPILASUITE: spilasuite.write,
    System.SDGI: sdgi.write,
    System.GPI: gpi.write,
    System.LOGIN: login.write,
}
_REGISTER = (
    "code_agence", "raison_sociale", "siret", "date_debut", "date_fin", "motif_fin", "restriction",
    "restriction_portee", "systemes", "contact_dpo",
)  # fmt: skip


def agencies(persons: int, count: int = 1, seed: int = 1) -> list[Agency]:
    """`count` agencies that share these persons evenly."""
    if not 1 <= count <= 10_000 or persons < count * LEAST:
        raise ValueError(f"every agency needs {LEAST} persons, and there are 10,000 codes")
    shares = [persons // count + (i < persons % count) for i in range(count)]
    return [Agency(f"B{i:04}", f"99{i:07}00013", share, seed, i) for i, share in enumerate(shares)]


def deliver(system: System, those: Iterable[Agency], night: Night, inbox: Path) -> list[Path]:
    """One delivery of each agency, at its place in the inbox."""
    written = []
    for agency in those:
        folder = inbox / agency.code / system
        folder.mkdir(parents=True, exist_ok=True)
        written.append(WRITERS[system](agency, night, folder))
    return written


def write_register(those: Iterable[Agency], folder: Path) -> Path:
    """The register that names these agencies, for all four systems."""
    path = folder / f"AGENCES_{FIRST_DAY:%Y%m%d}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, delimiter=";", lineterminator="\n")
        out.writerow(_REGISTER)
        for a in those:
            contact = f"dpo@agence-{a.code.lower()}.test"
            out.writerow([a.code, a.name, a.siret, "2023-07-20", "", "", "", "", ",".join(AGENCY_SYSTEMS), contact])
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.generate", description=__doc__.splitlines()[0] if __doc__ else None
    )
    parser.add_argument(
        "--system", choices=list(AGENCY_SYSTEMS), action="append", type=System, help="default: all four"
    )
    parser.add_argument("--persons", type=int, default=1_000)
    parser.add_argument("--agencies", type=int, default=1)
    parser.add_argument("--night", choices=list(NIGHTS), action="append", help="default: first")
    parser.add_argument("--share", type=float, default=CHANGED.share, help="of the lines that change")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--to", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    those = agencies(chosen.persons, chosen.agencies, chosen.seed)
    chosen.to.mkdir(parents=True, exist_ok=True)
    print(write_register(those, chosen.to))
    for name in chosen.night or ["first"]:
        for system in chosen.system or AGENCY_SYSTEMS:
            for path in deliver(system, those, replace(NIGHTS[name], share=chosen.share), chosen.to):
                print(path)


if __name__ == "__main__":
    main()
