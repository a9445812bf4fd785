"""`store`: what is said of a database server, and how its tables are brought up to date."""

from collections.abc import Iterator

import pytest

from store import engine
from tests.functional.cli.conftest import Desk
from tests.postgres import Cluster, running


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with running() as made:
        yield made


def set_to(cluster: Cluster, **settings: str) -> None:
    with cluster.admin() as db:
        for name, value in settings.items():
            db.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        db.execute("SELECT pg_reload_conf()")
    engine.close_all()


SOUND = {
    "fsync": "on", "log_error_verbosity": "terse", "log_parameter_max_length_on_error": "0",
    "log_min_error_statement": "panic", "log_statement": "none",
}  # fmt: skip


def test_init_and_check_tell_what_is_not_set_as_it_should_be(desk: Desk, cluster: Cluster) -> None:
    set_to(cluster, **{**SOUND, "fsync": "off", "log_statement": "all"})
    made = desk("init", "--store", cluster.database())
    assert made.code == 0
    assert "fsync" in made.out
    assert "log_statement" in made.out
    said = desk("store", "check", "--json")
    assert (said.code, said.json) == (3, {"faults": ["not_durable", "values_logged"]})
    set_to(cluster, **SOUND)
    assert (desk("store", "check", "--json").code, desk("store", "check").code) == (0, 0)


@pytest.mark.parametrize(
    ("setting", "fault"),
    [
        ({"full_page_writes": "off"}, "not_durable"),
        ({"synchronous_commit": "off"}, "not_durable"),
        ({"log_error_verbosity": "default"}, "values_logged"),
        ({"log_min_error_statement": "error"}, "values_logged"),
        ({"log_parameter_max_length_on_error": "100"}, "values_logged"),
    ],
)
def test_each_setting_is_looked_at(desk: Desk, cluster: Cluster, setting: dict[str, str], fault: str) -> None:
    set_to(cluster, **SOUND)
    assert "log_statement" not in desk("init", "--store", cluster.database()).out
    set_to(cluster, **setting)
    try:
        assert desk("store", "check", "--json").json == {"faults": [fault]}
    finally:
        with cluster.admin() as db:
            for name in setting:
                db.execute(f"ALTER SYSTEM RESET {name}")
        set_to(cluster, **SOUND)


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(desk: Desk, cluster: Cluster) -> None:
    desk("init", "--store", cluster.database())
    said = desk("store", "upgrade", "--json")
    assert said.code == 0
    assert said.json["from"] == said.json["to"]
    assert desk("store", "upgrade").code == 0


def test_there_must_be_a_home(desk: Desk) -> None:
    assert (desk("store", "check").code, desk("store", "upgrade").code) == (2, 2)


def test_files_are_up_to_date_by_themselves(desk: Desk) -> None:
    desk("init")
    assert (desk("store", "check").code, desk("store", "upgrade").code) == (0, 0)
