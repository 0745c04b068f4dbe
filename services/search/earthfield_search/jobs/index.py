"""Fields into cells of the vector index."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import NotFound
from earthfield.field import Field, fields_of
from earthfield.places import Root
from earthfield.progress import Progress, silent
from earthfield.schemas import IndexReport, IndexRequest
from earthfield_search.cells.building import cells_of_all
from earthfield_search.cells.index import CellIndex, Cells
from earthfield_search.cells.opening import create_index, open_index
from earthfield_search.cells.rows import cells_of, check_cell_px, fingerprint_of, space_of
from earthfield_search.ground.comparable import check_comparable

log = logging.getLogger(__name__)

_ROWS_A_COMMIT = 500_000
"""Cells that are gathered for one version: 200 MB, some thirty tiles."""


@dataclass
class IndexState:
    """How far an index is behind its fields."""

    table: str
    """Address of the table."""
    cells: int
    """Cells that it holds."""
    fields: int
    """Finished fields of the model."""
    added: list[str] = field(default_factory=list)
    """Fields that it does not hold."""
    changed: list[str] = field(default_factory=list)
    """Fields that were made again since."""
    gone: list[str] = field(default_factory=list)
    """Fields that it holds, and that are there no longer."""

    @property
    def is_current(self) -> bool:
        """Whether nothing is to be done."""
        return not (self.added or self.changed or self.gone)


def index_field(
    catalog: Catalog, key: FieldKey, *, cell_px: int = 8, at: str | Root | None = None
) -> IndexReport:
    """Puts the cells of one field into its model's table; does nothing where they are there already.

    Raises:
        NotFound: there is no such field.
        InvalidInput: cells of this size do not nest in tiles, or the place cannot be written.
        Conflict: the table holds vectors of another version of the model.
    """
    started = time.monotonic()
    check_cell_px(cell_px)
    held = Field(catalog, key)
    index = create_index(catalog, key.model, dim=held.dim, space=space_of(held), at=at)
    tile, period = key.tile.id, key.period.id
    report = IndexReport(table=str(index.path), fields=1)
    before = index.fingerprint(tile=tile, period=period)
    if before == fingerprint_of(held, cell_px=cell_px):
        report.cells = index.count(tile=tile, period=period)
    else:
        rows = cells_of(held, cell_px=cell_px)
        report.cells = rows.num_rows
        report.written = index.replace(rows, tile=tile, period=period)
        report.added, report.changed = int(before is None), int(before is not None)
    report.seconds = time.monotonic() - started
    return report


def index_fields(
    request: IndexRequest, keys: Sequence[FieldKey] | None = None, *, progress: Progress = silent
) -> IndexReport:
    """Puts the cells of fields into their model's table, many in one version; leaves alone what is there already.

    Args:
        request: which model, how large a cell is, where the table lies, who makes the cells.
        keys: which fields; every finished field of the model when absent.
        progress: told after each field.

    Raises:
        NotFound: the model has no field.
        Conflict: the fields, or the table, come from several versions of the model.
        EarthfieldError: as `cells_of_all`.
    """
    started = time.monotonic()
    catalog = request.catalog_root
    check_cell_px(request.cell_px)
    held = fields_of(catalog, request.model) if keys is None else [Field(catalog, key) for key in keys]
    if not held:
        raise NotFound(f"no field of model {request.model!r} was named")
    check_comparable(held)
    index = create_index(
        catalog, request.model, dim=held[0].dim, space=space_of(held[0]), at=request.index,
        rebuild=request.rebuild,
    )  # fmt: skip
    report = _bring_in(catalog, index, held, request, progress)
    if keys is None:
        report.gone = len(gone := index.gone(catalog))
        if request.prune:
            index.remove(gone)
    if report.written or request.prune:
        index.tune()
    report.cells = index.count() if keys is None else report.cells
    report.seconds = time.monotonic() - started
    log.info(
        "indexed %d fields of %s: %d cells, %d written in %.1f s",
        report.fields, request.model, report.cells, report.written, report.seconds,
    )  # fmt: skip
    return report


def check_index(request: IndexRequest) -> IndexState:
    """Tells how far the index of a model is behind its fields; writes nothing.

    Raises:
        NotFound: the model has no field.
    """
    catalog = request.catalog_root
    fields = fields_of(catalog, request.model)
    try:
        index = open_index(catalog, request.model, at=request.index)
    except NotFound:
        return IndexState("", 0, len(fields), added=[_name(one.key) for one in fields])
    held = index.held()
    stale = index.stale(catalog, cell_px=request.cell_px)
    added = [key for key in stale if (key.tile.id, key.period.id) not in held]
    return IndexState(
        table=str(index.path), cells=index.count(), fields=len(fields),
        added=[_name(key) for key in added],
        changed=[_name(key) for key in stale if key not in added],
        gone=[f"{tile}/{period}" for tile, period in index.gone(catalog)],
    )  # fmt: skip


def _bring_in(
    catalog: Catalog, index: CellIndex, held: Sequence[Field], request: IndexRequest, progress: Progress
) -> IndexReport:
    """Makes the cells that are missing and writes them, some hundred thousand in one version."""
    before = index.held()
    told = {one.key: before.get((one.key.tile.id, one.key.period.id)) for one in held}
    due = [one.key for one in held if told[one.key] != fingerprint_of(one, cell_px=request.cell_px)]
    report = IndexReport(
        table=str(index.path), fields=len(held), added=sum(told[key] is None for key in due),
        changed=sum(told[key] is not None for key in due),
    )  # fmt: skip
    gathered: list[Cells] = []
    done = len(held) - len(due)
    progress("indexing fields", done, len(held))
    for cells in cells_of_all(catalog, due, cell_px=request.cell_px, dask=request.dask):
        gathered.append(cells)
        report.cells += cells.rows.num_rows
        if sum(one.rows.num_rows for one in gathered) >= _ROWS_A_COMMIT:
            report.written += index.replace_all(gathered)
            gathered = []
        done += 1
        progress("indexing fields", done, len(held))
    report.written += index.replace_all(gathered)
    same = [one.key for one in held if one.key not in set(due)]
    report.cells += sum(index.count(tile=key.tile.id, period=key.period.id) for key in same)
    return report


def _name(key: FieldKey) -> str:
    return f"{key.tile.id}/{key.period.id}"
