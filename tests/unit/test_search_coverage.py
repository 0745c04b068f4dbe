"""Coverages: touching tiles as one raster, clipped to an area of any shape."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from pyproj import Transformer
from small_fields import EAST, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.field import Field
from earthfield.grid import PIXEL_M, Tile, Window
from earthfield_search.ground.coverage import Coverage, coverages


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> list[Field]:
    catalog = Catalog(tmp_path_factory.mktemp("coverage"))
    return [Field(catalog, key) for key in write_small(catalog, "2018", vectors_of(kinds()))]


def area_of(shape: shapely.Geometry, epsg: int = 32631) -> Geometry:
    """A shape in metres as an area in degrees."""
    turn = Transformer.from_crs(epsg, 4326, always_xy=True).transform
    return Geometry(shapely.transform(shape, turn, interleaved=False), "EPSG:4326")


def pixels(window: Window) -> shapely.Polygon:
    """The outline of a window in metres, a metre inside its edge."""
    x0, x1, y0, y1 = (value * PIXEL_M for value in (window.x0, window.x1, -window.y1, -window.y0))
    return shapely.box(x0 + 1, y0 + 1, x1 - 1, y1 - 1)


def whole_mask(coverage: Coverage) -> NDArray[np.bool_]:
    """Every pixel that the strips give, put together."""
    mask = coverage.blank(0, bool)
    for _, window in coverage.strips():
        inside = coverage.inside(window)
        mask[coverage.place(window)] = True if inside is None else inside
    return mask


def test_without_an_area_everything_is_covered(fields: list[Field]) -> None:
    [coverage] = coverages(fields)
    assert coverage.window == WINDOW
    assert {field.key.tile for field, _ in coverage.strips()} == {TILE, EAST}
    assert whole_mask(coverage).all()
    assert coverage.inside(WINDOW) is None


def test_a_rectangle_cuts_the_window_and_needs_no_mask_inside(fields: list[Field]) -> None:
    wanted = Window(WINDOW.y0 + 4, WINDOW.y0 + 20, WINDOW.x0 + 40, WINDOW.x0 + 70)
    [coverage] = coverages(fields, area=area_of(pixels(wanted)))
    assert coverage.window == wanted
    assert {field.key.tile for field, _ in coverage.strips()} == {TILE, EAST}
    assert all(window in wanted for _, window in coverage.strips())
    assert whole_mask(coverage).all()


def test_a_pixel_belongs_to_the_area_when_its_centre_does(fields: list[Field]) -> None:
    rows, cols = np.mgrid[WINDOW.y0 : WINDOW.y1, WINDOW.x0 : WINDOW.x1]
    middle, radius = (WINDOW.y0 + 20.3, WINDOW.x0 + 50.2), 14.7
    circle = shapely.Point(middle[1] * PIXEL_M, -middle[0] * PIXEL_M).buffer(radius * PIXEL_M, quad_segs=256)
    hole = shapely.Point(middle[1] * PIXEL_M, -middle[0] * PIXEL_M).buffer(5 * PIXEL_M, quad_segs=256)
    [coverage] = coverages(fields, area=area_of(circle - hole))
    away = np.hypot(rows + 0.5 - middle[0], cols + 0.5 - middle[1])
    wanted = (away < radius) & (away > 5)
    found = np.zeros(WINDOW.shape, bool)
    found[coverage.window.shifted(-WINDOW.y0, -WINDOW.x0).slices] = whole_mask(coverage)
    assert (found == wanted).all()


def test_tiles_that_the_area_does_not_touch_are_left_out(fields: list[Field]) -> None:
    [coverage] = coverages(fields, area=area_of(pixels(Window(WINDOW.y0, WINDOW.y1, WINDOW.x0, 50170))))
    assert [one.key.tile for one in coverage.fields] == [TILE]
    assert coverage.suffix == ""


def test_a_part_beside_the_fields_does_not_count(fields: list[Field]) -> None:
    wide = Window(WINDOW.y0 - 500, WINDOW.y0 + 8, WINDOW.x0 - 500, WINDOW.x1 + 500)
    [coverage] = coverages(fields, area=area_of(pixels(wide)))
    assert coverage.window == Window(WINDOW.y0, WINDOW.y0 + 8, WINDOW.x0, WINDOW.x1)
    beside = Window(WINDOW.y0, WINDOW.y0 + 2, WINDOW.x0 - 1, WINDOW.x0 + 1)
    mask = coverage.inside(beside)
    assert mask is not None
    assert mask.tolist() == [[False, True], [False, True]]


def test_an_area_elsewhere_is_told_with_where_the_fields_lie(fields: list[Field]) -> None:
    with pytest.raises(NotFound, match=r"small 2018 .*W S E N 3\."):
        coverages(fields, area=Geometry(shapely.box(10, 10, 11, 11), "EPSG:4326"))
    between = shapely.Point(WINDOW.x0 * PIXEL_M + 10, -WINDOW.y0 * PIXEL_M - 10).buffer(1)
    with pytest.raises(NotFound, match="at least a pixel"):
        coverages(fields, area=area_of(between))


def test_an_area_across_the_antimeridian_keeps_both_sides(tmp_path: Path) -> None:
    # Easting of 180 degrees in zone 60 at the equator lies near 833.98 km: tile 81 holds it.
    tile = Tile(32660, 81, 0)
    key = SimpleNamespace(tile=tile, model="small", period="2018")
    held = SimpleNamespace(key=key, window=tile.window)
    both = shapely.MultiPolygon(
        [shapely.box(179.99, 0.01, 180, 0.02), shapely.box(-180, 0.01, -179.99, 0.02)]
    )
    [coverage] = coverages([held], area=Geometry(both, "EPSG:4326"))  # type: ignore[list-item]
    turn = Transformer.from_crs(32660, 4326, always_xy=True)
    rows, cols = np.nonzero(whole_mask(coverage))
    lon, lat = turn.transform(
        (cols + coverage.window.x0 + 0.5) * PIXEL_M, -(rows + coverage.window.y0 + 0.5) * PIXEL_M
    )
    assert 220 <= np.ptp(cols) <= 224
    assert (lon > 0).any() and (lon < 0).any()
    assert (np.abs(lon) > 179.99).all() and ((lat > 0.01) & (lat < 0.02)).all()
    mask = whole_mask(coverage)
    assert mask[5:-5, 5:-5].all()


def test_fields_far_apart_make_a_raster_each(fields: list[Field]) -> None:
    near, _ = fields
    far = Field.__new__(Field)
    far.__dict__.update(near.__dict__)
    far.key = replace(near.key, tile=replace(TILE, col=TILE.col + 5))
    far.window = near.window.shifted(0, 5 * 1024)
    found = coverages([far, near])
    assert [one.suffix for one in found] == [f"_{TILE.id}", "_32631_0053_0549"]
    both = pixels(near.window).union(pixels(far.window))
    assert [one.suffix for one in coverages([far, near], area=area_of(both))] == [one.suffix for one in found]
    [only] = coverages([far, near], area=area_of(pixels(far.window)))
    assert (only.suffix, only.window) == ("", far.window)
