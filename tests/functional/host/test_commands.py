"""`depositaire host …`, and what other commands say on a machine that only synchronises."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pipelines.host.admission import folder
from schemas.home import Home
from store import engine
from tests.functional.cli.conftest import call, plainly
from tests.functional.cli.test_help import COMMANDS
from tests.functional.conftest import DAYS
from tests.functional.host.conftest import BARE, DEPOSITAIRE, Hosting, check_once


@pytest.fixture(autouse=True)
def _plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    plainly(monkeypatch)


def elsewhere(home: Home, *arguments: str | Path) -> Any:
    """A command on another machine, which has nothing but its own folder."""
    command = [str(DEPOSITAIRE), *map(str, arguments), "--home", str(home.root), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env=BARE, cwd=home.root, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_folder_that_was_carried_to_another_machine_is_all_that_a_night_needs(
    hosting: Hosting, tmp_path: Path
) -> None:
    hosting.site.day(DAYS[0])
    out = tmp_path / "carried"
    said = call("host", "admit", "worker-1", "--out", out, "--home", hosting.site.home.root)
    assert (said.code, said.err) == (0, "")
    assert "worker-1" in said.out
    moved = out.rename(tmp_path / "there")
    there = Home.at(moved)
    reports = elsewhere(there, "sync", "--inbox", hosting.site.inbox, "--at", f"{DAYS[0]}T12:00")
    assert {r["outcome"] for r in reports} == {"accepted"}
    check_once(hosting.site)
    theirs = elsewhere(there, "status", "--agency", "A0001", "--at", f"{DAYS[0]}T13:00")
    ours = call("status", "--agency", "A0001", "--at", f"{DAYS[0]}T13:00", "--home", hosting.site.home.root, "--json")
    assert theirs == ours.json
    assert theirs["agencies"][0]["held"]
    for command in (("agencies", "list"), ("quarantine", "--agency", "A0001")):
        assert elsewhere(there, *command) == call(*command, "--home", hosting.site.home.root, "--json").json
    gone = call("host", "dismiss", "worker-1", "--home", hosting.site.home.root)
    assert (gone.code, "dismissed" in gone.out) == (0, True)
    again = call("host", "dismiss", "worker-1", "--home", hosting.site.home.root)
    assert "before" in again.out
    assert hosting.stop() == 0
    told = hosting.said.read_text()
    assert "Worker worker-1 admitted" in told
    assert "Worker worker-1 dismissed" in told
    assert "A0001" not in told


# What no machine but the host may be told, with what each must be given.
OF_THE_HOST = (
    ("init",), ("agencies", "load", "x.csv"), ("sources", "set", "--agency", "A0001", "--odbc", "x"),
    ("sources", "load", "x.csv"), ("policy", "set", "x"), ("policy", "list"),
    ("instruct", "--all", "--file", "x.toml"), ("instructions", "--agency", "A0001"), ("anchor",),
    ("trace", "--agency", "A0001", "person", "x"), ("register", "--to", "x"), ("up",),
    ("export", "--agency", "A0001", "--to", "x"), ("retention", "plan"), ("retention", "run"),
    ("evidence", "--agency", "A0001", "--out", "x.zip"), ("verify", "x"), ("host", "serve", "--listen", "h:1"),
    ("host", "admit", "x", "--out", "x"), ("host", "dismiss", "x"), ("metrics",),
    ("openlineage", "send"), ("openlineage", "status"),
    ("door", "oidc", "set", "--agency", "A0001", "--issuer", "https://x", "--client-id", "x"), ("door", "oidc", "show"),
    ("door", "oidc", "remove", "--agency", "A0001"), ("door", "log"),
)  # fmt: skip
ANYWHERE = {"sync", "status", "quarantine", "agencies list", "lineage", "layouts", "inspect"}


def test_on_a_worker_a_command_of_the_host_says_where_to_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {name for given in OF_THE_HOST for name in COMMANDS if [*given[: len(name.split())]] == name.split()}
    assert (names | ANYWHERE, names & ANYWHERE) == ({*COMMANDS}, set()), "each is given anywhere, or at the host"
    there = Home.at(tmp_path / "there")
    there.root.mkdir()
    there.settings.write_text(engine.POSTGRESQL + '\n[host]\naddress = "keys.example:7443"\nname = "worker-1"\n')
    told = "Error: this machine only synchronises for a home that is elsewhere. Do this on the home's own machine.\n"
    for given in OF_THE_HOST:
        said = call(*given, "--home", there.root)
        assert (said.code, said.err) == (2, told), given
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert "cette machine ne fait que synchroniser" in call("retention", "run", "--home", there.root).err
    assert [p.name for p in there.root.iterdir()] == ["depositaire.toml"]


def test_a_home_of_files_is_served_to_nobody(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert call("init", "--home", home).code == 0
    said = call("host", "admit", "w", "--out", tmp_path / "out", "--address", "h:1", "--home", home)
    assert (said.code, "several machines need postgresql" in said.err.lower()) == (2, True)
    assert not (tmp_path / "out").exists()


def test_an_address_must_be_known_before_a_worker_is_told_one(hosting: Hosting, tmp_path: Path) -> None:
    (folder(hosting.site.home) / "listen").unlink()
    home = hosting.site.home.root
    said = call("host", "admit", "w", "--out", tmp_path / "out", "--home", home)
    assert (said.code, "--address" in said.err) == (2, True)
    given = ("--address", hosting.address)
    assert call("host", "admit", "w", "--out", tmp_path / "out", *given, "--home", home).code == 0


def test_two_hosts_do_not_share_a_port(hosting: Hosting) -> None:
    said = call("host", "serve", "--listen", hosting.address, "--home", hosting.site.home.root)
    assert (said.code, "cannot listen there" in said.err) == (2, True)
