"""The search service from Python: `Client(url, key)`."""

from earthfield.client.client import Client, Heat, Place

__all__ = ["Client", "Heat", "Place"]
