"""Questions that fields answer: what is alike, what belongs together, what has changed."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image
from small_fields import WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.schemas import IndexRequest
from earthfield_search.ground.places import distances_m, pick_apart, pixel_centre
from earthfield_search.jobs.change import ChangeQuestion, detect_change
from earthfield_search.jobs.cluster import ClusterQuestion, cluster_fields
from earthfield_search.jobs.index import index_fields
from earthfield_search.jobs.similar import SimilarQuestion, find_similar, similarity_map, write_similar

LON, LAT = pixel_centre(32631, WINDOW.y0 + 20, WINDOW.x0 + 45)
"""Inside the second strip of kind 0."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("questions"))
    before = vectors_of(kinds())
    before[:2, :3] = np.nan
    write_small(catalog, "2018", before)
    land = kinds()
    land[10:18, 50:62] = 3
    land[30, 5] = 3
    write_small(catalog, "2019", vectors_of(land, seed=1))
    index_fields(IndexRequest(root=catalog.root, model="small"))
    return catalog


def test_cells_of_the_same_kind_come_first_and_the_own_cell_not_at_all(catalog: Catalog) -> None:
    answer = find_similar(catalog, SimilarQuestion.at("small", LON, LAT, "2018", 20))
    assert (answer.period, answer.num_cells, answer.asked[0].is_pixel) == ("2018", 50, True)
    assert [hit.rank for hit in answer.hits] == list(range(1, 21))
    scores = [hit.score for hit in answer.hits]
    assert scores == sorted(scores, reverse=True)
    assert min(hit.pixel_score for hit in answer.hits) > 0.95
    assert min(hit.distance_m for hit in answer.hits) > 40
    for hit in answer.hits:
        near = distances_m(
            np.array([hit.pixel_lon]), np.array([hit.pixel_lat]), from_lon=hit.lon, from_lat=hit.lat
        )
        assert near[0] < 57


def test_without_a_period_the_newest_field_answers(catalog: Catalog) -> None:
    assert find_similar(catalog, SimilarQuestion.at("small", LON, LAT)).period == "2019"


def test_answers_keep_their_distance(catalog: Catalog) -> None:
    answer = find_similar(catalog, SimilarQuestion.at("small", LON, LAT, "2018", 5, 150.0))
    lons, lats = (np.array([getattr(hit, name) for hit in answer.hits]) for name in ("lon", "lat"))
    for hit in answer.hits:
        assert hit.distance_m >= 150
        away = distances_m(lons, lats, from_lon=hit.lon, from_lat=hit.lat)
        assert sorted(away)[1] >= 150


def test_a_pixel_without_data_asks_with_its_cell(catalog: Catalog) -> None:
    lon, lat = pixel_centre(32631, WINDOW.y0, WINDOW.x0)
    answer = find_similar(catalog, SimilarQuestion.at("small", lon, lat, "2018", 3))
    assert not answer.asked[0].is_pixel
    assert answer.hits[0].score > 0.95


def test_the_answer_s_files_say_the_same(catalog: Catalog, tmp_path: Path) -> None:
    answer = find_similar(catalog, SimilarQuestion.at("small", LON, LAT, "2018", 4))
    geojson, raster, picture = write_similar(catalog, answer, folder=tmp_path)
    features = json.loads(geojson.read_text())["features"]
    assert [one["properties"]["role"] for one in features] == ["query"] + ["hit"] * 4
    ((coverage, scores),) = similarity_map(catalog, answer)
    with rasterio.open(raster) as data:
        assert data.shape == WINDOW.shape
        assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        for one in features[1:]:
            [value] = next(data.sample([_projected(one["geometry"]["coordinates"])]))
            assert value == pytest.approx(one["properties"]["pixel_score"], abs=1e-4)
        assert np.isnan(data.read(1)[:2, :3]).all()
    assert scores.shape == coverage.window.shape
    assert Image.open(picture).size[0] > 600
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    before = [path.read_bytes() for path in (geojson, raster, picture)]
    write_similar(
        catalog, find_similar(catalog, SimilarQuestion.at("small", LON, LAT, "2018", 4)), folder=tmp_path
    )
    assert before == [path.read_bytes() for path in (geojson, raster, picture)]


def test_clusters_are_the_kinds_across_tiles(catalog: Catalog) -> None:
    answer = cluster_fields(catalog, ClusterQuestion("small", "2018", 3))
    assert [one.cluster for one in answer.clusters] == [1, 2, 3]
    assert sum(one.pixels for one in answer.clusters) == 40 * 80 - 6
    with rasterio.open(answer.files[0]) as data:
        classes, palette = data.read(1), data.colormap(1)
    land = kinds()
    for kind in range(3):
        assert len(np.unique(classes[(land == kind) & (classes > 0)])) == 1
    assert (classes[:2, :3] == 0).all()
    assert palette[1][:3] == (0x00, 0x72, 0xB2)


def test_what_changed_is_found_and_nothing_else(catalog: Catalog) -> None:
    answer = detect_change(catalog, ChangeQuestion("small", "2018", "2019"))
    assert answer.num_patches == 1
    assert answer.patches[0].hectares == 0.96
    assert answer.changed_pixels == 96
    assert answer.median < answer.threshold < answer.patches[0].mean_distance
    assert "not calibrated" in answer.caution
    lon, lat = pixel_centre(32631, WINDOW.y0 + 14, WINDOW.x0 + 56)
    where = distances_m(
        np.array([lon]), np.array([lat]), from_lon=answer.patches[0].lon, from_lat=answer.patches[0].lat
    )
    assert where[0] < 80
    [geojson] = [Path(path) for path in answer.files if path.endswith(".geojson")]
    [feature] = json.loads(geojson.read_text())["features"]
    assert feature["geometry"]["type"] == "Polygon"
    small = detect_change(catalog, ChangeQuestion("small", "2018", "2019", min_pixels=1))
    assert small.num_patches == 2


def test_fields_far_apart_make_a_raster_each(tmp_path: Path) -> None:
    from dataclasses import replace

    from small_fields import TILE

    from earthfield.field import Field
    from earthfield_search.ground.coverage import coverages

    catalog = Catalog(tmp_path)
    [key, _] = write_small(catalog, "2018", vectors_of(kinds()))
    near = Field(catalog, key)
    far = Field(catalog, key)
    far.key = replace(key, tile=replace(TILE, col=TILE.col + 5))
    far.window = near.window.shifted(0, 5 * 1024)
    found = coverages([far, near])
    assert [one.suffix for one in found] == [f"_{TILE.id}", "_32631_0053_0549"]
    assert [one.suffix for one in coverages([near])] == [""]


def test_picks_keep_the_order_they_come_in() -> None:
    lon, lat = np.array([3.0, 3.0001, 3.01]), np.full(3, 50.0)
    assert pick_apart(lon, lat, count=3, apart_m=100).tolist() == [0, 2]
    assert pick_apart(lon, lat, count=2, apart_m=0).tolist() == [0, 1]


def test_picks_are_those_of_comparing_every_pair() -> None:
    rng = np.random.default_rng(5)
    for at, spread, apart_m in (
        (3.0, 0.02, 150.0),
        (179.999, 0.02, 300.0),
        (0.0, 0.0001, 0.5),
        (0.0, 60.0, 2e6),
    ):
        lon = (at + spread * rng.normal(size=200) + 180) % 360 - 180
        lat = np.clip(52 + spread * rng.normal(size=200), -80, 84)
        slowly: list[int] = []
        for one in range(200):
            away = distances_m(lon[slowly], lat[slowly], from_lon=lon[one], from_lat=lat[one])
            if not slowly or away.min() >= apart_m:
                slowly.append(one)
        assert pick_apart(lon, lat, count=200, apart_m=apart_m).tolist() == slowly
        assert pick_apart(lon, lat, count=3, apart_m=apart_m).tolist() == slowly[:3]


@pytest.mark.parametrize(
    ("question", "words"),
    [
        (lambda: SimilarQuestion.at("small", LON, LAT, k=0), "k is 0"),
        (lambda: SimilarQuestion.at("small", 200, LAT), "not a place"),
        (lambda: SimilarQuestion.at("small", LON, LAT, "20x"), "neither a year"),
        (lambda: SimilarQuestion.at("../x", LON, LAT), "not a usable name"),
        (lambda: ClusterQuestion("small", "2018", 0), "k is 0"),
        (lambda: ChangeQuestion("small", "2018", "2018-01..2018-12"), "two different"),
        (lambda: ChangeQuestion("small", "2018", "2019", threshold=3), "outside 0..2"),
    ],
)
def test_a_wrong_question_is_refused_in_a_sentence(question, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput, match=words):
        question()


def test_what_is_not_there_is_told_with_what_is(catalog: Catalog) -> None:
    with pytest.raises(NotFound, match=r"outside every field of small.*W S E N"):
        find_similar(catalog, SimilarQuestion.at("small", 10, 10))
    with pytest.raises(NotFound, match="there are: small 2018, small 2019"):
        find_similar(catalog, SimilarQuestion.at("nobody", LON, LAT))
    with pytest.raises(NotFound, match="small 2018"):
        cluster_fields(catalog, ClusterQuestion("small", "1999"))


def test_the_command_prints_one_json_object(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        "search",
        "--at",
        str(LON),
        str(LAT),
        "-k",
        "3",
        "--model",
        "small",
        "--root",
        str(catalog.root),
        "--json",
    ]
    assert exit_code_of(lambda: app(args, standalone_mode=False)) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["hits"]) == 3
    assert len(report["files"]) == 3
    assert all(Path(path).is_file() for path in report["files"])


def test_the_command_shows_a_table(catalog: Catalog, capsys: pytest.CaptureFixture[str]) -> None:
    args = ["change", "--periods", "2018", "2019", "--model", "small", "--root", str(catalog.root)]
    assert exit_code_of(lambda: app(args, standalone_mode=False)) == 0
    shown = capsys.readouterr().out
    assert "0.96" in shown
    assert "not calibrated" in " ".join(shown.split())


def _projected(place: list[float]) -> tuple[float, float]:
    from pyproj import Transformer

    return Transformer.from_crs(4326, 32631, always_xy=True).transform(*place)
