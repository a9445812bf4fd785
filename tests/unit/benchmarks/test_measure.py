"""A measurement measures what it says, in a process of its own."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks import report, stages

ROOT = Path(__file__).parents[3]


def test_every_timed_stage_is_still_a_function_of_the_corridor() -> None:
    for _, module, path in stages.PLACES:
        owner, attribute = stages.place(module, path)
        assert attribute in vars(owner), f"{module}.{path}"


def test_pandas_and_the_connector_are_timed_on_the_same_lines(tmp_path: Path) -> None:
    options = ["--systems", "sdgi", "--sizes", "200", "--only", "pandas", "read", "first", "--runs", "1", "--stages"]
    command = [sys.executable, "-m", "benchmarks", *options, "--where", str(tmp_path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    (kept,) = (tmp_path / "out").iterdir()
    ((title, found),) = json.loads(kept.read_text())["results"].items()
    assert title == "sdgi, 200 persons in one agency"
    assert {what: len(runs) for what, runs in found.items()} == {"pandas": 1, "read": 1, "first": 1}
    assert found["pandas"][0]["lines"] == found["read"][0]["lines"] == found["first"][0]["lines"] > 600
    stages_seconds = sum(s["seconds"] for s in found["first"][0]["stages"].values())
    # What is between the stages is small on a quiet machine; how small, a busy one does not let anybody say.
    assert 0.3 * found["first"][0]["seconds"] < stages_seconds <= found["first"][0]["seconds"]
    assert "| first night" in done.stdout
    assert list(tmp_path.iterdir()) == [tmp_path / "out"], "deliveries and homes are removed"


def test_the_table_shows_medians_and_their_ratio_to_pandas() -> None:
    def runs(*seconds: float) -> list[dict[str, float]]:
        same = {"peak_mb": 100.0, "base_mb": 50.0, "lines": 1_000.0, "bytes": 10.0}
        return [{"seconds": s, "cpu": s / 2, "server": s / 4, **same} for s in seconds]

    (table,) = report.tables({"sdgi": {"pandas": runs(0.5), "first": runs(9.0, 2.0, 1.0)}})
    row = next(line for line in table.splitlines() if line.startswith("| first night"))
    assert [cell.strip() for cell in row.strip("|").split("|")][1:] == [
        "1,000", "2.00", "1.00", "0.50", "0.50", "1.00", "4.00", "4.00", "100",
    ]  # fmt: skip
