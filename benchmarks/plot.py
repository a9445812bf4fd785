"""Draw what `benchmarks.thousands` or `benchmarks` measured, as SVG: `python -m benchmarks.plot --to FILE.svg FIGURES.json …`

Cost against number, both on logarithmic axes, with the straight line through the smallest one that linear cost would
follow. Needs matplotlib, which `make bench` installs into an environment of its own.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Lines = dict[str, list[tuple[float, float]]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plot", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("figures", nargs="+", type=Path, help="written by --to, or under benchmarks/results")
    parser.add_argument("--to", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    told = [json.loads(path.read_text()) for path in chosen.figures]
    if isinstance(told[0], list):
        lines, along = _agencies([each for figures in told for each in figures]), "agencies, four systems each"
    else:
        lines, along = _persons([figures["results"] for figures in told]), "persons in one agency"
    draw(lines, along, chosen.to)


def _agencies(figures: Sequence[dict[str, Any]]) -> Lines:
    """Of `benchmarks.thousands`."""
    lines: Lines = {}
    for each in figures:
        spent = each["CPU s"] + each["of the server"]
        lines.setdefault(f"{each['store']}, {each['night']}", []).append((each["agencies"], spent))
    return lines


def _persons(results: Sequence[dict[str, dict[str, list[dict[str, Any]]]]]) -> Lines:
    """Of `benchmarks`: what titles say is "sdgi, 1,000 persons in one agency"."""
    lines: Lines = {}
    for each in results:
        for title, found in each.items():
            system, persons = title.split(", ", 1)
            for night in ("first", "again"):
                for run in found.get(night, [])[:1]:
                    number = int(persons.split()[0].replace(",", ""))
                    lines.setdefault(f"{system}, {night}", []).append((number, run["cpu"] + run["server"]))
    return lines


def draw(lines: Lines, along: str, to: Path) -> None:
    import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore]

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "depositaire"  # the same figures give the same file
    from matplotlib import pyplot as plt  # type: ignore[import-not-found, unused-ignore]

    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in lines.items():
        points.sort()
        (drawn,) = axes.loglog(*zip(*points, strict=True), marker="o", label=name)
        (x, y), (last, _) = points[0], points[-1]
        axes.loglog([x, last], [y, y * last / x], ":", linewidth=1, color=drawn.get_color())
    axes.set_xlabel(along)
    axes.set_ylabel("CPU seconds, ours and the database's")
    axes.set_title("dotted: as many times as much for as many times as many", fontsize="small")
    axes.grid(visible=True, which="major", alpha=0.3)
    axes.legend(fontsize="small")
    figure.savefig(to, metadata={"Date": None})


if __name__ == "__main__":
    main()
