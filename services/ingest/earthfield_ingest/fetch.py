"""Fetching: files of this machine and of the network, opened for whoever decodes them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import rasterio
from rasterio.errors import NotGeoreferencedWarning

from earthfield.errors import BrokenArtefact

GDAL_OPTIONS: Mapping[str, Any] = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",  # no look at the neighbours: a third of a small file's time
    "GDAL_HTTP_TIMEOUT": "60",
    "GDAL_HTTP_CONNECTTIMEOUT": "15",
    "GDAL_HTTP_MAX_RETRY": "2",  # of 429, 502, 503 and the like, inside one read
    "GDAL_HTTP_RETRY_DELAY": "0.5",
    "CPL_VSIL_CURL_NON_CACHED": "/vsicurl/",  # else a file that once failed is absent for ever
    "GDAL_HTTP_MULTIPLEX": "YES",
    "GDAL_HTTP_MERGE_CONSECUTIVE_RANGES": "YES",
    "GDAL_INGESTED_BYTES_AT_OPEN": "32768",  # a COG's header in one request
    "VSI_CACHE": True,
    "GDAL_CACHEMAX": 64,
}


class Fetcher:
    """Opens assets for one job: what may be read, how often it is tried, and what went over the wire."""

    def __init__(self, allow: Sequence[str] = (), *, home: str = "") -> None:
        """Args: folders and hosts that the user allows beyond the catalogue's own; the catalogue's address."""
        self.allow, self.home = tuple(allow), home
        self.bytes_fetched = 0

    @contextmanager
    def raster(self, address: str) -> Iterator[Any]:
        """Opens a raster; rasterio's errors pass through."""
        with rasterio.Env(**GDAL_OPTIONS), warnings.catch_warnings():
            # Such a file takes its place from the item, or is refused.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(address) as file:
                yield file

    @contextmanager
    def file(self, address: str) -> Iterator[BinaryIO]:
        """Opens a file for reading bytes, with `seek`.

        Raises:
            BrokenArtefact: it is missing.
        """
        try:
            with Path(address).open("rb") as file:
                yield file
        except FileNotFoundError:
            raise BrokenArtefact(f"{address} does not exist") from None
