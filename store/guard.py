"""The database's own refusal: no row is written in a transaction that no capability opened, nor under one that was
minted from an older head of the log than the shelf has seen (R46, R52).

Triggers, made with the tables by each engine. A programme that forgets to ask is stopped by the database itself; who
holds database and keys and means harm is not: that is what the log shows.
"""

from sqlalchemy import Connection, delete, insert, select, update

from schemas.capability import Capability
from schemas.errors import Refused
from store.engine import put
from store.tables import CAPABILITY, DELIVERY, DOOMED_KEY, FLOW, GRANTED, SIGNATORY

# Bookkeeping passes: the key of an erased person is gone, who signed an instruction is noted before there is one, a
# delivery gets its receipt.
PASSING = frozenset({(DOOMED_KEY.name, "DELETE"), (SIGNATORY.name, "INSERT")})
PASSING_COLUMNS = {(DELIVERY.name, "UPDATE"): frozenset({DELIVERY.c.receipted.name})}


def grant(db: Connection, capability: Capability) -> None:
    """Open the transaction to writing. Raises Refused for a capability that the shelf knows to be out of date."""
    c = CAPABILITY.c
    last = db.execute(select(c.size, c.root).order_by(c.size.desc()).limit(1)).first()
    if last is not None and (
        last.size > capability.size or (last.size == capability.size and last.root != capability.root)
    ):
        raise Refused(
            "what was allowed stands on another head of the log than this shelf has seen",
            "If the log was restored from a copy, restore the shelf of the same day too.",
        )
    digest = capability.digest
    known = {
        "digest": digest, "act": str(capability.act), "ground": " ".join(capability.ground), "size": capability.size,
        "root": capability.root, "minted_at": capability.minted_at.isoformat(),
    }  # fmt: skip
    put(db, CAPABILITY, known)
    db.execute(insert(GRANTED).values(digest=digest))
    void(db, capability)


def void(db: Connection, capability: Capability) -> None:
    """What was known of the next delivery of these systems is known no longer: something is about to be written."""
    systems = [str(s) for s in sorted(capability.systems)]
    db.execute(update(FLOW).where(FLOW.c.system.in_(systems)).values(generation=FLOW.c.generation + 1))


def revoke(db: Connection) -> None:
    db.execute(delete(GRANTED))
