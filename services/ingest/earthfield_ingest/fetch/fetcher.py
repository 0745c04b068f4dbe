"""The fetcher: the one door through which a job's scenes and catalogues are read."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.session import DummySession

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield_ingest.access import Access, Place, shown
from earthfield_ingest.fetch.bridge import GDAL_OPTIONS, build_bridge, driver_of, remote_raster
from earthfield_ingest.fetch.limits import Limits, Traffic
from earthfield_ingest.fetch.pieces import PieceFile
from earthfield_ingest.fetch.remote import Remote
from earthfield_ingest.fetch.web import Refused

LIMITS = Limits()
"""How patient fetchers are that are told nothing else."""


class Fetcher:
    """Opens files for one job: what may be read, how often it is tried, and what went over the wire.

    It is shared by the job's threads; what it opens belongs to the thread that opened it.
    """

    def __init__(self, allow: Sequence[str] = (), *, home: str = "", limits: Limits | None = None) -> None:
        """Opens nothing yet.

        Args:
            allow: folders, hosts and networks that the user allows beyond the catalogue's own; see `Access`.
            home: the catalogue's address. Without one, addresses are the caller's own words and all are allowed.
            limits: how patient to be; `LIMITS` where None.

        Raises:
            InvalidInput: an entry of `allow` is none.
        """
        self.traffic = Traffic()
        self._access = Access(allow, home=home)
        self._remote = Remote(self._access, limits or LIMITS, self.traffic)
        build_bridge()

    @property
    def bytes_fetched(self) -> int:
        """Bytes that came over the network so far."""
        return self.traffic.bytes_fetched

    @contextmanager
    def raster(self, address: str) -> Iterator[Any]:
        """Opens a GeoTIFF or JPEG 2000 file with rasterio; its errors while it is open are turned into ours.

        Raises:
            BrokenArtefact: it is missing, may not be read, or cannot be decoded.
            Unavailable: the network fails, also after some tries.
        """
        place = self._access.place(address)
        # Else rasterio looks for credentials at each file; GDAL itself never asks the network for anything here.
        with rasterio.Env(session=DummySession(), **GDAL_OPTIONS), warnings.catch_warnings():
            # Such a file takes its place from the item, or is refused.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            try:
                with self._opened_raster(place) as dataset:
                    yield dataset
            except (RasterioError, CPLE_BaseError) as error:
                raise BrokenArtefact(f"{shown(address)} cannot be read ({_reason(error)})") from error

    @contextmanager
    def file(self, address: str) -> Iterator[BinaryIO]:
        """Opens a file for reading bytes, with `seek`; errors as in `raster`."""
        place = self._access.place(address)
        if place.path is None:
            yield cast(BinaryIO, PieceFile(self._remote.pieces(address)))
            return
        with _opened(place.path, address) as file:
            yield file

    def text(self, address: str) -> str:
        """Reads a text, as catalogues are.

        Raises:
            NotFound: nothing is there.
            InvalidInput: it is not text, or may not be read.
            Unavailable: the network fails, also after some tries.
        """
        try:
            place = self._access.place(address)
            if place.path is None:
                return self._remote.text(address)
            with _opened(place.path, address) as file:
                return file.read().decode("utf-8")
        except Refused as error:
            kind = NotFound if error.status in (404, 410) else InvalidInput
            raise kind(f"{error}: check the address, and your rights there") from error
        except UnicodeDecodeError as error:
            raise InvalidInput(f"{shown(address)} is no text ({error}): check the address") from error
        except BrokenArtefact as error:
            raise InvalidInput(str(error)) from error

    def close(self) -> None:
        """Closes the connections; what is read later opens new ones."""
        self._remote.close()

    @contextmanager
    def _opened_raster(self, place: Place) -> Iterator[Any]:
        if place.path is None:
            with remote_raster(self._remote.pieces(place.address), shown(place.address)) as dataset:
                yield dataset
            return
        with _opened(place.path, place.address) as file:
            driver = driver_of(file.read(16), place.address)
        with rasterio.open(
            place.path, driver=driver
        ) as dataset:  # a Path: nothing in it means more than a name
            yield dataset


@contextmanager
def _opened(path: Path, address: str) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise Refused(f"{address} does not exist", 404) from None
    except OSError as error:
        raise Refused(f"{address} cannot be read ({error.strerror})", 403) from error
    with file:
        yield file


def _reason(error: Exception) -> str:
    """Gives what GDAL says without the name under which we handed it the file."""
    return re.sub(r"'?/vsiriopener_[^\s',:]+'?", "it", " ".join(str(error).split()))
