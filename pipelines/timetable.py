"""When each system's night begins: read by the schedules (`pipelines.defs.schedules`) and by the web door.

Times are Europe/Paris and outside of 02:00–03:00, which on two days of the year does not exist or comes twice.
"""

from datetime import datetime, timedelta

from schemas.ids import System
from schemas.window import PARIS

# Words of cron: minute and hour, every day.
TIMES: dict[System, str] = {
    System.SPILASUITE: "0 1 * * *",
    System.SDGI: "15 3 * * *",
    System.GPI: "30 3 * * *",
    System.LOGIN: "45 3 * * *",
    System.PORTAL: "0 4 * * *",
}


def next_run(system: System, at: datetime) -> datetime:
    """The first beginning of a system's night after an instant."""
    minute, hour, *every = TIMES[system].split()
    if every != ["*", "*", "*"]:
        raise ValueError(f"{system} is not read once a day")
    here = at.astimezone(PARIS)
    found = here.replace(hour=int(hour), minute=int(minute), second=0, microsecond=0)
    # By the wall clock of Paris: a day may have 23 or 25 hours.
    return found if found > here else found + timedelta(days=1)
