"""Overlapping windows leave no seam, whatever the area, and read across tiles."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import CHIP_PX, Window
from earthfield.progress import silent
from earthfield.timeline import Period
from earthfield_infer.windows import _weight, encode_extent

PERIOD = Period.parse("2018")
DATA = Window(-200, -40, 30, 250)


class Ground:
    """Stands in for cubes: a scene whose values tell where a pixel lies, with nothing outside DATA."""

    def read(self, epsg: int, window: Window, support: Period) -> Frames:
        rows, cols = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        values = np.stack([rows, cols])[None].astype(np.int16)
        valid = (rows >= DATA.y0) & (rows < DATA.y1) & (cols >= DATA.x0) & (cols < DATA.x1)
        acquired = np.array(["2018-06-01"], "datetime64[us]")
        return {"s": SourceFrames("s", ("row", "col"), values, valid[None], acquired, -32768)}


class PlaceEncoder:
    """Gives each pixel a vector that depends on its place alone."""

    name, fingerprint, dim, sources = "place", "0", 4, ("s",)

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        one = frames["s"]
        self.shapes.append(one.shape)
        rows, cols = one.values[0].astype(np.float32)
        vectors = np.stack([np.sin(rows / 9), np.cos(rows / 9), np.sin(cols / 7), np.cos(cols / 7)], axis=-1)
        vectors[~one.valid[0]] = np.nan
        return np.repeat(normalised(vectors)[None], len(periods), axis=0)


def encoded(extent: Window) -> tuple[NDArray[np.float32], PlaceEncoder]:
    encoder = PlaceEncoder()
    result = encode_extent(
        encoder, Ground(), 32631, extent, support=PERIOD, periods=[PERIOD], progress=silent
    )  # type: ignore[arg-type]
    assert (result.num_clear["s"] == ~np.isnan(result.vectors[0, ..., 0])).all()
    return result.vectors[0], encoder


def test_every_pixel_with_data_gets_its_own_vector_and_no_other_does() -> None:
    extent = Window(-230, -20, 10, 280)
    vectors, encoder = encoded(extent)
    there = ~np.isnan(vectors[..., 0])
    assert there.sum() == DATA.shape[0] * DATA.shape[1]
    truth = PlaceEncoder().encode(Ground().read(32631, extent, PERIOD), [PERIOD])[0]
    assert np.nanmax(np.abs(vectors - truth)) < 1e-6
    assert all(side % 16 == 0 for shape in encoder.shapes for side in shape)


def test_a_part_of_an_area_is_the_same_as_in_the_whole() -> None:
    whole, _ = encoded(DATA)
    part = Window(-130, -100, 90, 170)
    alone, _ = encoded(part)
    ys, xs = part.shifted(-DATA.y0, -DATA.x0).slices
    assert np.array_equal(alone, whole[ys, xs])


def test_weights_of_overlapping_windows_add_up_to_one() -> None:
    side = _weight(Window(0, CHIP_PX, 0, CHIP_PX)).max(axis=0)
    assert np.allclose(side[:32] + side[-32:], 1)
    assert (side[32:-32] == 1).all()


def test_where_nothing_was_seen_nothing_is_encoded() -> None:
    vectors, encoder = encoded(Window(1000, 1040, 1000, 1040))
    assert np.isnan(vectors).all()
    assert encoder.shapes == []


@pytest.mark.parametrize("num_periods", [1, 3])
def test_one_pass_serves_every_period(num_periods: int) -> None:
    encoder = PlaceEncoder()
    periods = [Period.parse(f"2018-0{month}") for month in range(1, num_periods + 1)]
    extent = Window(-150, -100, 50, 100)
    result = encode_extent(encoder, Ground(), 32631, extent, support=PERIOD, periods=periods, progress=silent)  # type: ignore[arg-type]
    assert result.vectors.shape == (num_periods, 50, 50, 4)
    assert len(encoder.shapes) == result.num_windows
