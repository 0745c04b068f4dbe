"""What runs measure, told to the process that started them; it keeps the sums for Prometheus, see `exporter`.

A run is a process that soon ends, so Prometheus cannot ask it. Each measurement is a datagram on a socket of this
machine instead: it never waits, and where nobody listens it is lost and nothing else happens.
"""

from __future__ import annotations

import json
import logging
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

log = logging.getLogger(__name__)

SOCKET = "EARTHFIELD_METRICS_SOCKET"
"""Path of the socket, in the environment of runs."""
MADE, THERE, FAILED = "made", "there", "failed"
"""What became of a piece of work: done now, found done before, or failed."""


def tell_stage(stage: str, outcome: str, *, seconds: float, km2: float = 0.0, kind: str = "") -> None:
    """Tells of a piece of work, mostly a tile.

    Args:
        stage: plan, ingest, embed, index, train or evaluate.
        outcome: `MADE`, `THERE` or `FAILED`.
        seconds: how long it took.
        km2: what was made of it; of fields, each period counts.
        kind: of the error, where it failed.
    """
    _tell({"what": "stage", "stage": stage, "outcome": outcome, "seconds": seconds, "km2": km2, "kind": kind})


def tell_run(flow: str, state: str, *, seconds: float) -> None:
    """Tells of a run that is over.

    Args:
        flow: its flow.
        state: completed, failed, crashed or cancelled.
        seconds: how long it took.
    """
    _tell({"what": "run", "flow": flow, "state": state, "seconds": seconds})


def _tell(content: Mapping[str, Any]) -> None:
    path = os.environ.get(SOCKET)
    if not path:
        return
    # Whoever started the run may have ended; the run goes on.
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.settimeout(0.2)
        sender.sendto(json.dumps(content).encode(), path)
