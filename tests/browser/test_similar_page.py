"""The page *Similar*: by click, by what it is not, by shape and words; the list, its files, saved searches."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import rasterio
from browsing import (
    SHOW_MS,
    Land,
    Seen,
    choose_row,
    click_map,
    downloaded,
    draw_box,
    expect_tiles,
    is_narrow,
    keep,
    map_in,
)
from playwright.sync_api import FrameLocator, Page, expect

Opened = Callable[..., Page]
_MIDDLE = "() => [map.getCenter().lng, map.getCenter().lat]"


def title(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", name=re.compile(words))).to_be_visible()


def places(page: Page) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(downloaded(page, "Places (GeoJSON)").read_text())
    return content


def cells(found: dict[str, Any]) -> list[str]:
    return [hit["properties"]["cell"] for hit in found["features"]]


def means(page: Page, words: str) -> None:
    """Chooses what the next click or drawing means, and waits until the page knows."""
    said = {"Not like this": "that do not look like it", "Look only here": "only places in it are found"}
    page.get_by_test_id("stButtonGroup").get_by_text(words, exact=True).click()
    expect(page.get_by_text(said[words])).to_be_visible()


def opened_map(page: Page, land: Land) -> FrameLocator:
    frame = map_in(page)
    expect_tiles(frame)
    return frame


def expect_middle(frame: FrameLocator, lon: float, lat: float) -> None:
    """Waits until a map that moves has come to a place."""
    until = time.monotonic() + SHOW_MS / 1e3
    wanted = pytest.approx([lon, lat], abs=2e-4)
    while (middle := frame.locator("body").evaluate(_MIDDLE)) != wanted:
        assert time.monotonic() < until, f"the map is at {middle}, not at {wanted}"
        time.sleep(0.1)


def test_places_that_are_alike_are_found_by_click_and_by_what_it_is_not(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{land.url}/similar")
    frame = opened_map(page, land)
    click_map(page, 0.5, 0.5)
    title(page, r"^20 places most like \d")
    expect(frame.locator(".earthfield-rank")).to_have_count(20)
    expect_tiles(frame, "style=similarity")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    keep(page, pictures, f"similar-{land.name}")
    first = places(page)
    asked = first["query"]
    with land.client() as client:
        same = client.similar(
            land.model, [(asked["lon"], asked["lat"])], period=asked["period"], k=20, min_distance_m=100
        )
    assert cells(first) == cells(same)
    table = pq.read_table(downloaded(page, "Places (GeoParquet)"))
    assert table["cell"].to_pylist() == cells(first)

    means(page, "Not like this")
    click_map(page, 0.62, 0.35)
    title(page, "but not like 1 other$")
    expect_tiles(frame, "/service/answers/")
    second = places(page)
    assert [one["wanted"] for one in second["query"]["asked"]] == [True, False]
    assert cells(second) != cells(first)

    means(page, "Look only here")
    draw_box(page, low=0.4, high=0.7)
    expect(page.get_by_text(re.compile("^Best of"))).not_to_contain_text(f"{second['query']['cells']:,}")
    third = places(page)
    assert 0 < third["query"]["cells"] < second["query"]["cells"]
    assert len(third["query"]["asked"]) == 2, "the corners of a shape are no clicks"
    page.get_by_role("button", name="Heat map as files").click()
    with rasterio.open(downloaded(page, "Heat map (GeoTIFF)")) as data:
        scores = data.read(1, masked=True)
    assert scores.count() > 0 and -1 <= scores.min() <= scores.max() <= 1

    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text(f"Best of {second['query']['cells']:,}")).to_be_visible()
    page.get_by_role("button", name="Start again").click()
    expect(page.get_by_text("Nothing yet.")).to_be_visible()
    seen.check()


def test_words_find_places_a_row_moves_the_map_and_a_saved_search_is_asked_again(
    real: Land, opened: Opened, seen: Seen
) -> None:
    page = opened(f"{real.url}/similar")
    frame = opened_map(page, real)
    words = page.get_by_role("textbox", name="In words")
    words.fill("grassland")
    words.press("Enter")
    title(page, "most like “grassland”$")
    found = places(page)

    wrong = page.get_by_role("button", name="Not like this one")
    choose_row(page, 40 + 68 + 34, wrong)
    lon, lat = found["features"][1]["geometry"]["coordinates"]
    expect_middle(frame, lon, lat)
    wrong.click()
    title(page, "“grassland”, but not like 1 other$")

    page.get_by_text("Saved searches", exact=True).click()
    page.get_by_role("textbox", name="Name of this search").fill("green land")
    page.get_by_role("button", name="Save this search").click()
    page.get_by_role("button", name="Ask again").click()
    expect(page.get_by_text("Nothing has changed")).to_be_visible()
    title(page, "the saved search “green-land”$")
    with real.client() as client:
        assert [one["name"] for one in client.searches()] == ["green-land"]
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("None yet. A saved search")).to_be_visible()
    seen.check()


def test_a_phone_shows_it_without_sideways_scrolling_and_says_what_is_wrong(
    real: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{real.url}/similar", phone=True)
    opened_map(page, real)
    click_map(page, 0.5, 0.5)
    title(page, "places most like")
    expect(page.get_by_test_id("stDataFrame")).to_be_visible()
    keep(page, pictures, "similar-phone")
    assert is_narrow(page)
    page.get_by_text("Type a place instead of clicking").click()
    page.get_by_role("spinbutton", name="Longitude").fill("30")
    page.get_by_role("button", name="It is like this").click()
    expect(page.get_by_role("alert")).to_contain_text("lies outside every field")
    assert is_narrow(page)
    seen.check()
