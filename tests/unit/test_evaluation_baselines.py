"""What fields are compared with equals values worked out by hand, however the place is cut into pieces."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from small_fields import WINDOW

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield.frames import SourceFrames
from earthfield.grid import Window
from earthfield.sources import source_named
from earthfield.timeline import Period
from earthfield_train.evaluation.composites import (
    OPTICAL,
    RADAR,
    Series,
    fill_nearest,
    harmonics,
    monthly,
    months_of,
    percentiles,
    percentiles_over,
    series_of,
)
from earthfield_train.evaluation.convolutions import convolved, filters_from
from earthfield_train.evaluation.descriptions import (
    CONVOLUTIONS,
    HARMONICS,
    MONTHLY,
    PERCENTILES,
    Gathering,
    Place,
    describe_coordinates,
    describe_observations,
    sampled,
)

YEAR = Period.parse("2018")
DAYS = np.array(["2018-01-05", "2018-01-15", "2018-01-25", "2018-03-05"], "datetime64[us]")


def frames_over(window: Window, *, radar: bool = True) -> dict[str, SourceFrames]:
    """Four optical frames, one of them a cloud, and four radar frames; values differ by place."""
    optical, echo = source_named(OPTICAL), source_named(RADAR)
    rows, cols = np.mgrid[window.y0 : window.y1, window.x0 : window.x1]
    spread = (rows * 7 + cols * 13) % 50
    light = np.array([100, 300, 9000, 700])[:, None, None, None] + spread
    values = np.broadcast_to(light, (4, len(optical.bands), *window.shape)).astype(np.int16)
    clear = np.ones((4, *window.shape), bool)
    clear[2] = False
    decibels = np.array([-1000, -2000, -3000, -500])[:, None, None, None] + spread * 3
    echoes = np.broadcast_to(decibels, (4, 2, *window.shape)).astype(np.int16)
    found = {OPTICAL: SourceFrames(OPTICAL, optical.band_names, values, clear, DAYS, optical.nodata)}
    if radar:
        found[RADAR] = SourceFrames(RADAR, echo.band_names, echoes, clear | True, DAYS, echo.nodata)
    return found


def one_band(values: list[float], days: list[int]) -> Series:
    """A source with one band over one pixel."""
    start = np.datetime64("2018-01-01", "us")
    acquired = np.array([start + np.timedelta64(day, "D") for day in days])
    return Series(OPTICAL, np.array(values, np.float32).reshape(-1, 1, 1, 1), acquired)


def test_months_are_cut_to_the_period() -> None:
    assert len(months_of(YEAR)) == 12
    found = months_of(Period.parse("2018-11-15/2019-02-03"))
    assert [one.days for one in found] == [16, 31, 31, 2]
    assert all(a.end == b.start for a, b in pairwise(found))


def test_monthly_composites_are_medians_of_clear_reflectance_and_means_of_decibels() -> None:
    window = Window(0, 1, 0, 1)  # the spread is 0 there
    series = series_of(frames_over(window), window.shape)
    found = monthly(series, Period.parse("2018-01..2018-04")).reshape(4, 12)
    source = source_named(OPTICAL)
    levels = np.array([[200], [200], [700], [700]], np.int16)
    expected = source.physical(np.repeat(levels, len(source.bands), axis=1), band_axis=1)
    assert np.allclose(found[:, :10], expected)
    assert np.allclose(found[:, 10:], np.array([-20, -20, -5, -5])[:, None])


def test_a_source_without_observations_is_told_as_missing() -> None:
    window = Window(0, 1, 0, 1)
    series = series_of(frames_over(window, radar=False), window.shape)
    for make in (monthly, percentiles, harmonics):
        found = make(series, YEAR)
        assert np.isfinite(found).any()
        assert np.isnan(found).any()


def test_gaps_take_the_nearest_month_and_the_earlier_of_two() -> None:
    nan = np.nan
    composites = np.array([[nan, 1, nan, 3, nan, nan]], np.float32)[..., None]
    assert fill_nearest(composites)[0, :, 0].tolist() == [1, 1, 1, 3, 3, 3]
    assert np.isnan(fill_nearest(np.full((1, 4, 1), nan, np.float32))).all()


def test_percentiles_equal_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(23, 3, 5)).astype(np.float32)
    values[rng.random(values.shape) < 0.4] = np.nan
    values[:, 0, 0] = np.nan
    with pytest.warns(RuntimeWarning, match="All-NaN"):
        expected = np.nanpercentile(values, [10, 25, 50, 75, 90], axis=0)
    found = percentiles_over(values, (10, 25, 50, 75, 90))
    assert np.allclose(found, expected, equal_nan=True, atol=1e-6)


def test_harmonics_find_the_waves_they_were_made_from() -> None:
    days = list(range(0, 365, 2))
    turn = 2 * np.pi * np.array(days) / 365.25
    wave = 0.3 + 0.1 * np.cos(turn) - 0.05 * np.sin(2 * turn)
    found = harmonics([one_band(wave.tolist(), days)], YEAR)[0, 0]
    assert found == pytest.approx([0.3, 0.1, 0.0, 0.0, -0.05, 0.0], abs=0.004)


def test_harmonics_of_few_observations_stay_near_them() -> None:
    found = harmonics([one_band([0.2, 0.4, float("nan")], [10, 40, 200])], YEAR)[0, 0]
    assert 0.1 < found[0] < 0.5
    assert np.abs(found[1:5]).max() < 0.2
    assert found[0] == pytest.approx(0.3, abs=0.15)
    alone = harmonics([one_band([0.2], [10])], YEAR)[0, 0]
    assert alone == pytest.approx([0.2, 0, 0, 0, 0, 0], abs=1e-4)


def test_long_periods_get_a_trend() -> None:
    days = list(range(0, 730, 5))
    line = np.array(days) / 730 * 0.2
    found = harmonics([one_band(line.tolist(), days)], Period.parse("2018..2019"))[0, 0]
    assert len(found) == 7
    assert found[5] == pytest.approx(0.2, abs=0.03)


def test_convolutions_are_means_of_both_halves_over_seen_pixels() -> None:
    picture = np.zeros((5, 6, 2), np.float32)
    picture[2, 2] = [1.0, -2.0]
    picture[0, 5] = np.nan
    filters = np.zeros((1, 2, 3, 3), np.float32)
    filters[0, :, 1, 1] = [1.0, 1.0]  # the pixel itself: 1 - 2 = -1
    found = convolved(picture, filters, pool_px=3)
    assert found.shape == (5, 6, 2)
    assert np.allclose(found[1:4, 1:4, 1], 1 / 9)
    assert (found[..., 0][np.isfinite(found[..., 0])] == 0).all()
    assert np.isnan(found[0, 5]).all()
    assert np.isfinite(found).sum() == 58
    picture[1, 1] = np.nan  # pixels that were not seen do not count
    assert convolved(picture, filters, pool_px=3)[2, 2, 1] == pytest.approx(1 / 8)


def test_filters_have_length_one_and_empty_patches_are_passed_over() -> None:
    patches = np.zeros((3, 3, 3, 2), np.float32)
    patches[0] = np.nan
    patches[1, 0, 1, 1], patches[2, 2, 2, 0] = 4.0, -3.0
    found = filters_from(patches, count=2)
    assert found.shape == (2, 2, 3, 3)
    assert (found[0, 1, 0, 1], found[1, 0, 2, 2]) == (1.0, -1.0)


def place_over(window: Window) -> Place:
    rows, cols = np.nonzero(np.random.default_rng(1).random(window.shape) < 0.3)
    return Place(32631, window, rows, cols, YEAR)


def test_scale_comes_from_all_pixels_of_the_place_however_it_is_cut() -> None:
    place = place_over(WINDOW)
    assert len(place.pieces()) == 4
    whole = np.random.default_rng(0).normal(1e4, 3, (*WINDOW.shape, 3))
    whole[:3, :, 0] = np.nan
    whole[..., 2] = np.nan
    gathering = Gathering(place)
    for piece in place.pieces():
        ys, xs = piece.shifted(-WINDOW.y0, -WINDOW.x0).slices
        gathering.add(piece, whole[ys, xs])
    features = gathering.features()
    assert features.values.shape == (len(place.rows), 2)
    assert np.allclose(features.values, whole[place.rows, place.cols, :2], equal_nan=True)
    assert np.allclose(features.mean, np.nanmean(whole[..., :2], axis=(0, 1)))
    assert np.allclose(features.std, np.nanstd(whole[..., :2], axis=(0, 1)), rtol=1e-6)


class MadeReader:
    """Reads made frames in place of cubes."""

    def __init__(self, catalog: Catalog, sources: tuple[str, ...]) -> None:
        pass

    def read(self, epsg: int, window: Window, support: Period) -> dict[str, SourceFrames]:
        return frames_over(window)


def test_descriptions_do_not_depend_on_how_the_place_is_cut(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("earthfield_train.evaluation.descriptions.CubeReader", MadeReader)
    place = place_over(WINDOW)
    cut = describe_observations(Catalog(tmp_path), place)
    again = describe_observations(Catalog(tmp_path), place)
    monkeypatch.setattr("earthfield_train.evaluation.descriptions._KEPT_BYTES", 0)
    read_twice = describe_observations(Catalog(tmp_path), place)
    monkeypatch.setattr(Place, "pieces", lambda self: [self.window])
    whole = describe_observations(Catalog(tmp_path), place)
    assert {name: one.values.shape[1] for name, one in cut.items()} == {
        MONTHLY: 144, PERCENTILES: 60, HARMONICS: 72, CONVOLUTIONS: 512,
    }  # fmt: skip
    for name, one in cut.items():
        assert np.array_equal(one.values, again[name].values)
        assert np.allclose(one.values, read_twice[name].values)
        assert np.allclose(one.values, whole[name].values, atol=1e-4), name
        assert np.allclose(one.std, whole[name].std, atol=1e-4)


def test_cubes_without_any_observation_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(MadeReader, "read", lambda *args: {})
    monkeypatch.setattr("earthfield_train.evaluation.descriptions.CubeReader", MadeReader)
    with pytest.raises(NotFound, match="--no-baselines"):
        describe_observations(Catalog(tmp_path), place_over(WINDOW))


def test_coordinates_count_from_the_first_corner_of_the_place() -> None:
    place = place_over(WINDOW)
    features = describe_coordinates(place)
    assert (features.values == np.stack([place.rows, place.cols], axis=1)).all()
    assert features.mean.tolist() == [19.5, 39.5]


def test_a_sample_keeps_every_class() -> None:
    codes = np.array([[1] * 90, [2] * 10 + [0] * 80])
    picked = sampled(codes != 0, codes, most=40, seed=0)
    assert np.unique(codes.ravel()[picked], return_counts=True)[1].tolist() == [20, 10]


def test_observations_outside_the_period_do_not_count() -> None:
    series = one_band([0.2, 0.9], [10, 400])
    assert percentiles([series], YEAR).ravel() == pytest.approx([0.2] * 5)
    later = Period(YEAR.start + timedelta(days=365), YEAR.end + timedelta(days=365))
    assert percentiles([series], later).ravel() == pytest.approx([0.9] * 5)
