"""dlt loading the tables of one SDGI delivery into PostgreSQL, merged by their keys: a process of its own, in an
environment of its own that has dlt and nothing of ours. Prints what it took as JSON.

    python peer_dlt.py FOLDER URL STRATEGY STATE

FOLDER holds the CSV files, unfolded; URL is the database's. The reader is the fastest that dlt documents: Arrow tables,
loaded by COPY from CSV. STRATEGY is `delete-insert` or `upsert`. Everything stays text; nothing is checked.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pyarrow as pa
import pyarrow.csv as pc

KEYS = {
    "IMMEUBLES": (0,), "LOTS": (0, 1), "COPROPRIETAIRES": (0, 1), "PROPRIETAIRES": (0,), "LOCATAIRES": (0,),
    "MANDATS": (0,), "BAUX": (0,), "GESTIONNAIRES": (0,), "DOCUMENTS": (0,), "SOLDES": (0, 1, 2, 3), "SORTIES": (0, 1, 2),
}  # fmt: skip
BLOCK = 16 << 20


def tables(path: Path) -> Iterator[pa.Table]:
    """All columns as text, under names that a database takes. A file's last line of totals is a line like others."""
    with path.open(encoding="cp1252") as file:
        names = [f"c{n}" for n in range(len(file.readline().split(";")))]
    read = pc.ReadOptions(encoding="cp1252", skip_rows=1, column_names=names, block_size=BLOCK)
    texts = pc.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    for batch in pc.open_csv(path, read, pc.ParseOptions(delimiter=";"), texts):
        yield pa.Table.from_batches([batch])


def main(folder: str, url: str, strategy: str, state: str) -> None:
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    import dlt  # not on our own path: the floor reads with `tables` too

    wall, cpu = time.perf_counter(), time.process_time()
    where = urlsplit(url)  # dlt's own reading of a URL wants a host, and ours names a socket
    login: dict[str, Any] = {"database": where.path.strip("/"), "username": where.username, "password": unquote(where.password or ""),
             "host": "localhost", "query": {"host": parse_qs(where.query)["host"][0]}}  # fmt: skip
    database = dlt.destinations.postgres(credentials=login)
    pipeline = dlt.pipeline("peer", pipelines_dir=state, destination=database, dataset_name="peer")
    told = [
        dlt.resource(
            tables(path), name=path.stem.lower(), primary_key=[f"c{n}" for n in KEYS[path.stem]],
            write_disposition={"disposition": "merge", "strategy": strategy},
        )
        for path in sorted(Path(folder).glob("*.CSV"))
        if path.stat().st_size > len(path.open("rb").readline())  # a file without a line has nothing to load
    ]  # fmt: skip
    pipeline.run(told, loader_file_format="csv")
    seconds, spent = time.perf_counter() - wall, time.process_time() - cpu
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    told_of = {"seconds": seconds, "cpu": spent + children.ru_utime + children.ru_stime, "peak": peak}
    print(json.dumps(told_of | {"version": dlt.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
