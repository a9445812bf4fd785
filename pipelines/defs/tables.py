"""The canonical tables and the exports that feed them, as Dagster shows them: columns, scope, category, lineage, rules.

Nothing here runs. The tables are written by `sync/<system>`; their checks are evaluated inside those runs, on what is
about to be kept (`pipelines.quality`).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

import dagster as dg

from pipelines.defs.keys import export_key, invariants, sync_key, table_key
from pipelines.lineage import Edge, edges
from pipelines.quality import rules_of
from schemas.fields import JUSTIFIED_BY, Field, Kind, Record
from schemas.ids import System
from schemas.records import CANONICAL, RECORDS, exported_fields
from schemas.window import KEPT_DAYS

_TYPES: dict[Kind, str] = {
    Kind.TEXT: "text", Kind.KEY: "key", Kind.REF: "reference", Kind.ENUM: "closed list", Kind.DATE: "date",
    Kind.DATETIME: "instant (UTC)", Kind.MONEY: "money", Kind.DECIMAL2: "number with two decimals", Kind.INT: "integer",
    Kind.BOOL: "yes or no",
}  # fmt: skip


def exports() -> list[dg.AssetSpec]:
    """What each system sends, with the columns that are read."""
    by_system: dict[System, dict[str, None]] = defaultdict(dict)
    for edge in edges():
        by_system[System(edge.system)].setdefault(_source_column(edge))
    return [
        dg.AssetSpec(
            export_key(system),
            group_name="exports",
            kinds={"odbc" if system is System.SPILASUITE else "file"},
            tags={"gdpr/scope": "controller" if system is System.PORTAL else "processor", "system": str(system)},
            description=f"Deliveries of {system}, by the contract of its export.",
            metadata={
                "dagster/column_schema": dg.TableSchema([dg.TableColumn(c, "source") for c in by_system[system]])
            },
        )
        for system in System
    ]


def tables() -> list[dg.AssetSpec]:
    """The 16 tables of the agencies and the 2 of the portal."""
    by_table: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges():
        by_table[edge.table].append(edge)
    return [_table(record, by_table[record.name]) for record in CANONICAL]


def _table(record: Record, fed_by: Sequence[Edge]) -> dg.AssetSpec:
    return dg.AssetSpec(
        table_key(record.name),
        deps=[sync_key(System(s)) for s in sorted({str(e.system) for e in fed_by})],
        group_name="tables",
        kinds={"sqlite"},
        tags={"gdpr/scope": str(record.scope)},
        description=(
            f"Canonical table `{record.name}`, one shelf an agency. Sealed before the first write;"
            f" erased {KEPT_DAYS} days after the end of the agency's contract."
        ),
        metadata={
            "dagster/column_schema": _schema(record),
            "dagster/column_lineage": _lineage(fed_by),
            "dagster/table_name": record.name,
        },
    )


def _schema(record: Record) -> dg.TableSchema:
    kept = f"kept until {KEPT_DAYS} days after the end of the agency's contract (R22)"
    return dg.TableSchema(
        [_column(record, f) for f in exported_fields(record)], constraints=dg.TableConstraints(other=[kept])
    )


def _column(record: Record, f: Field) -> dg.TableColumn:
    listed = [f"one of: {', '.join(f.values)}"] if f.values else []
    to = [f"names a {f.target}"] if f.target else []
    return dg.TableColumn(
        f.name,
        _TYPES[f.kind],
        description=f"{f.label_fr} · {f.label_en} (held for {JUSTIFIED_BY[f.category]})",
        constraints=dg.TableColumnConstraints(nullable=f.nullable, other=[*listed, *to]),
        tags={
            "gdpr/scope": str(record.scope),
            "gdpr/category": str(f.category),
            "gdpr/personal": "yes" if f.personal else "no",
            "protection": str(f.protection),
        }
        | ({"searchable": "blind index"} if f.searchable else {}),
    )


def _lineage(fed_by: Iterable[Edge]) -> dg.TableColumnLineage:
    sources: dict[str, dict[tuple[System, str], None]] = defaultdict(dict)
    for edge in fed_by:
        sources[edge.column].setdefault((System(edge.system), _source_column(edge)))
    return dg.TableColumnLineage({
        column: [dg.TableColumnDep(export_key(system), name) for system, name in sorted(named)]
        for column, named in sorted(sources.items())
    })  # fmt: skip


def _source_column(edge: Edge) -> str:
    return f"{edge.source_table}.{edge.source_column}"


def checks() -> dg.AssetChecksDefinition:
    """One check a table and system. Launched by themselves they have nothing to look at: records are seen by the runs
    that bring them.
    """
    fed = sorted({(e.table, System(e.system)) for e in edges()})

    @dg.multi_asset_check(
        name="invariants",
        specs=[
            dg.AssetCheckSpec(
                invariants(system),
                asset=table_key(table),
                blocking=True,
                description="\n".join(_rules(RECORDS[table], system)),
            )
            for table, system in fed
        ],
        can_subset=True,
    )
    def looked_at_in_syncs() -> Iterator[dg.AssetCheckResult]:
        yield from ()

    return looked_at_in_syncs


def _rules(record: Record, system: System) -> Iterator[str]:
    yield f"Looked at in every sync of {system}, on what is about to be kept; a delivery that breaks one is not kept."
    for rule in rules_of(record, system):
        yield f"* {rule.words}"
