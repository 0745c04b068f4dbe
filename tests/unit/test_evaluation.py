"""Few-shot evaluation: labels on the field's grid, and a report that names what it left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.features import shapes as shapes_of
from small_fields import WINDOW, vectors_of, write_small
from typer.testing import CliRunner

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.grid import geobox_of
from earthfield_analysis.fewshot import Features, Score
from earthfield_train.evaluation.descriptions import Place
from earthfield_train.evaluation.jobs import EvaluateRequest, evaluate_fields
from earthfield_train.evaluation.report import margins_of, places_apart
from earthfield_train.evaluation.sites import read_labels

LAND = np.where((np.arange(40)[:, None] // 5 + np.arange(80)[None] // 5) % 2, 11, 13)
TRANSFORM = geobox_of(32631, WINDOW).transform


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("evaluate"))
    vectors = vectors_of(np.where(LAND == 11, 0, 1), noise=0.05)
    vectors[:4, :4] = np.nan
    write_small(catalog, "2018", vectors)
    write_small(catalog, "2018", vectors_of(np.zeros(LAND.shape, int), noise=0.5), model="blind")
    return catalog


@pytest.fixture
def noise(monkeypatch: pytest.MonkeyPatch) -> None:
    def describe(catalog: Catalog, place: Place, **rest: Any) -> dict[str, Features]:
        x = np.random.default_rng(0).normal(size=(len(place.rows), 24)).astype("f4")
        return {"monthly composites": Features(x, np.zeros(24), np.ones(24))}

    monkeypatch.setattr("earthfield_train.evaluation.jobs.describe_observations", describe)


def write_labels(path: Path, codes: np.ndarray, *, dtype: str = "uint16", crs: str = "EPSG:32631") -> Path:
    profile = {
        "driver": "GTiff",
        "width": codes.shape[1],
        "height": codes.shape[0],
        "count": 1,
        "dtype": dtype,
    }
    with rasterio.open(path, "w", **profile, crs=crs, transform=TRANSFORM, nodata=0) as data:
        data.write(codes.astype(dtype), 1)
    return path


def write_polygons(path: Path, codes: np.ndarray, names: dict[int, Any], *, column: str = "crop") -> Path:
    import geopandas
    from shapely.geometry import shape

    drawn = [
        {"geometry": shape(form), column: names[int(code)]}
        for form, code in shapes_of(codes.astype(np.int32), transform=TRANSFORM)
        if code
    ]
    geopandas.GeoDataFrame(drawn, geometry="geometry", crs="EPSG:32631").to_file(path)
    return path


def request_of(catalog: Catalog, labels: Path, **rest: Any) -> EvaluateRequest:
    given = {
        "models": ("small",),
        "draws": 3,
        "shots": (1, 5, "max"),
        "buffer_px": 1,
        "period": "2018",
        **rest,
    }
    return EvaluateRequest(root=catalog.root, labels=labels, **given)


def test_labels_land_on_the_pixels_they_name(catalog: Catalog, tmp_path: Path) -> None:
    codes = LAND.copy()
    codes[0, 0] = 60
    fields = fields_of(catalog, "small")
    path = write_labels(tmp_path / "lc.tif", codes)
    area = read_labels(path, fields, ignore=["60"])
    assert area.window == WINDOW
    assert area.codes[0, 0] == 0
    assert (area.codes.ravel()[1:] == codes.ravel()[1:]).all()
    assert area.parcels.max() == 128
    only = read_labels(path, fields, classes=["11", "60"])
    assert only.names == {11: "11", 60: "60"}
    assert set(np.unique(only.codes)) == {0, 11, 60}


@pytest.mark.parametrize("ending", ["geojson", "gpkg"])
def test_polygons_label_the_same_pixels_as_a_raster(catalog: Catalog, tmp_path: Path, ending: str) -> None:
    codes = LAND.copy()
    codes[:5] = 0
    path = write_polygons(tmp_path / f"crops.{ending}", codes, {11: "wheat", 13: "grass"})
    area = read_labels(path, fields_of(catalog, "small"), column="crop")
    assert area.names == {1: "grass", 2: "wheat"}
    ys, xs = area.window.shifted(-WINDOW.y0, -WINDOW.x0).slices
    same = area.codes == np.choose(np.searchsorted([0, 11, 13], codes[ys, xs]), [0, 2, 1])
    # Degrees round: a pixel at a corner may fall to its neighbour.
    assert same.mean() > 0.999
    assert len(np.unique(area.parcels[area.codes > 0])) == 112


def test_numbers_of_polygons_stay_their_codes_and_rows_without_a_class_count_as_unlabelled(
    catalog: Catalog, tmp_path: Path
) -> None:
    codes = LAND.copy()
    codes[5:10, 5:10] = 60
    path = write_polygons(tmp_path / "crops.gpkg", codes, {11: 11.0, 13: 13.0, 60: None})
    area = read_labels(path, fields_of(catalog, "small"), column="crop")
    assert set(np.unique(area.codes)) == {0, 11, 13}
    assert (area.codes[5:10, 5:10] == 0).all()


def test_wrong_labels_are_told(catalog: Catalog, tmp_path: Path) -> None:
    fields = fields_of(catalog, "small")
    with pytest.raises(NotFound, match="there are no labels"):
        read_labels(tmp_path / "none.tif", fields)
    with pytest.raises(InvalidInput, match="whole numbers"):
        read_labels(write_labels(tmp_path / "float.tif", LAND, dtype="float32"), fields)
    with pytest.raises(NotFound, match="lies on a field"):
        read_labels(write_labels(tmp_path / "far.tif", LAND, crs="EPSG:32633"), fields)
    with pytest.raises(NotFound, match="has class 99 where there are fields; its classes are: 11, 13"):
        read_labels(write_labels(tmp_path / "lc.tif", LAND), fields, classes=["11", "99"])
    for name in ("text.tif", "text.geojson"):
        (tmp_path / name).write_text("no labels")
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_labels(tmp_path / name, fields, column="crop")


def test_wrong_columns_are_told(catalog: Catalog, tmp_path: Path) -> None:
    fields = fields_of(catalog, "small")
    path = write_polygons(tmp_path / "crops.geojson", LAND, {11: "wheat", 13: "grass"})
    with pytest.raises(InvalidInput, match=r"--label-column, one of crop"):
        read_labels(path, fields)
    with pytest.raises(NotFound, match=r"no column 'kind'; its columns are: crop"):
        read_labels(path, fields, column="kind")
    empty = write_polygons(tmp_path / "empty.gpkg", LAND, {11: "", 13: None})
    with pytest.raises(NotFound, match=r"no shape of .* has a class"):
        read_labels(empty, fields, column="crop")


def test_a_telling_field_beats_the_rest_and_the_report_is_kept(
    catalog: Catalog, tmp_path: Path, noise: None
) -> None:
    codes = LAND.copy()
    codes[36:, 75:] = 60
    request = request_of(catalog, write_labels(tmp_path / "lc.tif", codes), models=("small", "blind"))
    report = evaluate_fields(request)
    assert report.dropped_px == 16
    assert report.partial_splits == 0
    assert [one.name for one in report.classes] == ["11", "13"]
    assert "one block" in report.left_out["60"]
    assert report.kinds == {
        "small field": "field", "blind field": "field", "monthly composites": "classical",
        "coordinates": "coordinates",
    }  # fmt: skip
    means = {(one.features, one.shots, one.probe): one.mean for one in report.scores}
    assert len(means) == 4 * 3 * 2
    assert means["small field", "5", "knn"] > 0.95
    for name in ("blind field", "monthly composites", "coordinates"):
        assert means[name, "5", "ridge"] < 0.7
    assert [(one.field, one.shots) for one in report.margins[:3]] == [
        ("small field", "1"), ("small field", "5"), ("small field", "max")
    ]  # fmt: skip
    assert report.margins[0].error_reduction > 0.8
    kept = json.loads(Path(report.report).read_text())
    assert kept["scores"][0]["mean"] == report.scores[0].mean
    assert Path(report.picture).stat().st_size > 5000
    again = evaluate_fields(request)
    assert again.scores == report.scores


def test_baselines_can_be_left_out(catalog: Catalog, tmp_path: Path) -> None:
    report = evaluate_fields(request_of(catalog, write_labels(tmp_path / "lc.tif", LAND), baselines=False))
    assert list(report.features) == ["small field"]
    assert report.margins == []


def test_other_protocols_and_their_warning(catalog: Catalog, tmp_path: Path, noise: None) -> None:
    labels = write_labels(tmp_path / "lc.tif", LAND)
    parcels = evaluate_fields(request_of(catalog, labels, protocol="parcels", shots=(5,)))
    assert parcels.splits == 3
    assert not any("interpolation" in one for one in parcels.warnings)
    pixels = evaluate_fields(request_of(catalog, labels, protocol="random", shots=(5,)))
    assert "measures interpolation" in pixels.warnings[0]


def test_the_table_shows_every_description_and_the_best_of_a_column(
    catalog: Catalog, tmp_path: Path, noise: None
) -> None:
    from earthfield.cli import app

    labels = write_labels(tmp_path / "lc.tif", LAND)
    asked = [
        "evaluate", "--root", str(catalog.root), "--labels", str(labels), "--period", "2018", "--model", "small",
        "--model", "blind", "--classes", "11,13", "--shots", "1,max", "--draws", "2", "--protocol", "random",
    ]  # fmt: skip
    shown = CliRunner().invoke(app, asked, env={"COLUMNS": "120"})
    assert shown.exit_code == 0, shown.output
    rows = {line.split("  ")[0]: line for line in reversed(shown.stdout.splitlines())}
    assert rows["small field"].count("*") >= 4
    assert "monthly composites" in rows
    assert "measures interpolation" in shown.stdout
    assert "4.2 %" in shown.stdout
    assert "23.9 %" in shown.stdout
    wrong = CliRunner().invoke(app, [*asked, "--shots", "few"])
    assert wrong.exit_code != 0


def test_more_labels_than_there_are_and_missing_fields_are_refused(
    catalog: Catalog, tmp_path: Path, noise: None
) -> None:
    labels = write_labels(tmp_path / "lc.tif", LAND)
    with pytest.raises(InvalidInput, match="fewer than two classes"):
        evaluate_fields(request_of(catalog, labels, shots=(1500,)))
    with pytest.raises(InvalidInput, match="fewer than two classes"):
        evaluate_fields(request_of(catalog, labels, classes=("11",)))
    with pytest.raises(InvalidInput, match="whole numbers from 1, or max"):
        evaluate_fields(request_of(catalog, labels, shots=("few",)))
    with pytest.raises(NotFound, match="no field of model 'none'"):
        evaluate_fields(request_of(catalog, labels, models=("small", "none")))


def test_margins_are_those_of_errors_and_coordinates_are_no_rival() -> None:
    kinds: Any = {
        "a field": "field",
        "months": "classical",
        "waves": "classical",
        "coordinates": "coordinates",
    }
    scores = [
        Score("a field", "10", "knn", 0.80, 0.0), Score("a field", "10", "ridge", 0.70, 0.0),
        Score("months", "10", "knn", 0.60, 0.0), Score("waves", "10", "ridge", 0.75, 0.0),
        Score("coordinates", "10", "knn", 0.90, 0.0),
    ]  # fmt: skip
    (found,) = margins_of(scores, kinds)
    assert (found.rival, found.rival_probe, found.paper) == ("waves", "ridge", 0.104)
    assert found.error_reduction == pytest.approx(0.2)
    assert "n = 10" in places_apart(scores, kinds)
    assert places_apart(scores[:-1], kinds) == ""
