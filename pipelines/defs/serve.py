"""`depositaire up`: Dagster's web page and daemon on one home, and the web door beside them, until told to stop."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import Self

from pipelines.defs import address
from pipelines.defs.instance import open_instance, write_instance
from pipelines.defs.interrupted import mend
from schemas.home import Home

_PATIENCE_SECONDS = 30.0


def up(
    home: Home,
    port: int = 3000,
    host: str = "127.0.0.1",
    environment: Mapping[str, str] = os.environ,
    beside: AbstractContextManager[object] | None = None,
) -> int:
    """Serve until SIGINT or SIGTERM, then stop both and everything that they started. Returns an exit code.

    The page shows counts and codes to whoever can reach it and asks for no password: bind it to this machine. `beside`:
    what is open for as long.
    """
    write_instance(home)
    with open_instance(home) as instance:
        mend(instance, home)
    with Asked() as asked:
        child = subprocess.Popen(
            [sys.executable, "-m", "dagster", "dev", "-w", "workspace.yaml", "-h", host, "-p", str(port)],
            env={**environment, **told(home)},
            cwd=home.dagster,
            start_new_session=True,  # a signal from the keyboard reaches it once, from here
        )
        with beside or nullcontext():
            return asked.to_stop(child)


class Asked:
    """Hears SIGINT and SIGTERM. Begun before the child is: a signal that its parent ignores is one that it ignores."""

    def __enter__(self) -> Self:
        self._heard = threading.Event()
        self._before = {s: signal.signal(s, lambda *_: self._heard.set()) for s in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def to_stop(
        self, child: "subprocess.Popen[bytes]", by: signal.Signals = signal.SIGINT, patience: float = _PATIENCE_SECONDS
    ) -> int:
        """Wait for the child, or for the wish to stop it; nothing that it started outlives it."""
        while child.poll() is None and not self._heard.wait(0.5):
            pass
        if child.poll() is not None:
            return child.returncode
        child.send_signal(by)
        with suppress(subprocess.TimeoutExpired):
            child.wait(patience)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        return 0


def told(home: Home) -> dict[str, str]:
    """Absolute paths: each process of Dagster looks from where it was started. And where its database is."""
    stored = address.known(home)
    return (stored.environment() if stored else {}) | {
        "DAGSTER_HOME": str(home.dagster),
        "DEPOSITAIRE_HOME": str(home.root),
        "DEPOSITAIRE_KEYS": str(home.keys),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DAGSTER_REDACT_USER_CODE_ERRORS": "1",
        "DAGSTER_EVENT_BATCH_SIZE": "500",
        "GX_ANALYTICS_ENABLED": "false",
        "PYTHONWARNINGS": "ignore",  # `dagster dev` recommends another command at each start
    }
