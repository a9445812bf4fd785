"""One run as OpenLineage events (2-0-2), in their one spelling: a START, and a COMPLETE, FAIL or ABORT.

Built with openlineage-python. The same run gives the same bytes: ids come from what the log says, and no clock is
asked. Sources: OpenLineage 2-0-2; columnLineage 1-2-0; tags 1-0-0.
"""

import json
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from openlineage.client import facet_v2 as standard
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.generated.base import DatasetFacet, RunFacet
from openlineage.client.serde import Serde

from ledger.canonical import instant
from pipelines.lineage import Edge, edges
from pipelines.lineage_rules import rule
from pipelines.openlineage.facets import (
    DepositaireDeliveryRunFacet,
    DepositaireErasureRunFacet,
    DepositaireInstructionRunFacet,
    DepositaireLinesInputDatasetFacet,
    DepositairePurposeRunFacet,
)
from pipelines.openlineage.runs import COMPLETE, Data, Ran
from schemas.records import RECORDS, exported_fields

NAMESPACE = uuid5(NAMESPACE_URL, "https://depositaire.example/runs")
TAGGED_BY = "DEPOSITAIRE"
NO_LINE_ASIDE = "no_line_put_aside"


def of(ran: Ran) -> tuple[bytes, bytes]:
    """The two events of a run, each one line without its newline."""
    return _event(ran, RunState.START), _event(ran, RunState(ran.state))


def run_id(ran: Ran) -> str:
    """A UUID of version 5 (RFC 9562): the same facts give the same id, whichever version of a library makes it."""
    return str(uuid5(NAMESPACE, ran.identity))


def _event(ran: Ran, state: RunState) -> bytes:
    ended = state is not RunState.START
    event = RunEvent(
        eventType=state, eventTime=instant(ran.at), producer=_producer(), run=Run(run_id(ran), _of_run(ran, ended)),
        job=Job(ran.namespace, ran.job, {"jobType": standard.job_type_job.JobTypeJobFacet(
            "BATCH", "DEPOSITAIRE", "JOB", producer=_producer())}),
        inputs=[_input(ran.namespace, d, ended) for d in ran.inputs],
        outputs=[_output(ran, d, ended) for d in ran.outputs],
    )  # fmt: skip
    return json.dumps(Serde.to_dict(event), ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


# -- the run -----------------------------------------------------------------------------------------------------------


def _of_run(ran: Ran, ended: bool) -> dict[str, RunFacet]:
    by = _producer()
    found: dict[str, RunFacet] = {
        DepositairePurposeRunFacet.KEY: DepositairePurposeRunFacet([*ran.purposes], ran.basis, producer=by),
        DepositaireInstructionRunFacet.KEY: DepositaireInstructionRunFacet(
            [*ran.instructions], ran.leaf, producer=by
        ),
    }  # fmt: skip
    if ran.job.startswith("sync."):
        system = ran.job.removeprefix("sync.")
        found[DepositaireDeliveryRunFacet.KEY] = DepositaireDeliveryRunFacet(
            system, ran.delivery, ran.layout, ran.code_version, producer=by
        )
    if ran.certificate is not None and ran.contract_end is not None:
        found[DepositaireErasureRunFacet.KEY] = DepositaireErasureRunFacet(
            ran.certificate, ran.contract_end, ran.late_files, producer=by
        )
    if ended and ran.state != COMPLETE:
        # A reason code of docs/operations.md, never the text of an error.
        found["errorMessage"] = standard.error_message_run.ErrorMessageRunFacet(
            ran.reason or "internal.error", "PYTHON", producer=by
        )
    return found


# -- data sets ---------------------------------------------------------------------------------------------------------


def _input(namespace: str, d: Data, ended: bool) -> InputDataset:
    if not ended:
        return InputDataset(namespace, d.name)
    by = _producer()
    found: dict[str, Any] = {
        "inputStatistics": standard.input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
            d.rows, producer=by
        )
    }  # fmt: skip
    if d.counts is not None:
        c = d.counts
        found["dataQualityMetrics"] = standard.data_quality_metrics_input_dataset.DataQualityMetricsInputDatasetFacet(
            {}, d.rows, producer=by
        )
        assertion = standard.data_quality_assertions_dataset.Assertion(NO_LINE_ASIDE, not c.quarantined)
        found["dataQualityAssertions"] = standard.data_quality_assertions_dataset.DataQualityAssertionsDatasetFacet(
            [assertion], producer=by
        )
        found[DepositaireLinesInputDatasetFacet.KEY] = DepositaireLinesInputDatasetFacet(
            c.read, c.stored, c.unchanged, c.quarantined, c.ignored, c.withheld, producer=by
        )
    return InputDataset(namespace, d.name, facets=_described(d), inputFacets=found)


def _output(ran: Ran, d: Data, ended: bool) -> OutputDataset:
    if not ended:
        return OutputDataset(ran.namespace, d.name)
    facets = _described(d)
    lineage = _columns(ran, d)
    if lineage is not None:
        facets["columnLineage"] = lineage
    found: dict[str, Any] = {}
    if d.rows is not None:
        found["outputStatistics"] = standard.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            d.rows, producer=_producer()
        )
    return OutputDataset(ran.namespace, d.name, facets=facets, outputFacets=found)


def _described(d: Data) -> dict[str, DatasetFacet]:
    """Schema, tags, and where they are known version and change of a data set."""
    by = _producer()
    fields, tags = (_of_source(d) if d.place == "source" else _of_model(d))  # fmt: skip
    found: dict[str, DatasetFacet] = {
        "schema": standard.schema_dataset.SchemaDatasetFacet(fields, producer=by),
        "tags": standard.tags_dataset.TagsDatasetFacet(tags, producer=by),
    }
    if d.layout is not None:
        found["version"] = standard.dataset_version_dataset.DatasetVersionDatasetFacet(d.layout, producer=by)
    if d.change is not None:
        change = standard.lifecycle_state_change_dataset.LifecycleStateChange(d.change)
        found["lifecycleStateChange"] = standard.lifecycle_state_change_dataset.LifecycleStateChangeDatasetFacet(
            change, producer=by
        )
    return found


Fields = list[standard.schema_dataset.SchemaDatasetFacetFields]
Tags = list[standard.tags_dataset.TagsDatasetFacetFields]


def _of_model(d: Data) -> tuple[Fields, Tags]:
    record = RECORDS[d.table]
    known = [f for f in exported_fields(record) if f.name in d.columns]
    fields = [_field(n, f.name, str(f.kind), f.label_en) for n, f in enumerate(known, 1)]
    tags = [_tag("scope", str(record.scope))]
    for f in known:
        tags += [_tag("scope", str(record.scope), f.name), _tag("category", str(f.category), f.name),
                 _tag("personal", str(f.personal).lower(), f.name)]  # fmt: skip
    return fields, tags


def _of_source(d: Data) -> tuple[Fields, Tags]:
    """Columns of an export have the tags of the columns of the model that they fill."""
    mine = [e for e in edges() if (e.system, e.source_table) == (d.system, d.table)]
    fields = [_field(n, name, "text") for n, name in enumerate(d.columns, 1)]
    tags = [_tag("scope", s) for s in sorted({str(RECORDS[e.table].scope) for e in mine})]
    for name in d.columns:
        filled = [(RECORDS[e.table], e.column) for e in mine if e.source_column == name]
        tags += [_tag("scope", s, name) for s in sorted({str(r.scope) for r, _ in filled})]
        categories = {str(f.category) for r, c in filled for f in exported_fields(r) if f.name == c}
        tags += [_tag("category", c, name) for c in sorted(categories)]
    return fields, tags


def _field(n: int, name: str, kind: str, label: str | None = None) -> standard.schema_dataset.SchemaDatasetFacetFields:
    return standard.schema_dataset.SchemaDatasetFacetFields(name, kind, label, n)


def _tag(key: str, value: str, field: str | None = None) -> standard.tags_dataset.TagsDatasetFacetFields:
    return standard.tags_dataset.TagsDatasetFacetFields(key, value, TAGGED_BY, field)


# -- columns -----------------------------------------------------------------------------------------------------------


def _columns(ran: Ran, d: Data) -> standard.column_lineage_dataset.ColumnLineageDatasetFacet | None:
    """Which columns fill which: by the links of the layouts, or as they are where a table leaves the shelf."""
    shared = {i.table: i.name for i in ran.inputs if i.place == "shelf"}
    if d.links:
        found = {c: _filled(ran.namespace, [e for e in d.links if e.column == c]) for c in d.columns}
    elif d.table in shared and d.place != "shelf":
        found = {c: [_same(ran.namespace, shared[d.table], c)] for c in d.columns}
    else:
        return None
    made = standard.column_lineage_dataset
    fields = {c: made.Fields(origins) for c, origins in found.items() if origins}
    return made.ColumnLineageDatasetFacet(fields, producer=_producer())


def _filled(namespace: str, links: list[Edge]) -> list[standard.column_lineage_dataset.InputField]:
    """Each column of an export once, with a transformation for each rule by which it fills this one."""
    made = standard.column_lineage_dataset
    by_origin: dict[tuple[str, str], dict[str, None]] = {}
    for e in links:
        name = Data("source", e.source_table, (), e.system).name
        by_origin.setdefault((name, e.source_column), {})[e.rule] = None
    return [made.InputField(namespace, name, column, [_transformation(code) for code in rules])
            for (name, column), rules in by_origin.items()]  # fmt: skip


def _transformation(code: str) -> standard.column_lineage_dataset.Transformation:
    r = rule(code)
    return standard.column_lineage_dataset.Transformation(r.kind, r.subtype, f"{r.code}: {r.en}", r.masking)


def _same(namespace: str, name: str, column: str) -> standard.column_lineage_dataset.InputField:
    made = standard.column_lineage_dataset
    return made.InputField(namespace, name, column, [made.Transformation("DIRECT", "IDENTITY", "as held", False)])


@cache
def _producer() -> str:
    try:
        ours = version("depositaire")
    except PackageNotFoundError:
        ours = "0"
    return f"https://depositaire.example/depositaire/{ours}"
