"""Labels to maps: training vectors from fields, every pixel told, and what could not be used named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from small_fields import TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.timeline import Period
from earthfield_search.api.app import create_app
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.classify import ClassifyAnswer, ClassifyQuestion, classify_fields
from earthfield_search.jobs.regress import RegressQuestion, regress_fields
from earthfield_search.labels import Labels, save_labels
from earthfield_search.learning.samples import Drawing, gather

NAMES = np.array(["field", "wood", "water"], object)
LAND = kinds()


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("learning"))
    vectors = vectors_of(LAND)
    vectors[:2, :3] = np.nan
    write_small(catalog, "2018", vectors)
    # A year later land is the other way round.
    write_small(catalog, "2019", vectors_of(LAND[:, ::-1], seed=1))
    return catalog


def points(count: int = 24, *, seed: int = 0, land: NDArray[np.int_] = LAND) -> Labels:
    """Points on known land, as many of each kind."""
    rng = np.random.default_rng(seed)
    rows, cols = rng.integers(3, WINDOW.shape[0], 4000), rng.integers(3, WINDOW.shape[1], 4000)
    of = land[rows, cols]
    picks = np.concatenate([np.flatnonzero(of == kind)[: count // 3] for kind in range(3)])
    places = [pixel_centre(TILE.epsg, WINDOW.y0 + rows[one], WINDOW.x0 + cols[one]) for one in picks]
    return Labels(shapely.points(places), NAMES[of[picks]], column="cover")


def box(top: int, left: int, height: int, width: int) -> shapely.Polygon:
    """A polygon around whole pixels of the window."""
    corners = [(top, left), (top, left + width), (top + height, left + width), (top + height, left)]
    return shapely.Polygon(
        [pixel_centre(TILE.epsg, WINDOW.y0 + y - 0.5, WINDOW.x0 + x - 0.5) for y, x in corners]
    )


def raster(answer: ClassifyAnswer, ending: str = "") -> NDArray[np.uint8]:
    [path] = [one for one in answer.files if one.endswith(f"{answer.files[0][-12:-4]}{ending}.tif")]
    with rasterio.open(path) as data:
        return np.asarray(data.read(1))


@pytest.mark.parametrize("method", ["linear", "knn", "forest"])
def test_every_pixel_is_told_across_tiles(catalog: Catalog, tmp_path: Path, method: str) -> None:
    question = ClassifyQuestion("small", "2018", method=method)  # type: ignore[arg-type]
    answer = classify_fields(catalog, question, labels=points(), folder=tmp_path)
    classes = raster(answer)
    names = np.array(["", *(one.name for one in answer.classes)], object)
    assert (classes[:2, :3] == 0).all()
    assert (names[classes][3:] == NAMES[LAND][3:]).all()
    assert sum(one.hectares for one in answer.classes) == pytest.approx((40 * 80 - 6) / 100)
    assert answer.score.balanced_accuracy == pytest.approx(1, abs=0.05)
    sure = raster(answer, "_probability")
    assert (sure[:2, :3] == 255).all() and 60 < sure[3:].mean() <= 100
    assert [one.labels for one in answer.classes] == [8, 8, 8]


def test_the_files_tell_what_they_hold_and_the_same_question_gives_the_same_bytes(
    catalog: Catalog, tmp_path: Path
) -> None:
    question = ClassifyQuestion("small", "2018", each_class=True)
    answer = classify_fields(catalog, question, labels=points(), folder=tmp_path)
    paths = [Path(one) for one in answer.files]
    assert [path.suffix for path in paths].count(".tif") == 5
    with rasterio.open(paths[0]) as data:
        assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        about, table = data.tags(), data.colormap(1)
    assert {about[f"class_{one.value}"]: one.colour for one in answer.classes} == {
        one.name: "#{:02X}{:02X}{:02X}".format(*table[one.value][:3]) for one in answer.classes
    }
    shares = [raster(answer, f"_p{one.value}").astype(int) for one in answer.classes]
    assert (np.abs(np.sum(shares, axis=0)[3:] - 100) <= 2).all()
    assert Image.open(paths[1]).size[0] > 600
    assert json.loads(paths[-1].read_text())["score"]["balanced_accuracy"] == answer.score.balanced_accuracy
    assert not [path for path in tmp_path.iterdir() if path.is_file() and path.name.startswith(".writing")]
    before = [path.read_bytes() for path in paths[:-1]]
    classify_fields(catalog, question, labels=points(), folder=tmp_path)
    assert before == [path.read_bytes() for path in paths[:-1]]


def test_only_the_area_is_mapped_and_labels_outside_of_it_still_teach(
    catalog: Catalog, tmp_path: Path
) -> None:
    area = box(10, 60, 8, 12).wkt
    answer = classify_fields(
        catalog, ClassifyQuestion("small", "2018", area=area), labels=points(60), folder=tmp_path
    )
    assert raster(answer).shape == (8, 12)
    assert {one.name: one.pixels for one in answer.classes} == {"field": 0, "water": 96, "wood": 0}
    assert answer.tiles == ["32631_0049_0549"] and answer.training.used == 60
    corners = shapely.get_coordinates(box(10, 60, 8, 12))[:3]
    question = ClassifyQuestion("small", "2018", area=shapely.Polygon(corners).wkt)
    half = raster(classify_fields(catalog, question, labels=points(60), folder=tmp_path))
    assert 40 <= (half > 0).sum() <= 56


def test_polygons_give_their_pixels_up_to_a_number_with_a_fixed_seed(catalog: Catalog) -> None:
    fields = fields_of(catalog, "small", Period.parse("2018").id)
    shapes = np.array(
        [
            box(5, 50, 4, 12),
            box(5, 22, 1, 1),
            shapely.Point(*pixel_centre(TILE.epsg, WINDOW.y0 + 9, WINDOW.x0 + 9)),
        ],
        object,
    )
    tiny = shapely.affinity.scale(shapes[1], 0.2, 0.2)
    labels = Labels(np.array([*shapes, tiny], object), np.array(["a", "b", "c", "d"], object))
    every = gather(labels, fields, Period.parse("2018"))
    assert np.bincount(every.label).tolist() == [48, 1, 1, 1]
    # The polygon lies on both tiles.
    assert {int(col) >= 50176 for col in every.pixel[every.label == 0, 3]} == {True, False}
    some = gather(labels, fields, Period.parse("2018"), drawing=Drawing(10, 3))
    again = gather(labels, fields, Period.parse("2018"), drawing=Drawing(10, 3))
    other = gather(labels, fields, Period.parse("2018"), drawing=Drawing(10, 4))
    assert np.bincount(some.label).tolist() == [10, 1, 1, 1]
    assert (some.pixel == again.pixel).all() and not (some.pixel == other.pixel).all()
    assert set(map(tuple, some.pixel)) <= set(map(tuple, every.pixel))
    row, col = every.pixel[every.label == 2][0, 2:]
    assert (row, col) == (WINDOW.y0 + 9, WINDOW.x0 + 9)
    assert np.allclose(every.vectors[every.label == 2][0], fields[0].vectors()[9, 9])


def test_labels_that_give_nothing_are_counted_and_named(catalog: Catalog, tmp_path: Path) -> None:
    good = points()
    nowhere, empty = shapely.Point(10, 10), shapely.Point(*pixel_centre(TILE.epsg, WINDOW.y0, WINDOW.x0))
    labels = Labels(
        np.array([*good.geometries, nowhere, empty], object), np.array([*good.values, "wood", "wood"], object)
    )
    training = classify_fields(
        catalog, ClassifyQuestion("small", "2018"), labels=labels, folder=tmp_path
    ).training
    assert (training.labels, training.used, training.outside, training.no_data) == (26, 24, 1, 1)
    assert [one.split(":")[0].split(" at")[0] for one in training.named] == ["label 25", "label 26"]
    with pytest.raises(NotFound, match=r"none of 1 labels gives a vector \(1 outside.*W S E N 10.0000"):
        gather(
            Labels(np.array([nowhere], object), np.array(["a"], object)),
            fields_of(catalog, "small"),
            Period.parse("2018"),
        )


def test_pixels_of_two_classes_teach_nothing_and_repeated_ones_once(catalog: Catalog, tmp_path: Path) -> None:
    good = points()
    shapes = np.array([*good.geometries, good.geometries[0], good.geometries[1]], object)
    values = np.array([*good.values, good.values[0], "water"], object)
    assert good.values[1] == "field"
    training = classify_fields(
        catalog, ClassifyQuestion("small", "2018"), labels=Labels(shapes, values), folder=tmp_path
    ).training
    assert (training.contradicting_px, training.repeated_px, training.pixels) == (1, 1, 23)


def test_labels_with_dates_are_read_from_the_period_that_holds_them(catalog: Catalog, tmp_path: Path) -> None:
    later = points(land=LAND[:, ::-1])
    count = len(later)
    start = np.full(count, np.datetime64("2019-05-01T00:00:00", "us"))
    end = np.full(count, np.datetime64("2019-05-02T00:00:00", "us"))
    start[0], end[0] = np.datetime64("2030-01-01", "us"), np.datetime64("2030-01-02", "us")
    start[1], end[1] = np.datetime64("2017-12-31", "us"), np.datetime64("2018-01-02", "us")
    labels = Labels(later.geometries, later.values, start, end)
    answer = classify_fields(catalog, ClassifyQuestion("small", "2018"), labels=labels, folder=tmp_path)
    assert answer.training.periods == ["2019"]
    assert (answer.training.not_in_time, answer.training.used) == (2, count - 2)
    names = np.array(["", *(one.name for one in answer.classes)], object)
    # Learnt in 2019, told of 2018.
    assert (names[raster(answer)][3:] == NAMES[LAND][3:]).all()


def test_numbers_are_told_and_scored(catalog: Catalog, tmp_path: Path) -> None:
    labels = points(60)
    amount = {"field": 2.0, "wood": 30.0, "water": -1.0}
    labels = Labels(labels.geometries, np.array([amount[one] for one in labels.values]), column="mass")
    for method in ("linear", "knn", "forest"):
        answer = regress_fields(
            catalog, RegressQuestion("small", "2018", method=method), labels=labels, folder=tmp_path
        )  # type: ignore[arg-type]
        with rasterio.open(answer.files[0]) as data:
            told = data.read(1)
        truth = np.vectorize(lambda kind: amount[NAMES[kind]])(LAND)
        assert np.isnan(told[:2, :3]).all()
        assert np.abs(told - truth)[3:].mean() < 2
        assert answer.score.r2 is not None and answer.score.r2 > 0.9
        known = told[np.isfinite(told)]
        assert (answer.pixels, answer.largest) == (known.size, known.max())
        assert (answer.mean, answer.std) == pytest.approx((known.mean(), known.std()), rel=1e-4)
    with pytest.raises(InvalidInput, match="needs numbers"):
        regress_fields(catalog, RegressQuestion("small", "2018"), labels=points(), folder=tmp_path)


def test_codes_of_classes_stay_the_values_of_the_raster(catalog: Catalog, tmp_path: Path) -> None:
    labels = points()
    codes = {"field": 11.0, "wood": 13.0, "water": 99.0}
    labels = Labels(labels.geometries, np.array([codes[one] for one in labels.values]))
    answer = classify_fields(catalog, ClassifyQuestion("small", "2018"), labels=labels, folder=tmp_path)
    assert np.unique(raster(answer)).tolist() == [0, 11, 13, 99]
    assert [one.name for one in answer.classes] == ["11", "13", "99"]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"method": "svm"}, "method 'svm' is unknown"),
        ({"model": "../x"}, "not a usable name"),
        ({"labels": "../x"}, "not a usable name"),
        ({"polygon_px": 0}, "0 px of a polygon"),
        ({"block_m": 1.0}, "blocks of 1.0 m"),
        ({"area": "/etc/passwd"}, "neither GeoJSON nor"),
        ({"period": "soon"}, "neither a year"),
    ],
)
def test_a_wrong_question_is_refused_in_a_sentence(told: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ClassifyQuestion(**({"model": "small", "period": "2018"} | told))  # type: ignore[arg-type]


def test_one_class_or_no_labels_are_refused(catalog: Catalog) -> None:
    one = points()
    own = one.values == "wood"
    with pytest.raises(InvalidInput, match=r"at least two classes .*'wood'"):
        classify_fields(
            catalog, ClassifyQuestion("small", "2018"), labels=Labels(one.geometries[own], one.values[own])
        )
    with pytest.raises(InvalidInput, match="no labels to learn from"):
        classify_fields(catalog, ClassifyQuestion("small", "2018"))
    with pytest.raises(NotFound, match="no labels 'crops'"):
        classify_fields(catalog, ClassifyQuestion("small", "2018", labels="crops"))


def features(labels: Labels) -> dict[str, object]:
    return {
        "type": "FeatureCollection",
        "features": [
            {"type": "Feature", "geometry": shapely.geometry.mapping(shape), "properties": {"cover": value}}
            for shape, value in zip(labels.geometries, labels.values, strict=True)
        ],
    }


def test_the_commands_take_files_and_names(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cover.geojson"
    path.write_text(json.dumps(features(points())))
    save_labels(catalog, "cover", points())
    shared = ["--model", "small", "--root", str(catalog.root), "--out", str(tmp_path)]
    for labels in (str(path), "cover"):
        args = ["classify", "--labels", labels, "--period", "2018", *shared, "--json"]
        assert exit_code_of(lambda args=args: app(args, standalone_mode=False)) == 0
        report = json.loads(capsys.readouterr().out)
        assert [one["labels"] for one in report["classes"]] == [8, 8, 8]
        assert all(Path(one).is_file() for one in report["files"])
    args = ["classify", "--labels", str(path), "--period", "2018", *shared]
    assert exit_code_of(lambda: app(args, standalone_mode=False)) == 0
    assert "Balanced accuracy" in capsys.readouterr().out
    numbers = tmp_path / "mass.csv"
    rows = [
        f"{one.x},{one.y},{len(str(value))}"
        for one, value in zip(points().geometries, points().values, strict=True)
    ]
    numbers.write_text("\n".join(["lon,lat,mass", *rows]) + "\n")
    args = ["regress", "--labels", str(numbers), *shared]
    assert exit_code_of(lambda: app(args, standalone_mode=False)) == 0
    assert "RMSE" in capsys.readouterr().out
    assert (
        exit_code_of(lambda: app(["classify", "--labels", "absent.csv", *shared], standalone_mode=False)) == 3
    )


def test_the_service_learns_from_labels_in_the_request_and_from_kept_ones(catalog: Catalog) -> None:
    client = TestClient(create_app(catalog.folder))
    asked = {"model": "small", "period": "2018", "labels": features(points()), "column": "cover"}
    answer = client.post("/classify", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert {one["name"] for one in told["classes"]} == {"field", "wood", "water"} and "files" not in told
    kinds_of = {link["type"].split(";")[0] for link in told["links"]}
    assert kinds_of == {"image/tiff", "image/png", "application/json"}
    for link in told["links"]:
        assert client.get(link["href"]).status_code == 200
    save_labels(catalog, "kept", points())
    kept = client.post(
        "/classify", json={"model": "small", "period": "2018", "labels": "kept", "method": "knn"}
    )
    assert kept.status_code == 200 and kept.json()["score"]["balanced_accuracy"] is not None
    numbers = features(Labels(points().geometries, np.arange(24.0)))
    told = client.post("/regress", json=asked | {"labels": numbers}).json()
    assert told["pixels"] == 40 * 80 - 6
    for wrong in (
        {"labels": "/etc/passwd"}, {"labels": "../kept"}, {"method": "svm"}, {"area": "/etc/passwd"}, {"more": 1},
        {"labels": {"type": "FeatureCollection", "features": []}}, {"period": "x"}, {"column": "nothing"},
        {"labels": {"type": "FeatureCollection", "features": [{"geometry": {"type": "Point"}}]}},
    ):  # fmt: skip
        refused = client.post("/classify", json=asked | wrong)
        assert refused.status_code == 422, wrong
        assert set(refused.json()) >= {"error", "message"}
    assert (
        client.post("/classify", json={"model": "small", "period": "2018", "labels": "absent"}).status_code
        == 404
    )
