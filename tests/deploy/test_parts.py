"""What the parts may do, where they are reached, and that they know each other by the names that they have."""

import importlib.util
import re
import socket
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.defs.address import Address
from store.postgres.settings import Settings
from tests.deploy.conftest import DEPLOY, ROOT, compose, pods, rendered

OURS = {name: s for name, s in compose()["services"].items() if "depositaire" in s["image"]}


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    subprocess.run([DEPLOY / "make-secrets.sh", folder], check=True, capture_output=True)
    return folder


# -- secrets -----------------------------------------------------------------------------------------------------------


def test_the_secrets_are_those_that_compose_names_and_nobody_else_comes_in(secrets: Path) -> None:
    assert {p.name for p in secrets.iterdir()} == {Path(s["file"]).name for s in compose()["secrets"].values()}
    assert secrets.stat().st_mode & 0o777 == 0o700
    again = subprocess.run([DEPLOY / "make-secrets.sh", secrets], capture_output=True, text=True, check=False)
    assert (again.returncode, "is there already" in again.stderr) == (1, True)


def test_the_addresses_lead_to_the_services_with_their_passwords(secrets: Path) -> None:
    said = {p.name: p.read_text().rstrip("\n") for p in secrets.iterdir()}
    assert len({said[f"{who}_password"] for who in ("postgres", "manager", "dagster", "redis")}) == 4
    assert Settings.new(said["store_url"]).manager == said["store_url"].replace("postgresql://", "postgresql://")
    address = Address.of(said["dagster_url"], said["broker_url"])
    assert f"dagster:{said['dagster_password']}@postgres:5432/dagster" in address.url
    assert said["broker_url"] == f"redis://:{said['redis_password']}@redis:6379/0"
    assert said["redis_settings"] == f"requirepass {said['redis_password']}"


def test_no_secret_is_in_an_environment_or_in_the_image() -> None:
    told = [str(s.get("environment", "")) for s in OURS.values()]
    told += [str(body.get("data", "")) for body in rendered() if body["kind"] == "ConfigMap"]
    told += [str(c.get("env", "")) for _, _, spec in pods() for c in spec["containers"]]
    told.append("\n".join(re.findall(r"^(?:ENV|ARG|COPY) .*$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)))
    for text in told:
        assert not re.search(r"(?i)passw|passphrase|secret|token|://[^/\s]*@", text), text
    assert not [b for b in rendered() if b["kind"] == "Secret"]


# -- compose -----------------------------------------------------------------------------------------------------------


def test_nothing_is_published_beyond_loopback() -> None:
    ports = [p for s in compose()["services"].values() for p in s.get("ports", ())]
    assert ports
    assert all(str(p).startswith("127.0.0.1:") for p in ports)


def test_every_service_is_bounded_watched_and_may_do_little() -> None:
    for name, service in compose()["services"].items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= limits.keys(), name
        assert service["pids_limit"] > 0, name
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert "healthcheck" in service, name
        assert service["networks"], name


def test_database_and_broker_are_reached_from_inside_alone() -> None:
    body = compose()
    assert body["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis"):
        assert body["services"][name]["networks"] == ["inside"]
        assert "ports" not in body["services"][name]


def test_each_part_is_asked_for_its_health_where_it_answers() -> None:
    for name, service in OURS.items():
        if name != "init":
            port = service["environment"]["HEALTHY"].rpartition(":")[2].partition("/")[0]
            assert re.search(rf"\b{port}\b", " ".join(service["command"])), name


# -- the chart ---------------------------------------------------------------------------------------------------------


def test_every_container_is_restricted_bounded_and_probed() -> None:
    """The profile `restricted` of Kubernetes' pod security standards."""
    for name, _, spec in pods():
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in (*spec.get("initContainers", ()), *spec["containers"]):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"requests", "limits"} == container["resources"].keys(), name
        for container in spec["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name


def test_a_worker_waits_for_a_database_that_is_away_instead_of_being_ended() -> None:
    (worker,) = (spec["containers"][0] for name, _, spec in pods() if name.endswith("-worker"))
    assert worker["readinessProbe"]["httpGet"]["path"] == "/healthz"
    assert "tcpSocket" in worker["livenessProbe"]


def test_selectors_find_pods_and_names_lead_to_what_there_is() -> None:
    labels = [found for _, found, _ in pods()]
    objects = {(b["kind"], b["metadata"]["name"]) for b in rendered()}

    def finds(selector: dict[str, str]) -> bool:
        return any(selector.items() <= found.items() for found in labels)

    for body in rendered():
        spec = body.get("spec", {})
        match body["kind"]:
            case "Service":
                assert finds(spec["selector"]), body["metadata"]["name"]
            case "PodDisruptionBudget" | "Deployment" | "StatefulSet":
                assert finds(spec["selector"]["matchLabels"]), body["metadata"]["name"]
            case "NetworkPolicy":
                assert finds(spec["podSelector"]["matchLabels"]), body["metadata"]["name"]
    for name, _, spec in pods():
        assert ("ServiceAccount", spec["serviceAccountName"]) in objects, name
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in objects, name
        mounted = {m["name"] for c in (*spec.get("initContainers", ()), *spec["containers"]) for m in c["volumeMounts"]}
        assert mounted == {v["name"] for v in spec["volumes"]}, name


def test_ports_that_are_let_in_are_those_that_are_listened_on() -> None:
    listened = {p["containerPort"] for _, _, spec in pods() for c in spec["containers"] for p in c["ports"]}
    policies = [b["spec"] for b in rendered() if b["kind"] == "NetworkPolicy"]
    let_in = {p["port"] for s in policies for rule in s.get("ingress", ()) for p in rule["ports"]}
    assert let_in == listened - {8081}  # a probe comes from the node itself
    everyone = next(s for s in policies if "Egress" in s["policyTypes"])
    assert everyone["ingress"] == []


def test_the_workers_outlive_the_patience_of_a_worker_that_is_told_to_stop() -> None:
    from pipelines.defs.worker import PATIENCE_SECONDS

    (chart,) = (spec["terminationGracePeriodSeconds"] for name, _, spec in pods() if name.endswith("-worker"))
    ours = int(OURS["worker"]["stop_grace_period"].removesuffix("s"))
    assert min(chart, ours) > PATIENCE_SECONDS


# -- the image ---------------------------------------------------------------------------------------------------------


def test_the_image_holds_every_package_and_ends_without_rights() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"][
        "packages"
    ]
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().split("\n")
    for name in packages:
        assert f"COPY {name} {name}\n" in text
        assert f"!{name}" in ignored
    assert "--require-hashes" in text
    assert re.findall(r"^USER (.*)$", text, re.MULTILINE) == ["10001:10001"]
    assert "HEALTHCHECK" in text
    assert {str(spec["securityContext"]["runAsUser"]) for _, _, spec in pods()} == {"10001"}


def test_whatever_the_image_needs_is_locked() -> None:
    wanted = re.findall(r"^([A-Za-z0-9_.-]+)", (ROOT / "requirements.in").read_text(), re.MULTILINE)
    locked = set(re.findall(r"^([a-z0-9.-]+)(?:\[.*\])?==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {re.sub(r"[-_.]+", "-", name).lower() for name in wanted} <= locked


def health(address: str) -> bool:
    spec = importlib.util.spec_from_file_location("healthy", DEPLOY / "healthy.py")
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return bool(module.is_well(address))


def test_a_part_that_does_not_answer_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert health(f"tcp://127.0.0.1:{port}")
    assert not health(f"tcp://127.0.0.1:{port}")
    assert not health(f"http://127.0.0.1:{port}/healthz")
    assert not health("nonsense")


# -- Prometheus --------------------------------------------------------------------------------------------------------


def test_the_alerts_ask_for_figures_that_there_are_and_the_scrape_for_a_part_that_there_is() -> None:
    from pipelines import metrics

    source = Path(metrics.__file__).read_text()
    rules = (DEPLOY / "prometheus" / "alerts.yaml").read_text()
    asked = set(re.findall(r"\bdepositaire_[a-z_]+", rules))
    assert len(asked) > 8
    assert {name for name in asked if f'"{name}"' not in source} == set()
    (job,) = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    name, _, port = target.partition(":")
    assert f"0.0.0.0:{port}" in OURS[name]["command"]
