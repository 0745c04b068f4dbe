"""Every pixel: exact answers straight from the files of fields, in an area or everywhere."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from PIL import Image
from pyproj import Transformer
from small_fields import EAST, KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.codec import stored
from earthfield.errors import Conflict, InvalidInput, NotFound
from earthfield.field import Field, FieldContent, fields_of, write_field
from earthfield.grid import PIXEL_M, Window
from earthfield_search.files.pictures import draw_values
from earthfield_search.files.rasters import write_strips
from earthfield_search.ground.coverage import coverages
from earthfield_search.ground.pixels import best_pixels, similarity_raster

GAP = (slice(0, 2), slice(0, 3))
ASKED = KINDS[1]


def wanted(fields: list[Field], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """The cosine of every pixel of the window, in float64."""
    found = np.full(WINDOW.shape, np.nan)
    for field in fields:
        vectors = field.vectors().astype(np.float64)
        ys, xs = field.window.shifted(-WINDOW.y0, -WINDOW.x0).slices
        found[ys, xs] = vectors @ (query / np.linalg.norm(query)) / np.linalg.norm(vectors, axis=-1)
    return found


@pytest.fixture(scope="module", params=["int8", "float16"])
def fields(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Field]:
    catalog = Catalog(tmp_path_factory.mktemp("pixels"))
    vectors = vectors_of(kinds())
    vectors[GAP] = np.nan
    for key in write_small(catalog, "2018", vectors):
        field = Field(catalog, key)
        ys, xs = field.window.shifted(-WINDOW.y0, -WINDOW.x0).slices
        codes = stored(vectors[ys, xs], request.param)
        picture = np.zeros((*field.window.shape, 4), np.uint8)
        manifest = {name: field.manifest[name] for name in ("window", "inputs", "pixels", "area", "model")}
        write_field(catalog, FieldContent(key, field.window, codes, {}, picture, {**manifest, "sources": {}}))
    return fields_of(catalog, "small")


@pytest.fixture(scope="module")
def area() -> Geometry:
    """A triangle over both tiles."""
    turn = Transformer.from_crs(32631, 4326, always_xy=True).transform
    corners = np.array([(10.2, 2.1), (70.4, 8.3), (40.6, 38.7)])
    x, y = (WINDOW.x0 + corners[:, 0]) * PIXEL_M, -(WINDOW.y0 + corners[:, 1]) * PIXEL_M
    return Geometry(shapely.Polygon(np.stack(turn(x, y), 1)), "EPSG:4326")


def test_the_best_pixels_are_those_of_comparing_all(fields: list[Field]) -> None:
    right = wanted(fields, ASKED)
    found = best_pixels(fields, ASKED, k=100)
    assert (len(found), found.searched, found.above) == (100, 40 * 80 - 6, 40 * 80 - 6)
    np.testing.assert_allclose(found.scores, -np.sort(-right[np.isfinite(right)])[:100], atol=2e-6)
    there = right[found.rows - WINDOW.y0, found.cols - WINDOW.x0]
    np.testing.assert_allclose(there, found.scores, atol=2e-6)


def test_places_are_the_centres_of_pixels(fields: list[Field]) -> None:
    found = best_pixels(fields, ASKED, k=5)
    x, y = Transformer.from_crs(4326, 32631, always_xy=True).transform(found.lon, found.lat)
    np.testing.assert_allclose(x, (found.cols + 0.5) * PIXEL_M, atol=1e-3)
    np.testing.assert_allclose(y, -(found.rows + 0.5) * PIXEL_M, atol=1e-3)
    assert set(found.epsg) == {32631}


def test_a_threshold_gives_all_that_reach_it(fields: list[Field]) -> None:
    found = best_pixels(fields, ASKED, k=10_000, threshold=0.8)
    assert len(found) == found.above == 40 * 20
    assert set(kinds()[found.rows - WINDOW.y0, found.cols - WINDOW.x0]) == {1}
    few = best_pixels(fields, ASKED, k=3, threshold=0.8)
    assert (len(few), few.above) == (3, 40 * 20)
    assert best_pixels(fields, ASKED, k=0, threshold=0.8).above == 40 * 20


def test_only_pixels_in_the_area_count(fields: list[Field], area: Geometry) -> None:
    [coverage] = coverages(fields, area=area)
    inside = coverage.inside(WINDOW)
    assert inside is not None and 500 < inside.sum() < 2000
    found = best_pixels(fields, ASKED, k=10_000, area=area)
    assert found.searched == len(found) == int(inside.sum())
    assert inside[found.rows - WINDOW.y0, found.cols - WINDOW.x0].all()


def test_equal_scores_do_not_crowd_out_better_ones_of_later_blocks(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    vectors = np.broadcast_to(KINDS[0], (*WINDOW.shape, 64)).copy()
    vectors[-1, -5:] = ASKED
    write_small(catalog, "2018", vectors)
    found = best_pixels(fields_of(catalog, "small"), ASKED, k=6)
    assert (found.scores[:5] > 0.999).all()
    assert sorted(found.cols[:5]) == list(range(WINDOW.x1 - 5, WINDOW.x1))


@pytest.mark.parametrize("in_area", [False, True])
def test_the_map_holds_the_cosine_of_every_pixel(
    fields: list[Field], area: Geometry, in_area: bool, tmp_path: Path
) -> None:
    [coverage] = coverages(fields, area=area if in_area else None)
    right = wanted(fields, ASKED)
    inside = coverage.inside(WINDOW)
    if inside is not None:
        right[~inside] = np.nan
    right = right[coverage.window.shifted(-WINDOW.y0, -WINDOW.x0).slices]
    told = []
    made = similarity_raster(
        tmp_path / "a.tif", coverage, ASKED, tags={"query": "here"}, progress=lambda *said: told.append(said)
    )
    with rasterio.open(made.path) as data:
        values = data.read(1)
        assert data.tags()["query"] == "here"
        assert data.descriptions == ("cosine similarity",)
        assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert (data.transform, str(data.crs)) == (coverage.geobox.transform, "EPSG:32631")
    np.testing.assert_allclose(values, right, atol=2e-6)
    assert np.array_equal(made.view, values, equal_nan=True)
    assert told[-1][1] == told[-1][2] == len(told)
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_strips_become_the_rows_that_they_are_with_gaps_between(fields: list[Field], tmp_path: Path) -> None:
    [coverage] = coverages(fields)
    tall = type(coverage)(32631, Window(1000, 5000, 2000, 2900), coverage.fields, "")
    values = np.arange(4000 * 900).reshape(4000, 900) % 251 + 1
    order = [Window(1000, 1024, 2000, 2500), Window(1024, 1280, 2000, 2300), Window(1024, 1280, 2500, 2900)]
    order += [Window(4864, 4990, 2100, 2900)]
    right = np.zeros((4000, 900), np.uint8)
    strips = []
    for one in order:
        ys, xs = one.shifted(-1000, -2000).slices
        right[ys, xs] = values[ys, xs]
        strips.append((one, values[ys, xs].astype(np.uint8)))
    made = write_strips(tmp_path / "a.tif", tall, iter(strips), dtype=np.uint8, nodata=0, name="number")
    with rasterio.open(made.path) as data:
        assert (data.read(1) == right).all()
    assert (made.view == right[::2, ::2]).all()
    picture = draw_values(
        tmp_path / "a.png", made.view.astype(np.float32), tall, title="numbers", meaning="number"
    )
    assert Image.open(picture).size[1] > 600


def test_a_map_that_fails_leaves_nothing(fields: list[Field], tmp_path: Path) -> None:
    [coverage] = coverages(fields)

    def stop(task: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        similarity_raster(tmp_path / "a.tif", coverage, ASKED, progress=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": -1}, "k is -1"),
        ({"k": 1, "threshold": 1.5}, "lies in -1..1"),
        ({"k": 1, "vector": np.ones(63)}, "of 64 numbers"),
        ({"k": 1, "vector": np.zeros(64)}, "no direction"),
    ],
)
def test_what_cannot_be_asked_is_refused(fields: list[Field], options: dict, words: str) -> None:  # type: ignore[type-arg]
    with pytest.raises(InvalidInput, match=words):
        best_pixels(fields, **{"vector": ASKED, **options})


def test_an_area_without_fields_is_told(fields: list[Field]) -> None:
    far = Geometry(shapely.box(20, 20, 21, 21), "EPSG:4326")
    with pytest.raises(NotFound, match="its fields lie within"):
        best_pixels(fields, ASKED, k=1, area=far)


def test_fields_of_two_models_are_not_compared(fields: list[Field]) -> None:
    other = Field.__new__(Field)
    other.__dict__.update(fields[0].__dict__)
    other.manifest = {**fields[0].manifest, "model": {"name": "small", "fingerprint": "other"}}
    with pytest.raises(Conflict, match="different models"):
        best_pixels([fields[1], other], ASKED, k=1)


def test_the_fixture_covers_both_tiles(fields: list[Field]) -> None:
    assert [one.key.tile for one in fields] == [TILE, EAST]
    assert fields[0].dtype == fields[1].dtype
