"""Opens and reads one delivery in a process of its own, and says what became of it and at what cost.

python -m tests.faults.hostile SYSTEM FILE AGENCY SIRET
"""

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from connectors.base import Delivery, Known, Permitted, Recalled, find
from ledger.minting import mint_inspection
from schemas.errors import DeliveryRefused
from schemas.ids import AgencyCode, System


def main(system: str, file: str, agency: str, siret: str) -> None:
    at = datetime(2026, 1, 5, 12, tzinfo=UTC)
    connector = find(System(system))
    delivery = Delivery(AgencyCode(agency), System(system), Path(file).name, at, Path(file))
    base, since = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        connector.weight(delivery)
        opened = connector.open(Permitted.of(delivery, mint_inspection(at)), Known(siret))
        reason = f"read {len(connector.read([opened], Recalled()).lines)}"
    except DeliveryRefused as no:
        reason = no.reason
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"reason": reason, "mb": (peak - base) / 1024, "cpu": time.process_time() - since}))


if __name__ == "__main__":
    main(*sys.argv[1:])
