"""Which fields a request wants of a tile, and which of them are there already."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry

from earthfield.area import inside_mask, tile_windows
from earthfield.catalog import Catalog, FieldKey
from earthfield.cube import CubeReader
from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import Tile, TileWindow, Window, geobox_of
from earthfield.ports import Encoder
from earthfield.schemas import EmbedRequest
from earthfield.timeline import Period
from earthfield_infer.inputs import Choices, Observed, fingerprint, manifest_of, observed_around
from earthfield_infer.windows import WindowPlan


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


@dataclass(frozen=True)
class Wanted:
    """A field that a request asks for, widened by what its folder holds already."""

    key: FieldKey
    """Which field."""
    folder: str
    """Where it lies."""
    support: Period
    """When its inputs were taken."""
    area: Geometry
    """What it covers, in the zone's CRS."""
    extent: Window
    """Pixels around that, in the zone's grid."""
    mask: NDArray[np.bool_]
    """(h, w) True where a pixel of the extent lies in the area."""
    observed: Observed
    """What its windows read."""
    inputs: str
    """Hash of everything that decides its bytes."""
    is_there: bool
    """Whether its folder holds it, made from the same."""
    num_pixels: int
    """Pixels with a vector where it is there."""

    @property
    def frames(self) -> dict[str, int]:
        """Frames of its own tile by source."""
        return {name: len(seen) for name, seen in sorted(self.observed[self.key.tile].items())}

    def manifest(self, encoder: Encoder) -> dict[str, Any]:
        """Gives its manifest, all but the number of pixels and the hashes of files."""
        return manifest_of(
            encoder, tile=self.key.tile, extent=self.extent,
            area_wkt=shapely.to_wkt(self.area.geom, rounding_precision=-1), support=self.support,
            period=self.key.period, inputs=self.inputs, observed=self.observed,
        )  # fmt: skip


@dataclass(frozen=True)
class Finder:
    """Finds out what is wanted of one tile."""

    request: EmbedRequest
    """What was asked for."""
    encoder: Encoder
    """Who will make it."""
    reader: CubeReader
    """What it will be made from."""

    @property
    def choices(self) -> Choices:
        """What the request decides of bytes."""
        return Choices(self.request.dtype, self.request.agreement)

    def wanted(self, part: TileWindow, *, support: Period, period: Period) -> Wanted:
        """Tells of one field.

        Raises:
            NotFound: nothing was observed in the support period.
        """
        catalog = self.request.catalog_root
        key = FieldKey(self.encoder.name, part.tile, period)
        area, extent = part.area, part.window
        before = Field(catalog, key) if (catalog.field(key) / "manifest.json").is_file() else None
        if before is not None:
            # A field is one per tile and period: another area of the same tile joins what is there.
            area, extent = _joined(before.area, area), extent | before.window
        mask = inside_mask(key.tile.epsg, extent, area)
        plan = WindowPlan.of(self.encoder)
        cores = cores_inside(plan, extent, mask)
        observed = observed_around(self.reader, key.tile, cores, plan, support)
        inputs = self._inputs(observed, support, period, self.choices)
        is_there, num_pixels = False, 0
        if before is not None and before.window == extent and self._serves(before, observed, support, inputs):
            held = inside_mask(key.tile.epsg, extent, before.area)
            is_there, num_pixels = bool((held >= mask).all()), int(before.manifest["pixels"])
        return Wanted(
            key, str(catalog.field(key)), support, area, extent, mask, observed, inputs, is_there, num_pixels
        )

    def _inputs(self, observed: Observed, support: Period, period: Period, choices: Choices) -> str:
        return fingerprint(
            self.reader, self.encoder, observed, support=support, period=period, choices=choices
        )

    def _serves(self, before: Field, observed: Observed, support: Period, inputs: str) -> bool:
        """Tells whether a field is what is wanted, or that and the layer `agreement` as well."""
        if before.fingerprint == inputs or self.choices.agreement:
            return before.fingerprint == inputs
        more = Choices(self.choices.dtype, agreement=True)
        return before.fingerprint == self._inputs(observed, support, before.key.period, more)


def _joined(one: Geometry, other: Geometry) -> Geometry:
    """Gives the union of two areas; where one holds the other that one, point by point."""
    if one.geom.covers(other.geom):
        return one
    return other if other.geom.covers(one.geom) else one | other


def cores_inside(plan: WindowPlan, extent: Window, mask: NDArray[np.bool_]) -> list[Window]:
    """Lists the cores that hold any pixel of an area, row by row.

    Args:
        plan: lays the windows.
        extent: pixels of the zone's grid.
        mask: (h, w) where the extent's pixels lie in the area.
    """

    def touches(core: Window) -> bool:
        ys, xs = (core & extent).shifted(-extent.y0, -extent.x0).slices
        return bool(mask[ys, xs].any())

    return [core for core in plan.cores(extent) if touches(core)]


def by_area(wanted: Sequence[Wanted]) -> Iterable[list[Wanted]]:
    """Groups fields that one pass can serve: those of one support and extent."""
    groups: dict[tuple[Period, Window], list[Wanted]] = {}
    for one in wanted:
        groups.setdefault((one.support, one.extent), []).append(one)
    return groups.values()
