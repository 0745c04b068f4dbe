"""Chips, tiles and windows nest on one endless grid of a zone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from earthfield.errors import InvalidInput
from earthfield.grid import (
    CHIP_PX,
    TILE_PX,
    Tile,
    Window,
    pixel_at,
    tile_at,
    tiles_over,
    windows_over,
    zone_of,
)

PIXELS = st.integers(-1_000_000, 1_000_000)


def test_the_example_tile_lies_where_its_id_says() -> None:
    tile = Tile.parse("32631_0048_0549")
    assert tile.id == "32631_0048_0549"
    assert tuple(tile.geobox.boundingbox) == (491520.0, 5621760.0, 501760.0, 5632000.0)
    assert tile.geobox.shape == (TILE_PX, TILE_PX)


@pytest.mark.parametrize(
    "text", ["", "32631_48_549", "32800_0001_0001", "../../etc/passwd", "32631_0048_0549/x"]
)
def test_a_malformed_tile_id_is_told(text: str) -> None:
    with pytest.raises(InvalidInput):
        Tile.parse(text)


@given(PIXELS, PIXELS)
def test_every_pixel_lies_in_its_tile(row: int, col: int) -> None:
    window = tile_at(32631, row, col).window
    assert window.y0 <= row < window.y1
    assert window.x0 <= col < window.x1


@given(PIXELS, PIXELS, st.integers(1, 3000), st.integers(1, 3000))
def test_tiles_over_a_window_cover_it_once(y0: int, x0: int, height: int, width: int) -> None:
    window = Window(y0, y0 + height, x0, x0 + width)
    parts = [tile.window & window for tile in tiles_over(32631, window)]
    assert all(parts)
    assert sum(part.shape[0] * part.shape[1] for part in parts) == height * width


@given(PIXELS, PIXELS, st.integers(1, 400), st.integers(1, 400))
def test_overlapping_windows_cover_an_extent_and_do_not_depend_on_it(
    y0: int, x0: int, height: int, width: int
) -> None:
    extent = Window(y0, y0 + height, x0, x0 + width)
    seen = np.zeros(extent.shape, int)
    for window in windows_over(extent, size=CHIP_PX, stride=96):
        assert window.y0 % 96 == 0
        ys, xs = (window & extent).shifted(-y0, -x0).slices
        seen[ys, xs] += 1
    assert seen.min() >= 1
    corner = Window(y0, y0 + 1, x0, x0 + 1)
    assert len(list(windows_over(corner, size=CHIP_PX, stride=96))) == seen[0, 0]


def test_points_find_their_zone_and_pixel() -> None:
    assert zone_of(3.02, 50.8) == 32631
    assert zone_of(36.85, -3.66) == 32737
    assert zone_of(180.0, 10.0) == 32660
    row, col = pixel_at(32631, 3.0193041564133343, 50.81884266417551)
    assert abs(row + 562968) <= 1
    assert abs(col - 50136) <= 1
