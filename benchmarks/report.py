"""Results as a table: medians, ratios to pandas in the same run, peaks."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

Result = Mapping[str, Any]
WHAT = {
    "pandas": "pandas alone",
    "read": "open + read",
    "first": "first night",
    "again": "unchanged night",
    "changed": "one percent changed",
}
_HEAD = (
    "",
    "lines",
    "seconds",
    "CPU s",
    "server CPU s",
    "k lines/s",
    "k lines/CPU s",
    "× pandas",
    "× pandas CPU",
    "peak MB",
)


def medians(runs: Sequence[Result]) -> dict[str, float]:
    """The middle of several runs of one measurement, number by number."""
    return {
        name: median(run[name] for run in runs)
        for name in ("seconds", "cpu", "server", "peak_mb", "base_mb", "lines", "bytes")
    }


def tables(results: Mapping[str, Mapping[str, Sequence[Result]]]) -> Iterator[str]:
    """One table in Markdown a system and size, with its title above it."""
    for title, measured in results.items():
        middle = {name: medians(runs) for name, runs in measured.items() if runs}
        rows = [_HEAD, *(_row(WHAT[name], middle[name], middle.get("pandas")) for name in WHAT if name in middle)]
        yield f"{title}\n\n{_markdown(rows)}\n"


def _row(name: str, of: Mapping[str, float], pandas: Mapping[str, float] | None) -> tuple[str, ...]:
    lines = of["lines"]
    times = [of[clock] / pandas[clock] if pandas else 0.0 for clock in ("seconds", "cpu")]
    return (
        name, f"{lines:,.0f}", _figure(of["seconds"]), _figure(of["cpu"]), _figure(of["server"]), _figure(lines / of["seconds"] / 1000),
        _figure(lines / of["cpu"] / 1000), _figure(times[0]), _figure(times[1]), f"{of['peak_mb']:,.0f}",
    )  # fmt: skip


def _figure(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| "
        + " | ".join(_aligned(cell, width, i) for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        + " |"
        for row in rows
    ]
    rule = "|" + "|".join("-" * (w + 1) + (":" if i else "-") for i, w in enumerate(widths)) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column else cell.ljust(width)


def parts(stages: Mapping[str, Mapping[str, float]]) -> str:
    """The stages of one night, the dearest first."""
    total = sum(stage["cpu"] for stage in stages.values()) or 1.0
    rows: list[Sequence[str]] = [("stage", "CPU s", "share", "seconds", "peak MB")]
    for name, stage in sorted(stages.items(), key=lambda each: -each[1]["cpu"]):
        share = f"{100 * stage['cpu'] / total:.1f} %"
        rows.append((name, _figure(stage["cpu"]), share, _figure(stage["seconds"]), f"{stage['peak_mb']:,.0f}"))
    return _markdown(rows)
