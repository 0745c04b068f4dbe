"""Which fields a command is about: by model, period, tile and area."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.area import inside_mask, tile_windows
from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import NODATA, normalised, values_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import Embedding, Field, fields_of, scenes_read
from earthfield.grid import Tile, TileWindow, Window, geobox_of
from earthfield.timeline import Period

STRIP_PX = 128
"""Rows that are read at once."""


@dataclass(frozen=True)
class Part:
    """A field, or the part of it that an area asks for; light, so that any number fits into memory."""

    catalog: Catalog
    """Where it lies."""
    key: FieldKey
    """Which field."""
    window: Window
    """Pixels of the zone's grid that are asked for, inside the field's own window."""
    embedding: Embedding
    """How its vectors are stored."""
    fingerprint: str
    """Hash of the model that made it."""
    inputs: str
    """Hash of everything that it was made from."""
    sources: tuple[str, ...]
    """Sources that it was made from."""
    origin: str
    """Where it was imported from; empty where it was made here."""
    area: Geometry | None = None
    """What is asked for, in the tile's CRS; pixels of the window outside do not count. None: all of the window."""

    @property
    def field(self) -> Field:
        """The field itself, opened anew."""
        return Field(self.catalog, self.key)

    def inside(self, window: Window) -> NDArray[np.bool_]:
        """Tells which pixels (h, w) of a window are asked for."""
        if self.area is None:
            return np.ones(window.shape, bool)
        return inside_mask(self.key.tile.epsg, window, self.area)

    def codes(self, window: Window) -> NDArray[Any]:
        """Reads vectors as they are stored, (D, h, w); outside of what is asked for there are none."""
        codes = self.field.codes(window)
        if self.area is not None:
            codes[:, ~self.inside(window)] = NODATA if codes.dtype == np.int8 else np.nan
        return codes

    def vectors(self, window: Window) -> NDArray[np.float32]:
        """Reads unit vectors (h, w, D), NaN where there is none or where none is asked for."""
        return normalised(np.moveaxis(values_of(self.codes(window)), 0, -1))


def chosen(
    catalog: Catalog,
    model: str,
    *,
    periods: Sequence[str] = (),
    tiles: Sequence[str] = (),
    area: Geometry | None = None,
) -> list[Part]:
    """Lists the parts of fields that a request names, sorted by tile and period.

    Args:
        catalog: where fields lie.
        model: name of the model.
        periods: texts of periods; all where empty.
        tiles: ids of tiles; all where empty.
        area: in EPSG:4326; everything where absent.

    Raises:
        NotFound: there is no such field.
        InvalidInput: a period or a tile cannot be read.
    """
    wanted = {period.id for period in Period.parse_all(periods)}
    only = {Tile.parse(tile) for tile in tiles}
    asked = None if area is None else {one.tile: one for one in tile_windows(area)}
    keys = list(catalog.fields(model))
    if not keys:
        fields_of(catalog, model)
    parts = [
        part
        for key in keys
        if (not wanted or key.period.id in wanted) and (not only or key.tile in only)
        if (part := _part(catalog, key, asked)) is not None
    ]
    if not parts:
        have = sorted({f"{key.tile.id} {key.period}" for key in keys})
        more = f" and {len(have) - 6} more" if len(have) > 6 else ""
        raise NotFound(
            f"no field of model {model!r} for this period, tile or area; there are: {', '.join(have[:6])}{more}"
        )
    return sorted(parts, key=lambda part: (part.key.tile, part.key.period))


def same_kind(parts: Sequence[Part]) -> Part:
    """Gives the first of parts whose vectors can stand side by side.

    Raises:
        InvalidInput: they differ in dimensions or in the model that made them.
    """
    kinds = {(one.embedding.bands, one.fingerprint) for one in parts}
    if len(kinds) > 1:
        raise InvalidInput(
            f"the fields of model {parts[0].key.model} were made by {len(kinds)} versions of it, whose vectors do "
            "not compare: make them again with `earthfield embed --overwrite`, or name tiles of one version"
        )
    return parts[0]


def hull_of(parts: Sequence[Part]) -> Window:
    """Gives the smallest window of a zone that holds the windows of parts."""
    hull = parts[0].window
    for part in parts[1:]:
        hull = hull | part.window
    return hull


def strips(window: Window, height: int = STRIP_PX) -> Iterator[Window]:
    """Cuts a window into strips on the zone's lattice, so that a field never lies in memory as floats."""
    for y in range(window.y0 // height * height, window.y1, height):
        yield Window(y, y + height, window.x0, window.x1) & window


def _part(catalog: Catalog, key: FieldKey, asked: dict[Tile, TileWindow] | None) -> Part | None:
    if asked is not None and key.tile not in asked:
        return None
    field = Field(catalog, key)
    window, area = field.window, None
    if asked is not None:
        window = asked[key.tile].window & field.window
        if not window:
            return None
        area = asked[key.tile].area & geobox_of(key.tile.epsg, window).extent
    manifest = field.manifest
    return Part(
        catalog, key, window, field.embedding, manifest["model"]["fingerprint"], field.fingerprint,
        tuple(scenes_read(manifest)), str(manifest.get("imported", {}).get("origin", "")), area,
    )  # fmt: skip
