"""The job: fields of one tile for the periods of a request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.area import inside_mask, tile_windows
from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import NODATA, quantise
from earthfield.cube import CubeReader
from earthfield.errors import NotFound
from earthfield.field import QUALITY_NODATA, Field, FieldContent, write_field
from earthfield.grid import Tile, TileWindow, Window, geobox_of
from earthfield.ports import Encoder
from earthfield.progress import Progress, silent
from earthfield.schemas import EmbedReport, EmbedRequest, FieldReport
from earthfield.timeline import Period
from earthfield_analysis.project import pca_rgb
from earthfield_infer.inputs import Observed, fingerprint, frames_of, manifest_of, observed_around
from earthfield_infer.local import connect_encoder
from earthfield_infer.windows import Encoded, encode_extent

log = logging.getLogger(__name__)


def embed(request: EmbedRequest, *, progress: Progress = silent) -> EmbedReport:
    """Makes the fields of a request, tile by tile.

    Raises:
        NotFound: no cube under the area, or nothing in the period in any tile.
    """
    encoder = connect_encoder(request.catalog_root, request.model, request.encoder)
    report = EmbedReport()
    for part in tiles_of(request):
        report = report.merge(embed_tile(request, part, encoder=encoder, progress=progress))
    log.info("embedded %d fields in %.1f s", len(report.present), report.seconds)
    return report


def tiles_of(request: EmbedRequest) -> list[TileWindow]:
    """Lists the parts of tiles that a request covers; without an area all that was ingested.

    Raises:
        NotFound: nothing was ingested there.
    """
    catalog = request.catalog_root
    if request.area is not None:
        parts = [part for part in tile_windows(request.area) if catalog.cube(part.tile).exists()]
    else:
        parts = [part for tile in catalog.cube_tiles() if (part := _ingested(catalog, tile)) is not None]
    if not parts:
        raise NotFound(f"no cube under this area in {catalog.root}: run `earthfield ingest` for it first")
    return parts


def _ingested(catalog: Catalog, tile: Tile) -> TileWindow | None:
    cube = CubeReader(catalog, ()).cube(tile)
    assert cube is not None
    windows = [
        Window(*entry["window"])
        for source in cube.sources
        for entry in cube.attributes(source)["ledger"].values()
    ]
    if not windows:
        return None
    hull = windows[0]
    for window in windows[1:]:
        hull = hull | window
    # A cube's ledger counts pixels from the corner of its own tile.
    hull = hull.shifted(tile.window.y0, tile.window.x0)
    return TileWindow(tile, hull, geobox_of(tile.epsg, hull).extent)


def embed_tile(
    request: EmbedRequest,
    part: TileWindow,
    *,
    encoder: Encoder | None = None,
    progress: Progress = silent,
) -> EmbedReport:
    """Makes the fields of one tile; what is there already from the same inputs is left alone.

    Where nothing was seen in a support period the report says so: in a large area other tiles may hold some.

    Raises:
        NotFound: there is no such model.
        Unavailable: the disk is full.
    """
    catalog = request.catalog_root
    encoder = encoder or connect_encoder(catalog, request.model, request.encoder)
    reader = CubeReader(catalog, encoder.sources)
    started, reports = time.monotonic(), []
    for support in sorted({request.support_of(period) for period in request.valid_periods}):
        periods = [period for period in request.valid_periods if request.support_of(period) == support]
        wanted = []
        for period in periods:
            try:
                wanted.append(_wanted(catalog, reader, encoder, part, support=support, period=period))
            except NotFound as error:
                key = FieldKey(encoder.name, part.tile, period)
                reports.append(_absent(key, str(catalog.field(key)), str(error)))
        reports += [_there(one) for one in wanted if one.is_there and not request.overwrite]
        missing = [one for one in wanted if request.overwrite or not one.is_there]
        for same in _by_area(missing):
            reports += _make(catalog, reader, encoder, same, progress)
    seconds = time.monotonic() - started
    log.info("embed %s: %d fields, %.1f s", part.tile.id, len(reports), seconds)
    return EmbedReport(sorted(reports, key=lambda one: one.period), seconds)


@dataclass(frozen=True)
class _Wanted:
    """A field that a request asks for, widened by what its folder holds already."""

    key: FieldKey
    folder: str
    support: Period
    area: Geometry
    extent: Window
    mask: NDArray[np.bool_]
    observed: Observed
    inputs: str
    is_there: bool
    num_pixels: int


def _wanted(
    catalog: Catalog,
    reader: CubeReader,
    encoder: Encoder,
    part: TileWindow,
    *,
    support: Period,
    period: Period,
) -> _Wanted:
    key = FieldKey(encoder.name, part.tile, period)
    area, extent = part.area, part.window
    before = Field(catalog, key) if (catalog.field(key) / "manifest.json").is_file() else None
    if before is not None:
        # A field is one per tile and period: another area of the same tile joins what is there.
        area, extent = area | before.area, extent | before.window
    mask = inside_mask(key.tile.epsg, extent, area)
    observed = observed_around(reader, key.tile, extent, support)
    inputs = fingerprint(reader, encoder, observed, support=support, period=period)
    is_there, num_pixels = False, 0
    if before is not None and before.fingerprint == inputs and before.window == extent:
        held = inside_mask(key.tile.epsg, extent, before.area)
        is_there, num_pixels = bool((held >= mask).all()), int(before.manifest["pixels"])
    folder = str(catalog.field(key))
    return _Wanted(key, folder, support, area, extent, mask, observed, inputs, is_there, num_pixels)


def _by_area(wanted: Sequence[_Wanted]) -> Iterable[list[_Wanted]]:
    """Groups fields that one trunk pass can serve."""
    groups: dict[Window, list[_Wanted]] = {}
    for one in wanted:
        groups.setdefault(one.extent, []).append(one)
    return groups.values()


def _make(
    catalog: Catalog, reader: CubeReader, encoder: Encoder, wanted: Sequence[_Wanted], progress: Progress
) -> list[FieldReport]:
    started = time.monotonic()
    first = wanted[0]
    encoded = encode_extent(
        encoder, reader, first.key.tile.epsg, first.extent,
        support=first.support, periods=[one.key.period for one in wanted], progress=progress,
    )  # fmt: skip
    reports = []
    for place, one in enumerate(wanted):
        vectors = np.where(one.mask[..., None], encoded.vectors[place], np.float32("nan"))
        num_pixels = int((~np.isnan(vectors[..., 0])).sum())
        if not num_pixels:
            words = f"no clear pixel of {one.support} under this area in tile {one.key.tile.id}"
            reports.append(_absent(one.key, one.folder, f"{words}: ask for a longer period"))
            continue
        write_field(catalog, _content(encoder, one, vectors, encoded))
        reports.append(_report(one, num_pixels, written=True, windows=encoded.num_windows))
    for report in reports:
        report.seconds = (time.monotonic() - started) / len(reports)
    return reports


def _content(encoder: Encoder, one: _Wanted, vectors: NDArray[np.float32], encoded: Encoded) -> FieldContent:
    manifest = manifest_of(
        encoder, extent=one.extent, area_wkt=shapely.to_wkt(one.area.geom, rounding_precision=-1),
        support=one.support, period=one.key.period, inputs=one.inputs,
        frames=frames_of(one.observed[one.key.tile]), sources=encoder.sources,
    )  # fmt: skip
    quality = {
        f"clear_{name}": np.where(one.mask, count, QUALITY_NODATA).astype(np.uint16)
        for name, count in encoded.num_clear.items()
    }
    codes = np.ascontiguousarray(np.moveaxis(quantise(vectors), -1, 0))
    manifest["pixels"] = int((codes[0] != NODATA).sum())
    return FieldContent(one.key, one.extent, codes, quality, pca_rgb(vectors), manifest)


def _there(one: _Wanted) -> FieldReport:
    return _report(one, one.num_pixels, written=False, windows=0)


def _absent(key: FieldKey, folder: str, why: str) -> FieldReport:
    return FieldReport(key.model, key.tile.id, str(key.period), folder, 0, written=False, absent=why)


def _report(one: _Wanted, pixels: int, *, written: bool, windows: int) -> FieldReport:
    frames = {name: len(seen) for name, seen in sorted(one.observed[one.key.tile].items())}
    return FieldReport(
        one.key.model, one.key.tile.id, str(one.key.period), one.folder, pixels, written, frames, windows
    )
