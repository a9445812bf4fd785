"""Four ways to say no. Each carries what to do next; none ever carries a value of a person."""

import os


class Say(Exception):
    """Base: `what` happened, and a `hint` of what to do next."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what if not hint else f"{what}. {hint}")
        self.what = what
        self.hint = hint


class Malformed(Say):
    """The bytes are not what their contract says."""


class Refused(Say):
    """The mandate, the contract window or the gate does not allow it."""


class NotVerified(Say):
    """A claim (a signature, a chain, a certificate) does not hold."""


class TryAgain(Say):
    """The world is in the way (a lock, a lost connection): the same call may succeed later."""


class StoreAway(TryAgain):
    """The database that keeps the records does not answer, or what it is on has no room or fails."""


class StoreClosed(Refused):
    """That database answers, and does not let an agency's login in."""


class DeliveryRefused(Refused):
    """A whole delivery is refused with one stable reason code; nothing of it is written.

    `reason` is a code of the export contracts (`sdgi.md5_mismatch` …); `where` names a file, line, offset or record,
    never a value.
    """

    def __init__(self, reason: str, where: str = "", hint: str = "") -> None:
        super().__init__(f"{reason}{f' ({where})' if where else ''}", hint)
        self.reason = reason
        self.where = where


class Elsewhere(Exception):
    """A fault in another process of ours: its text is the kind and place that were told there, and nothing else."""


def place_of(error: BaseException) -> str:
    """Kind of an error that is none of these, and where in the code it arose: never its text, which may quote a
    record."""
    if isinstance(error, Elsewhere):
        return str(error)
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}"  # noqa: PTH119
