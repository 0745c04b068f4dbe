"""What processes that were killed leave in shared memory, and who takes it away."""

from __future__ import annotations

import logging
import os
import re
import secrets
import time
from collections.abc import Mapping

import httpx

from earthfield.hosts import certificates
from earthfield_infer.serving.regions import FOLDER, owner_of

log = logging.getLogger(__name__)

_BACKEND = re.compile(r"earthfield_backend_(?P<pid>\d+)_.*")


def backend_prefix() -> str:
    """Gives how the Python backend names its shared memory for a server that this process starts."""
    return f"earthfield_backend_{os.getpid()}_{secrets.token_hex(4)}_"


def remove_leftovers(ended: str | None = None) -> None:
    """Removes what killed processes left: clients, and servers whose starter is gone.

    Args:
        ended: prefix of a server of this process that has ended.
    """
    for path in FOLDER.iterdir() if FOLDER.is_dir() else ():
        match = _BACKEND.fullmatch(path.name)
        owner = int(match["pid"]) if match else owner_of(path.name)
        is_ours = ended is not None and path.name.startswith(ended)
        if owner is not None and (is_ours or not is_alive(owner)):
            log.info("removing %s, which process %d left", path, owner)
            path.unlink(missing_ok=True)


def is_alive(pid: int) -> bool:
    """Tells whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Sweeper:
    """Has a server let memory go whose client was killed, some time after that is first seen.

    A request of the dead client may be computed until then, and the server must be able to write its answer.
    """

    def __init__(
        self, http: str, *, headers: Mapping[str, str] | None = None, grace_s: float = 900.0
    ) -> None:
        """Takes the server's address, what it must be told where it is guarded, and how long to wait."""
        self._http, self._headers, self._grace_s = http, dict(headers or {}), grace_s
        self._dead_since: dict[str, float] = {}

    def sweep(self) -> list[str]:
        """Lets go what has been dead for long enough; gives its names."""
        try:
            with httpx.Client(
                base_url=self._http, verify=certificates(), timeout=5.0, headers=self._headers
            ) as client:
                return self._swept(client)
        except (httpx.HTTPError, ValueError) as error:
            log.debug("the server was not asked for its shared memory: %s", error)
            return []

    def _swept(self, client: httpx.Client) -> list[str]:
        names = [
            str(one["name"]) for one in client.get("/v2/systemsharedmemory/status").raise_for_status().json()
        ]
        now, before = time.monotonic(), self._dead_since
        dead = [name for name in names if (pid := owner_of(name)) is not None and not is_alive(pid)]
        self._dead_since = {name: before.get(name, now) for name in dead}
        gone = [name for name, since in self._dead_since.items() if now - since >= self._grace_s]
        for name in gone:
            client.post(f"/v2/systemsharedmemory/region/{name}/unregister")
        return gone
