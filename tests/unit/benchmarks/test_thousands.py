"""The nights of many agencies: what is no measurement is refused, and what is drawn is what was measured."""

from typing import Any

import pytest

from benchmarks import plot, thousands


def reports(count: int, wrote: int, outcome: str = "accepted") -> list[dict[str, Any]]:
    def table(n: int) -> dict[str, dict[str, int]]:
        return {"person": {"stored": int(n < wrote), "unchanged": 200}}

    return [
        {"agency": f"B{n:04}", "system": system, "outcome": outcome, "reason": None, "tables": table(n)}
        for n in range(count)
        for system in ("spilasuite", "sdgi", "gpi", "login")
    ]


@pytest.mark.parametrize(("name", "wrote"), [("first", 20), ("again", 0), ("tenth", 2), ("replayed", 0)])
def test_a_night_is_measured_when_just_those_wrote_that_should(name: str, wrote: int) -> None:
    thousands._check(reports(20, wrote), name, 20, 2)
    with pytest.raises(SystemExit, match=name):
        thousands._check(reports(20, wrote + 1 if wrote < 20 else 19), name, 20, 2)


def test_a_night_with_a_refused_or_a_missing_delivery_is_no_measurement() -> None:
    broken = reports(20, 20)
    broken[7]["outcome"] = "refused"
    for those in (broken, reports(20, 20)[1:], reports(20, 20) + reports(1, 1)):
        with pytest.raises(SystemExit, match="first"):
            thousands._check(those, "first", 20, 0)


def test_the_plot_shows_our_cpu_and_the_servers_together() -> None:
    told = [
        {"store": "postgresql", "night": "first", "agencies": n, "CPU s": 2.0 * n, "of the server": 1.0 * n}
        for n in (5, 50)
    ]
    assert plot._agencies(told) == {"postgresql, first": [(5, 15.0), (50, 150.0)]}
    run = {"cpu": 0.5, "server": 0.25}
    named = {"sdgi, 1,000 persons in one agency": {"first": [run, run], "read": [run]}}
    assert plot._persons([named]) == {"sdgi, first": [(1000, 0.75)]}
