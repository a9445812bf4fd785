"""The yardstick: the same files read with pandas and nothing else. No value is looked at, nothing is checked or kept."""

import gzip
import io
import tomllib
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pandas as pd
from lxml import etree

from schemas.ids import System

Frames = Iterator[pd.DataFrame]


def read(system: System, path: Path) -> int:
    """Rows of all frames of a delivery; the frames of one delivery are held together, like a reading."""
    return sum(map(len, list(READERS[system](path))))


def sdgi(path: Path) -> Frames:
    """`read_csv` with its C engine, everything as text."""
    with ZipFile(path) as archive:
        for name in (n for n in archive.namelist() if n.endswith(".CSV")):
            with archive.open(name) as member:
                yield pd.read_csv(member, sep=";", encoding="cp1252", dtype=str, keep_default_na=False, engine="c")


def gpi(path: Path) -> Frames:
    """`read_fwf` once a type of record, everything as text."""
    said = tomllib.loads((files("connectors") / "layouts" / "gpi-01.02.toml").read_text("utf-8"))
    by_type: dict[str, list[str]] = defaultdict(list)
    with path.open(encoding="cp850", newline="\r\n") as lines:
        for line in lines:
            by_type[line[:2]].append(line)
    for kind in [k for k in by_type if k not in ("00", "99")]:
        fields = {**said["prefix"], **said["record"][kind]}
        spans = [(first - 1, last) for first, last, _ in fields.values()]
        text = io.StringIO("".join(by_type.pop(kind)))
        yield pd.read_fwf(text, colspecs=spans, names=list(fields), dtype=str, keep_default_na=False, header=None)


def login(path: Path) -> Frames:
    """`lxml.iterparse` into one frame a kind of object: `read_xml` knows one kind of row, and is three times slower."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with gzip.open(path) as document:
        for _, element in etree.iterparse(document, events=("end",)):
            if element.get("id") is None:
                continue
            row: dict[str, Any] = dict(element.attrib)
            for child in element.iter():
                row[etree.QName(child).localname] = child.text
            rows[etree.QName(element).localname].append(row)
            element.clear()
    for kind in list(rows):
        yield pd.DataFrame(rows.pop(kind))


def spilasuite(path: Path) -> Frames:
    """`read_sql` through pyodbc, a view at a time."""
    import pyodbc

    from benchmarks.spilasuite import layout

    with warnings.catch_warnings(), closing(pyodbc.connect(f"Driver=SQLite3;Database={path}")) as connection:
        warnings.simplefilter("ignore", UserWarning)  # pandas would rather have SQLAlchemy; this is the shorter way
        for view in layout():
            yield pd.read_sql(f"SELECT * FROM {view}", connection)


READERS: dict[System, Callable[[Path], Frames]] = {
    System.SDGI: sdgi, System.GPI: gpi, System.LOGIN: login, System.SPILASUITE: spilasuite,
}  # fmt: skip
