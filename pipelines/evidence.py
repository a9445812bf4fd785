"""Making an agency's evidence pack from what a home holds, and checking one (GDPR 28(3)(h))."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from ledger import evidence
from ledger.canonical import read_instant, sha256
from ledger.evidence import Anchor, Opened, Papers
from ledger.examine import Examined, examine
from ledger.keys import LogKeys
from ledger.lines import write_whole
from ledger.log import Log
from ledger.stored import Keys
from ledger.witness import verify_extends
from pipelines.evidence_summary import VERSION, summarise, systems
from pipelines.lineage import edges
from pipelines.provenance import DOCUMENT, VERSION as PROV_VERSION, provenance
from pipelines.summary_pdf import draw
from schemas.errors import Malformed, NotVerified
from schemas.fields import Scope
from schemas.home import Home
from schemas.ids import AgencyCode
from schemas.records import RECORDS, category_of
from schemas.window import PARIS
from store import register
from store.house import JOURNAL, House
from store.keys import Root, open_root

# What `write` does, in its order.
STEPS = ("log", "summary", "pack", "check")


@dataclass(frozen=True, slots=True)
class Packed:
    """A pack that was written: how many files and leaves it has, and how many contents are withheld."""

    agency: AgencyCode
    out: Path
    files: int
    size: int
    hidden: int
    key: str

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "out": str(self.out), "files": self.files, "size": self.size, "hidden": self.hidden,
            "key": self.key,
        }  # fmt: skip


def write(
    home: Home, agency: AgencyCode, out: Path, at: datetime, now: datetime, meaning: Callable[[str], str],
    passphrase: str | None = None, *, root: Root | None = None, categories: Collection[str] | None = None,
    told: Callable[[str], None] = lambda _: None,
) -> Packed:  # fmt: skip
    """Write the pack of an agency as of `at`. `now`: what the clock says; `meaning`: a reason code in French.

    `root`: for whoever holds it already. `categories`: the links between exports and model of these only. `told` hears
    of each step as it begins (`STEPS`).

    A sealed notice is shown once both are past its release: naming a later instant opens nothing (R50). Raises
    Malformed for an agency without a log, NotVerified when the log or a certificate does not hold.
    """
    told("log")
    with House.open(home) as house:
        by_house = _told_by_the_house(house, agency)
    keys = LogKeys(home, root or open_root(home, passphrase))
    log = Log.at(home, agency, keys)
    if not log.exists:
        raise Malformed(f"nothing was ever recorded for agency {agency}", "Check the code, and --home.")
    verifier = str(keys.verifier(agency))
    opened = Opened.of(log.files(), agency, Keys(verifier, keys.of_salts(agency)))
    hidden = frozenset(evidence.withheld(opened.history.lines, min(at, now))) | opened.destroyed
    shown = evidence.shown(opened.history, hidden)
    told("summary")
    summary = summarise(shown, len(hidden), at, by_house)
    lineage = evidence.spelled(_lineage(systems(shown), categories))
    others = {
        "README.txt": _readme(agency, at),
        "lineage.json": lineage,
        "prov.json": evidence.spelled(provenance(shown, sha256(lineage))),
        "resume.pdf": draw(summary, meaning),
        "summary.json": evidence.spelled(summary),
        "verify.py": (files("ledger.standalone") / "verify.py").read_bytes(),
    }
    papers = Papers(
        others,
        evidence.named_anchors(shown, _anchors(log.path / "anchors")),
        evidence.named_certificates(
            shown, {p.name: p.read_bytes() for p in home.certificates.glob(f"{agency}-*.json")}
        ),
    )
    told("pack")
    raw = evidence.pack(opened, hidden, papers, at, keys.signer)
    told("check")
    made = examine(raw, verifier)  # what its reader would refuse is not given out
    write_whole(out, raw)
    return Packed(agency, out, len(made.files), opened.history.head.size, len(hidden), verifier)


@dataclass(frozen=True, slots=True)
class Checked:
    """A pack that holds, and what it could be compared with: this home's key and today's log."""

    agency: AgencyCode
    made_at: str
    size: int
    hidden: int
    certificates: int
    stamps: int
    signed_by: str
    key: bool
    now: int | None

    def as_json(self) -> dict[str, Any]:
        return {
            "agency": self.agency, "made_at": self.made_at, "size": self.size, "hidden": self.hidden,
            "certificates": self.certificates, "timestamps": self.stamps, "key": self.signed_by,
            "key_compared": self.key, "log_size": self.now,
        }  # fmt: skip


def verify(raw: bytes, home: Home | None, passphrase: str | None = None) -> Checked:
    """Raises NotVerified saying what does not hold. With a home: its key must have signed, and its log of today extend
    the pack's."""
    found = examine(raw)
    _follows(found)
    now = None
    agency = found.history.agency
    if home is not None:
        House.open(home).db.close()
        keys = LogKeys(home, open_root(home, passphrase))
        examine(raw, str(keys.verifier(agency)))
        log = Log.at(home, agency, keys)
        if not log.exists:
            raise NotVerified(f"there is no log of agency {agency} here", "Check --home; keep the pack as evidence.")
        today = log.read()
        verify_extends(today, found.history.head)
        now = today.head.size
    return Checked(
        agency, found.made_at, found.history.head.size, found.hidden, found.certificates, found.stamps, found.key,
        home is not None, now,
    )  # fmt: skip


def _follows(found: Examined) -> None:
    """The summary says what the entries that are shown say."""
    try:
        stated = json.loads(found.files["summary.json"])
        if stated["version"] != VERSION:
            return  # another version counts otherwise; what was signed is signed
        again = summarise(found.history, found.hidden, read_instant(found.made_at), stated["house"])
    except (ValueError, LookupError, TypeError, AttributeError, Malformed):
        again = {}
    if evidence.spelled(again) != found.files["summary.json"]:
        raise NotVerified("summary.json does not say what the log says", "Keep the pack as evidence.")
    _derived(found)


def _derived(found: Examined) -> None:
    """The provenance says what the entries that are shown say. A pack of before has none; one that was made with other
    links between exports and model cannot be made again, and what was signed is signed."""
    said = found.files.get("prov.json")
    if said is None:
        return
    lineage = sha256(found.files["lineage.json"])
    try:
        stated = json.loads(said)["entity"][DOCUMENT]
        if stated["dep:version"] == PROV_VERSION and stated["dep:lineage_sha256"] == lineage:
            ours = evidence.spelled(_lineage(systems(found.history))) == found.files["lineage.json"]
            holds = not ours or evidence.spelled(provenance(found.history, lineage)) == said
        else:
            holds = stated["dep:version"] != PROV_VERSION
    except (ValueError, LookupError, TypeError, AttributeError, Malformed):
        holds = False
    if not holds:
        raise NotVerified("prov.json does not say what the log says", "Keep the pack as evidence.")


def _told_by_the_house(house: House, agency: AgencyCode) -> dict[str, Any]:
    """The contract's days as the register has them, and the deliveries that were refused, by system and reason."""
    row = register.get(house.db, agency)
    contract = row.contract if row is not None else None
    start = contract.start.isoformat() if contract is not None else None
    end = contract.end.isoformat() if contract is not None and contract.end is not None else None
    t = JOURNAL
    refused = (
        select(t.c.system, t.c.reason, func.count().label("count"))
        .where(t.c.agency == agency, t.c.outcome == "refused")
        .group_by(t.c.system, t.c.reason)
        .order_by(t.c.system, t.c.reason)
    )
    found = [{"system": r.system, "reason": r.reason, "count": r.count} for r in house.db.execute(refused)]
    return {"contract": {"start": start, "end": end}, "refused": found}


def _anchors(folder: Path) -> dict[int, Anchor]:
    """The heads that were stamped, with both of their files."""
    found = {}
    for path in sorted(folder.glob("*.checkpoint")):
        response = path.with_suffix(".tsr")
        if path.stem.isascii() and path.stem.isdecimal() and response.exists():
            found[int(path.stem)] = Anchor(path.read_bytes(), response.read_bytes())
    return found


def _lineage(named: frozenset[str], categories: Collection[str] | None = None) -> dict[str, Any]:
    """Which columns of these systems' exports fill which columns of the model, with scope and category (R43, R44).
    `categories`: of these only."""
    links = [
        e for e in edges()
        if str(e.system) in named and RECORDS[e.table].scope is Scope.PROCESSOR
        and (categories is None or category_of(e.table, e.column) in categories)
    ]  # fmt: skip
    return {"format": "depositaire-lineage", "version": 1, "columns": [e.as_json() for e in links]}


def _readme(agency: AgencyCode, at: datetime) -> bytes:
    text = (files("ledger.standalone") / "README.txt").read_text(encoding="utf-8")
    return text.replace("{agency}", agency).replace("{day}", f"{at.astimezone(PARIS):%Y-%m-%d}").encode()
