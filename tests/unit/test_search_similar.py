"""Questions of likeness: every kind of example, where to look, how many, and what is told of the answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from small_fields import EAST, KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.codec import normalised
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import Field
from earthfield.schemas import IndexRequest
from earthfield.timeline import Period
from earthfield_search.asking import ranking, sought, words
from earthfield_search.asking.question import Like, SimilarQuestion, Within
from earthfield_search.ground.places import distances_m, locate, pixel_centre
from earthfield_search.jobs.index import index_fields
from earthfield_search.jobs.similar import find_similar, similarity_map, write_similar
from earthfield_search.labels import Labels, save_labels


def lonlat(row: int, col: int) -> tuple[float, float]:
    """The middle of a pixel of the window."""
    return pixel_centre(32631, WINDOW.y0 + row, WINDOW.x0 + col)


def box(row0: int, row1: int, col0: int, col1: int) -> str:
    """A box of pixels of the window as WKT, a little smaller so that no other pixel's centre is in it."""
    (west, north), (east, south) = lonlat(row0, col0), lonlat(row1 - 1, col1 - 1)
    room = 2e-5
    return shapely.box(west - room, south - room, east + room, north + room).wkt


def kind_of(hit: object) -> int:
    """The kind of land of a hit's best pixel."""
    from earthfield.grid import pixel_at

    row, col = pixel_at(32631, hit.pixel_lon, hit.pixel_lat)  # type: ignore[attr-defined]
    return int(kinds()[row - WINDOW.y0, col - WINDOW.x0])


ON_0, ON_1, ON_2 = lonlat(20, 45), lonlat(20, 28), lonlat(20, 70)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("similar"))
    write_small(catalog, "2018", vectors_of(kinds()))
    write_small(catalog, "2019", vectors_of(kinds(), seed=1))
    index_fields(IndexRequest(root=catalog.root, model="small"))
    shapes = [shapely.from_wkt(box(0, 16, 64, 80)), shapely.Point(ON_1), shapely.Point(ON_0)]
    save_labels(catalog, "land", Labels(np.array(shapes, object), np.array(["two", "one", "nought"])))
    return catalog


def ask(catalog: Catalog, like: Like, **more: object):  # type: ignore[no-untyped-def]
    return find_similar(catalog, SimilarQuestion("small", like, "2018", **more))  # type: ignore[arg-type]


def test_several_places_are_asked_with_as_one_and_their_cells_are_left_out(catalog: Catalog) -> None:
    answer = ask(catalog, Like(at=(ON_0, lonlat(4, 4))), k=30)
    assert (answer.examples, len(answer.asked)) == (2, 2)
    assert answer.purity > 0.95
    assert not answer.cautions
    assert {kind_of(hit) for hit in answer.hits[:20]} == {0}
    for lon, lat in (ON_0, lonlat(4, 4)):
        near = distances_m(
            np.array([hit.lon for hit in answer.hits]),
            np.array([hit.lat for hit in answer.hits]),
            from_lon=lon,
            from_lat=lat,
        )
        assert near.min() > 40
    assert answer.hits[0].distance_m == pytest.approx(
        min(
            distances_m(
                np.array([answer.hits[0].lon]), np.array([answer.hits[0].lat]), from_lon=lon, from_lat=lat
            )[0]
            for lon, lat in (ON_0, lonlat(4, 4))
        ),
        abs=10,
    )


def test_a_polygon_asks_with_the_mean_of_its_pixels(catalog: Catalog) -> None:
    answer = ask(catalog, Like(polygon=box(8, 24, 24, 36)), k=10)
    field = Field(catalog, next(catalog.fields("small", TILE)))
    own = field.vectors(WINDOW & field.window)[8:24, 24:36].reshape(-1, 64)
    assert answer.examples == 16 * 12
    assert np.allclose(answer.vector, normalised(own.mean(axis=0)), atol=1e-5)
    assert answer.purity == pytest.approx(float(np.linalg.norm(own.mean(axis=0))), abs=1e-4)
    assert {kind_of(hit) for hit in answer.hits} == {1}
    # Columns 24 to 35 lie in two columns of cells, rows 8 to 23 in two rows: these four hold the examples.
    assert len(ask(catalog, Like(polygon=box(8, 24, 24, 36)), k=100).hits) == 50 - 4


def test_examples_that_are_not_alike_are_told(catalog: Catalog) -> None:
    answer = ask(catalog, Like(polygon=box(0, 40, 0, 80)), k=3)
    assert answer.purity < 0.75
    assert "not alike" in answer.cautions[0]


def test_a_vector_a_text_and_a_label_find_what_they_stand_for(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sought, "vector_of_text", lambda catalog, field, text: KINDS[{"one": 1, "two": 2}[text]]
    )
    for like in (Like(vector=tuple(3 * KINDS[2])), Like(text="two"), Like(label="land:two")):
        answer = ask(catalog, like, k=8)
        assert {kind_of(hit) for hit in answer.hits} == {2}
        assert answer.hits[0].distance_m is None or like.label
    labelled = ask(catalog, Like(label="land:two"), k=20)
    inside = shapely.from_wkt(box(0, 16, 64, 80))
    assert not any(inside.contains(shapely.Point(hit.lon, hit.lat)) for hit in labelled.hits)
    # The one cell that holds the labelled point.
    assert len(ask(catalog, Like(label="land:one"), k=100).hits) == 50 - 1


def test_what_it_does_not_look_like_is_moved_away_from(catalog: Catalog) -> None:
    between = tuple(KINDS[0] + 1.05 * KINDS[1])
    with_both = ask(catalog, Like(vector=between), k=10)
    assert 1 in {kind_of(hit) for hit in with_both.hits}
    refined = ask(catalog, Like(vector=between, not_at=(ON_1,)), k=10)
    assert {kind_of(hit) for hit in refined.hits} == {0}
    assert [one.wanted for one in refined.asked] == [False]
    assert np.linalg.norm(refined.vector) == pytest.approx(1, abs=1e-5)


def test_the_filter_decides_where_is_looked(catalog: Catalog) -> None:
    east = ask(catalog, Like(at=(ON_0,)), k=50, within=Within(tiles=(EAST.id,)))
    assert {hit.tile for hit in east.hits} == {EAST.id}
    assert east.num_cells == 15
    area = ask(catalog, Like(at=(ON_0,)), k=50, within=Within(area=box(0, 16, 0, 24)))
    assert len(area.hits) == area.num_cells == 6
    pure = ask(catalog, Like(at=(ON_0,)), k=50, within=Within(min_purity=0.9))
    assert 0 < len(pure.hits) < 49
    assert min(hit.purity for hit in pure.hits) >= 0.9
    labelled = ask(catalog, Like(at=(ON_0,)), k=50, within=Within(label="land:one"))
    assert len(labelled.hits) == 1
    assert (
        distances_m(
            np.array([labelled.hits[0].lon]),
            np.array([labelled.hits[0].lat]),
            from_lon=ON_1[0],
            from_lat=ON_1[1],
        )[0]
        < 57
    )
    with pytest.raises(NotFound, match="no cell passes"):
        ask(catalog, Like(at=(ON_0,)), within=Within(area=box(0, 16, 0, 24), tiles=(EAST.id,)))


def test_a_place_in_one_period_is_looked_for_in_others(catalog: Catalog) -> None:
    answer = ask(catalog, Like(at=(ON_0,)), k=60, within=Within(periods=("2019",)))
    assert (answer.period, answer.periods) == ("2018", ["2019"])
    assert {hit.period for hit in answer.hits} == {"2019"}
    # Its own place is an answer there.
    assert min(hit.distance_m or 0 for hit in answer.hits) < 57
    both = ask(catalog, Like(at=(ON_0,)), k=200, within=Within(periods=("2018", "2019")))
    assert len(both.hits) == both.num_cells - 1 == 99
    with pytest.raises(NotFound, match="holds no cells of 2020"):
        ask(catalog, Like(at=(ON_0,)), within=Within(periods=("2020",)))


def test_everything_above_a_threshold_is_found_and_counted(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ask(catalog, Like(at=(ON_0,)), k=50)
    threshold = (whole.hits[11].score + whole.hits[12].score) / 2
    above = ask(catalog, Like(at=(ON_0,)), above=threshold)
    assert [hit.cell for hit in above.hits] == [hit.cell for hit in whole.hits[:12]]
    assert (above.num_found, above.is_complete) == (12, True)
    some = ask(catalog, Like(at=(ON_0,)), above=threshold, k=5)
    assert [hit.cell for hit in some.hits] == [hit.cell for hit in whole.hits[:5]]
    monkeypatch.setattr(ranking, "MOST_ABOVE", 7)
    cut = ask(catalog, Like(at=(ON_0,)), above=threshold)
    assert not cut.is_complete
    assert cut.num_found <= 7


@pytest.mark.parametrize("how", [{"k": 23}, {"above": 0.0}, {"k": 9, "min_distance_m": 100.0}])
def test_pages_make_up_the_whole_answer(catalog: Catalog, how: dict[str, float]) -> None:
    whole = ask(catalog, Like(at=(ON_0,)), **how)
    pages, offset = [], 0
    while True:
        page = ask(catalog, Like(at=(ON_0,)), **how, offset=offset, limit=4)
        assert page.num_found == whole.num_found
        pages += page.hits
        offset += len(page.hits)
        if not page.hits:
            break
    assert [(hit.rank, hit.cell) for hit in pages] == [(hit.rank, hit.cell) for hit in whole.hits]


def test_a_diverse_answer_begins_with_the_best_and_spreads(catalog: Catalog) -> None:
    plain = ask(catalog, Like(at=(ON_0,)), k=5)
    diverse = ask(catalog, Like(at=(ON_0,)), k=5, diverse=0.7)
    assert diverse.hits[0].cell == plain.hits[0].cell
    assert len({kind_of(hit) for hit in diverse.hits}) > len({kind_of(hit) for hit in plain.hits}) == 1
    apart = ask(catalog, Like(at=(ON_0,)), k=4, diverse=0.3, min_distance_m=150.0)
    lon, lat = (np.array([getattr(hit, name) for hit in apart.hits]) for name in ("lon", "lat"))
    for hit in apart.hits:
        assert sorted(distances_m(lon, lat, from_lon=hit.lon, from_lat=hit.lat))[1] >= 150


def test_a_polygon_that_is_not_like_one_place_is_written_too(catalog: Catalog, tmp_path: Path) -> None:
    answer = ask(catalog, Like(polygon=box(0, 16, 44, 56), not_at=(ON_2,)), k=5)
    assert len(answer.asked) == 1
    [path] = write_similar(catalog, answer, folder=tmp_path, maps=False)
    places = json.loads(path.read_text())["features"]
    assert len([one for one in places if one["properties"]["role"] == "hit"]) == 5


def test_a_map_of_another_period_is_written(catalog: Catalog) -> None:
    answer = ask(catalog, Like(polygon=box(0, 16, 44, 56)), k=5, within=Within(periods=("2019",)))
    names = [path.name for path in write_similar(catalog, answer)]
    assert sum(name.endswith(".tif") and "20190101_20200101" in name for name in names) == 1


def test_files_hold_the_answer_and_the_map_keeps_to_the_area(catalog: Catalog, tmp_path: Path) -> None:
    answer = ask(catalog, Like(at=(ON_0,), not_at=(ON_1,)), k=4, within=Within(area=box(0, 16, 8, 72)))
    files = write_similar(catalog, answer, folder=tmp_path, geoparquet=True)
    geojson, parquet, raster, picture = files
    roles = [one["properties"]["role"] for one in json.loads(geojson.read_text())["features"]]
    assert roles == ["query", "not like this", "hit", "hit", "hit", "hit"]
    frame = geopandas.read_parquet(parquet)
    assert frame["score"].tolist() == pytest.approx([hit.score for hit in answer.hits])
    assert frame.geometry.x.tolist() == pytest.approx([hit.pixel_lon for hit in answer.hits])
    with rasterio.open(raster) as data:
        assert data.shape == (16, 64)
    ((coverage, scores),) = similarity_map(catalog, answer)
    assert scores.shape == coverage.window.shape == (16, 64)
    assert picture.stat().st_size > 1000
    assert write_similar(catalog, answer, folder=tmp_path, maps=False) == [geojson]


def test_where_the_cube_is_gone_quality_is_told_and_why_scenes_are_missing(catalog: Catalog) -> None:
    hit = ask(catalog, Like(at=(ON_0,)), k=1, explain=True).hits[0]
    assert hit.explained is not None
    assert hit.explained.quality == {"clear_sentinel-2-l2a": 9}
    assert "is gone" in hit.explained.note
    assert ask(catalog, Like(at=(ON_0,)), k=1).hits[0].explained is None


def test_a_question_survives_json(catalog: Catalog) -> None:
    like = Like(at=(ON_0, ON_1), polygon=box(0, 8, 0, 8), vector=(0.5,) * 64, not_at=(ON_2,))
    question = SimilarQuestion(
        "small", like, "2018", Within(("2019",), box(0, 9, 0, 9), (TILE.id,), 0.5), above=0.2
    )
    assert SimilarQuestion.from_content(json.loads(json.dumps(question.content()))) == question


def test_a_text_is_never_compared_with_fields_of_other_weights(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Catalog(tmp_path)
    write_small(own, "2018", vectors_of(kinds()))
    index_fields(IndexRequest(root=own.root, model="small"))
    with pytest.raises(NotFound, match="no model 'small'"):
        find_similar(own, SimilarQuestion("small", Like(text="rice")))
    own.model("small").mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (own.model("small") / name).touch()
    monkeypatch.setattr(
        words, "_network", lambda folder, stamp: words.TextVectors(lambda texts: KINDS[:1], "other")
    )
    with pytest.raises(Conflict, match="other weights"):
        find_similar(own, SimilarQuestion("small", Like(text="rice")))


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (lambda: Like(), "say what to look for"),
        (lambda: Like(not_at=(ON_0,)), "say what to look for"),
        (lambda: Like(at=((float("nan"), 5.0),)), "not a place"),
        (lambda: Like(vector=(0.0, 0.0)), "not all of them 0"),
        (lambda: Like(vector=(1.0, float("inf"))), "finite"),
        (lambda: Like(text=" "), "characters"),
        (lambda: Like(text="\ud800"), "characters"),
        (lambda: Like(polygon="/etc/passwd"), "neither GeoJSON nor the WKT"),
        (lambda: Like(polygon="POINT (3 50)"), "neither GeoJSON nor the WKT"),
        (lambda: Like(polygon="{}"), "GeoJSON"),
        (lambda: Like(label="crops"), "SET:CLASS"),
        (lambda: Like(label="../crops:maize"), "not a usable name"),
        (lambda: Like(at=((3.0, 50.0),) * 1001), "too many"),
        (lambda: Within(tiles=("x' OR 1=1",)), "not a tile id"),
        (lambda: Within(periods=("2018'; drop",)), "neither a year"),
        (lambda: Within(min_purity=2), "purity"),
        (lambda: SimilarQuestion("small", Like(at=(ON_0,)), k=0), "k is 0"),
        (lambda: SimilarQuestion("small", Like(at=(ON_0,)), above=1.5), "threshold"),
        (lambda: SimilarQuestion("small", Like(at=(ON_0,)), min_distance_m=float("nan")), "distance"),
        (lambda: SimilarQuestion("small", Like(at=(ON_0,)), above=0.1, diverse=0.5), "how many"),
        (lambda: SimilarQuestion.from_content({"model": "small"}), "not a question"),
    ],
)
def test_a_wrong_question_is_refused_in_a_sentence(question: Callable[[], object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        question()


def test_what_cannot_be_answered_is_told_with_what_to_do(catalog: Catalog) -> None:
    with pytest.raises(InvalidInput, match="has 3 numbers, those of small have 64"):
        ask(catalog, Like(vector=(1.0, 2.0, 3.0)))
    with pytest.raises(NotFound, match="lies in the area"):
        ask(catalog, Like(polygon="POLYGON ((10 10, 11 10, 11 11, 10 10))"))
    with pytest.raises(NotFound, match=r"hold no class 'three'; they hold nought, one, two"):
        ask(catalog, Like(label="land:three"))
    with pytest.raises(NotFound, match="10 10 lies outside every field"):
        ask(catalog, Like(at=(ON_0, (10.0, 10.0))))
    with pytest.raises(InvalidInput, match="cancel one another out"):
        ask(catalog, Like(vector=tuple(-np.array(_vector_at(catalog))), at=(ON_0,)))


def _vector_at(catalog: Catalog) -> list[float]:
    return locate(catalog, "small", *ON_0, Period.parse("2018")).vector.tolist()


def test_the_command_takes_places_more_than_once_and_negative_degrees(
    catalog: Catalog, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(*more: object) -> tuple[int, str, str]:
        words = [
            "search",
            *map(str, more),
            "--model",
            "small",
            "--root",
            str(catalog.root),
            "--out",
            str(tmp_path),
        ]
        code = exit_code_of(lambda: app(words, standalone_mode=False))
        told = capsys.readouterr()
        return code, told.out, told.err

    code, out, _ = run("--at", *ON_0, "--at", *lonlat(4, 4), "--not-at", *ON_1, "-k", 3, "--no-map", "--json")
    assert code == 0
    assert [one["wanted"] for one in json.loads(out)["asked"]] == [True, True, False]
    (tmp_path / "vector.json").write_text(json.dumps({"embedding": KINDS[2].tolist()}))
    code, out, _ = run(
        "--vector", tmp_path / "vector.json", "--above", 0.5, "--limit", 3, "--explain", "--no-map"
    )
    assert code == 0
    assert "places found, 3 of them in this answer" in out
    assert "is gone" in " ".join(out.split())
    for wrong, sentence in (
        (["--at", -3.5, -50.25], "-3.5 -50.25 lies outside"),
        (["--at", 3.0, "--json"], "write --at LON LAT"),
        ([], "say what to look for"),
        (["--at", *ON_0, "--aoi", "nowhere.geojson"], "nowhere.geojson"),
    ):
        code, out, err = run(*wrong)
        assert code in (2, 3), err
        assert sentence in err
        assert "Traceback" not in err
