"""Messages between a reading and the child process that holds its driver: a line of JSON, and bytes beside it.

A message is the lengths of both (big-endian, 4 and 8 bytes), the JSON object, the bytes. Waiting has a limit, so that a
child that says nothing is noticed.
"""

import json
import socket
import struct
from dataclasses import dataclass
from time import monotonic
from typing import Any

import numpy as np

Said = dict[str, Any]
_LENGTHS = struct.Struct(">IQ")
_LARGEST = 1 << 31


class Silent(Exception):
    """Nothing was said in time."""


class Gone(Exception):
    """The other side ended."""


@dataclass(slots=True)
class Wire:
    """One end of the way."""

    _socket: socket.socket

    def say(self, said: Said, beside: "bytes | memoryview | Any" = b"") -> None:
        text = json.dumps(said, ensure_ascii=False).encode()
        try:
            self._socket.sendall(_LENGTHS.pack(len(text), len(beside)) + text)
            if len(beside):
                self._socket.sendall(beside)
        except TimeoutError:
            raise Silent from None
        except OSError:
            raise Gone from None

    def hear(self, seconds: float | None) -> tuple[Said, memoryview]:
        """The next message (Silent after so many seconds; None: no limit)."""
        end = None if seconds is None else monotonic() + seconds
        of_text, of_bytes = _LENGTHS.unpack(self._exactly(_LENGTHS.size, end))
        if of_text > _LARGEST or of_bytes > _LARGEST:
            raise Gone
        both = self._exactly(of_text + of_bytes, end)
        return json.loads(bytes(both[:of_text])), both[of_text:]

    def _exactly(self, size: int, end: float | None) -> memoryview:
        """`size` bytes, before the clock shows `end`."""
        found = np.empty(size, np.uint8).data
        at = 0
        while at < size:
            left = None if end is None else end - monotonic()
            if left is not None and left <= 0:
                raise Silent
            self._socket.settimeout(left)
            try:
                read = self._socket.recv_into(found[at:])
            except TimeoutError:
                raise Silent from None
            except OSError:
                raise Gone from None
            if read == 0:
                raise Gone
            at += read
        return found

    def close(self) -> None:
        self._socket.close()
