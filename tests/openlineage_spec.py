"""OpenLineage 2-0-2 as far as it can be checked without its schemas: what is required, of which type, in which form.

Written from the specification's own words, facet by facet; it shares no code with what makes the events.
"""

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

Check = Callable[[Any], bool]
EVENT = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
OURS = "https://depositaire.example/spec/openlineage/1-0-0"
TYPES = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
CHANGES = ("ALTER", "CREATE", "DROP", "OVERWRITE", "RENAME", "TRUNCATE")
DIRECT = ("IDENTITY", "TRANSFORMATION", "AGGREGATION")
INDIRECT = ("JOIN", "GROUP_BY", "FILTER", "SORT", "WINDOW", "CONDITIONAL")


def text(v: Any) -> bool:
    return isinstance(v, str) and v != ""


def count(v: Any) -> bool:
    return type(v) is int and v >= 0


def flag(v: Any) -> bool:
    return type(v) is bool


def texts(v: Any) -> bool:
    return isinstance(v, list) and all(map(text, v))


def uri(v: Any) -> bool:
    return text(v) and re.fullmatch(r"https://[a-z0-9.-]+(/[^\s]*)?", v) is not None


def instant(v: Any) -> bool:
    try:
        return "T" in v and datetime.fromisoformat(v).tzinfo is not None
    except (TypeError, ValueError):
        return False


def one_of(*words: str) -> Check:
    return lambda v: v in words


def shape(required: dict[str, Check], optional: dict[str, Check] | None = None) -> Check:
    """An object with these fields and no other."""
    every = required | (optional or {})
    return lambda v: (
        isinstance(v, dict) and set(required) <= set(v) <= set(every) and all(every[k](x) for k, x in v.items())
    )


def many(item: Check) -> Check:
    return lambda v: isinstance(v, list) and all(map(item, v))


def named(item: Check) -> Check:
    return lambda v: isinstance(v, dict) and all(text(k) and item(x) for k, x in v.items())


def transformation(v: Any) -> bool:
    whole = shape({"type": text}, {"subtype": text, "description": text, "masking": flag})
    return whole(v) and v.get("subtype") in {"DIRECT": DIRECT, "INDIRECT": INDIRECT}.get(v["type"], ())


_FIELD = shape({"name": text}, {"type": text, "description": text, "ordinal_position": count, "fields": many(text)})
_TAG = shape({"key": text, "value": text}, {"source": text, "field": text})
_ORIGIN = shape({"namespace": text, "name": text, "field": text}, {"transformations": many(transformation)})
_METRIC = shape({}, {"nullCount": count, "distinctCount": count})
_ASSERTION = shape({"assertion": text, "success": flag}, {"column": text, "severity": text, "params": named(text)})
_LINES: dict[str, Check] = dict.fromkeys(("read", "stored", "unchanged", "quarantined", "ignored", "withheld"), count)


def standard(version: str, name: str) -> str:
    return f"https://openlineage.io/spec/facets/{version}/{name}.json#/$defs/{name}"


def own(name: str) -> str:
    return f"{OURS}/{name}.json#/$defs/{name}"


# Where a facet stands → its key → the one address of its schema, and what it holds.
FACETS: dict[str, dict[str, tuple[str, Check]]] = {
    "run": {
        "errorMessage": (standard("1-0-1", "ErrorMessageRunFacet"),
                         shape({"message": text, "programmingLanguage": text}, {"stackTrace": text})),
        "depositaire_purpose": (own("DepositairePurposeRunFacet"), shape({"purposes": texts, "basis": text})),
        "depositaire_instruction": (own("DepositaireInstructionRunFacet"),
                                    shape({"instructions": texts}, {"leaf": count})),
        "depositaire_delivery": (own("DepositaireDeliveryRunFacet"),
                                 shape({"system": text}, {"delivery": text, "layout": text, "codeVersion": text})),
        "depositaire_erasure": (own("DepositaireErasureRunFacet"),
                                shape({"certificateSha256": text, "contractEnd": text, "lateFiles": flag})),
    },
    "job": {"jobType": (standard("2-0-4", "JobTypeJobFacet"),
                        shape({"processingType": text, "integration": text}, {"jobType": text}))},
    "dataset": {
        "schema": (standard("1-2-0", "SchemaDatasetFacet"), shape({"fields": many(_FIELD)})),
        "tags": (standard("1-0-0", "TagsDatasetFacet"), shape({"tags": many(_TAG)})),
        "version": (standard("1-0-1", "DatasetVersionDatasetFacet"), shape({"datasetVersion": text})),
        "lifecycleStateChange": (standard("1-0-1", "LifecycleStateChangeDatasetFacet"),
                                 shape({"lifecycleStateChange": one_of(*CHANGES)})),
        "columnLineage": (standard("1-2-0", "ColumnLineageDatasetFacet"),
                          shape({"fields": named(shape({"inputFields": many(_ORIGIN)}))}, {"dataset": many(_ORIGIN)})),
    },
    "input": {
        "inputStatistics": (standard("1-0-0", "InputStatisticsInputDatasetFacet"),
                            shape({}, {"rowCount": count, "size": count, "fileCount": count})),
        "dataQualityMetrics": (standard("1-0-3", "DataQualityMetricsInputDatasetFacet"),
                               shape({"columnMetrics": named(_METRIC)}, {"rowCount": count})),
        "dataQualityAssertions": (standard("1-1-0", "DataQualityAssertionsDatasetFacet"),
                                  shape({"assertions": many(_ASSERTION)})),
        "depositaire_lines": (own("DepositaireLinesInputDatasetFacet"), shape(_LINES)),
    },
    "output": {"outputStatistics": (standard("1-0-2", "OutputStatisticsOutputDatasetFacet"),
                                    shape({}, {"rowCount": count, "size": count, "fileCount": count}))},
}  # fmt: skip


def faults(event: Any) -> list[str]:
    """What does not hold, by place; empty when all does."""
    whole: dict[str, Check] = {
        "eventType": one_of(*TYPES), "eventTime": instant, "producer": uri, "schemaURL": one_of(EVENT), "run": _is_run,
        "job": lambda v: isinstance(v, dict), "inputs": lambda v: isinstance(v, list),
        "outputs": lambda v: isinstance(v, list),
    }  # fmt: skip
    if not isinstance(event, dict) or set(event) != set(whole):
        return ["event: fields"]
    found = [f"event: {k}" for k, check in whole.items() if not check(event[k])]
    return found or [*_inside(event)]


def _is_run(v: Any) -> bool:
    try:
        return set(v) <= {"runId", "facets"} and str(UUID(v["runId"])) == v["runId"]
    except (KeyError, TypeError, ValueError, AttributeError):
        return False


def _inside(event: Any) -> Iterator[str]:
    yield from _facets("run", event["run"].get("facets", {}))
    yield from _placed(event["job"], {"namespace", "name", "facets"}, "job")
    yield from _facets("job", event["job"].get("facets", {}))
    for side in ("input", "output"):
        for d in event[f"{side}s"]:
            yield from _placed(d, {"namespace", "name", "facets", f"{side}Facets"}, side)
            yield from _facets("dataset", d.get("facets", {}))
            yield from _facets(side, d.get(f"{side}Facets", {}))


def _placed(v: Any, known: set[str], where: str) -> Iterator[str]:
    if not text(v.get("namespace")) or not text(v.get("name")) or not set(v) <= known:
        yield f"{where}: fields"


def _facets(where: str, said: Any) -> Iterator[str]:
    for key, facet in said.items():
        if key not in FACETS[where]:
            yield f"{where}: {key} is no facet of it"
            continue
        url, check = FACETS[where][key]
        body = {k: v for k, v in facet.items() if k not in ("_producer", "_schemaURL")}
        if not uri(facet.get("_producer")) or facet.get("_schemaURL") != url or not check(body):
            yield f"{where}: {key}"
