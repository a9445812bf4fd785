"""Old runs go once a newer one says everything that they said."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from pipelines.defs.clearing import clear
from schemas.ids import System
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import colours, settle

TOMORROW = datetime.now(UTC) + timedelta(days=1)


def test_a_run_that_still_says_something_stays(instance: dg.DagsterInstance) -> None:
    before = {s: colours(instance, s) for s in (System.GPI, System.SDGI)}
    assert clear(instance, TOMORROW) == 0
    assert {s: colours(instance, s) for s in before} == before


def test_a_run_that_was_said_again_goes_with_its_file(after: Installation, instance: dg.DagsterInstance) -> None:
    (old,) = instance.get_runs()
    settle(after)
    before = {s: colours(instance, s) for s in (System.GPI, System.SDGI, System.LOGIN)}
    assert clear(instance, TOMORROW) == 1
    assert {s: colours(instance, s) for s in before} == before
    assert list(after.home.dagster.rglob(f"{old.run_id}*")) == []


def test_a_run_of_last_week_is_left_alone(after: Installation, instance: dg.DagsterInstance) -> None:
    settle(after, systems=[System.GPI])
    assert clear(instance, datetime.now(UTC) - timedelta(days=7)) == 0
