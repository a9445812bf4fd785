"""Each file of deploy/ passes the linter of the tool that takes it."""

import json
import os
import subprocess
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.deploy.conftest import CHART, DEPLOY, program, rendered, values

# The oldest that the chart names, and the newest that is known.
KUBERNETES = ("1.29.0", kubernetes_validate.latest_version())
PROMETHEUS = DEPLOY / "prometheus"


def run(name: str, *arguments: str | Path, at: Path = DEPLOY) -> "subprocess.CompletedProcess[str]":
    told = [program(name), *map(str, arguments)]
    surroundings = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    return subprocess.run(told, cwd=at, capture_output=True, text=True, check=False, env=surroundings)


def test_hadolint_has_nothing_to_say_against_the_dockerfile() -> None:
    said = run("hadolint", "--no-color", DEPLOY / "Dockerfile")
    assert (said.returncode, said.stdout) == (0, ""), said.stderr


def test_hadolint_sees_what_is_wrong(tmp_path: Path) -> None:
    bad = tmp_path / "Dockerfile"
    bad.write_text((DEPLOY / "Dockerfile").read_text() + "RUN cd /tmp && sudo true\nUSER root\n")
    assert run("hadolint", bad).returncode != 0


def test_compose_takes_its_file() -> None:
    said = run("docker-compose", "--file", "compose.yaml", "config", "--quiet")
    assert (said.returncode, said.stderr) == (0, "")


def test_compose_refuses_a_key_that_it_does_not_know(tmp_path: Path) -> None:
    bad = tmp_path / "compose.yaml"
    bad.write_text((DEPLOY / "compose.yaml").read_text().replace("healthcheck: *check", "healthchek: *check", 1))
    assert run("docker-compose", "--file", bad, "config", "--quiet", at=tmp_path).returncode != 0


def test_the_values_fit_their_schema_and_the_schema_is_one() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(values())


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("worker", "replicas"), "2"),
        (("worker", "hands"), 0),
        (("worker", "hand"), 2),
        (("network", "databaseCidr"), "everywhere"),
        (("host", "resources", "memoryLimit"), "1 gigabyte"),
        (("storage", "vault", "size"), None),
        (("image", "tag"), ""),
    ],
)
def test_the_schema_refuses_a_value_that_cannot_be(path: tuple[str, ...], value: object) -> None:
    given = values()
    inside = given
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    schema = json.loads((CHART / "values.schema.json").read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(schema).validate(given)


def test_every_value_is_used_and_every_place_has_one() -> None:
    text = "".join(p.read_text() for p in (CHART / "templates").glob("*.yaml"))

    def names(inside: object, before: str = ".Values") -> list[str]:
        if not isinstance(inside, dict):
            return [before]
        return [name for key, below in inside.items() for name in names(below, f"{before}.{key}")]

    assert [name for name in names(values()) if f"{{{{ {name} }}}}" not in text] == []
    assert len(rendered()) > 10


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_takes_every_object_strictly(version: str) -> None:
    for body in rendered():
        kubernetes_validate.validate(body, version, strict=True)


@pytest.mark.parametrize("version", KUBERNETES)
def test_kubernetes_refuses_a_field_that_it_does_not_know(version: str) -> None:
    body = next(b for b in rendered() if b["kind"] == "StatefulSet")
    body["spec"]["template"]["spec"]["containers"][0]["redinessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(body, version, strict=True)


def test_the_chart_names_the_oldest_kubernetes_that_is_tested() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={KUBERNETES[0]}-0"
    assert chart["appVersion"] == values()["image"]["tag"]


def test_promtool_takes_scraping_and_rules() -> None:
    assert run("promtool", "check", "config", "prometheus.yaml", at=PROMETHEUS).returncode == 0
    said = run("promtool", "check", "rules", "--lint=all", "--lint-fatal", "alerts.yaml", at=PROMETHEUS)
    assert said.returncode == 0, said.stderr


def test_the_alerts_do_what_their_tests_say() -> None:
    said = run("promtool", "test", "rules", "alerts.test.yaml", at=PROMETHEUS)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize(
    ("right", "wrong"), [("> 30 * 3600", "> 40 * 3600"), ("> 0.02", "> 0.01"), ("keys|host", "keys")]
)
def test_the_tests_of_the_alerts_see_a_rule_that_was_changed(right: str, wrong: str, tmp_path: Path) -> None:
    text = (PROMETHEUS / "alerts.yaml").read_text()
    assert right in text
    (tmp_path / "alerts.yaml").write_text(text.replace(right, wrong))
    (tmp_path / "alerts.test.yaml").write_text((PROMETHEUS / "alerts.test.yaml").read_text())
    assert run("promtool", "test", "rules", "alerts.test.yaml", at=tmp_path).returncode != 0


def test_every_alert_has_a_test_that_makes_it_ring() -> None:
    rules = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"][0]["rules"]
    tested = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text())["tests"]
    rung = {a["alertname"] for t in tested for a in t["alert_rule_test"] if a.get("exp_alerts")}
    quiet = {a["alertname"] for t in tested for a in t["alert_rule_test"] if not a.get("exp_alerts")}
    assert {r["alert"] for r in rules} == rung == quiet
