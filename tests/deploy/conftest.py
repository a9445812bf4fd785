"""What `deploy/` holds, read as the tools that take it would read it; and those tools."""

import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "helm" / "depositaire"
_PLACE = re.compile(r"\{\{ ([.\w]+) \}\}")


def program(name: str) -> str:
    """Where a linter is. One that is missing is a failure, not a test that was passed over."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    assert found, f"{name} is missing: run scripts/setup.sh and scripts/system-packages.sh test"
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    return found


def values() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def filled(template: str, given: Mapping[str, Any]) -> str:
    """A template with its values: the chart uses nothing but plain places. Raises KeyError for one without a value."""
    known = {"Values": given, "Release": {"Name": "essai", "Namespace": "depositaire"}}

    def value(found: re.Match[str]) -> str:
        inside: Any = known
        for part in found[1].lstrip(".").split("."):
            inside = inside[part]
        assert not isinstance(inside, dict), found[1]
        return str(inside)

    text = _PLACE.sub(value, template)
    assert "{{" not in text, "a place that is not plain"
    return text


def rendered(given: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every object of the chart."""
    found: list[dict[str, Any]] = []
    for path in sorted((CHART / "templates").glob("*.yaml")):
        text = filled(path.read_text(), values() if given is None else given)
        found += [body for body in yaml.safe_load_all(text) if body is not None]
    return found


def pods() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Name, labels and specification of every pod of the chart."""
    for body in rendered():
        if body["kind"] in ("Deployment", "StatefulSet"):
            template = body["spec"]["template"]
            yield body["metadata"]["name"], template["metadata"]["labels"], template["spec"]
