"""Which addresses are this machine's own."""

from __future__ import annotations

import ipaddress

HERE = ("localhost", "127.0.0.1", "::1", "[::1]")
"""What this machine calls itself, in addresses and in headers."""


def is_loopback(host: str) -> bool:
    """Tells whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
