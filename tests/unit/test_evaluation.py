"""Few-shot evaluation: labels on the field's grid, composites, and a report that names what it left out."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import rasterio
from small_fields import WINDOW, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.frames import SourceFrames
from earthfield.grid import Window, geobox_of
from earthfield.sources import source_named
from earthfield.timeline import Period
from earthfield_train.evaluation.composites import composites_at, fill_nearest, months_of, sampled
from earthfield_train.evaluation.jobs import EvaluateRequest, evaluate_fields
from earthfield_train.evaluation.sites import read_labels

LAND = np.where((np.arange(40)[:, None] // 10 + np.arange(80)[None] // 10) % 2, 11, 13)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("evaluate"))
    vectors = vectors_of(np.where(LAND == 11, 0, 1), noise=0.05)
    vectors[:4, :4] = np.nan
    write_small(catalog, "2018", vectors)
    return catalog


def write_labels(path: Path, codes: np.ndarray, *, dtype: str = "uint16", crs: str = "EPSG:32631") -> Path:
    profile = {
        "driver": "GTiff",
        "width": codes.shape[1],
        "height": codes.shape[0],
        "count": 1,
        "dtype": dtype,
    }
    transform = geobox_of(32631, WINDOW).transform
    with rasterio.open(path, "w", **profile, crs=crs, transform=transform, nodata=0) as data:
        data.write(codes.astype(dtype), 1)
    return path


def test_labels_land_on_the_pixels_they_name(catalog: Catalog, tmp_path: Path) -> None:
    codes = LAND.copy()
    codes[0, 0] = 60
    area = read_labels(write_labels(tmp_path / "lc.tif", codes), fields_of(catalog, "small"), ignore=[60])
    assert area.window == WINDOW
    assert area.codes[0, 0] == 0
    assert (area.codes.ravel()[1:] == codes.ravel()[1:]).all()
    assert area.parcels.max() == 32


def test_wrong_labels_are_told(catalog: Catalog, tmp_path: Path) -> None:
    fields = fields_of(catalog, "small")
    with pytest.raises(NotFound, match="no label raster"):
        read_labels(tmp_path / "none.tif", fields)
    with pytest.raises(InvalidInput, match="whole numbers"):
        read_labels(write_labels(tmp_path / "float.tif", LAND, dtype="float32"), fields)
    with pytest.raises(NotFound, match="lies on a field"):
        read_labels(write_labels(tmp_path / "far.tif", LAND, crs="EPSG:32633"), fields)
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_labels(tmp_path / "text.tif", fields)


def test_months_are_cut_to_the_period() -> None:
    assert len(months_of(Period.parse("2018"))) == 12
    found = months_of(Period.parse("2018-11-15/2019-02-03"))
    assert [one.days for one in found] == [16, 31, 31, 2]
    assert all(a.end == b.start for a, b in pairwise(found))


def test_composites_are_medians_of_clear_reflectance_and_means_of_decibels(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Reader:
        def __init__(self, catalog: Catalog, sources: tuple[str, ...]) -> None:
            pass

        def read(self, epsg: int, window: Window, support: Period) -> dict[str, SourceFrames]:
            days = np.array(["2018-01-05", "2018-01-15", "2018-01-25", "2018-03-05"], "datetime64[us]")
            optical, radar = source_named("sentinel-2-l2a"), source_named("sentinel-1-rtc")
            light = np.array([100, 300, 9000, 700], np.int16)[:, None, None, None]
            values = np.broadcast_to(light, (4, len(optical.bands), *window.shape)).copy()
            clear = np.ones((4, *window.shape), bool)
            clear[2] = False  # a cloud
            decibels = np.array([-1000, -2000, -3000, -500], np.int16)[:, None, None, None]
            echo = np.broadcast_to(decibels, (4, 2, *window.shape))
            return {
                optical.name: SourceFrames(
                    optical.name, optical.band_names, values, clear, days, optical.nodata
                ),
                radar.name: SourceFrames(
                    radar.name, radar.band_names, echo, clear | True, days, radar.nodata
                ),
            }

    monkeypatch.setattr("earthfield_train.evaluation.composites.CubeReader", Reader)
    rows, cols = np.array([WINDOW.y0, WINDOW.y0 + 39]), np.array([WINDOW.x0, WINDOW.x0 + 79])
    monthly, whole = composites_at(Catalog(tmp_path), 32631, rows, cols, Period.parse("2018-01..2018-04"))
    assert (monthly.shape, whole.shape) == ((2, 4 * 12), (2, 12))
    source = source_named("sentinel-2-l2a")
    levels = np.array([[200], [200], [700], [700]], np.int16)
    expected = source.physical(np.repeat(levels, len(source.bands), axis=1), band_axis=1)
    assert np.allclose(monthly.reshape(2, 4, 12)[:, :, :10], expected)
    assert np.allclose(monthly.reshape(2, 4, 12)[:, :, 10:], np.array([-20, -20, -5, -5])[:, None])
    assert np.allclose(whole[:, 10:], -16.25)


def test_gaps_take_the_nearest_month_and_the_earlier_of_two() -> None:
    nan = np.nan
    monthly = np.array([[nan, 1, nan, 3, nan, nan]], np.float32)[..., None]
    assert fill_nearest(monthly)[0, :, 0].tolist() == [1, 1, 1, 3, 3, 3]
    assert np.isnan(fill_nearest(np.full((1, 4, 1), nan, np.float32))).all()


def test_a_sample_keeps_every_class() -> None:
    codes = np.array([[1] * 90, [2] * 10 + [0] * 80])
    picked = sampled(codes != 0, codes, most=40, seed=0)
    assert np.unique(codes.ravel()[picked], return_counts=True)[1].tolist() == [20, 10]


def test_a_telling_field_beats_the_rest_and_the_report_is_kept(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def noise(catalog, epsg, rows, cols, period, *, progress):  # type: ignore[no-untyped-def]
        rng = np.random.default_rng(0)
        return rng.normal(size=(len(rows), 24)).astype("f4"), rng.normal(size=(len(rows), 2)).astype("f4")

    monkeypatch.setattr("earthfield_train.evaluation.jobs.composites_at", noise)
    codes = LAND.copy()
    codes[36:, 70:] = 60
    request = EvaluateRequest(
        root=catalog.root, labels=write_labels(tmp_path / "lc.tif", codes), period="2018", model="small",
        shots=5, draws=4,
    )  # fmt: skip
    report = evaluate_fields(request)
    assert report.dropped_px == 16
    assert [one.split for one in report.splits] == ["parcels", "blocks"]
    strict = report.splits[0]
    assert strict.classes == [11, 13]
    assert "one group" in strict.left_out["60"]
    assert strict.scores["small field"]["knn"]["mean"] > 0.95
    for name in ("monthly composites", "coordinates alone"):
        assert strict.scores[name]["linear"]["mean"] < 0.7
    kept = json.loads(Path(report.report).read_text())
    assert kept["splits"][0]["scores"] == strict.scores
    assert Path(report.picture).stat().st_size > 5000
    again = evaluate_fields(request)
    assert again.splits == report.splits


def test_more_shots_than_labels_are_refused(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "earthfield_train.evaluation.jobs.composites_at",
        lambda *args, **named: (np.zeros((len(args[2]), 1), "f4"), np.zeros((len(args[2]), 1), "f4")),
    )
    labels = write_labels(tmp_path / "lc.tif", LAND)
    with pytest.raises(InvalidInput, match="fewer than two classes"):
        evaluate_fields(
            EvaluateRequest(root=catalog.root, labels=labels, period="2018", model="small", shots=900)
        )
