"""Two machines with networks and disks of their own share a night through the broker, and one of them is cut off."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.tags import PARENT_RUN_ID_TAG
from sqlalchemy import make_url

from benchmarks.generate import NIGHTS, agencies, deliver
from benchmarks.home import make
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.serve import told
from schemas.inbox import Bucket
from store import engine
from store.house import House
from tests import postgres
from tests.broker import Broker
from tests.distributed.conftest import ROOT, SYSTEM, Site, kill, wait_for
from tests.distributed.machines import HERE, Machine, machines
from tests.distributed.test_workers import DONE, FAILED, finished, processes, settled_once, status
from tests.functional.host.conftest import BARE
from tests.object_store import Server

pytestmark = pytest.mark.soak

DEPOSITAIRE = [sys.executable, "-c", "import sys; from portal.cli import main; sys.exit(main())"]
INBOX = Bucket("arrivees", "nuit")
MANY, PERSONS, IN_A_RUN = 24, 400, 6


class Network:
    """This machine: database, broker, object store, keys, daemon. And the two that only work."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        here = root / "here"
        here.mkdir(parents=True)
        cluster = stack.enter_context(postgres.running())
        self.there = stack.enter_context(machines(root / "there", [here, cluster.folder], 2))
        where = cluster.listen(HERE)
        (here / "broker").mkdir()
        broker = Broker(here / "broker", HERE)
        stack.callback(broker.stop)
        objects = Server(HERE)
        stack.callback(objects.stop)
        objects.client().create_bucket(Bucket=INBOX.name)
        those = agencies(PERSONS * MANY, MANY, 1)
        deliver(SYSTEM, those, NIGHTS["first"], here / "inbox")
        objects.fill(INBOX, here / "inbox")

        def url() -> str:
            host, _, port = where.partition(":")
            own = make_url(cluster.database()).set(host=host, port=int(port), query={})
            return own.render_as_string(hide_password=False)

        home = make(here / "home", those, url())
        write_instance(home, url(), broker.url)
        objects.access(home)
        with House.open(home) as house:
            house.remember_inbox(INBOX)
        self.site = Site(home, [a.code for a in those], here / "inbox")
        stack.callback(self.site.stop)
        self._serve(stack)
        for machine in self.there:
            folder = machine.folder / "home"
            command = [*DEPOSITAIRE, "--home", str(home.root), "host", "admit", machine.name, "--out", str(folder)]
            subprocess.run(command, env=BARE, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def _serve(self, stack: ExitStack) -> None:
        command = [*DEPOSITAIRE, "--home", str(self.site.home.root), "--json", "host", "serve", "--listen", f"{HERE}:0"]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=BARE, cwd=ROOT)
        stack.callback(_ended, child)
        assert child.stdout is not None
        assert "listening" in child.stdout.readline()

    def work(self, machine: Machine) -> "subprocess.Popen[bytes]":
        """`depositaire worker`, there."""
        command = machine.command(*DEPOSITAIRE, "worker", "--home", str(machine.folder / "home"), "--hands", "1")
        child = subprocess.Popen(command, env=BARE, cwd=ROOT, start_new_session=True)
        self.site._workers.append(child)
        return child

    def daemon(self, stack: ExitStack) -> None:
        settings = self.site.home.dagster / "dagster.yaml"
        settings.write_text(settings.read_text().replace("poll_interval_seconds: 20", "poll_interval_seconds: 5"))
        child = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
            env={**os.environ, **told(self.site.home), "PYTHONPATH": str(ROOT)},
            cwd=self.site.home.dagster,
            start_new_session=True,
        )
        stack.callback(kill, child)


def _ended(child: "subprocess.Popen[str]") -> None:
    child.terminate()
    child.wait(30)
    assert child.stdout is not None
    child.stdout.close()


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with ExitStack() as stack:
        made = Network(tmp_path, stack)
        monkeypatch.setenv("DEPOSITAIRE_HOME", str(made.site.home.root))
        made.daemon(stack)
        yield made
        engine.close_all()


def ended(instance: dg.DagsterInstance) -> bool:
    runs = instance.get_runs()
    failed = {run.run_id for run in runs if run.status is FAILED}
    return all(run.is_finished for run in runs) and failed <= {run.tags.get(PARENT_RUN_ID_TAG) for run in runs}


def test_a_machine_has_neither_the_disk_nor_the_files_of_the_others(network: Network) -> None:
    for machine in network.there:
        seen = subprocess.run(
            machine.command("ls", "-A", str(network.site.home.root.parent)), capture_output=True, text=True, check=True
        )
        assert seen.stdout == ""
    assert any(network.site.home.root.iterdir())


def test_what_needs_the_homes_own_machine_waits_for_it(network: Network) -> None:
    site = network.site
    with open_instance(site.home) as instance:
        network.work(network.there[0])
        cleared = site.ask_to_clear(instance)
        synced = site.ask(instance, site.codes[:2])
        wait_for(lambda: finished(instance, [synced]))
        time.sleep(5)
        assert (status(instance, synced), finished(instance, [cleared])) == (DONE, False)
        site.worker("--hands", "1")
        wait_for(lambda: finished(instance, [cleared]))
        assert status(instance, cleared) is DONE


@pytest.mark.parametrize("seconds", [0.5, 3.0])
def test_a_night_of_two_machines_is_completed_when_the_cable_of_one_is_pulled(network: Network, seconds: float) -> None:
    site = network.site
    first, second = network.there
    with open_instance(site.home) as instance:
        network.work(first)
        network.work(second)
        for at in range(0, MANY, IN_A_RUN):
            site.queue_for(instance, site.codes[at : at + IN_A_RUN])
        started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
        wait_for(lambda: len(instance.get_runs(started)) == 2)
        time.sleep(seconds)
        first.pull()
        wait_for(lambda: ended(instance), 600)
        assert settled_once(site)
        runs = instance.get_runs()
        assert DONE in {run.status for run in runs}
        assert len({p for run in runs for p in processes(instance, run.run_id)}) >= 2, "both took part"
        first.plug()
        time.sleep(40)
        assert settled_once(site), "what was cut off writes nothing later"
