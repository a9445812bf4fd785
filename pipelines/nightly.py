"""What a home says of its nights, in `depositaire.toml`:

[night]
memory = "2GiB"
processes = 2
full_reading_days = 28
"""

import os
from collections.abc import Mapping
from typing import Any

from pipelines.host.settings import is_worker
from schemas.errors import Malformed
from schemas.home import Home
from store.engine import settings_of

# Four weeks, and not more than a year.
USUAL_DAYS, MOST_DAYS = 28, 366
MOST_PROCESSES = 64


def said(home: Home) -> Mapping[str, Any]:
    """The table as it stands; empty where there is none."""
    table = settings_of(home).get("night", {})
    if not isinstance(table, dict):
        raise Malformed(f"{home.settings.name}: night is no table", "Write [night] on a line of its own.")
    return table


def full_reading_days(home: Home) -> int:
    """In how many days each flow is read in full once, whatever is known of it (`pipelines.unchanged`)."""
    hint = f"Write a whole number from 1 (every day) to {MOST_DAYS}, or leave it out: then it is {USUAL_DAYS}."
    wrong = Malformed(f"{home.settings.name}: night.full_reading_days is no number of days", hint)
    return _number(said(home).get("full_reading_days", USUAL_DAYS), MOST_DAYS, wrong)


def processes(home: Home) -> int:
    """Over how many processes a night may deal its agencies (`pipelines.crew`): one a processor unless the home says
    otherwise, and one on a machine that shares its nights with others, which takes as many runs as it was told to."""
    usual = 1 if is_worker(home) else min(len(os.sched_getaffinity(0)), MOST_PROCESSES)
    hint = f"Write a whole number from 1 to {MOST_PROCESSES}, or leave it out: then it is one a processor."
    wrong = Malformed(f"{home.settings.name}: night.processes is no number of processes", hint)
    return _number(said(home).get("processes", usual), MOST_PROCESSES, wrong)


def _number(value: Any, most: int, wrong: Malformed) -> int:
    if type(value) is not int or not 1 <= value <= most:
        raise wrong
    return value
