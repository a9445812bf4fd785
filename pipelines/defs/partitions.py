"""Agencies as partitions, and the slices of them that one run takes.

A run of thousands of agencies costs what a run of one costs; a run an agency would cost 3–5 s of CPU each (measured).
So a night is one run a system. Where several workers share it, it is a few runs, each for one slice of the agencies.

A slice is not a range of the list of partitions. Dagster keeps a range by the keys at its two ends: when one of them is
erased before the run starts the run fails, and when it comes back the range is empty and the run succeeds having done
nothing. An agency's slice follows from its code alone, so that whoever comes or goes, the others stay where they were.
"""

import re
import zlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import dagster as dg

from schemas.errors import Malformed
from schemas.ids import AgencyCode, agency_code

AGENCIES = dg.DynamicPartitionsDefinition(name="agency")
# One partition an agency whose window has closed: red while its erasure fails, green for ever after.
ERASURES = dg.DynamicPartitionsDefinition(name="erasure")

SLICE = 250
# As many codes as a person still reads in a tag; a longer list says nothing that its slice does not.
NAMED = 20

SLICE_TAG = "depositaire/slice"
AGENCIES_TAG = "depositaire/agencies"
SYSTEM_TAG = "depositaire/system"
DOOR_TAG = "depositaire/door"

# Where workers share the runs, one whose worker was lost is begun again, from its beginning.
BEGUN_AGAIN = {"dagster/max_retries": "3", "dagster/retry_strategy": "ALL_STEPS"}

_SLICE = re.compile(r"([1-9][0-9]*)/([1-9][0-9]*)")


@dataclass(frozen=True, slots=True)
class Slice:
    """Agencies number `n` of `of`, written `3/20` in the tag of a run."""

    n: int
    of: int

    def __str__(self) -> str:
        return f"{self.n}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> "Slice":
        match = _SLICE.fullmatch(text)
        if match is None or int(match[1]) > int(match[2]):
            raise Malformed("a slice is written as 3/20: the third of twenty", f"Correct the tag {SLICE_TAG}.")
        return cls(int(match[1]), int(match[2]))

    def __contains__(self, agency: object) -> bool:
        return isinstance(agency, str) and zlib.crc32(agency.encode()) % self.of == self.n - 1


def slices(agencies: Collection[AgencyCode], shared: bool = False) -> list[Slice]:
    """Slices that together hold everyone: one, or where workers share the night, as many as hold about 250 each."""
    of = max(1, -(-len(agencies) // SLICE)) if shared else 1
    return [Slice(n, of) for n in range(1, of + 1)]


def is_shared(instance: dg.DagsterInstance) -> bool:
    """Whether runs go to workers (`pipelines.defs.launcher`), which may be several."""
    return bool(getattr(instance.run_launcher, "shared", False))


def tags_of(agencies: Sequence[AgencyCode], cut: Slice) -> dict[str, str]:
    """How a run says which agencies it takes: by their codes while they are few, by their slice otherwise."""
    if len(agencies) <= NAMED:
        return {AGENCIES_TAG: ",".join(agencies)}
    return {SLICE_TAG: str(cut)}


def named_in(tag: str) -> list[AgencyCode]:
    return [agency_code(code) for code in tag.split(",") if code]


def enlist(instance: dg.DagsterInstance, agencies: Iterable[AgencyCode]) -> int:
    """Agencies of the register that are no partition yet become one, in the order of the register."""
    known = set(instance.get_dynamic_partitions(str(AGENCIES.name)))
    new = [a for a in agencies if a not in known]
    if new:
        instance.add_dynamic_partitions(str(AGENCIES.name), new)
    return len(new)
