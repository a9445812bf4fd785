"""The first start as deploy/ words it, on real servers: databases and logins, secrets, the home, its figures."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.broker import Broker, running as broker_running
from tests.deploy.conftest import DEPLOY, ROOT, compose
from tests.postgres import Cluster, running

BESIDE = Path(sys.executable).parent


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A server of its own: the logins have names that another test's could have."""
    with running() as made:
        with made.admin() as db:
            db.execute("DROP ROLE manager")
        yield made


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with broker_running(tmp_path / "broker") as made:
        yield made


def psql_of(cluster: Cluster) -> Path:
    """The folder of the client: the server's package has it too."""
    return next(Path(sys.modules[type(cluster.own).__module__].__file__ or "").parent.rglob("bin/psql")).parent


def shell(text: str, **more: str) -> "subprocess.CompletedProcess[str]":
    path = f"{more.pop('first', BESIDE)}:{BESIDE}:{os.environ['PATH']}"
    surroundings = {"PATH": path, "PYTHONPATH": str(ROOT), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1", **more}
    return subprocess.run(["sh", "-ec", text], capture_output=True, text=True, env=surroundings, check=False)


def test_from_nothing_to_a_home_that_is_well(cluster: Cluster, broker: Broker, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    assert shell(f"{DEPLOY}/make-secrets.sh {secrets}").returncode == 0
    told = {"SECRETS": str(secrets), "PGHOST": str(cluster.folder)}
    made = shell(str(DEPLOY / "postgres" / "make-databases.sh"), first=str(psql_of(cluster)), **told)
    assert (made.returncode, made.stderr) == (0, "")

    # The services' names become places of this machine; everything else stays as it was written.
    for name in ("store_url", "dagster_url"):
        (secrets / name).chmod(0o600)
        text = (secrets / name).read_text().replace("@postgres:5432/", "@/").rstrip("\n")
        (secrets / name).write_text(f"{text}?host={cluster.folder}\n")
    (secrets / "broker_url").chmod(0o600)
    (secrets / "broker_url").write_text(broker.url)  # without a newline, as many tools write a secret
    (line,) = compose()["services"]["init"]["command"]
    place = {"DEPOSITAIRE_HOME": str(tmp_path / "data" / "home"), "DEPOSITAIRE_KEYS": str(tmp_path / "vault" / "keys")}
    command = line.replace("/run/secrets", str(secrets))
    for _ in range(2):  # it is said again at each start
        said = shell(command, **place)
        assert (said.returncode, said.stderr) == (0, ""), said.stdout
    assert (tmp_path / "data" / "home").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "vault" / "keys").stat().st_mode & 0o777 == 0o700
    text = shell("depositaire metrics", **place).stdout
    parts = ("broker", "dagster", "erasures", "inbox", "keys", "store")
    for part in parts:
        assert f'depositaire_up{{part="{part}"}} 1.0' in text
    broker.stop()
    assert 'depositaire_up{part="broker"} 0.0' in shell("depositaire metrics", **place).stdout

    kept = [(secrets / n).read_text().strip() for n in ("manager_password", "dagster_password", "redis_password")]
    assert not any(word in text for word in kept)


def test_neither_login_is_more_than_it_has_to_be(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.admin() as db:
        rows = db.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles "
            "WHERE rolname IN ('manager', 'dagster') ORDER BY 1"
        ).fetchall()
        reach = db.execute(
            "SELECT has_database_privilege('dagster', 'depositaire', 'CONNECT'), "
            "has_database_privilege('manager', 'dagster', 'CONNECT')"
        ).fetchone()
    assert rows == [("dagster", False, False, False, False), ("manager", False, False, False, True)]
    assert reach == (False, False)
