"""Our own facets: what OpenLineage has no word for. Each has its JSON schema in docs/specs/openlineage/1-0-0/.

Keys begin with `depositaire_`, classes are named as the specification asks (prefix, name, entity, `Facet`).
"""

from typing import ClassVar

import attr
from openlineage.client.generated.base import InputDatasetFacet, RunFacet

VERSION = "1-0-0"
BASE = "https://depositaire.example/spec/openlineage"


def schema_url(name: str) -> str:
    return f"{BASE}/{VERSION}/{name}.json#/$defs/{name}"


@attr.define
class DepositairePurposeRunFacet(RunFacet):
    """What for (R45), and on which ground of the GDPR the processor acts."""

    KEY: ClassVar[str] = "depositaire_purpose"
    purposes: list[str]
    basis: str

    @staticmethod
    def _get_schema() -> str:
        return schema_url("DepositairePurposeRunFacet")


@attr.define
class DepositaireInstructionRunFacet(RunFacet):
    """On whose word: ids of the agency's log (R46). `leaf`: the place in that log that tells of this run."""

    KEY: ClassVar[str] = "depositaire_instruction"
    instructions: list[str]
    leaf: int | None = None

    @staticmethod
    def _get_schema() -> str:
        return schema_url("DepositaireInstructionRunFacet")


@attr.define
class DepositaireDeliveryRunFacet(RunFacet):
    """Which delivery was read, by which layout and code. A name that breaks the contract is not told."""

    KEY: ClassVar[str] = "depositaire_delivery"
    system: str
    delivery: str | None = None
    layout: str | None = None
    codeVersion: str | None = None  # noqa: N815 - the specification writes its fields so

    @staticmethod
    def _get_schema() -> str:
        return schema_url("DepositaireDeliveryRunFacet")


@attr.define
class DepositaireErasureRunFacet(RunFacet):
    """An erasure that was carried out, by the digest of its certificate (GDPR 28(3)(g))."""

    KEY: ClassVar[str] = "depositaire_erasure"
    certificateSha256: str  # noqa: N815
    contractEnd: str  # noqa: N815
    lateFiles: bool  # noqa: N815

    @staticmethod
    def _get_schema() -> str:
        return schema_url("DepositaireErasureRunFacet")


@attr.define
class DepositaireLinesInputDatasetFacet(InputDatasetFacet):
    """What became of the lines of a source table: read = stored + unchanged + quarantined + ignored + withheld."""

    KEY: ClassVar[str] = "depositaire_lines"
    read: int
    stored: int
    unchanged: int
    quarantined: int
    ignored: int
    withheld: int

    @staticmethod
    def _get_schema() -> str:
        return schema_url("DepositaireLinesInputDatasetFacet")
