"""The process of the web pages: `python -m portal.web --socket FILE --origin URL --listen HOST:PORT`."""

import argparse
from pathlib import Path

import uvicorn

from portal.web.app import app
from portal.web.reception import Socket
from portal.web.site import Site


def main() -> None:
    told = argparse.ArgumentParser(prog="python -m portal.web")
    told.add_argument("--socket", type=Path, required=True)
    told.add_argument("--origin", required=True)
    told.add_argument("--listen", required=True)
    asked = told.parse_args()
    host, _, port = asked.listen.rpartition(":")
    served = app(Socket(asked.socket), Site(asked.origin))
    # No line a request: addresses hold invitations, and the reception keeps the log of what was asked.
    uvicorn.run(
        served, host=host, port=int(port), access_log=False, log_level="warning", server_header=False,
        date_header=True, limit_concurrency=200, timeout_keep_alive=15, h11_max_incomplete_event_size=32768,
    )  # fmt: skip


if __name__ == "__main__":
    main()
