"""Dagster's records in a PostgreSQL database of their own: made whole, apart from everything else, without what could
name an agency where nobody looks for it."""

import io
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import make_url

from pipelines.defs import database, trace_tables
from pipelines.defs.address import Address, known
from pipelines.defs.database import connect, install, looked_into, rewrite
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.interrupted import alive, is_at_work, mend
from pipelines.defs.partitions import is_shared
from pipelines.defs.trace import forget, mentions
from pipelines.defs.worker import where, work
from retention.residue import CONTROL, Where, left, search
from schemas.errors import Malformed, NotVerified, Refused, TryAgain
from schemas.home import Home
from schemas.ids import AgencyCode
from tests.functional.cli.conftest import call
from tests.functional.dagster.tracing import tables_holding
from tests.postgres import PASSWORD, Cluster, at_hand

GONE, STAYS = AgencyCode("A0001"), AgencyCode("A0002")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with at_hand() as made:
        yield made


@pytest.fixture
def address(cluster: Cluster) -> Address:
    return Address.of(cluster.database())


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path) -> Home:
    made = Home.at(tmp_path / "home")
    made.root.mkdir()
    write_instance(made, cluster.database())
    return made


def stored(home: Home) -> Address:
    found = known(home)
    assert found is not None
    return found


def tables(address: Address) -> set[str]:
    with connect(address) as db:
        return {str(name) for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}


# -- making it ---------------------------------------------------------------------------------------------------------


def test_the_address_lies_with_the_keys_and_nowhere_else(home: Home) -> None:
    assert stat.S_IMODE(home.orchestrator.stat().st_mode) == 0o600
    with open_instance(home) as instance:
        instance.add_dynamic_partitions("agency", [GONE])
        told = str(instance.get_ref().to_dict())
    texts = [p.read_text() for p in home.dagster.rglob("*") if p.is_file()]
    secret = make_url(stored(home).url).password
    assert secret == PASSWORD
    assert PASSWORD in home.orchestrator.read_text() or "fabriqu%C3%A9" in home.orchestrator.read_text()
    for word in (PASSWORD, "fabriqu", "@/"):
        assert [text for text in (*texts, told) if word in text] == []


def test_what_was_half_made_is_made_anew(address: Address) -> None:
    install(address)
    whole = tables(address)
    with connect(address) as db:
        db.execute("DROP TABLE depositaire_dagster, run_tags, job_ticks, asset_keys")
    install(address)
    assert tables(address) == whole


def test_making_it_twice_changes_nothing(home: Home) -> None:
    with open_instance(home) as instance:
        instance.add_dynamic_partitions("agency", [GONE])
        install(stored(home))
        assert instance.get_dynamic_partitions("agency") == [GONE]


def test_a_database_that_holds_something_else_is_refused_and_left_as_it_is(cluster: Cluster, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "other")
    url = cluster.database()
    with connect(Address.of(url)) as db:
        db.execute("CREATE TABLE invoices (number text)")
    with pytest.raises(Refused):
        write_instance(home, url)
    assert tables(Address.of(url)) == {"invoices"}


def test_a_home_whose_dagster_is_in_files_is_not_moved(cluster: Cluster, tmp_path: Path) -> None:
    home = Home.at(tmp_path / "files")
    write_instance(home)
    with pytest.raises(Refused):
        write_instance(home, cluster.database())
    assert known(home) is None


@pytest.mark.parametrize(
    "url", ["sqlite:///x", "nonsense", "postgresql://user:geheim@host", "postgresql://u:geheim@h:x/d"]
)
def test_what_is_no_address_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(Malformed) as no:
        Address.of(url)
    assert "geheim" not in str(no.value)
    assert "geheim" not in repr(Address("postgresql://u:geheim@h/d"))


def test_a_server_that_is_away_is_waited_for_without_naming_it(tmp_path: Path) -> None:
    with pytest.raises(TryAgain) as no:
        connect(Address.of("postgresql://u:geheim@localhost:1/d"))
    assert "geheim" not in str(no.value)
    assert "localhost" not in str(no.value)


def test_init_asks_for_both_addresses_and_shows_neither(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = "redis://:geheim@localhost:6379/0"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{cluster.database()}\n{broker}\n"))
    said = call("init", "--home", tmp_path / "home", "--dagster", "-", "--broker", "-")
    home = Home.at(tmp_path / "home")
    assert said.code == 0
    assert stored(home).broker == broker
    shown = (home.dagster / "dagster.yaml").read_text() + said.out + said.err
    assert "pipelines.defs.launcher" in shown
    assert "geheim" not in shown
    assert "fabriqu" not in shown
    with open_instance(home) as instance:
        assert is_shared(instance)
        assert "geheim" not in str(instance.get_ref().to_dict())
        limits = {i.name: i.limit for i in instance.event_log_storage.get_pool_limits()}
    assert limits == {"erasure": 1}


def test_a_broker_needs_a_database_and_nothing_is_made_without_it(tmp_path: Path) -> None:
    said = call("init", "--home", tmp_path / "home", "--broker", "redis://127.0.0.1/0")
    assert said.code != 0
    assert "--dagster" in said.err
    assert not (tmp_path / "home").exists()


def test_a_home_without_a_broker_has_no_workers(home: Home, tmp_path: Path) -> None:
    with pytest.raises(Refused):
        work(home, 1)
    with pytest.raises(Malformed):
        where("8081")
    assert where("[::1]:8081") == ("::1", 8081)


def test_the_database_of_the_store_is_not_dagsters(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.database()
    said = call("init", "--home", tmp_path / "home", "--store", url, "--dagster", url)
    assert said.code == 2
    assert known(Home.at(tmp_path / "home")) is None
    assert "depositaire_dagster" not in tables(Address.of(url))


def test_events_share_a_connection(home: Home, cluster: Cluster) -> None:
    with open_instance(home) as instance:
        told(instance)
        before = sessions(cluster, stored(home))
        for _ in range(20):
            told(instance)
    assert sessions(cluster, stored(home)) - before < 10


def told(instance: dg.DagsterInstance) -> None:
    instance.report_runless_asset_event(dg.AssetMaterialization("sync", partition=GONE))


def sessions(cluster: Cluster, address: Address) -> int:
    """How often somebody connected to this database. The server counts a session at its end, or a second later."""
    time.sleep(1.5)
    with cluster.admin() as db:
        asked = "SELECT sessions FROM pg_stat_database WHERE datname = %s"
        row = db.execute(asked, (make_url(address.url).database,)).fetchone()
    assert row is not None
    return int(row[0])


# -- what it remembers -------------------------------------------------------------------------------------------------


@pytest.fixture
def spoken_of(home: Home) -> Home:
    """Two agencies, each with as many events as make the planner remember a value."""
    with open_instance(home) as instance:
        instance.add_dynamic_partitions("agency", [GONE, STAYS])
        for _ in range(20):
            for code in (GONE, STAYS):
                instance.report_runless_asset_event(dg.AssetMaterialization("sync", partition=code))
    return home


def test_the_planner_remembers_nobody(spoken_of: Home) -> None:
    with connect(stored(spoken_of)) as db:
        db.execute("ANALYZE")
        assert db.execute("SELECT count(*) FROM pg_stats WHERE schemaname = 'public'").fetchone() != (0,)
    assert [text for text in trace_tables.statistics(stored(spoken_of)) if GONE in text] == []


def test_statistics_that_somebody_switched_on_again_are_found(spoken_of: Home) -> None:
    with connect(stored(spoken_of)) as db:
        db.execute("ALTER TABLE event_logs ALTER COLUMN partition SET STATISTICS 100")
        db.execute("ANALYZE event_logs")
    assert "database:pg_statistic" in mentions(spoken_of.dagster, GONE, stored(spoken_of))
    with pytest.raises(NotVerified):
        forget(spoken_of.dagster, [GONE], address=stored(spoken_of))
    assert "orchestrator statistics" in residue(spoken_of, GONE)


def residue(home: Home, code: AgencyCode) -> dict[str, int]:
    with looked_into(stored(home)) as db:
        findings = search(Where(home.root, home.keys, orchestrator=home.dagster, orchestrator_database=db), [code])
    assert all(f.trusted for f in findings)
    return left(findings, code)


def test_the_search_by_other_means_finds_what_the_erasure_takes_away(spoken_of: Home) -> None:
    assert residue(spoken_of, GONE) == {"orchestrator tables": 21}, "twenty events and a partition"
    forget(spoken_of.dagster, [GONE], address=stored(spoken_of))
    rewrite(stored(spoken_of))
    assert residue(spoken_of, GONE) == {}
    assert residue(spoken_of, STAYS) != {}


def test_a_search_that_sees_nothing_is_not_believed(spoken_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from retention import residue_orchestrator

    monkeypatch.setattr(residue_orchestrator, "_unpacked", lambda value: value)
    with looked_into(stored(spoken_of)) as db:
        findings = search(Where(spoken_of.root, spoken_of.keys, orchestrator_database=db), [CONTROL])
    assert [f.place for f in findings if not f.trusted] == ["orchestrator tables"]


def test_a_database_in_use_is_left_for_later(spoken_of: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace_tables, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(database, "_PATIENCE", "100ms")
    with connect(stored(spoken_of)) as busy:
        busy.execute("BEGIN")
        busy.execute("LOCK TABLE event_logs IN EXCLUSIVE MODE")
        for again in (
            lambda: forget(spoken_of.dagster, [GONE], address=stored(spoken_of)),
            lambda: rewrite(stored(spoken_of)),
        ):
            with pytest.raises(TryAgain):
                again()
        busy.execute("ROLLBACK")
    forget(spoken_of.dagster, [GONE], address=stored(spoken_of))
    assert mentions(spoken_of.dagster, GONE, stored(spoken_of)) == {}


def test_the_bytes_go_when_the_tables_are_written_anew(spoken_of: Home, cluster: Cluster) -> None:
    with cluster.admin(make_url(stored(spoken_of).url).database or "") as db:
        db.execute(f'CREATE ROLE "of_{GONE}"')
        db.execute("ANALYZE")  # as the server itself does when it likes, of the names of its roles too
        db.execute(f'DROP ROLE "of_{GONE}"')
    folder = cluster.files(stored(spoken_of).url)
    assert holding(folder, GONE)
    forget(spoken_of.dagster, [GONE], address=stored(spoken_of))
    assert holding(cluster.files(stored(spoken_of).url), GONE), "deleting leaves them"
    rewrite(stored(spoken_of))
    assert holding(cluster.files(stored(spoken_of).url), GONE) == []
    assert holding(folder, STAYS)


def holding(folder: Path, code: AgencyCode) -> list[str]:
    return tables_holding(folder, code)


# -- who is at work ----------------------------------------------------------------------------------------------------


def test_a_run_is_at_work_while_its_connection_lives(home: Home, cluster: Cluster) -> None:
    with open_instance(home) as instance:
        run = instance.create_run_for_job(dg.Definitions(jobs=[nothing]).resolve_job_def("nothing")).run_id
        with alive(home, run) as mine:
            assert mine
            assert is_at_work(home, run)
            assert mend(instance, home) == 0
            with cluster.admin() as db:
                db.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
            wait_until(lambda: not is_at_work(home, run))
            assert mend(instance, home) == 1
        found = instance.get_run_by_id(run)
        assert found is not None
        assert found.status is dg.DagsterRunStatus.FAILURE
        assert mend(instance, home) == 0


def wait_until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_run_that_is_at_work_elsewhere_is_not_begun(home: Home) -> None:
    with connect(stored(home)) as other:
        other.execute("SELECT pg_try_advisory_lock(hashtextextended('depositaire run ' || 'R', 0))")
        with alive(home, "R") as mine:
            assert not mine
    with alive(home, "R") as mine:
        assert mine


@dg.job
def nothing() -> None: ...
