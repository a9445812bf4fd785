"""What people see: calm tables on standard output, progress on standard error, JSON alone when it was asked for."""

import json
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from portal.cli.setting import Setting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

GAP, LEAST = 2, 12
UNWATCHED_WIDTH = 160  # a file or a pipe has no width of its own
COLOURS = {"accepted": "green", "replayed": "dim", "refused": "red"}


def emit(value: Any) -> None:
    """One JSON value. ASCII: names of deliveries may hold bytes that are no text."""
    print(json.dumps(value, indent=1 if sys.stdout.isatty() else None))


def console(stderr: bool = False) -> "Console":
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else UNWATCHED_WIDTH
    return Console(file=stream, width=width, highlight=False, markup=False, emoji=False, soft_wrap=not stream.isatty())


def line(text: str = "", style: str | None = None) -> None:
    console().print(shown(text), style=style)


def shown(text: object) -> str:
    """A text that came from outside, harmless on a terminal: no control characters, nothing that is not text."""
    plain = str(text).encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() or c in "\n" else "�" for c in plain)


Cells = Sequence[object]  # each a text, or a text and its style


def table(columns: Sequence[str], rows: Iterable[Cells], right: Sequence[int] = ()) -> None:
    """Rows under their headings. `right`: numbers of the columns of figures."""
    _print(_table(columns, list(rows), right))


def grouped(
    columns: Sequence[str], groups: Sequence[tuple[Cells, Sequence[Cells]]], right: Sequence[int], give: int
) -> None:
    """Rows under a line that names their group, in columns that line up from group to group.

    `give`: the number of the column that gives way where the terminal is narrow.
    """
    if not groups:
        return
    out = console()
    every = [columns, *(row for _, rows in groups for row in rows)]
    widths = [max(len(shown(_plain(row[n])[0])) for row in every) for n in range(len(columns))]
    too_wide = sum(widths) + GAP * len(widths) - out.width
    widths[give] = max(widths[give] - max(too_wide, 0), LEAST)
    _print(_table(columns, [[(name, "dim") for name in columns]], right, widths))
    for heading, rows in groups:
        _print(_heading(heading))
        if rows:
            _print(_table(columns, rows, right, widths))


def _print(drawn: object) -> None:
    out = console()
    if out.is_terminal:
        out.print(drawn)
        return
    with out.capture() as captured:
        out.print(drawn)
    print("\n".join(text.rstrip() for text in captured.get().splitlines()))


def _heading(cells: Cells) -> object:
    from rich.text import Text

    return Text("  ").join(Text(shown(text), style=style) for text, style in map(_plain, cells))


def _table(
    columns: Sequence[str], rows: Sequence[Cells], right: Sequence[int], widths: Sequence[int] | None = None
) -> object:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    # Only a table of its own has headings: those of a group would be repeated from group to group.
    style = box.SIMPLE_HEAD if widths is None else None
    drawn = Table(box=style, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", show_header=widths is None)
    for n, name in enumerate(columns):
        width = widths[n] if widths else None
        drawn.add_column(name, justify="right" if n in right else "left", overflow="fold", width=width)
    for row in rows:
        drawn.add_row(*(Text(shown(text), style=style) for text, style in map(_plain, row)))
    return drawn


def _plain(cell: object) -> tuple[object, str]:
    return cell if isinstance(cell, tuple) else (cell, "")


@contextmanager
def progress(setting: Setting, title: str, total: Callable[[], int | None]) -> "Iterator[Callable[[str], None]]":
    """A bar on standard error; gives a function to call once a step. On no terminal, or with --quiet: nothing.

    `total` counts the steps (None: nobody knows); it is asked only when there is a bar to draw.
    """
    if setting.quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total())

        def step(what: str) -> None:
            bar.update(task, advance=1, description=f"{title} {shown(what)}".strip())

        yield step
