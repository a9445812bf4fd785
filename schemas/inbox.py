"""Where deliveries arrive: a folder, or a prefix of a bucket in an object store. Only names: credentials are never part
of one."""

import re
from dataclasses import dataclass
from pathlib import Path

from schemas.errors import Malformed

SCHEME = "s3://"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_SEGMENT = re.compile(r"[A-Za-z0-9!_.*'()=+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A bucket and what the keys of its deliveries begin with: no slash at either end, empty for the whole bucket."""

    name: str
    prefix: str = ""

    @classmethod
    def parse(cls, text: str) -> "Bucket":
        """`s3://bucket/prefix`. Raises Malformed, which repeats nothing of the text: somebody may have put a password
        into it."""
        name, _, rest = text.removeprefix(SCHEME).partition("/")
        prefix = rest.strip("/")
        if not text.startswith(SCHEME) or _BUCKET.fullmatch(name) is None:
            raise Malformed("this is no address of a bucket", "Write s3://bucket/prefix, without keys in it.")
        if any(_SEGMENT.fullmatch(s) is None or s in (".", "..") for s in prefix.split("/") if prefix):
            raise Malformed(
                "the prefix of the bucket cannot be used", "Use letters, figures and - _ . between slashes."
            )
        return cls(name, prefix)

    def __str__(self) -> str:
        return SCHEME + "/".join(filter(None, (self.name, self.prefix)))

    def key(self, below: str) -> str:
        """The whole key of what lies below the prefix; with nothing below, what all keys begin with."""
        return f"{self.prefix}/{below}" if self.prefix else below

    def below(self, key: str) -> str:
        """What of a key lies below the prefix."""
        return key[len(self.prefix) + 1 :] if self.prefix else key


Place = Path | Bucket


def place(text: str) -> Place:
    """A folder, or a bucket where the text has a scheme. Raises Malformed for a scheme that is not read."""
    return Bucket.parse(text) if "://" in text else Path(text)
