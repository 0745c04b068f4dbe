"""What tests of the whole stack need: free ports."""

from __future__ import annotations

import os
import socket

from earthfield_flows.stack import Ports


def free_ports() -> Ports:
    """Finds six ports in a row that nobody listens on; processes that test side by side look at their own."""
    lowest = 21000 + 1000 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    for base in range(lowest, lowest + 994, 7):
        try:
            for port in range(base, base + 6):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", port))
            return Ports.from_base(base)
        except OSError:
            continue
    raise AssertionError("no six free ports in a row")
