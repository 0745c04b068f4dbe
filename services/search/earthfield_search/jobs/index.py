"""Fields into cells of the vector index."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from earthfield.catalog import Catalog, FieldKey
from earthfield.field import Field, fields_of
from earthfield.progress import Progress, silent
from earthfield.schemas import IndexReport, IndexRequest
from earthfield_search.index import create_index
from earthfield_search.rows import cells_of, check_cell_px, fingerprint_of

log = logging.getLogger(__name__)


def index_field(catalog: Catalog, key: FieldKey, *, cell_px: int = 8) -> IndexReport:
    """Puts the cells of one field into its model's table; does nothing where they are there already.

    Raises:
        NotFound: there is no such field.
        InvalidInput: cells of this size do not nest in tiles, or the root cannot be written.
    """
    started = time.monotonic()
    check_cell_px(cell_px)
    field = Field(catalog, key)
    index = create_index(catalog, key.model, dim=field.dim)
    tile, period = key.tile.id, key.period.id
    report = IndexReport(table=str(index.path), fields=1)
    if index.fingerprint(tile=tile, period=period) == fingerprint_of(field, cell_px=cell_px):
        report.cells = index.count(tile=tile, period=period)
    else:
        rows = cells_of(field, cell_px=cell_px)
        report.cells = rows.num_rows
        report.written = index.replace(rows, tile=tile, period=period)
    report.seconds = time.monotonic() - started
    return report


def index_fields(
    request: IndexRequest, keys: Sequence[FieldKey] | None = None, *, progress: Progress = silent
) -> IndexReport:
    """Puts the cells of fields into their model's table.

    Args:
        request: which model, and how large a cell is.
        keys: which fields; every finished field of the model when absent.
        progress: told after each field.

    Raises:
        NotFound: the model has no field.
    """
    started = time.monotonic()
    catalog = request.catalog_root
    wanted = [field.key for field in fields_of(catalog, request.model)] if keys is None else list(keys)
    report = IndexReport()
    for done, key in enumerate(wanted, 1):
        report = report.merge(index_field(catalog, key, cell_px=request.cell_px))
        progress("indexing fields", done, len(wanted))
    if report.written:
        create_index(catalog, request.model).tune()
    report.seconds = time.monotonic() - started
    log.info(
        "indexed %d fields of %s: %d cells, %d written in %.1f s",
        report.fields, request.model, report.cells, report.written, report.seconds,
    )  # fmt: skip
    return report
