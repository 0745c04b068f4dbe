"""The job: fields of a name made from files that others published, tile by tile."""

from __future__ import annotations

import logging
import time
from pathlib import Path

from earthfield.field import keep_collection
from earthfield.progress import Progress, silent
from earthfield_infer.importing.making import Maker
from earthfield_infer.importing.naming import check_name
from earthfield_infer.importing.request import ImportReport, ImportRequest, LeftOut
from earthfield_infer.importing.supply import Supply

log = logging.getLogger(__name__)


def import_fields(request: ImportRequest, *, progress: Progress = silent) -> ImportReport:
    """Makes the fields of a request; what is there already from the same files is left alone.

    Args:
        request: what to import, and under which name.
        progress: told after each tile.

    Raises:
        InvalidInput: the request cannot be right, or a file may not be read.
        NotFound: there is nothing to import.
        Conflict: the name belongs to a model, or to vectors that cannot be compared with these.
        Unavailable: a server does not answer, or the disk is full.
    """
    started = time.monotonic()
    supply = supply_of(request)
    catalog, origin = request.catalog_root, supply.origin
    check_name(catalog, origin)
    report = ImportReport(
        origin.name, origin.kind, origin.licence, rows=supply.num_rows, broken_rows=supply.num_broken
    )
    maker = Maker(request, supply)
    for done, piece in enumerate(supply.pieces, 1):
        report.fields.append(maker.make(piece))
        progress("importing tiles", done, len(supply.pieces))
    keep_collection(catalog, origin.name)
    _tell_files(report, supply, maker)
    report.seconds = time.monotonic() - started
    log.info(
        "imported %d fields of %s, %d written, in %.1f s",
        len(report.fields), origin.name, report.written, report.seconds,
    )  # fmt: skip
    return report


def supply_of(request: ImportRequest) -> Supply:
    """Finds what a request asks for; errors as in `import_fields`."""
    from earthfield_infer.importing.aef import supply_aef
    from earthfield_infer.importing.betaearth import supply_betaearth
    from earthfield_infer.importing.loose import supply_rasters

    readers = {"aef": supply_aef, "betaearth": supply_betaearth, "raster": supply_rasters}
    return readers[request.kind](request)


def _tell_files(report: ImportReport, supply: Supply, maker: Maker) -> None:
    found = {file for piece in supply.pieces for file in piece.files}
    failed = {one.file for one in maker.failed}
    report.found, report.used, report.failed = len(found), len(maker.used & found), maker.failed
    report.left_out = [
        LeftOut(file.name, "none of its pixels in the area has data that an earlier file lacks")
        for file in sorted(found - maker.used)
        if file.name not in failed
    ]
    folders = [Path(one.path) for one in report.fields if not one.absent]
    report.bytes = sum((folder / "embedding.tif").stat().st_size for folder in folders)
