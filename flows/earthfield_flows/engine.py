"""Prefect's API for one command: the server that settings name, or one inside this process."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from earthfield.errors import Unavailable
from earthfield.settings import Settings
from earthfield.storage import make_folder

_START_TIMEOUT_S = 120.0
_PRIVATE = "EARTHFIELD_PRIVATE_ENGINE"
"""Set where the server is of this command alone; children that compute for it see it too."""


def is_private() -> bool:
    """Tells whether nobody but this command sees its runs: nothing needs to be shown or kept apart then."""
    return bool(os.environ.get(_PRIVATE))


@contextmanager
def engine() -> Iterator[None]:
    """Makes flows runnable inside the block.

    Where PREFECT_API_URL is set, that server keeps the runs. Elsewhere a server on a free loopback port lives in
    a thread of this process and ends with it, however the process ends; its small database lies under
    EARTHFIELD_STATE, so that starting again takes seconds.

    Raises:
        Unavailable: the server did not start in time.
    """
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        os.environ.update(_environment(listener.getsockname()[1]))
        read_settings()
        server, thread = _started(listener)
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(timeout=10)
            del os.environ["PREFECT_API_URL"], os.environ[_PRIVATE]


def _environment(port: int) -> dict[str, str]:
    defaults = {
        "PREFECT_HOME": str(make_folder(Settings().state / "prefect")),
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "PREFECT_LOGGING_SERVER_LEVEL": "CRITICAL",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # What only other users of a server would ask for.
        "PREFECT_LOGGING_TO_API_ENABLED": "false",
        "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
        "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    unset = {name: value for name, value in defaults.items() if name not in os.environ}
    return {**unset, "PREFECT_API_URL": f"http://127.0.0.1:{port}/api", _PRIVATE: "yes"}


def read_settings() -> None:
    """Has Prefect read the environment anew where it was imported before; by itself it does so only then."""
    if "prefect" in sys.modules:
        from prefect.context import refresh_global_settings_context

        refresh_global_settings_context()


def _started(listener: socket.socket):  # type: ignore[no-untyped-def]
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(uvicorn.Config(create_app(ephemeral=True), log_level="error", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Unavailable(
                "the flow engine did not start: set PREFECT_API_URL to a running Prefect server, or try again"
            )
        time.sleep(0.02)
    return server, thread
