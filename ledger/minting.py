"""From an agency's log to what one run may do: the only place where a capability is made.

A capability to synchronise stands on instructions in force; one to look, on those for the purpose "support" (R45, 29).
The other acts stand on what the law and the contract say (the ground names it): giving back and erasing are the
processor's duties at the agency's word or at the end of the contract (28(3)(g), R22), and configuring keeps no record.
A restriction binds them all but erasure (R2).
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from ledger.entry import History, Instruction, Withdrawal
from ledger.mandate import fold
from ledger.orders import Given
from schemas.capability import MINT, Act, Capability
from schemas.errors import Refused
from schemas.ids import AGENCY_SYSTEMS, AgencyCode, System
from schemas.mandate import Grant, Mandate, Purpose

# On what an act stands that needs no instruction in force.
GROUNDS: Mapping[Act, str] = {
    Act.RETURN: "GDPR 28(3)(g)",
    Act.ERASE: "GDPR 28(3)(g), R22",
    Act.CONFIGURE: "R46",
}

_HINTS: Mapping[Act, str] = {
    Act.SYNCHRONISE: "Record the agency's instruction with `depositaire instruct`.",
    Act.LOOK: "Opening a value needs an instruction of the agency for the purpose support.",
}


def mint(history: History, act: Act, at: datetime, system: System | None = None) -> Capability:
    """What may be done for an agency at `at`; for one system, or (None) for all that the instructions name.

    Raises Refused when no instruction in force allows it, naming nothing of the agency.
    """
    mandate = fold(history, at)
    wanted = AGENCY_SYSTEMS if system is None else (system,)
    if act in (Act.SYNCHRONISE, Act.LOOK):
        found = {s: [g for g in mandate.for_system(s) if _meant(g, act)] for s in wanted}
        grants = [g for each in found.values() for g in each]
        if not grants:
            raise Refused("no instruction in force allows this", _HINTS[act])
        systems = frozenset(s for s, each in found.items() if each)
        ids = {g.instruction for g in grants}
        purposes = frozenset(p for g in grants for p in g.purposes)
        until = _until(history, ids)
        return _made(history, act, systems, purposes, tuple(sorted(ids)), mandate, at, until)
    tasks = tuple(sorted(t.instruction for t in mandate.tasks if t.does == act))
    ground = (*tasks, GROUNDS[act])
    return _made(history, act, frozenset(wanted), frozenset(), ground, mandate, at, None)


def _meant(grant: Grant, act: Act) -> bool:
    return act is not Act.LOOK or Purpose.SUPPORT in grant.purposes


def mint_own(act: Act, at: datetime) -> Capability:
    """For the portal's own accounts, of which the vendor is the controller: no instruction, no log (R13, R40)."""
    return Capability(None, act, frozenset((System.PORTAL,)), frozenset(), ("R40",), None, at, None, 0, "", MINT)


def mint_end(agency: AgencyCode, at: datetime) -> Capability:
    """To erase what is held for an agency whose window has closed (R22). It stands on the register of contracts: a log
    that was damaged must not keep data alive."""
    ground = (GROUNDS[Act.ERASE],)
    return Capability(agency, Act.ERASE, frozenset(AGENCY_SYSTEMS), frozenset(), ground, None, at, None, 0, "", MINT)


def mint_inspection(at: datetime) -> Capability:
    """To tell the layout of a file: nothing of it is kept or shown."""
    return Capability(None, Act.INSPECT, frozenset(System), frozenset(), ("R52",), None, at, None, 0, "", MINT)


def _made(
    history: History,
    act: Act,
    systems: frozenset[System],
    purposes: frozenset[Purpose],
    ground: tuple[str, ...],
    mandate: Mandate,
    at: datetime,
    until: datetime | None,
) -> Capability:
    size, root = history.head.size, history.head.root.hex()
    return Capability(history.agency, act, systems, purposes, ground, mandate, at, until, size, root, MINT)


def _until(history: History, ids: Iterable[str]) -> datetime | None:
    """The first instant at which one of these instructions ends, as far as the log knows today."""
    named = set(ids)
    ends = [
        e.valid_until
        for e in history.entries
        if isinstance(e, Instruction | Given) and e.id in named and e.valid_until is not None
    ]
    ends += [e.effective_at for e in history.entries if isinstance(e, Withdrawal) and e.instruction in named]
    return min(ends, default=None)
