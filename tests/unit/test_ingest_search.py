"""Catalogues are found and read in whatever form they come, or refused in a sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pystac
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st
from ingest_catalogue import PLACE, TinyCatalogue, area_text

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.progress import silent
from earthfield.schemas import IngestRequest
from earthfield.sources import source_named
from earthfield.timeline import Period
from earthfield_ingest.catalogues import Question, open_archive
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.plan import plan, whole_steps
from earthfield_ingest.scene import SUPERSEDED, footprint_of, scene_of, without_superseded

S2 = source_named("sentinel-2-l2a")


def ids(place: Path) -> list[str]:
    """Ids of everything that a catalogue holds of Sentinel-2."""
    question = Question([S2], None, Period.parse("1980..2030"))
    return sorted(one.id for one in open_archive(str(place)).find(question, progress=silent).scenes)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCatalogue:
    tiny = TinyCatalogue(tmp_path / "catalogue")
    tiny.add("a", "2020-06-01T10:00:00")
    tiny.add("b", "2020-07-01T10:00:00")
    return tiny


def request(tiny: TinyCatalogue, **content: object) -> IngestRequest:
    given = {
        "root": tiny.folder.parent / "root",
        "catalog": str(tiny.folder),
        "periods": ("2020",),
        **content,
    }
    return IngestRequest.model_validate(given)


def test_folder_file_collection_item_and_loose_items_all_open(tiny: TinyCatalogue, tmp_path: Path) -> None:
    for place in (
        tiny.folder,
        tiny.folder / "catalog.json",
        tiny.folder / "sentinel-2-l2a" / "collection.json",
    ):
        assert ids(place) == ["a", "b"]
    item = tiny.folder / "sentinel-2-l2a" / "a" / "a.json"
    assert ids(item) == ["a"]
    assert ids(item.parent) == ["a"]


def test_the_period_is_searched_in_whole_steps_but_counted_exactly(tiny: TinyCatalogue) -> None:
    tiny.add("c", "2020-05-31T23:59:59")  # one step with a: 2020-05-28 to 2020-06-01
    made = plan(request(tiny, periods=("2020-05",)))
    assert [one.id for one in made.items["sentinel-2-l2a"]] == ["c", "a"]
    assert [one.id for one in made.counted("sentinel-2-l2a")] == ["c"]


@given(st.datetimes(min_value=__import__("datetime").datetime(1980, 1, 1)), st.integers(1, 10**9))
def test_whole_steps_cover_the_period_and_no_more_than_needed(start: object, seconds: int) -> None:
    from datetime import datetime, timedelta

    assert isinstance(start, datetime)
    if start.year > 9000:
        return
    span = Period(start, start + timedelta(seconds=seconds))
    wide = whole_steps(span)
    assert wide.covers(span)
    assert wide.steps == span.steps
    assert wide.days <= span.days + 10


def test_a_source_that_the_catalogue_does_not_hold_is_found_zero_times(tiny: TinyCatalogue) -> None:
    made = plan(request(tiny))
    assert made.items["landsat-c2-l2"] == ()
    with pytest.raises(NotFound, match="holds no landsat-c2-l2"):
        plan(request(tiny, sources=("landsat-c2-l2",)))


@pytest.mark.parametrize(
    ("content", "kind", "words"),
    [
        ({"catalog": "/no/such/place"}, NotFound, "there is no catalogue at /no/such/place"),
        ({"periods": ("2015",)}, NotFound, "2020-06-01 to 2020-07-01"),
        ({"bbox": (10.0, 40.0, 10.1, 40.1)}, InvalidInput, "west 3.0"),
        ({"sources": ("radar",)}, NotFound, "'radar' is not declared"),
        ({"catalog": "http://127.0.0.1:9/catalog.json"}, Unavailable, "127.0.0.1:9"),
    ],
)
def test_wrong_requests_are_told_in_a_sentence(
    tiny: TinyCatalogue,
    content: dict[str, object],
    kind: type[Exception],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    with pytest.raises(kind, match=words):
        plan(request(tiny, **content))


def test_broken_items_are_named_and_the_others_planned(tiny: TinyCatalogue) -> None:
    item = tiny.folder / "sentinel-2-l2a" / "a" / "a.json"
    whole = item.read_text()
    for text, words in (
        (whole[:100], "a/a.json is not readable JSON"),
        (None, "a/a.json does not exist"),
        ("[]", "is no STAC item"),
        (json.dumps({**json.loads(whole), "geometry": None, "bbox": None}), "tells no place"),
        (_without(whole, "datetime"), "breaks the STAC rules"),
        (json.dumps({**json.loads(whole), "assets": ["B02"]}), "breaks the STAC rules"),
    ):
        item.unlink(missing_ok=True)
        if text is not None:
            item.write_text(text)
        made = plan(request(tiny))
        assert [one.id for one in made.items["sentinel-2-l2a"]] == ["b"], text
        assert len(made.broken) == 1, text
        assert words in made.broken[0]
        assert "a/a.json" in made.broken[0]


def test_a_catalogue_of_broken_items_alone_is_refused_with_the_first_of_them(tiny: TinyCatalogue) -> None:
    for name in "ab":
        (tiny.folder / "sentinel-2-l2a" / name / f"{name}.json").write_text("{")
    with pytest.raises(NotFound, match=r"2 items are broken, first: .*/a/a\.json is not readable JSON"):
        plan(request(tiny))


def test_a_broken_part_that_is_no_item_stops_the_search(tiny: TinyCatalogue, tmp_path: Path) -> None:
    collection = tiny.folder / "sentinel-2-l2a" / "collection.json"
    collection.write_text(collection.read_text()[:100])
    with pytest.raises(InvalidInput, match=r"collection\.json is not readable JSON"):
        plan(request(tiny))
    collection.unlink()
    with pytest.raises(NotFound, match=r"collection\.json does not exist"):
        plan(request(tiny))
    (tiny.folder / "catalog.json").write_text('{"name": "no stac"}')
    with pytest.raises(InvalidInput, match="not STAC"):
        plan(request(tiny))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFound, match="holds neither"):
        plan(request(tiny, catalog=str(tmp_path / "empty")))


def _without(text: str, name: str) -> str:
    content = json.loads(text)
    content["properties"].pop(name)
    return json.dumps(content)


def test_the_whole_catalogue_is_the_area_whatever_the_period(tiny: TinyCatalogue) -> None:
    one, other = plan(request(tiny, periods=("2020-06",))), plan(request(tiny, periods=("2020",)))
    assert one.area == other.area
    assert [window.tile.id for window in one.tiles] == ["32631_0048_0549", "32631_0049_0549"]


def test_scenes_that_only_share_a_border_with_the_area_are_not_found(tiny: TinyCatalogue) -> None:
    beside = PLACE.shifted(0, 100)
    with pytest.raises(InvalidInput, match="outside"):
        plan(request(tiny, aoi=area_text(beside)))


def test_the_newest_processing_of_an_acquisition_counts(tiny: TinyCatalogue) -> None:
    grid = {"grid:code": "MGRS-31UDS", "platform": "sentinel-2a"}
    old = {"s2:processing_baseline": "02.12", "s2:generation_time": "2020-06-01T12:00:00Z"}
    new = {"s2:processing_baseline": "05.00", "s2:generation_time": "2023-02-01T12:00:00Z"}
    tiny.add("old", "2020-08-01T10:00:00", **grid, **old)
    tiny.add("new", "2020-08-01T10:00:00", **grid, **new)
    tiny.add("elsewhere", "2020-08-01T10:00:00", **{**grid, "grid:code": "MGRS-31UES"}, **old)
    found = plan(request(tiny)).items["sentinel-2-l2a"]
    assert {one.id: one.flaw for one in found if one.flaw} == {"old": SUPERSEDED}


def test_two_datastrips_of_one_pass_are_two_acquisitions() -> None:
    def item(name: str, strip: str, baseline: str) -> pystac.Item:
        properties = {"s2:datastrip_id": strip, "s2:processing_baseline": baseline, "grid:code": "MGRS-31UDS"}
        when = __import__("datetime").datetime(2020, 6, 1)
        shape = shapely.geometry.mapping(shapely.box(3, 50, 4, 51))
        return pystac.Item(
            name, shape, None, when, properties, assets={"B02": pystac.Asset("http://x/B02.tif")}
        )

    one = item("one", "S2A_OPER_MSI_L2A_DS_ESRI_20201006T080533_S20200601T212530_N02.12", "02.12")
    other = item("other", "S2A_OPER_MSI_L2A_DS_ESRI_20201006T080533_S20200601T212600_N05.00", "05.00")
    made = without_superseded([scene_of(one, S2), scene_of(other, S2)])
    assert SUPERSEDED not in [scene.flaw for scene in made]


def test_a_remote_catalogue_cannot_make_us_read_our_own_files() -> None:
    item = pystac.Item("a", None, [3, 50, 4, 51], __import__("datetime").datetime(2020, 6, 1), {})
    item.assets = {"B02": pystac.Asset("/etc/passwd"), "B03": pystac.Asset("https://x.org/B03.tif")}
    own = scene_of(item, S2, remote=True).assets["B02"]["href"]
    with (
        pytest.raises(BrokenArtefact, match="--allow"),
        Fetcher(home="https://catalogue.example.org").raster(own),
    ):
        pass
    assert set(scene_of(item, S2).assets) == {"B02", "B03"}


def test_footprints_across_the_antimeridian_stay_small(real_data: Path) -> None:
    shapes = []
    for path in sorted((real_data / "stac" / "antimeridian_items").glob("*.json")):
        item = pystac.Item.from_dict(json.loads(path.read_text()), href=str(path))
        shapes.append(footprint_of(item))
    assert len(shapes) == 6
    for shape in shapes:
        assert shape.is_valid
        assert shape.area < 10.0
        assert -180 <= shape.bounds[0] <= shape.bounds[2] <= 180


def test_a_bbox_across_the_antimeridian_is_cut_in_two() -> None:
    item = pystac.Item(
        "a", None, [179.0, 50.0, -179.0, 51.0], __import__("datetime").datetime(2020, 6, 1), {}
    )
    assert footprint_of(item).area == pytest.approx(2.0)
