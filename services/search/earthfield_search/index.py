"""The vector index: one LanceDB table of cells per model."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import BTree, IvfFlat
from numpy.typing import NDArray

from earthfield.catalog import Catalog, checked_name
from earthfield.codec import DIM
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.storage import make_folder, writing
from earthfield_search.rows import schema_of

ANN_ROWS = 200_000
"""Rows from which an approximate index pays: below, the exact scan takes some tens of milliseconds."""
_SELECTIVE = 0.3
"""Share of the rows below which a filter makes an approximate index lose neighbours."""
_PROBES = 32
_KEYS = ["tile", "period", "row", "col"]


class CellIndex:
    """The cells of one model; an adapter of `earthfield.ports.VectorIndex`."""

    def __init__(self, table: Any, path: Path) -> None:
        """Wraps an open table; use `open_index` or `create_index`."""
        self._table = table
        self.path = path

    @property
    def version(self) -> int:
        """Version of the table; it grows with every write."""
        return int(self._table.version)

    def count(self, *, tile: str | None = None, period: str | None = None) -> int:
        """Counts cells, of a tile or period only where they are named."""
        return int(self._table.count_rows(_where(tile, period)))

    def periods(self) -> list[str]:
        """Lists the ids of the periods that it holds, sorted."""
        found = self._table.search().select(["period"]).limit(max(self.count(), 1)).to_arrow()
        return sorted(found["period"].unique().to_pylist())

    def fingerprint(self, *, tile: str, period: str) -> str | None:
        """Gives the fingerprint that the cells of a tile and period carry, or None where there are none."""
        query = self._table.search().where(_where(tile, period)).select(["fingerprint"]).limit(1)
        found = query.to_arrow()["fingerprint"].to_pylist()
        return found[0] if found else None

    def replace(self, rows: pa.Table, *, tile: str, period: str) -> int:
        """Puts the cells of one tile and period in place of what was there, in one version of the table.

        Does nothing where the table holds cells with the same fingerprint.

        Returns:
            How many cells were written.

        Raises:
            Conflict: the cells are of another model or dimension than the table.
            InvalidInput: they are of another tile or period than they are said to be.
        """
        self._check(rows, tile, period)
        before = self.fingerprint(tile=tile, period=period)
        if before == (rows["fingerprint"][0].as_py() if rows.num_rows else None):
            return 0
        with writing(self.path):
            (
                self._table.merge_insert(_KEYS)
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(_where(tile, period))
                .execute(self._fitted(rows))
            )
        return int(rows.num_rows)

    def nearest(self, vector: NDArray[np.float32], *, k: int, where: str | None = None) -> pa.Table:
        """Gives the k nearest cells by cosine, best first, with a `score` column in -1..1.

        The search is exact, except for a wide filter over a large table.
        """
        query = self._table.search(np.asarray(vector, np.float32), vector_column_name="vector").metric(
            "cosine"
        )
        if where is not None:
            query = query.where(where, prefilter=True)
        query = query.nprobes(_PROBES) if self._approximate(where) else query.bypass_vector_index()
        found = query.limit(k).to_arrow()
        vectors = (
            np.stack(found["vector"].to_numpy()).astype(np.float32)
            if found.num_rows
            else np.zeros((0, len(vector)))
        )
        unit = vector / np.linalg.norm(vector)
        scores = vectors @ unit / np.linalg.norm(vectors, axis=1)
        order = np.lexsort((found["col"].to_numpy(), found["row"].to_numpy(), -scores))
        scored = found.drop_columns(["_distance"]).append_column("score", pa.array(scores, pa.float32()))
        return scored.take(pa.array(order))

    def tune(self) -> None:
        """Keeps a large table quick: scalar and vector indexes, small files put together; a small one is left."""
        if self.count() < ANN_ROWS:
            return
        have = {column for one in self._table.list_indices() for column in one.columns}
        with writing(self.path):
            for column in ("tile", "period"):
                if column not in have:
                    self._table.create_index(column, config=BTree())
            if "vector" not in have:
                parts = max(16, int(np.sqrt(self.count())))
                self._table.create_index(
                    "vector", config=IvfFlat(distance_type="cosine", num_partitions=parts)
                )
            self._table.optimize(cleanup_older_than=timedelta(days=1))

    def _approximate(self, where: str | None) -> bool:
        if not any("vector" in one.columns for one in self._table.list_indices()):
            return False
        total = self._table.count_rows()
        return where is None or self._table.count_rows(where) >= max(ANN_ROWS, _SELECTIVE * total)

    def _check(self, rows: pa.Table, tile: str, period: str) -> None:
        wanted = self._table.schema.field("vector").type
        if rows.schema.field("vector").type != wanted:
            raise Conflict(f"{self.path} holds vectors of {wanted}, not {rows.schema.field('vector').type}")
        own = (self._table.schema.metadata or {}).get(b"model", b"").decode()
        others = set(rows["model"].unique().to_pylist()) - {own}
        if others:
            raise Conflict(
                f"{self.path} holds cells of {own!r}: those of {sorted(others)} need their own table"
            )
        for name, value in (("tile", tile), ("period", period)):
            if set(rows[name].unique().to_pylist()) - {value}:
                raise InvalidInput(f"cells of another {name} than {value} cannot take its place")

    def _fitted(self, rows: pa.Table) -> pa.Table:
        """Gives rows the table's columns; layers that only one of both has become columns with gaps."""
        new = [name for name in rows.column_names if name not in self._table.schema.names]
        if new:
            self._table.add_columns(dict.fromkeys(new, "cast(null as float)"))
        for field in self._table.schema:
            if field.name not in rows.column_names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        return rows.select(self._table.schema.names)


def index_path(catalog: Catalog, model: str) -> Path:
    """Gives the folder of a model's table."""
    return catalog.index / f"{checked_name(model)}.lance"


def open_index(catalog: Catalog, model: str) -> CellIndex:
    """Opens the table of a model.

    Raises:
        NotFound: there is none.
        BrokenArtefact: what lies there is not one.
    """
    path = index_path(catalog, model)
    if not path.is_dir():
        raise NotFound(
            f"model {model!r} has no index under {catalog.root}: run `earthfield index --model {model}`"
        )
    try:
        return CellIndex(lancedb.connect(str(catalog.index)).open_table(model), path)
    except (ValueError, OSError, RuntimeError) as error:
        raise BrokenArtefact(
            f"{path} is not a readable index ({error}): remove it and run `earthfield index --model {model}`"
        ) from error


def create_index(catalog: Catalog, model: str, *, dim: int = DIM) -> CellIndex:
    """Opens the table of a model, and makes an empty one where there is none; errors as in `open_index`.

    Args:
        catalog: where tables lie.
        model: the model.
        dim: length of its vectors, for a new table.
    """
    path = index_path(catalog, model)
    if path.is_dir():
        return open_index(catalog, model)
    make_folder(catalog.index)
    with writing(path):
        table = lancedb.connect(str(catalog.index)).create_table(
            model, schema=schema_of(model, dim=dim), exist_ok=True
        )
    return CellIndex(table, path)


def _where(tile: str | None, period: str | None) -> str | None:
    named = {"tile": tile, "period": period}
    return " AND ".join(f"{name} = '{value}'" for name, value in named.items() if value is not None) or None
