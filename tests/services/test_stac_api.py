"""The same job against a real STAC API gives the cubes that the static catalogue gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import shapely
import stac_api
from command import Told
from kept import YEAR
from local_http import files_in, serving
from odc.geo.geom import Geometry
from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.grid import Window
from earthfield.progress import silent
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.sources import Source, source_named
from earthfield.timeline import Period
from earthfield_ingest import jobs
from earthfield_ingest.catalogues import Question, api, open_archive
from earthfield_ingest.scene import SUPERSEDED


def box(west: float, south: float, east: float, north: float) -> Geometry:
    return Geometry(shapely.box(west, south, east, north), "EPSG:4326")


S2, S1, L8 = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"
SOURCES = (S2, S1, L8)
PACIFIC = "sentinel-s2-l2a"
BBOX = (3.0, 50.8, 3.05, 50.83)
FIELD = Window(-562_968, -562_904, 50_136, 50_200)
"""The 64 x 64 px of flanders_a in the zone's grid."""
MADE_UP = box(20.0, 10.0, 20.2, 10.2)

if (_lacks := stac_api.missing()) is not None:
    pytest.skip(f"no STAC API can be run here: {_lacks}", allow_module_level=True)


@pytest.fixture(scope="module")
def flanders(real_data: Path) -> Path:
    return real_data / "places" / "flanders_a"


@pytest.fixture(scope="module")
def pacific(real_data: Path) -> Path:
    return real_data / "stac" / "antimeridian_items"


@pytest.fixture(scope="module")
def items(flanders: Path) -> Iterator[list[dict[str, Any]]]:
    """Every item of flanders_a, its files on a web server."""
    with serving(files_in(flanders)) as server:
        found = []
        for path in sorted(flanders.glob("*/*/*.json")):
            item = json.loads(path.read_text())
            for asset in item["assets"].values():
                asset["href"] = f"{server.url}/{path.parent.relative_to(flanders)}/{Path(asset['href']).name}"
            item["links"] = []
            found.append(item)
        yield found


@pytest.fixture(scope="module")
def address(flanders: Path, pacific: Path, items: list[dict[str, Any]]) -> Iterator[str]:
    """A STAC API with flanders_a, a second processing of one of its items, and the items of the antimeridian."""
    collections = [json.loads(path.read_text()) for path in sorted(flanders.glob("*/collection.json"))]
    for one in collections:
        one["links"] = []
        one["item_assets"] = {"thumbnail": {"roles": ["thumbnail"]}, "B02": {"roles": ["data"]}}
    across = {**collections[0], "id": PACIFIC, "item_assets": {}}
    eastern = [json.loads(path.read_text()) for path in sorted(pacific.glob("*.json"))]
    for item in eastern:
        item["links"] = []
    shown = [
        {**item, "assets": {**item["assets"], "thumbnail": {"href": "http://x.org/t.png"}}} for item in items
    ]
    cover = {**collections[0], "id": "esa-worldcover", "item_assets": {}}
    with stac_api.stac_api([*collections, across, cover], [*shown, *eastern, *made_up()]) as url:
        yield url


@pytest.fixture(scope="module")
def small_pages() -> Iterator[None]:
    """Pages of 20 items, so that every search takes several."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(api, "PAGE_ITEMS", 20)
        yield


def made_up() -> list[dict[str, Any]]:
    """Two processings of one acquisition, a year's land cover, and heights that hold for all time."""
    first = {"datetime": "2024-06-01T10:00:00Z", "grid:code": "MGRS-34PAA", "platform": "sentinel-2a"}
    year = {"start_datetime": "2021-01-01T00:00:00Z", "end_datetime": "2021-12-31T23:59:59Z"}
    told = {
        "made-up-old": (S2, {**first, "s2:processing_baseline": "05.00"}),
        "made-up-new": (S2, {**first, "s2:processing_baseline": "05.11"}),
        "cover-2021": ("esa-worldcover", {"datetime": None, **year}),
        "height": ("cop-dem-glo-30", {"datetime": "2021-04-22T00:00:00Z"}),
    }
    assets = {key: {"href": f"https://example.org/{key}.tif"} for key in ("B04", "SCL", "map", "data")}
    return [
        {
            "type": "Feature", "stac_version": "1.0.0", "id": name, "collection": collection, "links": [],
            "geometry": shapely.geometry.mapping(MADE_UP.geom), "bbox": list(MADE_UP.geom.bounds),
            "properties": properties, "assets": assets,
        }
        for name, (collection, properties) in told.items()
    ]  # fmt: skip


def ingest(catalog: Path | str, root: Path, period: str) -> IngestReport:
    request = IngestRequest(
        root=root, catalog=str(catalog), periods=(period,), bbox=BBOX, sources=SOURCES, allow=("127.0.0.1",)
    )
    return jobs.ingest(request)


def frames(root: Path) -> dict[str, Any]:
    """Every frame of every cube over flanders_a and a margin, by tile, source and step."""
    found = {}
    for tile in Catalog(root).cube_tiles():
        cube = Cube(Catalog(root).cube(tile))
        part = tile.local(FIELD.padded(8) & tile.window)
        for source in cube.sources:
            seen = cube.observations(source)
            values, valid = cube.read(source, [one.slot for one in seen], part)
            for one, numbers, clear in zip(seen, values, valid, strict=True):
                key = f"{tile.id}/{source}/{one.step}"
                found[key] = (one.acquired, one.items, numbers.tobytes(), clear.tobytes())
    return found


def found_by(address: str, area: Geometry, *sources: Source, period: str = "2010..2030") -> list[str]:
    question = Question(sources, area, Period.parse(period))
    found = open_archive(address).find(question, progress=silent)
    assert found.broken == ()
    return sorted(scene.id for scene in found.scenes)


def test_cubes_from_the_api_equal_those_from_the_files(
    address: str, mapped: tuple[Path, Told], small_pages: None, tmp_path: Path
) -> None:
    told = ingest(address, tmp_path / "api", YEAR)
    expected = frames(mapped[0])
    assert frames(tmp_path / "api") == expected
    assert {key.split("/")[1] for key in expected} == set(SOURCES)
    for name, found in ((S2, 91), (S1, 109), (L8, 19)):
        one, other = mapped[1].report["ingest"]["sources"][name], told.sources[name]
        assert (one["found"], one["used"], one["dropped"]) == (other.found, other.used, other.dropped)
        assert other.found == found
        assert other.used > 0


def test_pages_are_small_and_carry_no_asset_that_nobody_reads(
    address: str, items: list[dict[str, Any]], small_pages: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[list[dict[str, Any]]] = []
    real = api.ApiArchive._paged

    def seen(self: Any, url: str, *more: Any, key: str) -> Iterator[list[Any]]:
        for page in real(self, url, *more, key=key):
            pages.extend([page] if key == "features" else [])
            yield page

    monkeypatch.setattr(api.ApiArchive, "_paged", seen)
    assert len(found_by(address, box(*BBOX), source_named(S1))) == 159
    assert [len(page) for page in pages] == [20] * 7 + [19]
    by_id = {item["id"]: item for item in items}
    for item in (item for page in pages for item in page):
        assert item["assets"] == by_id[item["id"]]["assets"]  # all but the thumbnail that the API holds
        assert item["properties"]["datetime"][:19] == by_id[item["id"]]["properties"]["datetime"][:19]


def test_scenes_from_the_api_and_from_a_table_of_it_are_the_same(
    address: str, items: list[dict[str, Any]], tmp_path: Path
) -> None:
    to_parquet(parse_stac_items_to_arrow(items), tmp_path / "items.parquet")
    sources = [source_named(name) for name in SOURCES]
    for period in ("2018-05", "2010..2030"):
        whole = found_by(address, box(*BBOX), *sources, period=period)
        assert whole
        assert found_by(str(tmp_path / "items.parquet"), box(*BBOX), *sources, period=period) == whole


AREAS = [
    box(179.80, 66.70, 179.99, 67.00),
    box(-179.40, 67.00, -179.20, 67.20),
    box(178.90, 55.90, 179.10, 56.00),
    box(-179.95, 56.20, -179.85, 56.30),
    box(-179.00, 60.20, -178.90, 60.30),
    box(179.70, 59.41, 179.90, 59.60),
    box(100.0, 50.0, 101.0, 68.0),
    area_from_bbox((179.0, 55.0, -179.0, 68.0)),
]


@pytest.mark.parametrize("area", AREAS, ids=str)
def test_footprints_across_the_antimeridian_are_found_on_both_sides(
    address: str, pacific: Path, area: Geometry, small_pages: None
) -> None:
    assert found_by(address, area, source_named(S2)) == found_by(str(pacific), area, source_named(S2))


def test_the_areas_at_the_antimeridian_find_different_items(pacific: Path) -> None:
    found = [found_by(str(pacific), area, source_named(S2)) for area in AREAS]
    assert [len(one) for one in found] == [1, 1, 1, 1, 2, 1, 0, 6]


def test_the_newest_processing_of_an_acquisition_counts(address: str, tmp_path: Path) -> None:
    request = IngestRequest(
        root=tmp_path, catalog=address, periods=("2024-06",), bbox=MADE_UP.geom.bounds, sources=(S2,)
    )
    flaws = {scene.id: scene.flaw for scene in jobs.plan(request).items[S2]}
    assert set(flaws) == {"made-up-new", "made-up-old"}
    assert flaws["made-up-old"] == SUPERSEDED
    assert flaws["made-up-new"] != SUPERSEDED


def test_items_that_stand_for_a_year_are_found_in_the_middle_of_it(address: str) -> None:
    cover = source_named("esa-worldcover")
    assert found_by(address, MADE_UP, cover, period="2021-06") == ["cover-2021"]
    assert found_by(address, MADE_UP, cover, period="2022-06") == []
    assert found_by(address, MADE_UP, source_named("cop-dem-glo-30"), period="1999") == ["height"]


def test_a_detailed_area_is_answered_as_a_plain_one(address: str) -> None:
    around = box(*BBOX).geom.centroid.buffer(0.02, quad_segs=600)
    assert shapely.get_num_coordinates(around) > 2000
    assert len(found_by(address, Geometry(around, "EPSG:4326"), source_named(L8))) == 26
    ring = around.buffer(0.5, quad_segs=600).difference(around)
    assert found_by(address, Geometry(ring, "EPSG:4326"), source_named(L8)) == []
