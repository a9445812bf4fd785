"""What a home says of its nights, in `depositaire.toml`:

[night]
memory = "2GiB"
full_reading_days = 28
"""

from collections.abc import Mapping
from typing import Any

from schemas.errors import Malformed
from schemas.home import Home
from store.engine import settings_of

# Four weeks, and not more than a year.
USUAL_DAYS, MOST_DAYS = 28, 366


def said(home: Home) -> Mapping[str, Any]:
    """The table as it stands; empty where there is none."""
    table = settings_of(home).get("night", {})
    if not isinstance(table, dict):
        raise Malformed(f"{home.settings.name}: night is no table", "Write [night] on a line of its own.")
    return table


def full_reading_days(home: Home) -> int:
    """In how many days each flow is read in full once, whatever is known of it (`pipelines.unchanged`)."""
    days = said(home).get("full_reading_days", USUAL_DAYS)
    if type(days) is not int or not 1 <= days <= MOST_DAYS:
        raise Malformed(
            f"{home.settings.name}: night.full_reading_days is no number of days",
            f"Write a whole number from 1 (every day) to {MOST_DAYS}, or leave it out: then it is {USUAL_DAYS}.",
        )
    return days
