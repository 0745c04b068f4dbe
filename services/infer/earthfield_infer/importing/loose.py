"""Rasters of embeddings in any grid, named one by one or by their folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from odc.geo.geom import Geometry

from earthfield.area import tile_windows
from earthfield.errors import InvalidInput, NotFound
from earthfield.grid import Tile, TileWindow
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_infer.importing.place import own_zone
from earthfield_infer.importing.raster import Raster, open_raster
from earthfield_infer.importing.reach import File, Reach, is_remote
from earthfield_infer.importing.request import ImportRequest
from earthfield_infer.importing.stored import Dequantise, Stored
from earthfield_infer.importing.supply import (
    Frames,
    Origin,
    Piece,
    Supply,
    footprint,
    parts_in_own_zone,
)

_TIFF = re.compile(r".+\.tiff?$", re.IGNORECASE)
_INTEGERS = ("int8", "uint8", "int16", "uint16")
_FLOATS = ("float32", "float64", "float16")
_CODE_DIM = 64


def supply_rasters(request: ImportRequest) -> Supply:
    """Looks at rasters that the user named, all of one period.

    Raises:
        NotFound: there is no such file, or none of its pixels lies in the area.
        InvalidInput: the name or the period is missing, or the rasters do not belong together.
        BrokenArtefact: one cannot be read.
        Unavailable: a server does not answer.
    """
    if request.name is None:
        raise InvalidInput("say under which name the fields are kept with --name, such as --name tessera-v1")
    if len(request.valid_periods) != 1:
        raise InvalidInput("say which period the rasters summarise with --period, one for a command")
    reach, found = files_of(request, _TIFF)
    opened = {file: open_raster(file, reach) for file in found}
    rasters = list(opened.values())
    dims = {raster.dim for raster in rasters}
    if len(dims) > 1:
        raise InvalidInput(f"these rasters have {sorted(dims)} bands: vectors of one name have one length")
    for raster in rasters:
        stored_of(raster, request)
    pieces = pieces_of(rasters, request.valid_periods[0], request.area)
    if not pieces:
        raise NotFound("none of these rasters has a pixel in the area: check --bbox or --aoi")
    fingerprint = hash_of({"import": "raster", "name": request.name, "dimensions": dims.pop()})
    origin = Origin("raster", request.name, request.name, fingerprint, request.licence or "")
    return Supply(
        origin, reach, pieces, stored=lambda raster: stored_of(raster, request), resample=request.resample,
        opened=opened,
    )  # fmt: skip


def files_of(request: ImportRequest, pattern: re.Pattern[str]) -> tuple[Reach, list[File]]:
    """Lists the files that a request names, those of its folders by their names, in the order named.

    Raises:
        NotFound: there is nothing.
    """
    found: list[File] = []
    hosts = list(request.allow)
    for origin in request.origins:
        if is_remote(origin):
            hosts.append(origin.split("/")[2])
            found.append(File(origin, origin))
            continue
        path = Path(origin)
        inside = sorted(one for one in path.glob("*") if pattern.match(one.name)) if path.is_dir() else [path]
        if not inside or not inside[0].is_file():
            raise NotFound(f"there is no GeoTIFF {path}: check the path")
        found += [File(one.name, str(one)) for one in inside]
    doubles = {one.name for one in found if [other.name for other in found].count(one.name) > 1}
    if doubles:
        raise InvalidInput(
            f"{', '.join(sorted(doubles))} is named twice: import such files one after the other"
        )
    return Reach(request.origins[0], allow=hosts), found


def pieces_of(
    rasters: Sequence[Raster], period: Period, area: Geometry | None, *, frames: Frames | None = None
) -> list[Piece]:
    """Splits rasters into parts of tiles: those that nest in a zone's grid in that zone."""
    parts: dict[Tile, TileWindow] = {}
    files: dict[Tile, list[File]] = {}
    for raster in rasters:
        for part in _parts(raster, area):
            before = parts.get(part.tile)
            parts[part.tile] = part if before is None else _joined(before, part)
            files.setdefault(part.tile, []).append(raster.file)
    return [Piece(parts[tile], period, tuple(files[tile]), frames or {}) for tile in sorted(parts)]


def _parts(raster: Raster, area: Geometry | None) -> list[TileWindow]:
    epsg = own_zone(raster)
    if epsg is not None:
        return parts_in_own_zone(raster, epsg, area)
    covered = footprint(raster)
    wanted = covered if area is None else area & covered
    return [] if wanted.is_empty or wanted.area == 0 else tile_windows(wanted)


def _joined(one: TileWindow, other: TileWindow) -> TileWindow:
    return TileWindow(one.tile, one.window | other.window, one.area | other.area)


def stored_of(raster: Raster, request: ImportRequest) -> Stored:
    """Tells what a raster's numbers mean: what the user says, else what the file says and is sure.

    Raises:
        InvalidInput: neither is enough.
    """
    name, dequantise = raster.file.name, _dequantise(raster, request.dequantise)
    if dequantise == "power":
        if request.told_nodata not in (None, -128.0) or raster.nodata not in (None, -128.0):
            raise InvalidInput(f"{name} cannot hold power codes with another nodata value than -128")
        return Stored("power", request.dtype or "int8", request.normalise, -128.0)
    nodata = raster.nodata if request.nodata is None else request.told_nodata
    if nodata is None and request.nodata is None:
        raise InvalidInput(
            f"{name} declares no nodata value: name it with --nodata (a number, nan, or none where every pixel has "
            "data)"
        )
    return Stored(dequantise, request.dtype or "int8", request.normalise, nodata)


def _dequantise(raster: Raster, told: Dequantise | None) -> Dequantise:
    name, is_float = raster.file.name, raster.dtype in _FLOATS
    if raster.dtype not in _INTEGERS + _FLOATS:
        raise InvalidInput(f"{name} holds {raster.dtype}, which embeddings are not read from: convert it")
    if raster.dim < 2:
        raise InvalidInput(f"{name} has one band: an embedding has a band for each of its numbers")
    if told is None and is_float:
        return "none"
    if told is None and raster.dtype == "int8" and raster.dim == _CODE_DIM:
        return "power"
    if told is None:
        raise InvalidInput(
            f"{name} has {raster.dim} bands of {raster.dtype}: say with --dequantise how its numbers were made "
            "(power as AlphaEarth's codes, linear by scale and offset, none)"
        )
    if told == "power" and raster.dtype != "int8":
        raise InvalidInput(
            f"{name} holds {raster.dtype}, and power codes are int8: --dequantise linear or none"
        )
    if told == "linear" and is_float:
        raise InvalidInput(f"{name} holds {raster.dtype}, which needs no --dequantise: leave it out")
    return told
