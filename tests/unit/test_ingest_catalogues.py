"""Every kind of catalogue gives the same scenes, and none of them can stop, mislead or hang a search."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pystac
import pytest
import shapely
from ingest_catalogue import PLACE, TinyCatalogue, footprint_of
from local_http import Answer, Asked, Server, files_in, serving
from odc.geo.geom import Geometry
from stac_geoparquet.arrow import parse_stac_items_to_arrow, to_parquet

from earthfield.errors import BrokenArtefact, EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield.progress import silent
from earthfield.schemas import IngestRequest
from earthfield.sources import source_named
from earthfield.timeline import Period
from earthfield_ingest.catalogues import Findings, Question, archive, open_archive, shapes
from earthfield_ingest.plan import plan
from earthfield_ingest.providers import PROVIDERS, address_of
from earthfield_ingest.scene import Scene

S2 = source_named("sentinel-2-l2a")
HERE = Geometry(footprint_of(PLACE), "EPSG:4326")
ALWAYS = Period.parse("2010..2030")


def find(address: Path | str, area: Geometry | None = HERE, period: Period = ALWAYS, **more: Any) -> Findings:
    question = Question(more.pop("sources", [S2]), area, period)
    return open_archive(str(address), **more).find(question, progress=silent)


def ids(found: Findings) -> list[str]:
    return sorted(scene.id for scene in found.scenes)


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr("time.sleep", made.append)
    return made


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCatalogue:
    tiny = TinyCatalogue(tmp_path / "tiny")
    for name, day in (("a", "2020-06-01"), ("b", "2020-06-20"), ("c", "2021-01-01")):
        tiny.add(name, f"{day}T10:00:00", **{"s2:processing_baseline": "05.00", "platform": "sentinel-2a"})
    return tiny


def items_of(tiny: TinyCatalogue) -> list[dict[str, Any]]:
    """The items with absolute addresses."""
    found = []
    for path in sorted(tiny.folder.glob("*/*/*.json")):
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = str(path.parent / asset["href"])
        found.append(item)
    return found


def write_parquet(items: list[dict[str, Any]], path: Path, *, per_group: int = 2) -> Path:
    to_parquet(parse_stac_items_to_arrow(items), path)
    pq.write_table(pq.read_table(path), path, row_group_size=per_group)
    return path


# -- one catalogue in every form -----------------------------------------------------------------------------


def as_lines(items: list[dict[str, Any]], folder: Path) -> Path:
    (folder / "items.ndjson").write_text("\n".join(json.dumps(item) for item in items) + "\n")
    return folder / "items.ndjson"


def as_collection(items: list[dict[str, Any]], folder: Path) -> Path:
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    return folder / "items.json"


def as_list(items: list[dict[str, Any]], folder: Path) -> Path:
    (folder / "items.json").write_text(json.dumps(items))
    return folder / "items.json"


def as_loose(items: list[dict[str, Any]], folder: Path) -> Path:
    for item in items:
        (folder / item["id"]).mkdir()
        (folder / item["id"] / "item.json").write_text(json.dumps(item))
    (folder / "notes.json").write_text('{"of": "nobody"}')
    return folder


def as_table(items: list[dict[str, Any]], folder: Path) -> Path:
    return write_parquet(items, folder / "items.parquet")


def as_tables(items: list[dict[str, Any]], folder: Path) -> Path:
    for place, item in enumerate(items):
        write_parquet([item], folder / f"part-{place}.parquet")
    return folder


@pytest.mark.parametrize("form", [as_lines, as_collection, as_list, as_loose, as_table, as_tables])
def test_items_are_the_same_scenes_in_every_form(
    form: Callable[[list[dict[str, Any]], Path], Path], tiny: TinyCatalogue, tmp_path: Path
) -> None:
    def facts(found: Findings) -> list[tuple[Any, ...]]:
        scenes = sorted(found.scenes, key=lambda one: one.id)
        return [(one.id, one.acquired, one.footprint.wkt, told(one), one.flaw) for one in scenes]

    def told(one: Scene) -> list[Any]:
        properties = {name: value for name, value in one.properties.items() if name != "datetime"}
        return [properties, {key: dict(asset) for key, asset in one.assets.items()}]

    folder = tmp_path / "form"
    folder.mkdir()
    place = form(items_of(tiny), folder)
    linked = find(tiny.folder)
    assert ids(linked) == ["a", "b", "c"]
    assert facts(find(place)) == facts(linked)
    assert ids(find(place, period=Period.parse("2020"))) == ["a", "b"]
    beside = Geometry(footprint_of(PLACE.shifted(0, 200)), "EPSG:4326")
    elsewhere = find(place, area=beside)
    assert elsewhere.scenes == ()
    assert elsewhere.extent.shape.bounds == pytest.approx(linked.extent.shape.bounds)
    assert ids(find(place, area=None)) == ["a", "b", "c"]


def test_providers_are_opened_by_name() -> None:
    assert [address_of(one.name) for one in PROVIDERS] == [one.url for one in PROVIDERS]
    assert address_of("Planetary-Computer").startswith("https://planetarycomputer.microsoft.com/")
    assert address_of("./cdse") == "./cdse"


def test_a_catalogue_without_the_source_tells_its_collections(tiny: TinyCatalogue) -> None:
    request = IngestRequest(
        root=tiny.folder, catalog=str(tiny.folder), periods=("2020",), sources=("landsat-c2-l2",)
    )
    with pytest.raises(NotFound, match=r"holds no landsat-c2-l2; its collections are: sentinel-2-l2a"):
        plan(request)


def test_items_of_a_collection_nobody_knows_are_passed_over(tiny: TinyCatalogue, tmp_path: Path) -> None:
    items = items_of(tiny)
    items[0]["collection"] = "sea-surface"
    found = find(as_collection(items, tmp_path))
    assert ids(found) == ["b", "c"]
    assert found.broken == ()
    assert found.collections == ("sea-surface", "sentinel-2-l2a")


def test_two_items_with_one_id_are_one_if_equal_and_named_if_not(tiny: TinyCatalogue, tmp_path: Path) -> None:
    items = items_of(tiny)
    assert find(as_collection([*items, items[0]], tmp_path)).broken == ()
    other = {**items[0], "properties": {**items[0]["properties"], "datetime": "2020-06-02T10:00:00Z"}}
    found = find(as_collection([*items, other], tmp_path))
    assert ids(found) == ["a", "b", "c"]
    assert "another item of sentinel-2-l2a has the id 'a'" in found.broken[0]


def test_loose_data_files_become_items_unless_an_item_names_them(
    tiny: TinyCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loose = types.ModuleType("earthfield_ingest.loose")
    asked = []

    def item_of(path: Path) -> pystac.Item | None:
        asked.append(path.name)
        if path.name == "strange.nc":
            return None
        if path.name == "broken.h5":
            raise BrokenArtefact(f"{path} is cut off")
        item = pystac.Item.from_dict(items_of(tiny)[0])
        item.id = path.name
        return item

    loose.item_of = item_of  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "earthfield_ingest.loose", loose)
    folder = tmp_path / "loose"
    (folder / "cube.zarr" / "inner.zarr").mkdir(parents=True)
    for name in ("day.nc", "strange.nc", "broken.h5", "named.nc"):
        (folder / name).write_bytes(b"")
    item = items_of(tiny)[1]
    item["assets"]["B02"] = {"href": "./named.nc"}
    (folder / "item.json").write_text(json.dumps(item))
    found = find(folder)
    assert ids(found) == ["b", "cube.zarr", "day.nc"]
    assert sorted(asked) == ["broken.h5", "cube.zarr", "day.nc", "strange.nc"]
    assert [text.endswith("broken.h5 is cut off") for text in found.broken] == [True]
    assert ids(find(folder / "day.nc")) == ["day.nc"]
    with pytest.raises(NotFound, match="holds neither"):
        find(folder / "strange.nc")


# -- the antimeridian ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pacific(real_data: Path) -> Path:
    return real_data / "stac" / "antimeridian_items"


def box(west: float, south: float, east: float, north: float) -> Geometry:
    return Geometry(shapely.box(west, south, east, north), "EPSG:4326")


PACIFIC = [
    (box(179.80, 66.70, 179.99, 67.00), True),
    (box(-179.40, 67.00, -179.20, 67.20), True),
    (box(178.90, 55.90, 179.10, 56.00), True),
    (box(-179.80, 55.90, -179.70, 56.00), True),
    (box(178.70, 56.60, 178.90, 56.75), True),
    (box(-179.95, 56.20, -179.85, 56.30), True),
    (box(-179.00, 60.20, -178.90, 60.30), True),
    (box(179.70, 59.41, 179.90, 59.60), True),
    (box(100.0, 50.0, 101.0, 68.0), False),
    (box(-100.0, 50.0, -99.0, 68.0), False),
]
"""Areas beside the antimeridian and far from it, and whether some item lies there."""


def expected_in(pacific: Path, area: Geometry) -> list[str]:
    """Ids of the items whose footprint, turned to the side of the area by hand, meets it."""
    met = []
    for path in pacific.glob("*.json"):
        item = json.loads(path.read_text())
        ring = item["geometry"]["coordinates"][0]
        eastern = [(x + 360 if x < 0 else x, y) for x, y in ring]
        west, south, east, north = area.geom.bounds
        turned = (
            shapely.box(west, south, east, north)
            if west > 0
            else shapely.box(west + 360, south, east + 360, north)
        )
        if shapely.make_valid(shapely.Polygon(eastern)).intersects(turned):
            met.append(item["id"])
    return sorted(met)


@pytest.mark.parametrize("form", [None, as_table, as_lines])
@pytest.mark.parametrize("area", [area for area, _ in PACIFIC])
def test_footprints_across_the_antimeridian_are_found_on_both_sides(
    form: Callable[[list[dict[str, Any]], Path], Path] | None, area: Geometry, pacific: Path, tmp_path: Path
) -> None:
    items = [json.loads(path.read_text()) for path in pacific.glob("*.json")]
    place = form(items, tmp_path) if form else pacific
    found = find(place, area)
    assert ids(found) == expected_in(pacific, area)
    assert found.broken == ()


def test_the_boxes_beside_the_antimeridian_mean_something(pacific: Path) -> None:
    hits = [bool(expected_in(pacific, area)) for area, _ in PACIFIC]
    assert hits == [some for _, some in PACIFIC]


def test_an_area_across_the_antimeridian_finds_both_sides(pacific: Path) -> None:
    request = IngestRequest(
        root=Path("unused"), catalog=str(pacific), periods=("2023",), sources=("sentinel-2-l2a",),
        bbox=(179.0, 55.0, -179.0, 68.0),
    )  # fmt: skip
    made = plan(request)
    assert len(made.items["sentinel-2-l2a"]) == 6
    assert {window.tile.epsg for window in made.tiles} == {32601, 32660}


# -- areas as servers take them ------------------------------------------------------------------------------


def test_an_area_sent_to_a_server_covers_what_was_asked_with_few_vertices() -> None:
    round_one = shapely.Point(5, 50).buffer(1, quad_segs=500)
    many = shapely.union_all([shapely.Point(x, y).buffer(0.1) for x in range(10) for y in range(40, 45)])
    apart = shapely.union_all(
        [shapely.Point(179.5, 10).buffer(1, quad_segs=400), shapely.box(-180, 9, -179, 11)]
    )
    apart = apart.intersection(shapely.box(-180, -90, 180, 90))
    for area in (round_one, many, apart, shapely.box(1, 2, 3, 4)):
        sent = shapes.plain(area)
        assert sent.buffer(1e-9).covers(area)
        assert shapely.get_num_coordinates(sent) <= shapes.MAX_VERTICES
        covered = shapely.union_all([shapely.box(*one) for one in shapes.sides(area)])
        assert covered.buffer(1e-9).covers(area)
    assert shapes.plain(many).area < 5 * many.area
    assert shapes.plain(round_one).area < 1.1 * round_one.area
    assert shapes.plain(apart).area < 10  # not once around the globe
    assert len(shapes.sides(apart)) == 2
    assert shapes.reachable(round_one) is round_one
    assert shapes.reachable(apart).covers(shapely.box(177, 9.5, 180, 10.5))


# -- stac-geoparquet ------------------------------------------------------------------------------------------


def test_only_rows_that_may_answer_become_items(
    tiny: TinyCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = items_of(tiny)[0]
    rows = []
    for number in range(3000):
        item = json.loads(json.dumps(first))
        item["id"] = f"r{number}"
        item["properties"]["datetime"] = f"20{number % 20:02}-06-01T00:00:00Z"
        if number % 3:
            item["geometry"] = shapely.geometry.mapping(shapely.box(100, 0, 101, 1))
            item["bbox"] = [100, 0, 101, 1]
        if number % 5 == 0:
            item["collection"] = "landsat-c2-l2"
        rows.append(item)
    place = write_parquet(rows, tmp_path / "rows.parquet", per_group=700)
    converted = []
    real = archive.Sieve.take
    monkeypatch.setattr(
        archive.Sieve,
        "take",
        lambda self, item, *a, **k: (converted.append(item["id"]), real(self, item, *a, **k)),
    )
    found = find(place, period=Period.parse("2013"))
    wanted = [f"r{n}" for n in range(3000) if n % 3 == 0 and n % 5 and n % 20 == 13]
    assert ids(found) == sorted(wanted)
    assert sorted(converted) == sorted(wanted)
    assert found.extent.shape.bounds[2] == 101.0
    assert found.collections == ("landsat-c2-l2", "sentinel-2-l2a")


def test_a_broken_row_is_named_and_the_others_found(tiny: TinyCatalogue, tmp_path: Path) -> None:
    place = write_parquet(items_of(tiny), tmp_path / "rows.parquet")
    table = pq.read_table(place)
    geometry = table.column("geometry").to_pylist()
    geometry[1] = b"no geometry"
    kept = table.set_column(
        table.schema.get_field_index("geometry"), "geometry", pa.array(geometry, pa.binary())
    )
    pq.write_table(kept, place)
    found = find(place)
    assert ids(found) == ["a", "c"]
    assert len(found.broken) == 1
    assert found.broken[0].startswith("b (")


def test_assets_that_some_rows_lack_are_not_invented(tiny: TinyCatalogue, tmp_path: Path) -> None:
    items = items_of(tiny)
    del items[0]["assets"]["B08"]
    items[1]["assets"]["B08"]["raster:bands"] = [{"scale": 0.0001, "offset": -0.1}]
    items[1]["assets"]["B04"]["proj:geometry"] = items[1]["geometry"]
    items[1]["properties"]["proj:geometry"] = items[1]["geometry"]
    found = find(write_parquet(items, tmp_path / "rows.parquet"))
    by_id = {one.id: one for one in found.scenes}
    assert found.broken == ()
    assert "B08" not in by_id["a"].assets
    assert by_id["b"].assets["B08"]["raster:bands"] == [{"scale": 0.0001, "offset": -0.1}]
    assert "raster:bands" not in by_id["c"].assets["B08"]


def test_parquet_is_read_from_the_web_in_parts(
    tiny: TinyCatalogue, tmp_path: Path, waits: list[float]
) -> None:
    items = [{**item, "assets": _at(item, "https://example.org/x")} for item in items_of(tiny)]
    write_parquet(items, tmp_path / "rows.parquet")
    with serving(files_in(tmp_path)) as server:
        assert ids(find(f"{server.url}/rows.parquet")) == ["a", "b", "c"]
        assert all("range" in one.query for one in server.asked if one.method == "GET")
        with pytest.raises(NotFound, match=r"nowhere\.parquet"):
            find(f"{server.url}/nowhere.parquet")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and then nothing PAR1")
    with pytest.raises(InvalidInput, match=r"bad\.parquet is no Parquet file"):
        find(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"id": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(InvalidInput, match="needs the columns id, geometry and assets"):
        find(tmp_path / "other.parquet")


def _at(item: dict[str, Any], where: str) -> dict[str, Any]:
    return {key: {**asset, "href": f"{where}/{key}.tif"} for key, asset in item["assets"].items()}


# -- static catalogues on the web ----------------------------------------------------------------------------


def many(folder: Path, count: int) -> None:
    """Writes a catalogue of many items without files behind them."""
    shape = footprint_of(PLACE)
    links = []
    for number in range(count):
        item = {
            "type": "Feature", "stac_version": "1.0.0", "id": f"i{number:03}", "collection": "sentinel-2-l2a",
            "geometry": shapely.geometry.mapping(shape), "bbox": list(shape.bounds),
            "properties": {"datetime": "2020-06-01T00:00:00Z"}, "links": [],
            "assets": {"B04": {"href": "./B04.tif"}, "SCL": {"href": "./SCL.tif"}},
        }  # fmt: skip
        (folder / f"{number}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{number}.json"})
    links += [{"rel": "child", "href": "./catalog.json"}, {"rel": "parent", "href": "../up.json"}]
    (folder / "catalog.json").write_text(
        json.dumps({"type": "Catalog", "stac_version": "1.0.0", "id": "c", "description": "", "links": links})
    )


def test_documents_of_the_web_are_fetched_side_by_side_and_once(tmp_path: Path) -> None:
    many(tmp_path, 60)
    with serving(files_in(tmp_path), delay_s=0.01) as server:
        found = find(f"{server.url}/catalog.json")
    assert len(found.scenes) == 60
    assert 2 <= server.most_at_once <= 8
    assert len(server.asked) == 61
    assert found.scenes[0].assets["B04"]["href"].startswith(server.url)


@pytest.mark.parametrize("header", ["7", "-", "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_what_passes_is_tried_again_with_the_patience_asked_for(
    tmp_path: Path, waits: list[float], header: str
) -> None:
    many(tmp_path, 3)
    troubles = {
        "/0.json": [Answer(status=500), Answer(status=502)],
        "/1.json": [Answer(status=429, headers={"Retry-After": header})],
        "/2.json": [Answer(b"x" * 100, cut=50)],
    }
    real = files_in(tmp_path)
    with serving(lambda asked: (troubles.get(asked.path) or [real(asked)]).pop(0)) as server:
        found = find(f"{server.url}/catalog.json")
    assert len(found.scenes) == 3
    assert found.broken == ()
    assert max(waits) <= 60
    assert (7.0 in waits) == (header == "7")
    assert (60.0 in waits) == (header.startswith("Wed"))


def test_an_item_that_stays_away_is_named_but_a_dead_server_stops_the_search(
    tmp_path: Path, waits: list[float]
) -> None:
    many(tmp_path, 20)
    real = files_in(tmp_path)
    gone = {"/3.json": 500, "/4.json": 403, "/5.json": 404}
    with serving(lambda one: Answer(status=gone[one.path]) if one.path in gone else real(one)) as server:
        found = find(f"{server.url}/catalog.json")
    assert len(found.scenes) == 17
    assert sorted(name for text in found.broken for name in gone if name in text) == sorted(gone)
    dying = lambda one: real(one) if one.path in ("/catalog.json", "/0.json") else Answer(status=503)  # noqa: E731
    with serving(dying) as server, pytest.raises(Unavailable, match=r"answers 503|is left alone"):
        find(f"{server.url}/catalog.json")


def test_a_catalogue_of_the_web_is_not_followed_to_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    many(tmp_path, 1)
    secret = tmp_path / "secret"
    secret.mkdir()
    many(secret, 1)
    with serving(files_in(secret)) as inner:
        hops = {"/hop.json": Answer(status=302, headers={"Location": f"{inner.url}/0.json"})}
        content = json.loads((tmp_path / "catalog.json").read_text())
        for href in (f"file://{secret}/0.json", f"{inner.url}/0.json", "./hop.json"):
            content["links"].append({"rel": "item", "href": href})
        (tmp_path / "catalog.json").write_text(json.dumps(content))
        real = files_in(tmp_path)
        with serving(lambda one: hops.get(one.path) or real(one)) as server:
            found = find(f"{server.url}/catalog.json")
            assert ids(found) == ["i000"]
            assert len(found.broken) == 3, found.broken
            assert inner.asked == []
            allowed = find(f"{server.url}/catalog.json", allow=("127.0.0.1",))
            assert (
                len(allowed.broken) == 2
            )  # the file, and an item that is another by the place of its assets
            assert len(inner.asked) == 2


def test_pages_of_an_item_collection_are_followed(tmp_path: Path) -> None:
    many(tmp_path, 4)
    items = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(4)]
    for page in (0, 1):
        links = [{"rel": "next", "href": "./page1.json"}]
        content = {"type": "FeatureCollection", "features": items[2 * page :][:2], "links": links}
        (tmp_path / f"page{page}.json").write_text(json.dumps(content))
    assert len(find(tmp_path / "page0.json").scenes) == 4
    links = [{"rel": "next", "href": "./page0.json", "method": "POST", "body": {}}]
    (tmp_path / "page1.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [], "links": links})
    )
    assert "give the API's own address" in find(tmp_path / "page0.json").broken[0]


# -- STAC APIs -----------------------------------------------------------------------------------------------


class Api:
    """A STAC API that a test can make misbehave."""

    def __init__(self, items: list[dict[str, Any]], *, per_page: int = 2) -> None:
        self.items, self.per_page = items, per_page
        self.landing: dict[str, Any] = {
            "type": "Catalog", "stac_version": "1.0.0", "id": "api", "description": "",
            "conformsTo": [
                "https://api.stacspec.org/v1.0.0/core",
                "https://api.stacspec.org/v1.0.0/item-search",
                "https://api.stacspec.org/v1.0.0/item-search#fields",
            ],
        }  # fmt: skip
        self.collections = {
            "sentinel-2-l2a": {
                "type": "Collection", "stac_version": "1.0.0", "id": "sentinel-2-l2a", "description": "",
                "license": "x", "links": [],
                "extent": {
                    "spatial": {"bbox": [[-180, -90, 180, 90]]},
                    "temporal": {"interval": [["2015-06-01T00:00:00Z", None]]},
                },
                "item_assets": {"B04": {}, "SCL": {}, "thumbnail": {}, "visual": {}, "odd.key": {}},
            },
            "sea-surface": {"id": "sea-surface"},
        }  # fmt: skip
        self.methods = ("POST", "GET")
        self.refuse: Callable[[dict[str, Any]], bool] = lambda asked: False
        self.searches: list[dict[str, Any]] = []
        self.next_page: Callable[[int, int], int | None] = lambda page, pages: (
            page + 1 if page + 1 < pages else None
        )
        self.faults: list[Answer] = []
        self.url = ""

    def respond(self, asked: Asked) -> Answer:
        if asked.path in ("", "/"):
            search = [{"rel": "search", "href": f"{self.url}/search", "method": one} for one in self.methods]
            links = [{"rel": "root", "href": self.url}, {"rel": "data", "href": f"{self.url}/collections"}]
            return Answer({**self.landing, "links": [*links, *search]})
        if asked.path == "/collections":
            return Answer({"collections": list(self.collections.values()), "links": []})
        if asked.path == "/collections/sentinel-2-l2a":
            links = [{"rel": "root", "href": self.url}, {"rel": "items", "href": f"{self.url}/nowhere"}]
            return Answer({**self.collections["sentinel-2-l2a"], "links": links})
        if asked.path != "/search":
            return Answer(status=404)
        if asked.method not in self.methods:
            return Answer(status=405)
        body = dict(asked.body or asked.query)
        self.searches.append(body)
        if self.refuse(body):
            return Answer({"code": "BadRequest", "description": "not like this"}, 400)
        if self.faults:
            return self.faults.pop(0)
        return Answer(self.page(asked, body))

    def page(self, asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
        page = int(body.get("token") or 0)
        pages = max(-(-len(self.items) // self.per_page), 1)
        following = self.next_page(page, pages)
        link: dict[str, Any] = {"rel": "next", "href": f"{self.url}/search", "method": asked.method}
        if asked.method == "POST":
            link |= {"body": {"token": str(following)}, "merge": True}
        else:
            link["href"] += "?" + urlencode({**body, "token": str(following)})
        return {
            "type": "FeatureCollection",
            "features": self.items[page * self.per_page :][: self.per_page],
            "links": [] if following is None else [link],
        }


@pytest.fixture
def served(tiny: TinyCatalogue) -> Iterator[tuple[Api, Server]]:
    items = [{**item, "assets": _at(item, "https://example.org/x")} for item in items_of(tiny)]
    stac = Api(items)
    with serving(stac.respond) as server:
        stac.url = server.url
        yield stac, server


def test_an_api_is_read_page_by_page(served: tuple[Api, Server]) -> None:
    stac, server = served
    found = find(server.url)
    assert ids(found) == ["a", "b", "c"]
    first, second = stac.searches
    assert first["collections"] == ["sentinel-2-l2a"]
    assert shapely.geometry.shape(first["intersects"]).covers(HERE.geom)
    assert first["datetime"].startswith("2010-01-01T00:00:00")
    assert second == {**first, "token": "1"}
    assert found.extent.when.startswith("2015-06-01")
    assert found.collections == ("sea-surface", "sentinel-2-l2a")


def test_only_assets_that_nobody_reads_are_left_out_of_the_answer(served: tuple[Api, Server]) -> None:
    stac, server = served
    find(server.url)
    assert stac.searches[0]["fields"] == {"exclude": ["assets.thumbnail", "assets.visual"]}
    stac.landing["conformsTo"].pop()
    find(server.url)
    assert "fields" not in stac.searches[-1]


def test_an_item_that_comes_on_two_pages_counts_once(served: tuple[Api, Server]) -> None:
    stac, server = served
    stac.items = [stac.items[0], stac.items[1], stac.items[1], stac.items[2]]
    found = find(server.url)
    assert ids(found) == ["a", "b", "c"]
    assert found.broken == ()


def test_a_broken_item_of_an_api_is_named(served: tuple[Api, Server]) -> None:
    stac, server = served
    stac.items[0] = {**stac.items[0], "properties": {}}
    found = find(server.url)
    assert ids(found) == ["b", "c"]
    assert found.broken[0].startswith("a: breaks the STAC rules")


def test_a_search_with_a_collections_address_means_its_api_and_that_collection(
    served: tuple[Api, Server],
) -> None:
    stac, server = served
    assert ids(find(f"{server.url}/collections/sentinel-2-l2a")) == ["a", "b", "c"]
    assert len(stac.searches) == 2


@pytest.mark.parametrize(
    "next_page",
    [lambda page, pages: 0, lambda page, pages: page + 1],
    ids=["back to the first page", "empty pages for ever"],
)
def test_an_api_that_runs_in_a_circle_is_stopped(
    served: tuple[Api, Server], next_page: Callable[[int, int], int]
) -> None:
    stac, server = served
    stac.next_page = next_page
    with pytest.raises(BrokenArtefact, match="from page to page without an end, after"):
        find(server.url)
    assert len(stac.searches) < 10


def test_a_page_that_fails_is_asked_for_again(served: tuple[Api, Server], waits: list[float]) -> None:
    stac, server = served
    stac.faults = [
        Answer(status=503),
        Answer(status=429, headers={"Retry-After": "3"}),
        Answer(b'{"type": "FeatureCollection", "features": [', cut=3),
    ]
    assert ids(find(server.url)) == ["a", "b", "c"]
    assert 3.0 in waits
    stac.faults = [Answer(b'{"type": "FeatureCollection", "fea')] * 9
    with pytest.raises(Unavailable, match="answers an unfinished page"):
        find(server.url)
    stac.faults = [Answer({"detail": "sorry"})] * 9
    with pytest.raises(Unavailable, match="answers a page without features"):
        find(server.url)


def test_a_server_that_refuses_shapes_is_asked_for_boxes(served: tuple[Api, Server]) -> None:
    stac, server = served
    stac.refuse = lambda body: "intersects" in body
    assert ids(find(server.url)) == ["a", "b", "c"]
    assert shapely.box(*stac.searches[-1]["bbox"]).covers(HERE.geom)
    stac.searches.clear()
    both = Geometry(
        shapely.union_all([shapely.box(179, 0, 180, 1), shapely.box(-180, 0, -179, 1)]), "EPSG:4326"
    )
    stac.items = []
    find(server.url, both)
    sent = [body["bbox"] for body in stac.searches if "bbox" in body]
    assert len(sent) == 2
    assert all(one[0] < one[2] and one[2] - one[0] < 10 for one in sent)


def test_a_server_that_knows_get_alone_is_asked_so(served: tuple[Api, Server]) -> None:
    stac, server = served
    stac.methods = ("GET",)
    assert ids(find(server.url)) == ["a", "b", "c"]
    assert isinstance(json.loads(stac.searches[0]["intersects"]), dict)
    round_one = HERE.geom.centroid.buffer(0.1, quad_segs=90)
    assert ids(find(server.url, Geometry(round_one, "EPSG:4326"))) == ["a", "b", "c"]
    assert "bbox" in stac.searches[-1]


def test_a_refusal_of_every_way_is_told(served: tuple[Api, Server]) -> None:
    stac, server = served
    stac.refuse = lambda body: True
    with pytest.raises(InvalidInput, match="not like this"):
        find(server.url)


def test_a_detailed_area_is_sent_with_few_vertices_and_filtered_exactly(served: tuple[Api, Server]) -> None:
    stac, server = served
    west, south, east, north = HERE.geom.bounds
    ring = (
        shapely.Point(west, south)
        .buffer(1, quad_segs=400)
        .difference(shapely.box(west - 0.5, south - 0.5, east + 0.5, north + 0.5))
    )
    assert ids(find(server.url, Geometry(ring, "EPSG:4326"))) == []
    sent = shapely.geometry.shape(stac.searches[0]["intersects"])
    assert shapely.get_num_coordinates(sent) <= shapes.MAX_VERTICES
    assert sent.buffer(1e-9).covers(ring)


def test_times_are_asked_as_the_source_counts_them(
    served: tuple[Api, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    stac, server = served
    period = Period.parse("2020")
    for cadence, asked in (
        ("instant", "2020-01-01T00:00:00Z/2021-01-01T00:00:00Z"),
        ("interval", "2018-12-31T00:00:00Z/2022-01-02T00:00:00Z"),
        ("static", None),
    ):
        stac.searches.clear()
        find(server.url, period=period, sources=[replace(S2, cadence=cadence)])  # type: ignore[arg-type]
        assert stac.searches[0].get("datetime") == asked


def test_an_api_that_cannot_be_searched_or_has_no_area_is_refused(served: tuple[Api, Server]) -> None:
    stac, server = served
    with pytest.raises(InvalidInput, match="say which area you want"):
        find(server.url, None)
    del stac.landing["conformsTo"]
    assert ids(find(server.url)) == ["a", "b", "c"]  # its links tell that it can be searched
    stac.landing["conformsTo"], stac.methods = ["https://api.stacspec.org/v1.0.0/core"], ()
    with pytest.raises(InvalidInput, match="lacks item-search"):
        find(server.url)


def test_an_api_without_the_collection_tells_which_it_has(served: tuple[Api, Server]) -> None:
    stac, server = served
    del stac.collections["sentinel-2-l2a"]
    request = IngestRequest(
        root=Path("unused"), catalog=server.url, periods=("2020",), bbox=HERE.geom.bounds, sources=(S2.name,)
    )
    with pytest.raises(NotFound, match="its collections are: sea-surface"):
        plan(request)
    assert stac.searches == []


def test_an_api_cannot_lead_a_search_into_the_private_network(served: tuple[Api, Server]) -> None:
    stac, server = served
    real = stac.page
    with serving(lambda one: Answer({"type": "FeatureCollection", "features": [], "links": []})) as inner:

        def page(asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
            content = real(asked, body)
            content["links"] = [{"rel": "next", "href": f"{inner.url}/search", "method": "GET"}]
            return content

        stac.page = page  # type: ignore[method-assign]
        with pytest.raises(EarthfieldError, match="not on the public internet"):
            find(server.url)
        assert inner.asked == []


def test_progress_is_told_while_pages_come(served: tuple[Api, Server]) -> None:
    told: list[tuple[str, int, int]] = []
    question = Question([S2], HERE, ALWAYS)
    open_archive(served[1].url).find(question, progress=lambda *one: told.append(one))
    assert [done for _, done, _ in told] == [2, 3]


def test_the_newest_processing_counts_in_tables_and_apis_too(
    served: tuple[Api, Server], tmp_path: Path
) -> None:
    stac, server = served
    twin = json.loads(json.dumps(stac.items[0]))
    twin["id"] = "older"
    for item, baseline in ((stac.items[0], "05.00"), (twin, "02.12")):
        item["properties"] |= {"grid:code": "MGRS-31UDS", "s2:processing_baseline": baseline}
    stac.items.append(twin)
    table = write_parquet(stac.items, tmp_path / "rows.parquet")
    for catalog in (str(table), server.url):
        request = IngestRequest(
            root=Path("unused"), catalog=catalog, periods=("2020",), bbox=HERE.geom.bounds, sources=(S2.name,)
        )
        flawed = {one.id: one.flaw for one in plan(request).items[S2.name] if one.flaw}
        assert flawed == {"older": "superseded by a newer processing"}
