"""Windows leave no seam, whatever the area, and read across tiles."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.grid import TILE_PX, Window
from earthfield.simulate import Landscape
from earthfield.simulate.canvas import PIXEL_M, canvas_of
from earthfield.timeline import Period
from earthfield_infer.ahead import worked_ahead
from earthfield_infer.passes import Piece, Sheet, Wish, pieces
from earthfield_infer.windows import HALO_PX, WindowPlan, seen_part, windows_over_pixel

PERIOD = Period.parse("2018")
DATA = Window(-200, -40, 30, 250)


class Ground:
    """Stands in for cubes: scenes whose values tell where a pixel lies, with nothing outside DATA."""

    def __init__(self) -> None:
        self.read_windows: list[Window] = []

    def read(self, epsg: int, window: Window, support: Period) -> Frames:
        self.read_windows.append(window)
        rows, cols = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
        values = np.repeat(np.stack([rows, cols])[None].astype(np.int16), 3, axis=0)
        valid = (rows >= DATA.y0) & (rows < DATA.y1) & (cols >= DATA.x0) & (cols < DATA.x1)
        acquired = np.array(["2018-06-01", "2018-07-01", "2018-08-01"], "datetime64[us]")
        # The last shows nothing at all.
        valid = np.stack([valid, valid, np.zeros_like(valid)])
        return {"s": SourceFrames("s", ("row", "col"), values, valid, acquired, -32768)}


class PlaceEncoder:
    """Gives each pixel a vector that depends on its place alone; wrong ones near the edge of what it is given."""

    name, fingerprint, dim, sources = "place", "0", 4, ("s",)
    window_px, halo_px = 96, 16

    def __init__(self, *, num_parallel: int = 1, blur_px: int = 0) -> None:
        self.shapes: list[tuple[int, int]] = []
        self.num_frames: list[int] = []
        self.num_parallel, self.blur_px = num_parallel, blur_px
        self.most, self._running, self._lock = 0, 0, threading.Lock()

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        with self._lock:
            self._running += 1
            self.most = max(self.most, self._running)
        one = frames["s"]
        self.shapes.append(one.shape)
        self.num_frames.append(len(one.acquired))
        rows, cols = one.values[0].astype(np.float32)
        vectors = np.stack([np.sin(rows / 9), np.cos(rows / 9), np.sin(cols / 7), np.cos(cols / 7)], axis=-1)
        if self.blur_px:
            y, x = (np.minimum(np.arange(side), np.arange(side)[::-1]) < self.blur_px for side in one.shape)
            vectors[y[:, None] | x[None]] = 1
        vectors[~one.valid.any(0)] = np.nan
        if self.num_parallel > 1:
            time.sleep(0.002 * (len(self.shapes) % 3))
        with self._lock:
            self._running -= 1
        return np.repeat(normalised(vectors)[None], len(periods), axis=0)


def encoded(
    extent: Window, encoder: PlaceEncoder | None = None, *, periods: tuple[Period, ...] = (PERIOD,)
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.generic]]]:
    encoder = encoder or PlaceEncoder()
    wish = Wish(PERIOD, periods, "float32", agreement=False)
    sheet = Sheet(encoder, extent, wish)
    for piece in pieces(encoder, Ground(), 32631, WindowPlan.of(encoder).cores(extent), extent, wish):  # type: ignore[arg-type]
        if piece is not None:
            sheet.put(piece)
    codes, quality = sheet.take()
    return np.moveaxis(codes, 0, -1), quality


def truth(extent: Window) -> NDArray[np.float32]:
    return PlaceEncoder().encode(Ground().read(32631, extent, PERIOD), [PERIOD])[0]


def test_every_pixel_with_data_gets_its_own_vector_and_no_other_does() -> None:
    extent, encoder = Window(-230, -20, 10, 280), PlaceEncoder()
    vectors, quality = encoded(extent, encoder)
    there = ~np.isnan(vectors[..., 0])
    assert there.sum() == DATA.shape[0] * DATA.shape[1]
    assert np.nanmax(np.abs(vectors - truth(extent))) < 1e-6
    assert all(side % 16 == 0 for shape in encoder.shapes for side in shape)
    assert (quality["clear_s"] == 2 * there).all()


def test_what_lies_in_the_halo_is_never_seen() -> None:
    # Away from the data's own edges, where no window can give more.
    inside = DATA.padded(-24)
    blurred, _ = encoded(inside, PlaceEncoder(blur_px=PlaceEncoder.halo_px))
    assert np.abs(blurred - truth(inside)).max() < 1e-6
    worse, _ = encoded(inside, PlaceEncoder(blur_px=PlaceEncoder.halo_px + 1))
    assert np.abs(worse - truth(inside)).max() > 0.1


def test_a_part_of_an_area_is_the_same_as_in_the_whole() -> None:
    whole, _ = encoded(DATA)
    part = Window(-130, -100, 90, 170)
    alone, _ = encoded(part)
    ys, xs = part.shifted(-DATA.y0, -DATA.x0).slices
    assert np.array_equal(alone, whole[ys, xs])


def test_frames_that_show_nothing_are_not_encoded() -> None:
    encoder = PlaceEncoder()
    encoded(DATA, encoder)
    assert set(encoder.num_frames) == {2}


def test_where_nothing_was_seen_nothing_is_encoded() -> None:
    encoder = PlaceEncoder()
    vectors, quality = encoded(Window(1000, 1040, 1000, 1040), encoder)
    assert np.isnan(vectors).all()
    assert (quality["clear_s"] == 0).all()
    assert (quality["days_s"] == 65535).all()
    assert encoder.shapes == []


@pytest.mark.parametrize("num_periods", [1, 3])
def test_one_pass_serves_every_period(num_periods: int) -> None:
    encoder = PlaceEncoder()
    periods = tuple(Period.parse(f"2018-0{month}") for month in range(1, num_periods + 1))
    extent = Window(-150, -100, 50, 100)
    encoded(extent, encoder, periods=periods)
    assert len(encoder.shapes) == len(WindowPlan.of(encoder).cores(extent))


def test_results_are_the_same_however_many_windows_are_encoded_at_once() -> None:
    alone, many = PlaceEncoder(), PlaceEncoder(num_parallel=4)
    one, _ = encoded(DATA, alone)
    other, _ = encoded(DATA, many)
    assert np.array_equal(one, other, equal_nan=True)
    assert alone.most == 1
    assert 2 <= many.most <= 4


def test_no_more_windows_are_read_than_are_needed_ahead() -> None:
    encoder, ground = PlaceEncoder(), Ground()
    cores = WindowPlan.of(encoder).cores(DATA)
    assert len(cores) > 6
    found = pieces(encoder, ground, 32631, cores, DATA, Wish(PERIOD, (PERIOD,)))  # type: ignore[arg-type]
    for done in range(1, 4):
        next(found)
        assert len(ground.read_windows) <= done + 2
    found.close()  # type: ignore[attr-defined]
    time.sleep(0.05)
    assert len(ground.read_windows) < len(cores)


@given(y=st.integers(-3000, 3000), x=st.integers(0, 3000), h=st.integers(1, 700), w=st.integers(1, 700))
@settings(max_examples=30, deadline=None)
def test_cores_cover_an_extent_once_and_keep_to_the_zone(y: int, x: int, h: int, w: int) -> None:
    extent, plan = Window(y, y + h, x, x + w), WindowPlan()
    count = np.zeros(extent.shape, int)
    for core in plan.cores(extent):
        assert core.y0 % plan.core_px == core.x0 % plan.core_px == 0
        assert plan.around(core).shape == (plan.window_px, plan.window_px)
        ys, xs = (core & extent).shifted(-y, -x).slices
        count[ys, xs] += 1
    assert (count == 1).all()
    assert windows_over_pixel(y, x, plan.manifest()) == [
        plan.around(plan.cores(Window(y, y + 1, x, x + 1))[0])
    ]


def test_cores_divide_a_tile_so_that_none_is_made_twice() -> None:
    assert TILE_PX % WindowPlan().core_px == 0


def test_a_landscape_of_the_usual_size_is_one_core() -> None:
    canvas = canvas_of(Landscape())
    y, x = -canvas.north // PIXEL_M, canvas.west // PIXEL_M
    extent = Window(y, y + canvas.height, x, x + canvas.width)
    assert WindowPlan().cores(extent) == [extent]


def test_windows_of_fields_from_before_are_known_still() -> None:
    assert windows_over_pixel(100, 100) == [
        Window(0, 128, 0, 128), Window(0, 128, 96, 224), Window(96, 224, 0, 128), Window(96, 224, 96, 224),
    ]  # fmt: skip


@pytest.mark.parametrize(("window_px", "halo_px"), [(100, 16), (64, 32), (128, 12), (128, -16)])
def test_windows_that_cannot_be_laid_are_refused(window_px: int, halo_px: int) -> None:
    with pytest.raises(InvalidInput, match="multiples of 16"):
        WindowPlan(window_px, halo_px)


def test_what_was_seen_keeps_a_margin_in_which_nothing_was() -> None:
    valid = np.zeros((1, 96, 96), bool)
    valid[0, 40:50, 0:3] = True
    one = SourceFrames(
        "s", ("a",), np.zeros((1, 1, 96, 96), np.int16), valid, np.zeros(1, "datetime64[us]"), -1
    )
    assert seen_part({"s": one}) == Window(16, 80, 0, 32)
    assert seen_part({}) is None


def test_work_ahead_comes_back_in_order_and_stops_with_the_listener() -> None:
    begun: list[int] = []

    def slow(item: int) -> int:
        begun.append(item)
        time.sleep(0.002 * (5 - item % 5))
        return item

    assert list(worked_ahead(slow, range(20), ahead=4, threads=4)) == list(range(20))
    begun.clear()
    some = worked_ahead(slow, range(1000), ahead=2)
    assert [next(some), next(some)] == [0, 1]
    some.close()  # type: ignore[attr-defined]
    assert len(begun) <= 5


def test_an_error_in_a_thread_reaches_the_listener() -> None:
    def broken(item: int) -> int:
        raise InvalidInput(f"window {item} cannot be read")

    with pytest.raises(InvalidInput, match="window 0"):
        list(worked_ahead(broken, range(3), ahead=1))


def test_a_sheet_forgets_what_was_taken() -> None:
    encoder, extent = PlaceEncoder(), Window(0, 4, 0, 6)
    sheet = Sheet(encoder, extent, Wish(PERIOD, (PERIOD, PERIOD)))
    part = np.full((4, 2, 3), 7, np.int8)
    sheet.put(Piece(Window(1, 3, 2, 5), [part, part + 1], [{"clear_s": np.ones((2, 3), np.uint16)}, {}]))
    (first, told), (second, _) = sheet.take(), sheet.take()
    assert (first[:, 1:3, 2:5] == 7).all()
    assert (first != -128).sum() == 24
    assert told["clear_s"].sum() == 6
    assert (second[:, 1:3, 2:5] == 8).all()


def test_the_halo_is_wide_enough_for_every_encoder_that_names_none() -> None:
    assert WindowPlan.of(object()).halo_px == HALO_PX  # type: ignore[arg-type]
