"""BetaEarth as an encoder: its units, its order of bands, its dates, and nothing where nothing was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_land import write_cube

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.frames import SourceFrames
from earthfield.grid import Tile, Window
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_infer.adapters.betaearth import BetaEarthEncoder
from earthfield_infer.adapters.betaearth_inputs import DEM, S1, S2

SIZE = 16
NODATA = -32768
CUBE_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
LEVELS = dict(zip(CUBE_BANDS, range(100, 1100, 100), strict=True))
"""What each band shows: B02 100, B03 200, ..., B12 1000."""


class Recorder:
    """Stands in for `betaearth.BetaEarth`: remembers what it was given, answers with a direction for every day."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def predict(self, **given: Any) -> np.ndarray:
        self.calls.append(given)
        shape = next(given[name] for name in ("s2_l2a", "s1") if name in given).shape[1:]
        vectors = np.zeros((*shape, 64), np.float32)
        vectors[..., given["doy"] % 64] = 1
        return vectors

    def given(self, name: str) -> list[Any]:
        return [call[name] for call in self.calls if name in call]


def optical(*days: str, size: int = SIZE, bands: tuple[str, ...] = CUBE_BANDS) -> SourceFrames:
    values = np.empty((len(days), len(bands), size, size), np.int16)
    values[:] = np.array([LEVELS[band] for band in bands], np.int16)[:, None, None]
    return framed(S2, bands, values, days)


def radar(*days: str, vv: int = -1000, vh: int = -1700) -> SourceFrames:
    values = np.empty((len(days), 2, SIZE, SIZE), np.int16)
    values[:, 0], values[:, 1] = vv, vh
    return framed(S1, ("vv", "vh"), values, days)


def framed(source: str, bands: tuple[str, ...], values: np.ndarray, days: tuple[str, ...]) -> SourceFrames:
    valid = np.ones((values.shape[0], *values.shape[2:]), bool)
    when = np.array([f"{day}T10:30:00" for day in days], "datetime64[us]")
    return SourceFrames(source, bands, values, valid, when, NODATA)


def heights(centimetres: np.ndarray) -> SourceFrames:
    values = centimetres.astype(np.int32)[None, None]
    valid = centimetres != -(2**31)
    when = np.array(["2021-04-22"], "datetime64[us]")
    return SourceFrames(DEM, ("elevation",), values, valid[None], when, -(2**31))


def encoder_of(model: Recorder) -> BetaEarthEncoder:
    return BetaEarthEncoder(model, name="betaearth", weights="w")


def encoded(frames: dict[str, SourceFrames], *periods: str) -> tuple[np.ndarray, Recorder]:
    model = Recorder()
    return encoder_of(model).encode(frames, [Period.parse(one) for one in periods or ("2018",)]), model


def test_it_is_an_encoder() -> None:
    encoder = encoder_of(Recorder())
    assert isinstance(encoder, Encoder)
    assert encoder.sources == (S2, S1, DEM)
    assert encoder.dim == 64


def test_sentinel_2_goes_in_as_reflectance_x_10000_with_b08_before_b05() -> None:
    _, model = encoded({S2: optical("2018-05-01")})
    (given,) = model.given("s2_l2a")
    assert given.dtype == np.uint16
    # B02 B03 B04 B08 B05 B06 B07 B11 B12; B8A is not asked for.
    np.testing.assert_array_equal(given[:, 0, 0], [100, 200, 300, 700, 400, 500, 600, 900, 1000])


def test_the_order_of_bands_in_the_cube_does_not_matter() -> None:
    _, model = encoded({S2: optical("2018-05-01", bands=CUBE_BANDS[::-1])})
    np.testing.assert_array_equal(
        model.given("s2_l2a")[0][:, 0, 0], [100, 200, 300, 700, 400, 500, 600, 900, 1000]
    )


def test_negative_reflectance_becomes_zero_and_never_wraps_around() -> None:
    frames = optical("2018-05-01")
    frames.values[0, 0, 2, 3] = -40
    _, model = encoded({S2: frames})
    assert model.given("s2_l2a")[0].min() == 0
    assert model.given("s2_l2a")[0].max() == 1000


def test_sentinel_1_goes_in_as_linear_power() -> None:
    _, model = encoded({S1: radar("2018-05-01", vv=-1000, vh=-2000)})
    (given,) = model.given("s1")
    assert given.dtype == np.float32
    np.testing.assert_allclose(given[0], 0.1, rtol=1e-6)  # -10 dB
    np.testing.assert_allclose(given[1], 0.01, rtol=1e-6)  # -20 dB


def test_elevation_goes_in_as_metres_and_its_gaps_are_not_sea_level() -> None:
    ground = np.full((SIZE, SIZE), 20_000)
    ground[:, 8:] = 30_000
    ground[0, 0] = -(2**31)
    _, model = encoded({S2: optical("2018-05-01"), DEM: heights(ground)})
    (given,) = model.given("dem")
    np.testing.assert_allclose(given[0, 5, [0, 15]], [200, 300])
    np.testing.assert_allclose(given[0, 0, 0], (127 * 200 + 128 * 300) / 255)
    assert given.min() == 200


def test_the_day_of_the_year_is_that_of_the_acquisition() -> None:
    _, model = encoded({S2: optical("2018-01-01", "2018-03-01", "2018-12-31")})
    assert sorted(model.given("doy")) == [1, 60, 365]


def test_sensors_go_in_one_by_one_and_each_with_the_elevation() -> None:
    ground = heights(np.full((SIZE, SIZE), 100))
    _, model = encoded({S2: optical("2018-05-01"), S1: radar("2018-05-02"), DEM: ground})
    assert [sorted(call) for call in model.calls] == [
        ["dem", "doy", "overlap", "s2_l2a", "tile_size"],
        ["dem", "doy", "overlap", "s1", "tile_size"],
    ]


def test_dates_are_averaged_where_they_are_clear_and_renormalised() -> None:
    frames = optical("2018-05-01", "2018-05-03")
    frames.valid[1, :, 13:] = False
    field, _ = encoded({S2: frames})
    one, other = 121 % 64, 123 % 64
    np.testing.assert_allclose(field[0, 5, 5, [one, other]], np.sqrt(0.5), rtol=1e-6)
    np.testing.assert_allclose(field[0, 5, 13, [one, other]], [1, 0])
    np.testing.assert_allclose(np.linalg.norm(field, axis=-1), 1, rtol=1e-5)


def test_pixels_that_nothing_shows_are_nan_and_only_these() -> None:
    frames, sensor = optical("2018-05-01", "2018-06-01"), radar("2018-05-05")
    frames.valid[:, 3] = False
    sensor.valid[:, 3, :7] = False
    field, _ = encoded({S2: frames, S1: sensor})
    assert np.isnan(field[0, 3, :7]).all()
    assert not np.isnan(field).sum(axis=(0, 3))[np.arange(SIZE) != 3].any()
    assert not np.isnan(field[0, 3, 7:]).any()


def test_a_pixel_without_one_of_the_bands_is_not_seen() -> None:
    frames = optical("2018-05-01")
    frames.values[0, CUBE_BANDS.index("B11"), 4, 4] = NODATA
    frames.values[0, CUBE_BANDS.index("B8A"), 5, 5] = NODATA
    field, _ = encoded({S2: frames})
    assert np.isnan(field[0, 4, 4]).all()
    assert not np.isnan(field[0, 5, 5]).any()


def test_masked_pixels_show_the_nearest_clear_date_and_never_a_hole() -> None:
    frames = optical("2018-05-01", "2018-05-11", "2018-08-01")
    for day, level in enumerate((1000, 2000, 3000)):
        frames.values[day] = level
    frames.valid[1, 2, 2] = False
    frames.valid[:, 4, 4] = False
    frames.values[~frames.valid[:, None].repeat(10, 1)] = NODATA
    _, model = encoded({S2: frames})
    (second,) = (call["s2_l2a"] for call in model.calls if call["doy"] == 131)
    np.testing.assert_array_equal(second[:, 2, 2], 1000)
    np.testing.assert_array_equal(second[:, 4, 4], 2000)
    assert second.min() == 1000


def test_only_dates_inside_the_period_count_and_each_is_encoded_once() -> None:
    frames = optical("2018-04-30", "2018-05-01", "2018-05-31", "2018-06-01")
    field, model = encoded({S2: frames}, "2018-05", "2018-06", "2018-07", "2018")
    assert len(model.calls) == 4
    assert set(np.flatnonzero(field[0, 0, 0])) == {121 % 64, 151 % 64}
    assert set(np.flatnonzero(field[1, 0, 0])) == {152 % 64}
    assert np.isnan(field[2]).all()


def test_the_clearest_six_of_a_quarter_stand_for_it() -> None:
    days = [f"2018-04-{day:02d}" for day in range(1, 10)]
    frames = optical(*days)
    frames.valid[2, 0, :20], frames.valid[5, 0], frames.valid[7, :2] = False, False, False
    _, model = encoded({S2: frames, S1: radar(*days)})
    assert len(model.given("s1")) == 1
    # All nine are clearer than four fifths; the three with masked pixels come last.
    assert [call["doy"] - 90 for call in model.calls if "s2_l2a" in call] == [1, 2, 4, 5, 7, 9]


def test_of_a_cloudy_quarter_the_clearest_is_taken_and_what_covers_the_rest() -> None:
    frames = optical("2018-04-01", "2018-04-02", "2018-04-03")
    frames.valid[0, :, 10:], frames.valid[1, :, :11], frames.valid[2, :, :6] = False, False, False
    field, model = encoded({S2: frames})
    # Clear are 10, 5 and 10 columns of 16: the first, and the third for the rest; the second brings nothing new.
    assert model.given("doy") == [91, 93]
    assert not np.isnan(field).any()


def test_small_windows_are_mirrored_to_the_size_it_was_trained_on() -> None:
    frames = optical("2018-05-01")
    frames.values[0] = np.arange(SIZE * SIZE, dtype=np.int16).reshape(SIZE, SIZE)
    field, model = encoded({S2: frames})
    (given,) = model.given("s2_l2a")
    assert given.shape == (9, 224, 224)
    assert (model.calls[0]["tile_size"], model.calls[0]["overlap"]) == (224, 0)
    np.testing.assert_array_equal(given[0, :SIZE, :SIZE], frames.values[0, 0])
    np.testing.assert_array_equal(given[0, SIZE, :SIZE], frames.values[0, 0, -1])
    assert field.shape == (1, SIZE, SIZE, 64)


class Sighted(Recorder):
    """Answers with what a pixel shows and with what its tile shows as a whole, as a network with attention does."""

    def predict(self, **given: Any) -> np.ndarray:
        super().predict(**given)
        image = given["s2_l2a"].astype(np.float32)
        vectors = np.zeros((*image.shape[1:], 64), np.float32)
        vectors[..., :9] = np.moveaxis(image, 0, -1)
        vectors[..., 9:18] = image.mean(axis=(1, 2))
        vectors[..., 18] = given["doy"]
        return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def cloudy(size: tuple[int, int]) -> SourceFrames:
    draw = np.random.default_rng(1)
    frames = optical("2018-04-01", "2018-04-11", "2018-04-21", "2018-07-01")
    values = draw.integers(100, 3000, (4, 10, *size)).astype(np.int16)
    valid = np.kron(draw.random((4, size[0] // 16, size[1] // 16)) < 0.7, np.ones((16, 16), bool))
    values[~valid[:, None].repeat(10, 1)] = NODATA
    return replace(frames, values=values, valid=valid)


def test_a_pixel_does_not_depend_on_the_window_that_held_it() -> None:
    frames, encoder = cloudy((560, 448)), encoder_of(Sighted())
    side, halo = encoder.window_px, encoder.halo_px
    upper, lower = frames.cropped(Window(0, side, 0, side)), frames.cropped(Window(112, 112 + side, 0, side))
    year = [Period.parse("2018")]
    first, second = (encoder.encode({S2: one}, year)[0, :, halo:-halo] for one in (upper, lower))
    np.testing.assert_allclose(first[halo + 112 : -halo], second[halo : -halo - 112], atol=1e-6)
    assert np.abs(first[:50] - second[:50]).max() > 0.1


class Brightness(Recorder):
    """Answers alike for all of a tile: with an angle by how bright the tile is."""

    def predict(self, **given: Any) -> np.ndarray:
        angle = given["s2_l2a"].mean() / 2000
        vectors = np.zeros((*given["s2_l2a"].shape[1:], 64), np.float32)
        vectors[..., 0], vectors[..., 1] = np.cos(angle), np.sin(angle)
        return vectors


def test_tiles_pass_into_one_another_without_a_step() -> None:
    frames = replace(cloudy((448, 448)), valid=np.ones((4, 448, 448), bool)).take(np.array([0]))
    frames.values[:] = np.arange(0, 4480, 10)
    field = encoder_of(Brightness()).encode({S2: frames}, [Period.parse("2018")])[0]
    for field_across in (field, field.swapaxes(0, 1)):
        assert np.linalg.norm(np.diff(field_across, axis=0), axis=-1).max() < 0.01
    assert np.linalg.norm(field[0, 0] - field[0, -1]) > 0.5


def test_every_pixel_of_a_window_of_any_size_is_encoded_in_tiles_of_one_size() -> None:
    for rows, columns, count in ((240, 224, 2), (448, 240, 6), (352, 16, 3)):
        model = Sighted()
        frames = replace(cloudy((rows, columns)), valid=np.ones((4, rows, columns), bool))
        frames = frames.take(np.array([0]))
        frames.values[frames.values == NODATA] = 50
        field = encoder_of(model).encode({S2: frames}, [Period.parse("2018")])
        assert not np.isnan(field).any()
        assert [one.shape for one in model.given("s2_l2a")] == [(9, 224, 224)] * count


def test_other_sources_are_ignored_and_a_lone_elevation_shows_nothing() -> None:
    ground = heights(np.full((SIZE, SIZE), 100))
    alien = replace(radar("2018-05-01"), source="sentinel-1-grd")
    field, model = encoded({DEM: ground, "sentinel-1-grd": alien})
    assert np.isnan(field).all()
    assert not model.calls


def test_wrong_input_is_told() -> None:
    frames, encoder = {S2: optical("2018-05-01")}, encoder_of(Recorder())
    year = [Period.parse("2018")]
    with pytest.raises(InvalidInput, match="lack B05, B12: ingest"):
        lacking = tuple(band for band in CUBE_BANDS if band not in ("B05", "B12"))
        encoder.encode({S2: optical("2018-05-01", bands=lacking)}, year)
    with pytest.raises(
        InvalidInput, match=r"frames of landsat-c2-l2 .* reads sentinel-2-l2a, sentinel-1-rtc"
    ):
        encoder.encode({"landsat-c2-l2": frames[S2]}, year)
    with pytest.raises(InvalidInput, match="no source"):
        encoder.encode({}, year)
    with pytest.raises(InvalidInput, match="period"):
        encoder.encode(frames, [])
    with pytest.raises(InvalidInput, match="multiple of 16"):
        encoder.encode({S2: optical("2018-05-01", size=40)}, year)
    with pytest.raises(InvalidInput, match="one size"):
        encoder.encode({S2: optical("2018-05-01", size=32), S1: radar("2018-05-01")}, year)


def test_numbers_that_are_not_finite_are_never_passed_over() -> None:
    class Broken(Recorder):
        def predict(self, **given: Any) -> np.ndarray:
            return super().predict(**given) * np.float32("nan")

    with pytest.raises(BrokenArtefact, match=r"sentinel-2-l2a of 2018-05-01: its weights are damaged"):
        encoder_of(Broken()).encode({S2: optical("2018-05-01")}, [Period.parse("2018")])


def test_the_fingerprint_tells_weights_and_variants_apart() -> None:
    prints = {
        BetaEarthEncoder(Recorder(), name="betaearth", weights=weights, sources=sources).fingerprint
        for weights in ("one", "two")
        for sources in ((S2, S1, DEM), (S2,))
    }
    assert len(prints) == 4


def test_the_elevation_is_read_whatever_the_support_and_images_only_inside_it(tmp_path: Path) -> None:
    tile, ground = Tile.parse("32631_0048_0549"), heights(np.full((SIZE, SIZE), 12_300))
    write_cube(tmp_path, {S2: optical("2018-05-01", "2019-05-01"), DEM: ground}, tile, at=(0, 0))
    window = Window(tile.window.y0, tile.window.y0 + SIZE, tile.window.x0, tile.window.x0 + SIZE)
    frames = CubeReader(Catalog(tmp_path), (S2, DEM)).read(tile.epsg, window, Period.parse("2018"))
    assert len(frames[S2].acquired) == 1
    assert (frames[DEM].values == 12_300).all()
