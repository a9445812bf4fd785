"""Held lines are read by column, and say the same whether they are asked for or all read."""

import numpy as np

from schemas.ids import System
from store.agency import OpenShelf
from store.engine import on

LINES = 1203  # more than are fetched at once, and not a multiple of it


def held(shelf: OpenShelf, system: System, first: int) -> None:
    signatures = np.arange(2 * LINES, dtype="<u8").reshape(-1, 2)
    with shelf.writing() as db:
        on(db).put_lines(
            db,
            {
                "id": list(range(first, first + LINES)), "system": [str(system)] * LINES,
                "source": [("LOTS.CSV", "BAUX.CSV")[n % 2] for n in range(LINES)],
                "key": [f"{system} é{n}" for n in range(LINES)],
                "signature": [each.tobytes() for each in signatures], "live": [n % 3 and 1 for n in range(LINES)],
            },
        )  # fmt: skip


def test_every_line_of_the_system_comes_as_it_was_written(shelf: OpenShelf) -> None:
    held(shelf, System.SDGI, 1)
    held(shelf, System.GPI, LINES + 1)
    found = shelf.lines(System.SDGI).sort_by("id").to_pylist()
    assert found == [
        {
            "id": n + 1, "source": ("LOTS.CSV", "BAUX.CSV")[n % 2], "key": f"sdgi é{n}", "lo": 2 * n, "hi": 2 * n + 1,
            "live": n % 3 > 0,
        }
        for n in range(LINES)
    ]  # fmt: skip
    assert shelf.count_lines(System.SDGI) == LINES
    assert shelf.lines(System.LOGIN).schema == shelf.lines(System.SDGI).schema
    assert len(shelf.lines(System.LOGIN)) == shelf.count_lines(System.LOGIN) == 0


def test_lines_that_are_asked_for_are_those_of_their_source_alone(shelf: OpenShelf) -> None:
    held(shelf, System.SDGI, 1)
    asked = {"LOTS.CSV": [f"sdgi é{n}" for n in range(700)], "BAUX.CSV": ["sdgi é1", "sdgi é2", "sdgi é999999"]}
    expected = {n + 1 for n in range(0, 700, 2)} | {2}
    assert set(shelf.lines(System.SDGI, asked)["id"].to_pylist()) == expected
