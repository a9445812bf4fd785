"""Sources are read beside each other, and nobody waits for one that lets wait longer than the others need."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

# Sources that are read at once by one batch; the seconds without an answer after which the others go first.
AT_ONCE = 8
PATIENCE = 2.0


def as_they_come(awaited: Sequence["Future[Any]"]) -> Iterator[list[int]]:
    """Which of the calls have ended (their positions, in order), in groups: those that end one shortly after another
    are one group. An empty group means that the rest lets wait: whoever asks has time for something else."""
    left = dict(enumerate(awaited))
    come: list[int] = []
    while left:
        done, _ = wait(left.values(), PATIENCE, FIRST_COMPLETED)
        if not done:
            yield sorted(come)
            come = []
        for n in [n for n, call in left.items() if call in done]:
            del left[n]
            come.append(n)
    if come:
        yield sorted(come)
