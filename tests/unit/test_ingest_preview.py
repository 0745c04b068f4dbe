"""Timelines and pictures show every step in its place, and every gap."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_catalogue import PLACE, TinyCatalogue
from PIL import Image

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import NotFound
from earthfield.grid import Tile
from earthfield.schemas import IngestRequest
from earthfield.timeline import Period, step_of, step_start
from earthfield_ingest import jobs
from earthfield_ingest.preview import draw, looks_of, make_preview, span_of
from earthfield_ingest.quicklook import look
from earthfield_ingest.timeline import Track, drawn, held, stretches, track

WEST = Tile.parse("32631_0048_0549")
S2 = "sentinel-2-l2a"
BANDS = ("B02", "B03", "B04")


def step(day: str) -> int:
    return step_of(datetime.fromisoformat(day).replace(tzinfo=UTC))


@pytest.fixture(scope="module")
def cube(tmp_path_factory: pytest.TempPathFactory) -> Cube:
    """Sentinel-2 at three steps, the last half hidden; radar at one."""
    folder = tmp_path_factory.mktemp("preview")
    half = np.full((16, 16), 9, np.uint8)
    half[:8] = 4
    tiny = TinyCatalogue(folder / "catalogue")
    for name, when, value in (("a", "2020-06-01", 500), ("b", "2020-06-21", 2500), ("c", "2020-07-06", 1500)):
        tiny.add(name, f"{when}T10:00:00", value=value, bands=BANDS, scl=half if name == "c" else 4)
    radar = TinyCatalogue(folder / "catalogue", "sentinel-1-rtc")
    radar.add("r", "2020-06-11T05:00:00", bands=("vv", "vh"))
    jobs.ingest(
        IngestRequest(
            root=folder / "root",
            catalog=str(folder / "catalogue"),
            periods=("2020",),
            sources=(S2, "sentinel-1-rtc"),
        )
    )
    return Cube(Catalog(folder / "root").cube(WEST))


def test_a_track_tells_how_much_each_step_shows(cube: Cube) -> None:
    assert track(cube, S2).shares == {
        step("2020-06-01"): 1.0,
        step("2020-06-21"): 1.0,
        step("2020-07-06"): 0.5,
    }
    assert track(cube, S2, Period.parse("2020-07")).shares == {
        step("2020-07-06"): 1.0
    }  # of what it ever shows
    (radar, optical) = held(cube.place, with_clear=True)
    assert (radar.clear_share, optical.clear_share) == (1.0, 0.8333)
    assert held(cube.place)[0].clear_share is None


def test_a_line_has_a_character_a_step_and_a_dot_for_a_gap() -> None:
    first = step("2020-03-03")
    shares = {first: 1.0, first + 2: 0.5, first + 3: 0.01}
    lines = drawn([Track("source", shares)], range(first, first + 5), width=80)
    assert lines == ["2020    Mar", "source  █·▄▁·"]


@given(st.integers(2000, 4000), st.integers(1, 400), st.integers(37, 120))
def test_lines_hold_every_step_once_and_seasons_below_one_another(
    first: int, count: int, longest: int
) -> None:
    steps = range(first, first + count)
    parts = stretches(steps, longest=longest)
    assert [one for part in parts for one in part.steps] == list(steps)
    if len(parts) > 1:
        # Of a day of the year the place in the line never differs by more than one.
        for part in parts:
            start = step_start(part.steps[0] - part.offset)
            months = 12 if longest >= 76 else 6
            days = (start - datetime(start.year, 1, 1, tzinfo=UTC)).days % (365 / (12 / months))
            assert min(days, 365 / (12 / months) - days) < 12
        assert all(part.offset >= 0 for part in parts)


def test_a_step_on_the_border_of_a_year_is_no_line_of_its_own() -> None:
    year = Period.parse("2022..2023").steps
    assert step_start(year[0]).year == 2021
    assert len(stretches(year, longest=80)) == 2
    assert len(stretches(year, longest=40)) == 4


def test_quick_looks_are_stretched_alike(cube: Cube) -> None:
    one = look(cube, S2)
    assert one.shows == "true colour"
    dark, bright = (one.picture(step(day)) for day in ("2020-06-01", "2020-06-21"))
    assert dark[..., :3].mean() < bright[..., :3].mean()
    half = one.picture(step("2020-07-06"))
    assert (half[:16, :, 3] == 255).all()
    assert (half[16:, :, 3] == 0).all()
    assert half.shape[:2] == (32, PLACE.shape[1] - 16)  # this tile's part of the place


def test_what_was_measured_decides_what_is_shown(tmp_path: Path) -> None:
    tiny = TinyCatalogue(tmp_path / "catalogue")
    tiny.add("a", "2020-06-01T10:00:00", bands=("B05", "B8A", "B12"))
    jobs.ingest(IngestRequest(root=tmp_path, catalog=str(tiny.folder), periods=("2020",), sources=(S2,)))
    assert look(Cube(Catalog(tmp_path).cube(WEST)), S2).shows == "short-wave infrared"


def test_a_picture_has_a_place_for_every_step(cube: Cube) -> None:
    looks = looks_of(cube)
    assert [one.source for one in looks] == [S2, "sentinel-1-rtc"]
    steps = span_of(looks)
    assert steps == range(step("2020-06-01"), step("2020-07-06") + 1)
    narrow, wide = draw(looks, steps, title="x"), draw(looks, range(steps[0], steps[0] + 30), title="x")
    assert wide.width > narrow.width
    assert wide.height == narrow.height
    two_years = draw(looks, Period.parse("2020..2021").steps, title="x")
    assert two_years.height > 3 * (narrow.height - 300)


def test_a_preview_is_written_whole(cube: Cube, tmp_path: Path) -> None:
    made = make_preview(tmp_path / "deep" / "p.png", cube, sources=(S2,), period=Period.parse("2020-06"))
    assert [one.source for one in made.tracks] == [S2]
    assert made.steps == Period.parse("2020-06").steps
    with Image.open(made.path) as picture:
        assert picture.mode == "RGB"
    assert [path.name for path in made.path.parent.iterdir()] == ["p.png"]
    assert made.as_json()["sources"][S2] == {"2020-05-28": 1.0, "2020-06-17": 1.0}


def test_what_is_not_there_is_told(cube: Cube) -> None:
    with pytest.raises(NotFound, match="holds no landsat"):
        looks_of(cube, sources=("landsat-c2-l2",))
    with pytest.raises(NotFound, match="no frame of 2012"):
        looks_of(cube, period=Period.parse("2012"))
