"""Whether today's log extends what somebody saw of it: a checkpoint that an agency kept, the head that a certificate
names. Who kept one needs to trust nobody: a log that was rewritten, cut short or shown in two versions does not extend
it (C2SP tlog-checkpoint; RFC 9162 §2.1.4)."""

import re

from ledger.checkpoint import Checkpoint, read_checkpoint
from ledger.entry import Head, History
from ledger.leaf import origin
from ledger.note import parse_note
from ledger.proofs import verify_consistency
from ledger.tree import EMPTY_ROOT, Tree
from schemas.errors import Malformed, NotVerified
from schemas.ids import AgencyCode, agency_code

_ORIGIN = re.compile(r"depositaire/([A-Z0-9]{5})/instructions")
_KEEP_BOTH = "Keep both as evidence."


def whose(kept: bytes) -> AgencyCode:
    """The agency of whose log this is a checkpoint, unverified. Raises Malformed."""
    named = _ORIGIN.fullmatch(Checkpoint.parse(parse_note(kept).text).origin)
    if named is None:
        raise Malformed("this is not a checkpoint of an agency's log", "Give the file that was kept.")
    return agency_code(named[1])


def verify_since(kept: bytes, history: History, verifier: str) -> Checkpoint:
    """Today's log extends the checkpoint that was kept. Returns what it states, or raises NotVerified.

    To believe it we must know that
    1. the checkpoint is of this log, and signed by its key;
    2. today's log has no fewer leaves;
    3. a proof leads from the one head to the other.
    """
    stated = read_checkpoint(kept, origin(history.agency), verifier)  # 1
    verify_extends(history, Head(stated.size, stated.root))  # 2, 3
    return stated


def verify_extends(history: History, head: Head) -> None:
    """This log had this head once. Returns nothing, or raises NotVerified."""
    now = history.head
    if head.size > now.size:
        raise NotVerified(f"the log had {head.size} leaves and has {now.size}: some were taken out", _KEEP_BOTH)
    if head.size == 0:  # every log extends the empty one: there is nothing to prove
        if head.root != EMPTY_ROOT:
            raise NotVerified("the head of an empty log states a root of something", _KEEP_BOTH)
        return
    tree = Tree(history.leaves)
    try:
        verify_consistency(head.size, now.size, tree.consistency(head.size), head.root, now.root)
    except NotVerified:
        raise NotVerified("the log does not extend that head: what was in it was changed", _KEEP_BOTH) from None
