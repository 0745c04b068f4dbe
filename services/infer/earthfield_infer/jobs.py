"""The job: fields of one tile for the periods of a request."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import NODATA, is_missing, normalised, values_of
from earthfield.cube import CubeReader
from earthfield.errors import NotFound
from earthfield.field import QUALITY_NODATA, FieldContent, keep_collection, write_field
from earthfield.grid import TileWindow
from earthfield.ports import Encoder
from earthfield.progress import Progress, silent
from earthfield.schemas import EmbedReport, EmbedRequest, FieldReport
from earthfield.storage import make_folder, one_at_a_time
from earthfield_analysis.project import bands_rgb, pca_rgb
from earthfield_infer.local import connect_encoder
from earthfield_infer.passes import Sheet, Wish, pieces
from earthfield_infer.wanted import Finder, Wanted, by_area, cores_inside, tiles_of
from earthfield_infer.windows import WindowPlan

log = logging.getLogger(__name__)

_SHOWN_BAND = 16
"""Highest of the three bands that the picture of single axes shows."""


def embed(request: EmbedRequest, *, progress: Progress = silent) -> EmbedReport:
    """Makes the fields of a request, tile by tile.

    Raises:
        NotFound: no cube under the area, or nothing in the period in any tile.
    """
    encoder = connect_encoder(
        request.catalog_root, request.model, request.encoder, precision=request.precision
    )
    report, parts = EmbedReport(), tiles_of(request)
    for done, part in enumerate(parts):
        progress("tiles", done, len(parts))
        report = report.merge(embed_tile(request, part, encoder=encoder, progress=progress))
    progress("tiles", len(parts), len(parts))
    log.info("embedded %d fields in %.1f s", len(report.present), report.seconds)
    return report


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
        Unavailable: the disk is full, or a remote encoder does not answer.
    """
    catalog, started = request.catalog_root, time.monotonic()
    encoder = encoder or connect_encoder(catalog, request.model, request.encoder, precision=request.precision)
    finder = Finder(request, encoder, CubeReader(catalog, encoder.sources))
    reports, wanted = [], []
    for period in request.valid_periods:
        try:
            wanted.append(finder.wanted(part, support=request.support_of(period), period=period))
        except NotFound as error:
            key = FieldKey(encoder.name, part.tile, period)
            reports.append(_absent(key, str(catalog.field(key)), str(error)))
    reports += [_report(one, one.num_pixels) for one in wanted if one.is_there and not request.overwrite]
    missing = [one for one in wanted if request.overwrite or not one.is_there]
    for same in by_area(missing):
        reports += _make(finder, same, progress)
    if wanted:
        _tidy(catalog, encoder.name)
    seconds = time.monotonic() - started
    log.info("embed %s: %d fields, %.1f s", part.tile.id, len(reports), seconds)
    return EmbedReport(sorted(reports, key=lambda one: one.period), seconds)


def _make(finder: Finder, wanted: Sequence[Wanted], progress: Progress) -> list[FieldReport]:
    """Makes fields that one pass serves; each is written once all its windows are there."""
    started, first, choices = time.monotonic(), wanted[0], finder.choices
    wish = Wish(first.support, tuple(one.key.period for one in wanted), choices.dtype, choices.agreement)
    inside = np.logical_or.reduce([one.mask for one in wanted])
    cores = cores_inside(WindowPlan.of(finder.encoder), first.extent, inside)
    sheet, num_windows = Sheet(finder.encoder, first.extent, wish), 0
    epsg = first.key.tile.epsg
    found = pieces(finder.encoder, finder.reader, epsg, cores, first.extent, wish)
    for done, piece in enumerate(found):
        progress("windows", done, len(cores))
        if piece is not None:
            sheet.put(piece)
            num_windows += 1
    progress("windows", len(cores), len(cores))
    reports = [_write(finder, one, *sheet.take(), num_windows) for one in wanted]
    for report in reports:
        report.seconds = (time.monotonic() - started) / len(reports)
    return reports


def _write(
    finder: Finder, one: Wanted, codes: NDArray[Any], quality: dict[str, NDArray[Any]], num_windows: int
) -> FieldReport:
    codes[:, ~one.mask] = NODATA if codes.dtype == np.int8 else np.nan
    for layer in quality.values():
        layer[~one.mask] = QUALITY_NODATA if layer.dtype == np.uint16 else np.nan
    num_pixels = int((~is_missing(codes)).sum())
    if not num_pixels:
        words = f"no clear pixel of {one.support} under this area in tile {one.key.tile.id}"
        return _absent(one.key, one.folder, f"{words}: ask for a longer period")
    manifest = {**one.manifest(finder.encoder), "pixels": num_pixels}
    # From what is stored, so that a picture made from the files is the same.
    vectors = normalised(np.moveaxis(values_of(codes), 0, -1))
    axes = bands_rgb(vectors) if len(codes) > _SHOWN_BAND else None
    content = FieldContent(one.key, one.extent, codes, quality, pca_rgb(vectors), manifest, axes)
    del vectors
    catalog = finder.request.catalog_root
    with one_at_a_time(make_folder(Path(one.folder))):
        _sweep(Path(one.folder))
        write_field(catalog, content)
    return _report(one, num_pixels, written=True, windows=num_windows)


def _tidy(catalog: Catalog, model: str) -> None:
    """Mends what an earlier run left that was killed between a field and the collection that tells of it."""
    folder = catalog.collection(model).parent
    if folder.is_dir():
        with one_at_a_time(folder):
            _sweep(folder)
        keep_collection(catalog, model)


def _sweep(folder: Path) -> None:
    """Removes what writers left here when they were killed; the caller holds the folder's lock."""
    for path in folder.glob(".writing-*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _absent(key: FieldKey, folder: str, why: str) -> FieldReport:
    return FieldReport(key.model, key.tile.id, str(key.period), folder, 0, written=False, absent=why)


def _report(one: Wanted, pixels: int, *, written: bool = False, windows: int = 0) -> FieldReport:
    key = one.key
    return FieldReport(
        key.model, key.tile.id, str(key.period), one.folder, pixels, written, one.frames, windows
    )
