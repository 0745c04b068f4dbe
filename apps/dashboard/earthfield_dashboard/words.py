"""Numbers as people read them."""

from __future__ import annotations

import re


def degrees(lon: float, lat: float) -> str:
    """Gives a place as latitude and longitude."""
    return f"{abs(lat):.5f}° {'N' if lat >= 0 else 'S'}, {abs(lon):.5f}° {'E' if lon >= 0 else 'W'}"


def hectares(amount: float) -> str:
    """Gives an area in the unit that people use for one of its size."""
    return f"{amount / 100:,.1f} km²" if amount >= 1000 else f"{amount:,.2f} ha"


def usable_name(text: str) -> str:
    """Makes a name that can stand in an address out of what somebody typed; empty where nothing of it can."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text.strip()).strip("-._")[:64]
