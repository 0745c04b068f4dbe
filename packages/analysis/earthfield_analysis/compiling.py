"""Loops compiled by numba, and how many threads may run them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numba

from earthfield.settings import Settings

SUMS = {"reassoc", "contract", "nsz", "arcp"}
"""`fastmath` for loops whose sums may be taken in another order; NaN and infinity stay what they are."""


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compiles a function by numba, without Python's lock, and keeps the machine code where it can be kept.

    Threads are Python's: numba's own may not be entered by two threads at once, as a service does.
    """

    def decorate(function: Callable[..., Any]) -> Any:
        try:
            return numba.njit(cache=True, nogil=True, error_model="numpy", **options)(function)
        except RuntimeError:  # no folder for the machine code can be written
            return numba.njit(nogil=True, error_model="numpy", **options)(function)

    return decorate


def usable_threads() -> int:
    """Gives how many threads this process may use: what the settings say, or one for each processor."""
    return Settings().threads or os.cpu_count() or 1
