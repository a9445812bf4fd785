"""Exit code 0 when the part of Depositaire that this container runs is well: `HEALTHY` says where it is asked.

http://host:port/path has to answer 200; tcp://host:port has to take a connection. Only what Python brings along.
"""

import os
import socket
import sys
import urllib.request
from urllib.parse import urlsplit

SECONDS = 5.0


def is_well(address: str) -> bool:
    """Whether an address answers as it should."""
    told = urlsplit(address)
    try:
        if told.scheme == "tcp":
            socket.create_connection((told.hostname or "", told.port or 0), SECONDS).close()
            return True
        with urllib.request.urlopen(address, timeout=SECONDS) as answer:  # noqa: S310 - of this container's own setting
            return bool(answer.status == 200)
    except (OSError, ValueError):
        return False


if __name__ == "__main__":
    sys.exit(0 if is_well(os.environ["HEALTHY"]) else 1)
