"""A certificate of an erasure, written for an agency and named by its log, as an erasure leaves it."""

import datetime as dt

from ledger import certificate
from ledger.canonical import sha256
from ledger.certificate import Certificate, CertifiedStep, Searched
from ledger.entry import Erased
from schemas.ids import AgencyCode
from store.keys import open_root, signer
from tests.functional.conftest import Installation

END = dt.date(2025, 12, 20)
AT = dt.datetime(2025, 12, 27, 23, 5, tzinfo=dt.UTC)


def certify(site: Installation, agency: str) -> str:
    """Returns the name of its file."""
    log = site.log(agency)
    made = Certificate(
        kind="erasure", agency=AgencyCode(agency), contract_end=END, carried_out_at=AT,
        steps=(CertifiedStep("destroy_keys", "done", {"key_rings": 1}),
               CertifiedStep("drop_shelf", "done", {"person": 31, "shelves": 1}),
               CertifiedStep("remove_files", "nothing there", {})),
        left={"evidence": "the ledger and its key"}, searched=(Searched("file names", 812, 0, 5, 5),),
        plan_sha256="ab" * 32, code_version="0.1.0", ledger=log.head(),
    )  # fmt: skip
    raw = certificate.write(made, signer(site.home, open_root(site.home)))
    log.append(Erased(END, AT, sha256(raw)), AT)
    site.home.certificates.mkdir(exist_ok=True)
    path = site.home.certificates / f"{agency}-20251227.json"
    path.write_bytes(raw)
    return path.name
