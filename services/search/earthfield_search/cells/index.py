"""The vector index: one LanceDB table of cells per model, in a folder or a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import Conflict, InvalidInput
from earthfield.field import Field
from earthfield.grid import Tile
from earthfield.places import Root
from earthfield.timeline import Period
from earthfield_search.cells import tuning
from earthfield_search.cells.filters import Filter
from earthfield_search.cells.rows import fingerprint_of
from earthfield_search.cells.tables import committed, one_writer
from earthfield_search.cells.tuning import Shape
from earthfield_search.cells.zcurve import places_sql

_KEYS = ["tile", "period", "row", "col"]
_CONDITIONS = ("tile", "period", "lon", "lat", "purity", "pixels")
_SLACK = 2e-3
"""By how much a cosine in half precision may differ from the same in single precision."""


@dataclass(frozen=True)
class Cells:
    """The cells of one field."""

    tile: str
    """Id of its tile."""
    period: str
    """Id of its valid period."""
    rows: pa.Table
    """As `earthfield_search.cells.rows.cells_of` makes them."""

    @property
    def where(self) -> str:
        """Finds them in the table."""
        return str(_where(self.tile, self.period))

    @property
    def fingerprint(self) -> str | None:
        """What they were made from; None where there are none."""
        return self.rows["fingerprint"][0].as_py() if self.rows.num_rows else None


class CellIndex:
    """The cells of one model; an adapter of `earthfield.ports.VectorIndex`."""

    def __init__(self, table: Any, path: Root) -> None:
        """Wraps an open table; use `open_index` or `create_index` of `opening`."""
        self._table = table
        self.path = path
        self._shape: Shape | None = None

    @property
    def version(self) -> int:
        """Version of the table; it grows with every write."""
        return int(self._table.version)

    @property
    def space(self) -> str:
        """Fingerprint of the model whose vectors it holds; empty in tables that do not tell."""
        return (self._table.schema.metadata or {}).get(b"space", b"").decode()

    def refresh(self) -> None:
        """Goes on to the newest version: what others wrote is seen from here on."""
        self._table.checkout_latest()
        self._shape = None

    def count(
        self, *, tile: str | None = None, period: str | None = None, where: Filter | None = None
    ) -> int:
        """Counts cells, of a tile, a period or a filter only where they are named."""
        if where is not None and not where.is_exact:
            return sum(batch.num_rows for batch in self.cells(where, ["lon", "lat"]))
        parts = [part for part in (_where(tile, period), self._text(where)) if part]
        return int(self._table.count_rows(" AND ".join(parts) or None))

    def periods(self) -> list[str]:
        """Lists the ids of the periods that it holds, sorted."""
        return sorted({period for _, period in self.held()})

    def fingerprint(self, *, tile: str, period: str) -> str | None:
        """Gives the fingerprint that the cells of a tile and period carry, or None where there are none."""
        query = self._table.search().where(_where(tile, period)).select(["fingerprint"]).limit(1)
        found = query.to_arrow()["fingerprint"].to_pylist()
        return found[0] if found else None

    def held(self) -> dict[tuple[str, str], str]:
        """Gives the fingerprint of every tile and period that it holds."""
        found: dict[tuple[str, str], str] = {}
        names = ["tile", "period", "fingerprint"]
        for batch in self._table.search().select(names).to_batches():
            rows = pa.Table.from_batches([batch]).group_by(names).aggregate([])
            for tile, period, told in zip(*(rows[name].to_pylist() for name in names), strict=True):
                found[tile, period] = told
        return found

    def stale(self, catalog: Catalog, *, model: str = "", cell_px: int = 8) -> list[FieldKey]:
        """Lists the fields that were added, or made again, since they were indexed; sorted."""
        held = self.held()
        return [
            key
            for key in catalog.fields(model or self.model)
            if _told(field := Field(catalog, key))
            and held.get(_name(key)) != fingerprint_of(field, cell_px=cell_px)
        ]

    def gone(self, catalog: Catalog) -> list[tuple[str, str]]:
        """Lists the tiles and periods that it holds, and whose fields are there no longer."""
        return sorted(set(self.held()) - {_name(key) for key in catalog.fields(self.model)})

    @property
    def model(self) -> str:
        """Name of the model."""
        return (self._table.schema.metadata or {}).get(b"model", b"").decode()

    def replace(self, rows: pa.Table, *, tile: str, period: str) -> int:
        """Puts the cells of one tile and period in place of what was there, in one version of the table.

        Does nothing where the table holds cells with the same fingerprint.

        Returns:
            How many cells were written.

        Raises:
            Conflict: the cells are of another model or dimension than the table.
            InvalidInput: they are of another tile or period than they are said to be.
        """
        return self.replace_all([Cells(tile, period, rows)])

    def replace_all(self, given: Sequence[Cells]) -> int:
        """Does what `replace` does for several fields: one version for new ones, one for those that change.

        Returns:
            How many cells were written.

        Raises:
            EarthfieldError: as `replace`; nothing was written then.
        """
        # Of a field that is given twice the last counts.
        given = list({(one.tile, one.period): one for one in given}.values())
        for one in given:
            self._check(one)
        with one_writer(self.path):
            added = committed(self.path, partial(self._put, given, changed=False))
            return added + committed(self.path, partial(self._put, given, changed=True))

    def remove(self, gone: Sequence[tuple[str, str]]) -> None:
        """Takes out the cells of tiles and periods, by their ids."""
        for tile, period in gone:
            with one_writer(self.path):
                committed(self.path, partial(self._table.delete, _where(tile, period)))
        self.refresh()

    def nearest(
        self, vector: NDArray[np.float32], *, k: int, where: Filter | None = None, exact: bool = False
    ) -> pa.Table:
        """Gives the k nearest cells by cosine, best first, with a `score` column in -1..1.

        A narrow filter, a small table and `exact` give every one of them. Elsewhere a part of the index is looked
        into that holds 98 of 100 or more.

        Args:
            vector: (D,), of any length but zero.
            k: how many; fewer are given where there are fewer.
            where: which cells.
            exact: whether to look at every cell that passes.

        Raises:
            InvalidInput: the vector is not one of the table's, or k is below 1.
        """
        if k < 1:
            raise InvalidInput(f"k is {k}; it must be 1 or more")
        unit = self._unit(vector)
        return self._asked(unit, k, where, exact=exact, least=None)

    def above(
        self,
        vector: NDArray[np.float32],
        threshold: float,
        *,
        where: Filter | None = None,
        limit: int = 10_000,
    ) -> pa.Table:
        """Gives every cell whose cosine is at least a threshold, best first; the best `limit` where there are more.

        Raises:
            InvalidInput: as `nearest`, or the threshold is not in -1..1.
        """
        if not -1 <= threshold <= 1:
            raise InvalidInput(f"the threshold is {threshold}; a cosine lies in -1..1")
        if limit < 1:
            raise InvalidInput(f"the limit is {limit}; it must be 1 or more")
        return self._asked(self._unit(vector), limit, where, exact=True, least=threshold)

    def cells(
        self, where: Filter | None = None, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yields the cells that pass a filter, in no order, some thousand at a time.

        Args:
            where: which cells.
            columns: which columns; all where absent.
        """
        wanted = list(columns) if columns is not None else list(self._table.schema.names)
        exact = where is None or where.is_exact
        read = wanted if exact else list(dict.fromkeys([*wanted, *_CONDITIONS]))
        query = self._table.search().select(read)
        if (text := self._text(where)) is not None:
            query = query.where(text)
        for batch in query.to_batches():
            kept = batch if exact else batch.filter(pa.array(where.keeps(batch)))  # type: ignore[union-attr]
            if kept.num_rows:
                yield kept.select(wanted)

    def tune(self) -> None:
        """Keeps a large table quick: scalar and vector indexes, small files put together; a small one is left."""
        tuning.tune(self._table, self.path)
        self.refresh()

    def _asked(
        self,
        unit: NDArray[np.float32],
        k: int,
        where: Filter | None,
        *,
        exact: bool,
        least: float | None,
    ) -> pa.Table:
        """Asks for some more than k: the table compares in half precision, and a polygon may take some away."""
        text, shape = self._text(where), self._known()
        matched = shape.rows if text is None or not shape.parts else int(self._table.count_rows(text))
        limit = k + max(8, k // 8)
        if exact and text is None and least is None and (found := self._resident(unit, limit)) is not None:
            return _scored(found, unit).slice(0, k)
        while True:
            probes = shape.probes(matched, k=limit, exact=exact)
            query = self._table.search(unit, vector_column_name="vector").distance_type("cosine").limit(limit)
            if text is not None:
                query = query.where(text, prefilter=True)
            if least is not None:
                query = query.distance_range(upper_bound=1 - least + _SLACK)
            found = (query.nprobes(probes) if probes else query.bypass_vector_index()).to_arrow()
            scored = _scored(found, unit)
            if where is not None and not where.is_exact:
                scored = scored.filter(pa.array(where.keeps(scored)))
            if least is not None:
                scored = scored.filter(pc.greater_equal(scored["score"], pa.scalar(least, pa.float32())))
            if scored.num_rows >= k or found.num_rows < limit or limit >= matched:
                return scored.slice(0, k)
            limit *= 4

    def _resident(self, unit: NDArray[np.float32], k: int) -> pa.Table | None:
        """Gives the k best rows of a large table whose vectors are in memory."""
        shape = self._known()
        if not shape.parts:
            return None
        from earthfield_search.cells.resident import resident

        held = resident(self._table, self.path, rows=shape.rows, dim=len(unit))
        return None if held is None else self._table.take_row_ids(held.best(unit, k).tolist()).to_arrow()

    def _unit(self, vector: NDArray[np.float32]) -> NDArray[np.float32]:
        dim = self._table.schema.field("vector").type.list_size
        values = np.asarray(vector, np.float32)
        length = float(np.linalg.norm(values)) if values.shape == (dim,) else 0.0
        if not (np.isfinite(length) and length > 0):
            raise InvalidInput(
                f"a vector for {self.path} needs {dim} finite numbers that are not all 0; these are of shape "
                f"{values.shape}"
            )
        return np.asarray(values / length, np.float32)

    def _text(self, where: Filter | None) -> str | None:
        return None if where is None else where.expression(by_place="place" in self._known().columns)

    def _known(self) -> Shape:
        if self._shape is None:
            self._shape = Shape.of(self._table)
        return self._shape

    def _put(self, given: Sequence[Cells], *, changed: bool) -> int:
        """Writes the fields that are new to the table, or those that it holds already and that changed."""
        self.refresh()
        before = [self.fingerprint(tile=one.tile, period=one.period) for one in given]
        pairs = zip(given, before, strict=True)
        due = [one for one, told in pairs if (told is not None) == changed and told != one.fingerprint]
        if not due:
            return 0
        rows = pa.concat_tables([self._fitted(one.rows) for one in due])
        if changed:
            (
                self._table.merge_insert(_KEYS)
                .when_matched_update_all()
                .when_not_matched_insert_all()
                .when_not_matched_by_source_delete(" OR ".join(f"({one.where})" for one in due))
                .execute(rows)
            )
        else:
            self._table.add(rows)
        self._shape = None
        return int(rows.num_rows)

    def _check(self, given: Cells) -> None:
        rows = given.rows
        wanted = self._table.schema.field("vector").type
        if rows.schema.field("vector").type != wanted:
            raise Conflict(f"{self.path} holds vectors of {wanted}, not {rows.schema.field('vector').type}")
        others = set(rows["model"].unique().to_pylist()) - {self.model}
        if others:
            raise Conflict(
                f"{self.path} holds cells of {self.model!r}: those of {sorted(others)} need their own table"
            )
        self.check_space((rows.schema.metadata or {}).get(b"space", b"").decode())
        for name, value in (("tile", given.tile), ("period", given.period)):
            if set(rows[name].unique().to_pylist()) - {value}:
                raise InvalidInput(f"cells of another {name} than {value} cannot take its place")

    def check_space(self, space: str) -> None:
        """Makes sure that vectors of a model's fingerprint may stand in this table.

        Raises:
            Conflict: it holds those of another.
        """
        if space and self.space and space != self.space:
            raise Conflict(
                f"{self.path} holds vectors of {self.model} with the fingerprint {self.space[:12]}, which cannot "
                f"be compared with those of {space[:12]}: run `earthfield index --model {self.model} --rebuild`"
            )

    def add_places(self) -> None:
        """Brings a table up to date that was made before cells had a place."""
        if "place" in self._known().columns:
            return
        with one_writer(self.path):
            self.refresh()
            if "place" not in self._known().columns:
                committed(self.path, lambda: self._table.add_columns({"place": places_sql()}))
        self.refresh()

    def _fitted(self, rows: pa.Table) -> pa.Table:
        """Gives rows the table's columns; layers that only one of both has become columns with gaps."""
        new = [name for name in rows.column_names if name not in self._table.schema.names]
        if new:
            self._table.add_columns(dict.fromkeys(new, "cast(null as float)"))
        for field in self._table.schema:
            if field.name not in rows.column_names:
                rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
        return rows.select(self._table.schema.names).replace_schema_metadata(None)


def _scored(found: pa.Table, unit: NDArray[np.float32]) -> pa.Table:
    """Puts the cosine in single precision to rows and the best first; of equals the northern, then the western."""
    vectors = found["vector"].combine_chunks()
    values = np.asarray(vectors.flatten(), np.float32).reshape(found.num_rows, len(unit))
    with np.errstate(invalid="ignore", divide="ignore"):
        scores = (values @ unit / np.linalg.norm(values, axis=1)).astype(np.float32)
    order = np.lexsort((found["col"].to_numpy(), found["row"].to_numpy(), -scores))
    own = [name for name in found.column_names if name != "_distance"]
    scored = found.select(own).append_column("score", pa.array(scores, pa.float32()))
    return scored.take(pa.array(order))


def _told(field: Field) -> bool:
    """Whether a field has any pixel, and so any cell."""
    return bool(field.manifest.get("pixels", 1))


def _name(key: FieldKey) -> tuple[str, str]:
    return key.tile.id, key.period.id


def _where(tile: str | None, period: str | None) -> str | None:
    """Ids are read before they are told to the table, so that no other text reaches it."""
    parts = [f"tile = '{Tile.parse(tile).id}'"] if tile is not None else []
    parts += [f"period = '{Period.from_id(period).id}'"] if period is not None else []
    return " AND ".join(parts) or None
