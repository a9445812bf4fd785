"""What a process does first that works apart from the one that started it: a driver's child, a night's hand."""

import ctypes
import os
import resource
import select
from threading import Thread

_DUMPABLE = 4  # PR_SET_DUMPABLE (prctl(2))


def leave_no_image() -> None:
    """After a crash nothing of its memory lies anywhere."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(_DUMPABLE, 0, 0, 0, 0)


def end_with(way: int) -> None:
    """End at once when the other side of a socket has, whatever is being done: what hangs would never notice."""
    Thread(target=_watch, args=(way,), daemon=True).start()


def _watch(way: int) -> None:
    watch = select.poll()
    watch.register(way, select.POLLRDHUP)
    watch.poll()
    os._exit(0)
