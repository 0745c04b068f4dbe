"""Measuring what was learned on land whose truth is known: what is taken away from frames, and what is scored."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from earthfield.frames import Frames, SourceFrames
from earthfield.grid import Window
from earthfield.timeline import Period

_FILE = Path(__file__).parents[2] / "benchmarks" / "known_truth.py"
_EPSG, _WINDOW, _SIDE = 32631, Window(-578_000, -577_936, 50_000, 50_064), 64


@pytest.fixture(scope="module")
def known_truth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("known_truth", _FILE)
    assert spec is not None and spec.loader is not None
    module = sys.modules["known_truth"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Meaned:
    """An encoder whose vectors are the mean of a period's first band, as an angle."""

    name, fingerprint, dim, sources = "meaned", "", 2, ("sentinel-2-l2a",)

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        one = frames["sentinel-2-l2a"]
        bounds = [
            np.array([at.replace(tzinfo=None) for at in (p.start, p.end)], "datetime64[us]") for p in periods
        ]
        inside = [(one.acquired >= first) & (one.acquired < after) for first, after in bounds]
        means = [one.values[some, 0].mean(0) if some.any() else np.zeros(one.shape) for some in inside]
        angle = np.stack(means) / 1000
        return np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)


def _frames(days: NDArray[np.int64], side: int = 4) -> SourceFrames:
    values = np.broadcast_to(days[:, None, None, None], (len(days), 1, side, side)).astype(np.uint16)
    acquired = np.datetime64("2021-01-01", "us") + days.astype("timedelta64[D]")
    return SourceFrames("sentinel-2-l2a", ("B02",), values, values[:, 0] >= 0, acquired, 0)


def test_a_third_of_the_frames_that_show_anything_is_kept(known_truth: ModuleType) -> None:
    frames = _frames(np.arange(40))
    frames.valid[::4] = False
    kept = known_truth.thinned(frames)
    assert len(kept.acquired) == 10
    assert kept.valid.all()
    assert (np.diff(kept.acquired) > np.timedelta64(0)).all()


def test_shuffling_keeps_instants_in_order_and_deals_out_the_images(known_truth: ModuleType) -> None:
    frames = _frames(np.arange(40))
    dealt = known_truth.shuffled(frames)
    assert (dealt.acquired == frames.acquired).all()
    assert sorted(dealt.values[:, 0, 0, 0]) == list(range(40))
    assert (dealt.values != frames.values).any()


def test_all_frames_can_be_dated_to_one_instant(known_truth: ModuleType) -> None:
    assert np.unique(known_truth.at_once(_frames(np.arange(0, 360, 9))).acquired).astype(str) == [
        "2021-07-02T00:00:00.000000"
    ]


def _place(known_truth: ModuleType, folder: Path, **rasters: NDArray[np.uint8]) -> object:
    for name, values in rasters.items():
        profile = {
            "driver": "GTiff", "dtype": "uint8", "count": 1, "width": _SIDE, "height": _SIDE,
            "crs": f"EPSG:{_EPSG}",
            "transform": rasterio.transform.from_origin(_WINDOW.x0 * 10, -_WINDOW.y0 * 10, 10, 10),
        }  # fmt: skip
        with rasterio.open(folder / f"{name}.tif", "w", **profile) as file:
            file.write(values, 1)
    return known_truth.Place("land", folder, _EPSG, _WINDOW, 2021, folder)


def test_truth_is_cut_to_the_middle_of_a_place(known_truth: ModuleType, tmp_path: Path) -> None:
    values = np.arange(_SIDE * _SIDE, dtype=np.uint32).reshape(_SIDE, _SIDE).astype(np.uint8)
    place = _place(known_truth, tmp_path, landcover_2021=values, landcover_2022=values)
    (found,) = known_truth.held_out_places([tmp_path], [tmp_path])
    assert (found.window, found.year, found.epsg) == (_WINDOW, 2021, _EPSG)
    assert (place.middle(32).truth_of("landcover_2021") == values[16:48, 16:48]).all()


def test_gradual_change_is_neither_changed_nor_unchanged(known_truth: ModuleType, tmp_path: Path) -> None:
    kinds = np.zeros((_SIDE, _SIDE), np.uint8)
    kinds[:8], kinds[8:16] = 1, 5
    place = _place(known_truth, tmp_path, change_2021_2022=kinds, rotation_2021_2022=np.zeros_like(kinds))
    angle = np.where(kinds == 1, 0.5, np.where(kinds == 5, 1.0, 0.1))
    fields = [np.stack([np.cos(x), np.sin(x)], -1).astype(np.float32) for x in (np.zeros_like(angle), angle)]
    noise = np.random.default_rng(0).normal(size=(2, _SIDE, _SIDE, 3)).astype(np.float32)
    told = known_truth.change_told(place, fields, list(noise))
    # Were slow changes counted as unchanged, they would stand above the abrupt ones.
    assert told["change, abrupt, fields"] == 1
    assert told["change, gradual, fields"] == 1
    assert told["change, abrupt, composites"] < 0.6


def test_seasons_are_told_where_instants_are_true_only(
    known_truth: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    places = [known_truth.Place(str(n), tmp_path, _EPSG, _WINDOW, 2021) for n in range(3)]
    seen = {"sentinel-2-l2a": _frames(np.arange(0, 360, 5), side=32)}
    monkeypatch.setattr(known_truth.Place, "frames", lambda self, sources, year: seen)
    told = known_truth.seasons(Meaned(), places[:2], places[2:])
    assert set(told) == {"0", "1"}
    for who in ("same place", "calendar"):
        assert told["0"][f"time, {who}, true instants"] == 1
        assert told["0"][f"time, {who}, all the same"] == 0.5
