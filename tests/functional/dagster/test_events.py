"""The hourly run that sends the events of lineage: in order, once, bounded, and nothing of an agency in Dagster."""

import json
from pathlib import Path

import dagster as dg
import pytest

from pipelines.defs import events
from pipelines.defs.definitions import defs
from pipelines.openlineage import sending
from schemas.home import Home
from tests.functional.dagster.conftest import told_to_dagster
from tests.functional.dagster.test_ticks import tick
from tests.receiver import Receiver, receiving


def configure(home: Home, url: str) -> None:
    """Behind what the home says already: which store it has."""
    said = home.settings.read_text().partition("[openlineage]")[0] if home.settings.exists() else ""
    home.settings.write_text(f'{said}[openlineage]\nurl = "{url}"\n')


def ran(instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs().get_repository_def().get_job("openlineage")
    return job.execute_in_process(quiet, instance=instance, raise_on_error=False)


def why(result: dg.ExecuteInProcessResult) -> str:
    (failure,) = (e for e in result.all_events if e.is_step_failure)
    return str(failure.step_failure_data.user_failure_data and failure.step_failure_data.user_failure_data.description)


def in_files(home: Home) -> dict[str, list[tuple[str, str]]]:
    found = {}
    for path in sorted(home.lineage.glob("*.jsonl")):
        said = [json.loads(line) for line in path.read_text().splitlines()]
        found[said[0]["job"]["namespace"]] = [(e["run"]["runId"], e["eventType"]) for e in said]
    return found


def taken(by: Receiver) -> dict[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for namespace, run, kind in by.names():
        found.setdefault(namespace, []).append((run, kind))
    return found


def test_without_a_receiver_no_run_is_asked_for_and_with_one_it_is(instance: dg.DagsterInstance, at_home: Home) -> None:
    told = tick("hourly_events", instance)
    assert not told.run_requests
    assert "[openlineage]" in str(told.skip_message)
    configure(at_home, "https://lineage.example")
    assert len(tick("hourly_events", instance).run_requests or []) == 1
    configure(at_home, "ftp://lineage.example")
    assert len(tick("hourly_events", instance).run_requests or []) == 1, "the run says what is wrong"
    result = ran(instance)
    assert not result.success
    assert "the url of [openlineage] is not one of https" in why(result)


def test_without_a_home_no_run_is_asked_for(instance: dg.DagsterInstance, homeless: None) -> None:
    told = tick("hourly_events", instance)
    assert not told.run_requests
    assert "DEPOSITAIRE_HOME" in str(told.skip_message)


def test_a_run_sends_what_waits_in_order_and_once_and_dagster_hears_of_no_agency(
    instance: dg.DagsterInstance, at_home: Home
) -> None:
    before = {code: told_to_dagster(at_home, code) for code in ("A0001", "A0003")}
    assert all(before.values()), "the night is told to Dagster by agency"
    rows = count_of(instance)
    with receiving() as there:
        configure(at_home, there.url)
        assert ran(instance).success
        assert taken(there) == in_files(at_home)
        sent = len(there.taken)
        assert sent > 10
        assert ran(instance).success
        assert len(there.taken) == sent
    said = [e.message for run in count_of(instance) - rows for e in instance.all_logs(run)]
    assert any(f"{sent} sent, 0 wait" in m for m in said)
    assert not any(code in m for code in ("A0001", "A0002", "A0003") for m in said)
    assert all("A000" not in str(e) for run in count_of(instance) - rows for e in instance.all_logs(run))


def count_of(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_run_ids())


def test_a_receiver_that_is_away_makes_the_run_red_and_the_next_one_sends_everything(
    instance: dg.DagsterInstance, at_home: Home
) -> None:
    with receiving() as there:
        configure(at_home, there.url)
        there.answers = lambda _: 503 if len(there.taken) == 4 else 201
        result = ran(instance)
        assert not result.success
        assert why(result).endswith("events wait: status 503")
        there.answers = lambda _: 201
        assert ran(instance).success
        assert taken(there) == in_files(at_home)


def test_a_run_ends_when_its_time_is_over_and_the_next_one_goes_on(
    instance: dg.DagsterInstance, at_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiving() as there:
        configure(at_home, there.url)
        monkeypatch.setattr(events, "LONGEST_SECONDS", 0.0)
        for n in (1, 2, 3):
            assert ran(instance).success
            assert len(there.taken) == n
    assert set(taken(there).popitem()[1]) <= set(next(iter(in_files(at_home).values())))


def test_while_somebody_else_sends_a_run_leaves_it_to_them(
    instance: dg.DagsterInstance, at_home: Home, tmp_path: Path
) -> None:
    with receiving() as there:
        configure(at_home, there.url)
        with sending._alone(at_home):
            assert ran(instance).success
        assert there.taken == []
