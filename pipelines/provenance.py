"""An agency's log as provenance: PROV-JSON (W3C), for the evidence pack. All of it follows from the log's entries.

Who: the agency, and the processor that acts on its behalf. What: instructions, deliveries, the tables held, what was
handed over, certificates. How: runs, handings, tasks, erasures. docs/specs/evidence.md says which relation says what.
Names are `dep:` and a word; no personal data. Sources: W3C PROV-DM, PROV-O, PROV-JSON; GDPR 5(2), 28(3)(h); R43, R46.
"""

from collections.abc import Iterable
from typing import Any

from ledger.canonical import instant
from ledger.entry import History, Instruction
from pipelines.openlineage.runs import Ran, told

VERSION = 1
PREFIXES = {
    "dep": "https://depositaire.example/agencies/{agency}/",
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
}
AGENCY, PROCESSOR, DOCUMENT = "dep:agency", "dep:processor", "dep:document"
# What a run is, by the first word of its job.
TYPES = {
    "sync": "Synchronisation", "return": "Handing", "disclose": "Handing", "transfer": "Handing", "order": "Task",
    "erasure": "Erasure",
}  # fmt: skip

Fields = dict[str, Any]


def provenance(shown: History, lineage_sha256: str) -> dict[str, Any]:
    """The document of what is shown of a log. `lineage_sha256`: digest of the links by which tables were filled; a
    reader with other links cannot make it again."""
    made = _Document(shown)
    made.entity(DOCUMENT, "Document", {"dep:version": VERSION, "dep:lineage_sha256": lineage_sha256})
    for given in shown.given:
        kind = "synchronise" if isinstance(given, Instruction) else type(given).__name__.lower()
        made.entity(f"dep:{given.id}", "Instruction", {"dep:kind": kind})
        made.relate("wasAttributedTo", {"prov:entity": f"dep:{given.id}", "prov:agent": AGENCY})
    for ran in told(shown):
        made.ran(ran)
    return made.as_json()


class _Document:
    def __init__(self, shown: History) -> None:
        self._prefixes = {name: uri.format(agency=shown.agency) for name, uri in PREFIXES.items()}
        self._parts: dict[str, dict[str, Fields]] = {"agent": {}, "entity": {}, "activity": {}}
        self._given = {e.id for e in shown.given}
        self._contract = 1
        self._held: dict[str, str] = {}
        self._parts["agent"][AGENCY] = {"prov:type": _type("Organization", "prov"), "dep:code": str(shown.agency)}
        self._parts["agent"][PROCESSOR] = {"prov:type": _type("Organization", "prov")}
        self.relate("actedOnBehalfOf", {"prov:delegate": PROCESSOR, "prov:responsible": AGENCY})

    def as_json(self) -> dict[str, Any]:
        """Parts and names in their order, so that the same log gives the same bytes."""
        parts = {part: dict(sorted(said.items())) for part, said in sorted(self._parts.items()) if said}
        return {"prefix": self._prefixes, **parts}

    def entity(self, name: str, kind: str, said: Fields | None = None) -> str:
        self._parts["entity"].setdefault(name, {"prov:type": _type(kind), **(said or {})})
        return name

    def relate(self, relation: str, said: Fields) -> None:
        there = self._parts.setdefault(relation, {})
        there[f"_:{relation}{len(there) + 1:07d}"] = said

    def ran(self, ran: Ran) -> None:
        at = instant(ran.at)
        kind = ran.job.partition(".")[0]
        run = f"dep:run-{ran.leaf}"
        activity: Fields = {"prov:startTime": at, "prov:endTime": at, "prov:type": _type(TYPES[kind]),
                            "dep:job": ran.job}  # fmt: skip
        self._parts["activity"][run] = activity | ({"dep:code_version": ran.code_version} if ran.code_version else {})
        self._acted(run, ran.instructions)
        match kind:
            case "sync":
                self._synchronised(run, ran)
            case "erasure":
                self._erased(run, ran, at)
            case "order":
                self._influenced(run, (d.table for d in ran.outputs))
            case _:
                self._handed(run, ran)

    def _acted(self, run: str, instructions: Iterable[str]) -> None:
        """By the processor, by the plan that each instruction is. One that is not shown is not named."""
        known = [f"dep:{i}" for i in instructions if i in self._given]
        for plan in known:
            self.relate("used", {"prov:activity": run, "prov:entity": plan})
            said = {"prov:activity": run, "prov:agent": PROCESSOR, "prov:plan": plan}
            self.relate("wasAssociatedWith", said)
        if not known:
            self.relate("wasAssociatedWith", {"prov:activity": run, "prov:agent": PROCESSOR})

    def _synchronised(self, run: str, ran: Ran) -> None:
        said = {"dep:system": ran.job.partition(".")[2], "dep:name": ran.delivery, "dep:layout": ran.layout}
        delivery = self.entity(
            f"dep:delivery-{ran.leaf}", "Delivery", {k: v for k, v in said.items() if v is not None}
        )  # fmt: skip
        self.relate("wasAttributedTo", {"prov:entity": delivery, "prov:agent": AGENCY})
        self.relate("used", {"prov:activity": run, "prov:entity": delivery})
        for d in ran.outputs:
            table = self._held.get(d.table)
            if table is None:
                table = self._table(d.table)
                self.relate(
                    "wasGeneratedBy", {"prov:entity": table, "prov:activity": run, "prov:time": instant(ran.at)}
                )
            else:
                self.relate("wasInfluencedBy", {"prov:influencee": table, "prov:influencer": run})
            self.relate("wasDerivedFrom", {"prov:generatedEntity": table, "prov:usedEntity": delivery})

    def _handed(self, run: str, ran: Ran) -> None:
        handed = self.entity(
            f"dep:handed-{ran.leaf}", "Handed", {"dep:does": ran.job, "dep:rows": sum(d.rows or 0 for d in ran.outputs)}
        )
        self.relate("wasGeneratedBy", {"prov:entity": handed, "prov:activity": run, "prov:time": instant(ran.at)})
        for d in ran.inputs:
            table = self._table(d.table)
            self.relate("used", {"prov:activity": run, "prov:entity": table})
            self.relate("wasDerivedFrom", {"prov:generatedEntity": handed, "prov:usedEntity": table})

    def _influenced(self, run: str, tables: Iterable[str]) -> None:
        for name in tables:
            self.relate("wasInfluencedBy", {"prov:influencee": self._table(name), "prov:influencer": run})

    def _erased(self, run: str, ran: Ran, at: str) -> None:
        certificate = self.entity(
            f"dep:certificate-{(ran.certificate or '')[:16]}", "Certificate", {"dep:sha256": ran.certificate}
        )
        self.relate("wasGeneratedBy", {"prov:entity": certificate, "prov:activity": run, "prov:time": at})
        self.relate("wasAttributedTo", {"prov:entity": certificate, "prov:agent": PROCESSOR})
        if ran.late_files:
            return
        for table in self._held.values():
            self.relate("wasInvalidatedBy", {"prov:entity": table, "prov:activity": run, "prov:time": at})
        self._held.clear()
        self._contract += 1

    def _table(self, name: str) -> str:
        """The table as it is held under the contract that runs; after an erasure it is another entity."""
        if name not in self._held:
            said = {"dep:table": name, "dep:contract": self._contract}
            self._held[name] = self.entity(f"dep:table-{name}-{self._contract}", "Table", said)
        return self._held[name]


def _type(name: str, prefix: str = "dep") -> Fields:
    return {"$": f"{prefix}:{name}", "type": "prov:QUALIFIED_NAME"}
