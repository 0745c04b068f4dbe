"""Fetching: files of this machine and of the network, opened for whoever decodes them."""

from __future__ import annotations

from earthfield_ingest.fetch.bridge import GDAL_OPTIONS
from earthfield_ingest.fetch.fetcher import Fetcher
from earthfield_ingest.fetch.limits import Limits, Traffic

__all__ = ["GDAL_OPTIONS", "Fetcher", "Limits", "Traffic"]
