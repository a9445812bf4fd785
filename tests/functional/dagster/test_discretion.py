"""Whatever goes wrong, no value reaches Dagster's storage, its log, or what Great Expectations keeps."""

import logging
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipelines import quality
from pipelines.defs.instance import open_instance
from pipelines.defs.keys import invariants, table_key
from pipelines.quality import Findings
from schemas.ids import System
from schemas.report import Report
from tests.functional.conftest import Installation
from tests.functional.dagster.conftest import DAY, bytes_holding, colours, night, prepare, settle, told_to_dagster

MARK = "BELLERIVE-0612345678"


@pytest.fixture
def ready(tmp_path: Path) -> Installation:
    installation = prepare(tmp_path)
    installation.place_day(DAY)
    return installation


def test_the_search_finds_a_value_that_dagster_was_given(after: Installation, instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("told", metadata={"value": MARK}))
    assert told_to_dagster(after.home, MARK)


def test_an_exception_that_quotes_a_record_leaves_only_its_kind_and_place(
    ready: Installation, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    def quote(_: Report) -> None:
        raise ValueError(MARK)

    with pytest.raises(ValueError, match=MARK):
        settle(ready, systems=[System.GPI], progress=quote)
    assert told_to_dagster(ready.home, MARK) == []
    assert told_to_dagster(ready.home, "ValueError at test_discretion.py:") != []
    out, err = capfd.readouterr()
    assert MARK not in out + err + caplog.text


def test_an_error_that_dagster_itself_catches_is_masked(
    ready: Installation, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Below our own net: an asset of somebody else's, in the same process."""

    @dg.asset
    def careless() -> None:
        raise ValueError(MARK)

    with open_instance(ready.home) as instance:
        assert not dg.materialize([careless], instance=instance, raise_on_error=False).success
    assert told_to_dagster(ready.home, MARK) == []
    out, err = capfd.readouterr()
    assert MARK not in out + err + caplog.text


def broken(examination: quality.Examination, name: str, table: pa.Table) -> None:
    """A connector that lost its mind: a name where the kind of a person should be, in the first delivery."""
    if name == "person":
        first = pc.equal(table["d"], pc.min(table["d"]))
        at = table.column_names.index("kind")
        table = table.set_column(at, "kind", pc.if_else(first, MARK, table["kind"]))
    look(examination, name, table)


look = quality.Examination.look


def test_a_broken_invariant_keeps_the_delivery_out_and_its_values_too(
    ready: Installation, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(quality.Examination, "look", broken)
    reports = {(r.agency, r.outcome, r.reason) for r in settle(ready, systems=[System.GPI], agencies=["A0001"])}
    assert reports == {("A0001", "refused", "quality.invariant")}
    with open_instance(ready.home) as instance:
        assert colours(instance, System.GPI)["A0001"] == "red"
        key = dg.AssetCheckKey(table_key("person"), invariants(System.GPI))
        (told,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=10)
        assert told.status.value == "FAILED"
        assert told.event is not None
        evaluation = told.event.dagster_event.asset_check_evaluation_data if told.event.dagster_event else None
        assert evaluation is not None
        assert evaluation.severity is dg.AssetCheckSeverity.ERROR
        assert evaluation.metadata["broken"].value == {"kind listed": evaluation.metadata["rows"].value}
    assert bytes_holding(ready.home.root, MARK) == []
    out, err = capfd.readouterr()
    assert MARK not in out + err


def test_a_rule_that_cannot_be_computed_stops_the_run_without_a_value(
    ready: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreadable(_: quality.Examination) -> Findings:
        raise quality.NotComputed("the rule expect_column_values_to_be_in_set could not be computed")

    monkeypatch.setattr(quality.Examination, "findings", unreadable)
    with pytest.raises(quality.NotComputed):
        settle(ready, systems=[System.GPI])
    with open_instance(ready.home) as instance:
        assert instance.get_runs(limit=1)[0].status is dg.DagsterRunStatus.FAILURE


def test_the_command_line_hears_nothing_of_dagster(ready: Installation) -> None:
    program = (
        "import sys; from pathlib import Path; from pipelines.defs.run import execute_sync;"
        "from tests.functional.conftest import Installation;"
        "from tests.functional.dagster.conftest import night;"
        "from schemas.ids import System;"
        "execute_sync(night(Installation.on(Path(sys.argv[1])), systems=[System.GPI]))"
    )
    (gpi,) = (ready.inbox / "A0002" / "gpi").iterdir()
    gpi.write_bytes(b"not an envoi")
    done = subprocess.run(
        [sys.executable, "-c", program, str(ready.home.root.parent)],
        cwd=Path(__file__).parents[3], capture_output=True, text=True,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_dagsters_logger_of_original_errors_is_shut_after_a_run_too(after: Installation) -> None:
    settle(after, systems=[System.GPI], agencies=["A0001"])
    logger = logging.getLogger("dagster.redacted_errors")
    assert not logger.filter(logger.makeRecord(logger.name, logging.ERROR, "", 0, MARK, (), None))
    assert not logger.propagate
    assert night(after).passphrase is None
