"""Hosts that are asked: which are this machine's own, and the certificates that prove the others."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

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


@cache
def certificates() -> ssl.SSLContext:
    """Gives what servers are proved by, for `verify` of httpx; a client without it reads the files each time.

    That takes longer than a request to this machine: whoever asks again and again would do little else.
    """
    import httpx

    return httpx.create_ssl_context()
