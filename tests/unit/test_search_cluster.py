"""Clusters of fields: wall to wall, in an area, with colours that stay put between runs and periods."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer
from small_fields import WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import fields_of
from earthfield.grid import PIXEL_M
from earthfield_search.api.app import create_app
from earthfield_search.clusters.earlier import KeptClusters, clusters_like, read_clusters
from earthfield_search.clusters.outlines import outlines
from earthfield_search.ground.coverage import coverages
from earthfield_search.jobs import cluster as job
from earthfield_search.jobs.cluster import ClusterQuestion, cluster_fields, sample_of


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("clusters"))
    vectors = vectors_of(kinds())
    vectors[:2, :3] = np.nan
    write_small(catalog, "2018", vectors)
    land = kinds()
    land[20:, 40:] = 3
    write_small(catalog, "2019", vectors_of(land, seed=1))
    return catalog


@pytest.fixture(scope="module")
def area() -> str:
    """The western half of the window, as WKT."""
    turn = Transformer.from_crs(32631, 4326, always_xy=True).transform
    box = shapely.box(*(value * PIXEL_M for value in (WINDOW.x0, -WINDOW.y1, WINDOW.x0 + 40, -WINDOW.y0)))
    return str(shapely.transform(box.buffer(-1), turn, interleaved=False).wkt)


def classes_in(files: list[str]) -> NDArray[np.uint8]:
    with rasterio.open(next(one for one in files if one.endswith(".tif"))) as data:
        return np.asarray(data.read(1))


def command(*args: object) -> int:
    return exit_code_of(lambda: app(["cluster", *map(str, args)], standalone_mode=False))


def test_every_pixel_has_the_class_of_its_kind(catalog: Catalog, tmp_path: Path) -> None:
    told = []
    answer = cluster_fields(
        catalog, ClusterQuestion("small", "2018", 3), folder=tmp_path, progress=lambda *one: told.append(one)
    )
    classes = classes_in(answer.files)
    for kind in range(3):
        assert len(np.unique(classes[(kinds() == kind) & (classes > 0)])) == 1
    assert (classes[:2, :3] == 0).all()
    assert (answer.pixels, sum(one.pixels for one in answer.clusters)) == (40 * 80 - 6, 40 * 80 - 6)
    assert (answer.k, answer.noise, answer.like) == (3, 0, None)
    assert [Path(one).suffix for one in answer.files] == [".tif", ".png", ".json"]
    assert Image.open(answer.files[1]).size[0] > 600
    assert {one[0] for one in told} == {"drawing a sample", "classifying every pixel"}
    with rasterio.open(answer.files[0]) as data:
        colours = [data.colormap(1)[one.cluster][:3] for one in answer.clusters]
    assert colours == [tuple(bytes.fromhex(one.colour[1:])) for one in answer.clusters]


def test_an_area_is_clustered_alone(catalog: Catalog, area: str, tmp_path: Path) -> None:
    answer = cluster_fields(catalog, ClusterQuestion("small", "2018", 2, area=area), folder=tmp_path)
    assert classes_in(answer.files).shape == (40, 40)
    assert answer.pixels == 40 * 40 - 6
    whole = cluster_fields(catalog, ClusterQuestion("small", "2018", 2), folder=tmp_path)
    assert not set(answer.files) & set(whole.files)


def test_the_same_question_gives_the_same_bytes(catalog: Catalog, tmp_path: Path) -> None:
    def files() -> list[bytes]:
        question = ClusterQuestion("small", "2018", 3, seed=2)
        return [Path(one).read_bytes() for one in cluster_fields(catalog, question, folder=tmp_path).files]

    assert files() == files()


def test_colours_stay_between_periods(catalog: Catalog, tmp_path: Path) -> None:
    first = cluster_fields(catalog, ClusterQuestion("small", "2018", 3), folder=tmp_path)
    kept = read_clusters(Path(first.files[-1]))
    # Other numbers than the first axis gives, so that only the earlier answer can bring them back.
    numbers = np.array([3, 1, 2], np.uint8)
    kept = KeptClusters("before", clusters_like(kept.clusters.centres, numbers), kept.model, kept.maker)
    later = cluster_fields(catalog, ClusterQuestion("small", "2019", 4), like=kept, folder=tmp_path)
    before, after = numbers[classes_in(first.files)[10:20] - 1], classes_in(later.files)[10:20]
    assert (before == after).all()
    assert {one.cluster: one.kept is not None for one in later.clusters} == {
        1: True,
        2: True,
        3: True,
        4: False,
    }
    assert later.like == "before"


def test_numbers_with_gaps_are_drawn_in_their_colours(catalog: Catalog, tmp_path: Path) -> None:
    first = cluster_fields(catalog, ClusterQuestion("small", "2018", 3), folder=tmp_path)
    kept = KeptClusters("gaps", clusters_like(first.centres, [2, 11, 200]))
    answer = cluster_fields(catalog, ClusterQuestion("small", "2018", 3), like=kept, folder=tmp_path)
    assert [one.cluster for one in answer.clusters] == [2, 11, 200]
    picture = np.asarray(Image.open(answer.files[1]).convert("RGB")).reshape(-1, 3)
    seen = {tuple(colour) for colour in picture}
    assert all(tuple(bytes.fromhex(one.colour[1:])) in seen for one in answer.clusters)


def test_dense_clusters_are_found_without_a_number(catalog: Catalog, tmp_path: Path) -> None:
    question = ClusterQuestion("small", "2018", method="hdbscan", min_share=0.1)
    answer = cluster_fields(catalog, question, folder=tmp_path)
    assert answer.k == 3
    assert [one.cluster for one in answer.clusters] == [1, 2, 3, 255]
    assert 0 <= answer.noise < 0.05
    assert answer.noise == answer.clusters[-1].share


def test_of_very_many_strips_some_are_read(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    covered = coverages(fields_of(catalog, "small", "20180101_20190101"))
    strips = len(list(covered[0].strips()))
    assert strips > 1
    every = sample_of(covered, size=10**6, seed=0)
    assert len(every) == 40 * 80 - 6
    assert 200 < len(sample_of(covered, size=400, seed=0)) < 600
    monkeypatch.setattr(job, "_STRIPS", 1)
    read = []
    sample_of(covered, size=100, seed=0, progress=lambda *told: read.append(told))
    assert len(read) == 1


def test_the_command_keeps_the_newest_numbers(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["-k", 3, "--model", "small", "--root", catalog.root, "--out", tmp_path]
    assert command(*shared, "--period", "2018", "--json") == 0
    first = json.loads(capsys.readouterr().out)
    kept = Path(first["files"][-1])
    content = json.loads(kept.read_text())
    content["numbers"] = content["numbers"][::-1]
    kept.write_text(json.dumps(content))
    assert command(*shared, "--period", "2018", "--seed", 7, "--json") == 0
    second = json.loads(capsys.readouterr().out)
    assert (4 - classes_in(first["files"])[5:] == classes_in(second["files"])[5:]).all()
    assert second["like"] == kept.name
    assert command(*shared, "--period", "2018", "--seed", 7, "--fresh") == 0
    assert "Numbers and colours" not in capsys.readouterr().out
    assert command(*shared, "--period", "2019", "--like", kept) == 0
    assert "Numbers and colours are those of" in " ".join(capsys.readouterr().out.split())


def test_wrong_options_are_told_in_a_sentence(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["--model", "small", "--root", catalog.root, "--out", tmp_path]
    assert command(*shared, "--method", "magic") == 2
    assert command(*shared, "--like", tmp_path / "none.json") == 3
    (tmp_path / "broken.json").write_text('{"schema": "earthfield-clusters/1"}')
    assert command(*shared, "--like", tmp_path / "broken.json") == 2
    assert command(*shared, "--like", tmp_path / "broken.json", "--fresh") == 2
    assert command(*shared, "--bbox", 20, 20, 21, 21) == 3
    assert "Traceback" not in capsys.readouterr().err


def test_clusters_of_another_model_lend_nothing(catalog: Catalog, tmp_path: Path) -> None:
    answer = cluster_fields(catalog, ClusterQuestion("small", "2018", 3), folder=tmp_path)
    content = json.loads(Path(answer.files[-1]).read_text())
    (tmp_path / "other.json").write_text(json.dumps({**content, "maker": "other"}))
    other = read_clusters(tmp_path / "other.json")
    with pytest.raises(Conflict, match="--fresh"):
        cluster_fields(catalog, ClusterQuestion("small", "2018", 3), like=other, folder=tmp_path)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 255}, "1..254"),
        ({"seed": -1}, "negative"),
        ({"method": "magic"}, "unknown"),
        ({"min_share": 0.7}, "0..0.5"),
        ({"area": "osm:relation/1"}, "neither"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidInput, match=words):
        ClusterQuestion("small", "2018", **options)


def test_a_place_without_data_is_told(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    write_small(catalog, "2018", np.full((*WINDOW.shape, 64), np.nan, np.float32))
    with pytest.raises(NotFound, match="has data there"):
        cluster_fields(catalog, ClusterQuestion("small", "2018", 3))


def test_the_service_tells_clusters_and_keeps_numbers(catalog: Catalog, area: str) -> None:
    client = TestClient(create_app(Path(str(catalog.root))))
    asked = {"model": "small", "period": "2018", "k": 2, "area": area}
    answer = client.post("/cluster", json=asked)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert sum(one["pixels"] for one in told["clusters"]) == told["pixels"] == 40 * 40 - 6
    for link in told["links"]:
        assert client.get(link["href"]).status_code == 200
    like = {"centres": told["centres"], "numbers": [2, 1]}
    again = client.post("/cluster", json={**asked, "period": "2019", "like": like}).json()
    assert again["numbers"] == [1, 2]
    assert all(one["kept"] is not None for one in again["clusters"])
    np.testing.assert_allclose(again["centres"], told["centres"][::-1], atol=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"k": 0},
        {"method": "magic"},
        {"like": {"centres": [[0.1, 0.2], [0.3]]}},
        {"like": {"centres": [[0.1]], "numbers": [1, 2]}},
        {"like": {"centres": [[0.1, 0.2]]}},
        {"like": "/etc/passwd"},
        {"area": "osm:relation/1"},
        {"period": "20x"},
        {"model": "../x"},
        {"folder": "x"},
    ],
)
def test_the_service_refuses_what_cannot_be(catalog: Catalog, wrong: dict) -> None:  # type: ignore[type-arg]
    client = TestClient(create_app(Path(str(catalog.root))))
    answer = client.post("/cluster", json={"model": "small", "period": "2018", "k": 2, **wrong})
    assert answer.status_code == 422, answer.text


def test_outlines_cover_the_land_of_each_cluster(catalog: Catalog, tmp_path: Path) -> None:
    question = ClusterQuestion("small", "2018", 3, outlines=True)
    answer = cluster_fields(catalog, question, folder=tmp_path)
    told = json.loads(next(Path(one) for one in answer.files if one.endswith(".geojson")).read_text())
    to_zone = Transformer.from_crs(4326, 32631, always_xy=True).transform
    hectares = {
        feature["properties"]["cluster"]: shapely.transform(
            shapely.geometry.shape(feature["geometry"]), to_zone, interleaved=False
        ).area / 1e4
        for feature in told["features"]
    }  # fmt: skip
    assert answer.outlined and hectares == pytest.approx(
        {one.cluster: one.hectares for one in answer.clusters}, abs=0.002
    )
    assert [feature["properties"]["colour"] for feature in told["features"]] == [
        one.colour for one in answer.clusters
    ]


def test_spots_join_what_surrounds_them_in_outlines(tmp_path: Path) -> None:
    classes = np.ones((20, 20), np.uint8)
    classes[4:6, 4:6], classes[10:13, 10:13], classes[:, 18:] = 2, 2, 0
    path = tmp_path / "classes.tif"
    profile = {
        "driver": "GTiff",
        "height": 20,
        "width": 20,
        "count": 1,
        "dtype": "uint8",
        "crs": "EPSG:32631",
    }
    with rasterio.open(
        path, "w", **profile, transform=rasterio.Affine(10, 0, 500_000, 0, -10, 5_600_000)
    ) as data:
        data.write(classes, 1)
    found = outlines([path], {1: {"cluster": 1}, 2: {"cluster": 2}})
    assert [len(one["geometry"]["coordinates"]) for one in found] == [1, 1], "of 4 px, and of 9"
    assert [len(part) for one in found for part in one["geometry"]["coordinates"]] == [2, 1], (
        "one hole is left"
    )


def test_outlines_of_very_many_pixels_are_left_out_and_that_is_told(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "MOST_PIXELS", 40 * 80 - 1)
    answer = cluster_fields(catalog, ClusterQuestion("small", "2018", 3, outlines=True), folder=tmp_path)
    assert not answer.outlined and not [one for one in answer.files if one.endswith(".geojson")]
