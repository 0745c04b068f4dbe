"""Loose files: a STAC item made from a bare data file, so that files can be used as people have them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from earthfield.errors import BrokenArtefact
from earthfield.sources import Lattice, Source, known_sources
from earthfield.timeline import Period, hull
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.footprints import Granule, granule
from earthfield_ingest.readers.gridded import Gridded, opened

SUFFIXES = (".nc", ".nc4", ".zarr", ".h5", ".hdf5")
"""What names of files end in that `item_of` looks into."""

_GEDI_SOURCE = "gedi-l2a"
_GEDI_EPOCH = datetime(2018, 1, 1, tzinfo=UTC)
_MEDIA = {".nc": "application/netcdf", ".nc4": "application/netcdf", ".zarr": "application/vnd.zarr"}


def item_of(path: Path) -> pystac.Item | None:
    """Makes an item from a data file: its footprint, its times, the collection of its source, its one asset.

    Args:
        path: a NetCDF file, a Zarr folder, or a GEDI granule.

    Returns:
        The item, or None where the file is of no source that is known.

    Raises:
        BrokenArtefact: it has the name of such a file and cannot be read, or it holds what a source wants in a form
            that the source cannot take; the message says why.
    """
    if path.suffix.lower() not in SUFFIXES or not path.exists():
        return None
    address, fetcher = str(path.resolve()), Fetcher(home=str(path.resolve().parent))
    if path.suffix.lower() in (".h5", ".hdf5"):
        with granule(address, fetcher) as file:
            return _of_granule(file, path) if _is_gedi_l2a(file) else None
    with opened(address, fetcher) as gridded:
        return _of_series(gridded, path)


def _of_series(file: Gridded, path: Path) -> pystac.Item | None:
    fits = [
        source for source in known_sources().values() if source.layout == "series" and _shared(source, file)
    ]
    if not fits:
        return None
    refusals = []
    # Sources may share names of variables: what has most of them and can take the file's times and cells has it.
    for source in sorted(fits, key=lambda one: -_shared(one, file)):
        try:
            spans = [one.stands_for for one in file.instants(source.pace)]
            shape = file.footprint(_lattice(source))
        except BrokenArtefact as error:
            refusals.append(f"as {source.name}: {error}")
            continue
        return _item(path, source, shape, hull(spans), {})
    raise BrokenArtefact("; ".join(refusals))


def _shared(source: Source, file: Gridded) -> int:
    """How many of a source's bands a file holds."""
    return sum(file.named(band.variables) is not None for band in source.bands)


def _lattice(source: Source) -> Lattice:
    assert source.lattice is not None
    return source.lattice


def _is_gedi_l2a(file: Granule) -> bool:
    try:
        return all(file.has(beam, "rh") for beam in file.beams)
    except BrokenArtefact:
        return False


def _of_granule(file: Granule, path: Path) -> pystac.Item:
    lon, lat, seconds = (
        np.concatenate([file.read(beam, name) for beam in file.beams])
        for name in ("lon_lowestmode", "lat_lowestmode", "delta_time")
    )
    held = (np.abs(lon) <= 180) & (np.abs(lat) <= 90) & np.isfinite(seconds)
    if not held.any():
        raise BrokenArtefact(f"{file.address} holds no footprint with a place and a time")
    first, last = (_GEDI_EPOCH + timedelta(seconds=float(edge(seconds[held]))) for edge in (np.min, np.max))
    span = Period(first, last + timedelta(microseconds=1))
    properties = {"platform": "iss", "instruments": ["gedi"]}
    return _item(path, known_sources()[_GEDI_SOURCE], track(lon[held], lat[held]), span, properties)


def track(lon: NDArray[np.float64], lat: NDArray[np.float64]) -> BaseGeometry:
    """Gives the boxes of footprints by cell of one degree: close to the ground track, and never across a border."""
    pad = 0.0003  # half a footprint's width, rounded up
    boxes = []
    cells = np.floor(lat).astype(int) * 1000 + np.floor(lon).astype(int)
    for cell in np.unique(cells):
        xs, ys = lon[cells == cell], lat[cells == cell]
        west, east = max(-180.0, xs.min() - pad), min(180.0, xs.max() + pad)
        boxes.append(shapely.box(west, ys.min() - pad, east, ys.max() + pad))
    return shapely.union_all(boxes)


def _item(
    path: Path, source: Source, shape: BaseGeometry, span: Period, properties: Mapping[str, Any]
) -> pystac.Item:
    suffix = path.suffix.lower()
    item = pystac.Item(
        id=path.stem,
        geometry=shapely.geometry.mapping(shape),
        bbox=list(shape.bounds),
        datetime=span.start if source.cadence == "instant" else None,
        properties=dict(properties),
        start_datetime=span.start,
        end_datetime=span.end,
        collection=source.collections[0],
    )
    media = _MEDIA.get(suffix, "application/x-hdf5")
    item.add_asset("data", pystac.Asset(href=str(path.resolve()), media_type=media, roles=["data"]))
    return item
