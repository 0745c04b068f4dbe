"""A person looks at maps in colour, two under one line, how sure they are, and what a place went through."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from browsing import Land, Seen, choose, click_map, downloaded, expect_tiles, keep, map_in, settled
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]


def panes(page: Page) -> list[str]:
    """How both sides of a divided map are cut."""
    frame = map_in(page)
    return [
        frame.locator(f".leaflet-earthfield-{side}-pane").evaluate("one => one.style.clip")
        for side in ("left", "right")
    ]


def test_a_person_explores_colours_quality_and_a_place_through_time(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{land.url}/explore")
    frame = map_in(page)
    choose(page, "Map", f"{land.periods[-1]} · {land.model}")
    expect_tiles(frame, "style=pca")
    page.get_by_text("Three numbers as they are", exact=True).click()
    expect_tiles(frame, "style=axes")
    slider = page.get_by_role("slider", name="Opacity of the map, %")
    slider.press("Home")
    expect(frame.locator(".leaflet-layer").last).to_have_css("opacity", "0")
    slider.press("End")

    page.get_by_text("How sure it is", exact=True).click()
    expect_tiles(frame, "style=quality")
    expect(page.get_by_role("img", name=re.compile("^Colours from dark"))).to_be_visible()
    choose(page, "Of what", "Agreement of two halves")
    expect_tiles(frame, "layer=agreement")
    page.get_by_text("Widest differences", exact=True).click()
    expect_tiles(frame, "style=pca")

    settled(page)
    click_map(page)
    expect(page.get_by_role("tab", name="Through time")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    keep(page, pictures, f"explore-{land.name}")
    kept = downloaded(page, "Download the history")
    history = json.loads(kept.read_text())
    assert set(land.periods) <= {one["period"] for one in history["moments"]}

    page.get_by_role("tab", name="Pictures behind it").click()
    expect(page.get_by_text(re.compile(r"5-day steps that show this pixel clearly"))).to_be_visible()
    kept = downloaded(page, "Download the scenes")
    assert "sentinel-2-l2a" in kept.read_text()
    page.get_by_role("tab", name="Its 64 numbers").click()
    expect(page.get_by_test_id("stVegaLiteChart").last).to_be_visible()
    seen.check()


def test_a_line_divides_two_periods_and_moves_by_keyboard(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{land.url}/explore")
    frame = map_in(page)
    choose(page, "Map", f"{land.periods[-1]} · {land.model}")
    expect(frame.get_by_role("slider")).to_be_hidden()
    page.get_by_text("Compare with another map").click()
    choose(page, "Right of the line", f"{land.periods[0]} · {land.model}")
    line = frame.get_by_role("slider", name="Move the line")
    expect(line).to_be_visible()
    expect(frame.locator(".earthfield-swipe-left")).to_have_text(land.periods[-1])
    expect(frame.locator(".earthfield-swipe-right")).to_have_text(land.periods[0])
    expect(page.get_by_text("Like colours mean alike land on both sides")).to_be_visible()
    expect_tiles(frame, "like=")
    for side in ("left", "right"):
        tile = f".leaflet-earthfield-{side}-pane img.leaflet-tile-loaded"
        expect(frame.locator(tile).first).to_be_attached()
    keep(page, pictures, f"explore-swipe-{land.name}")
    before = panes(page)
    for _ in range(30):
        line.press("ArrowRight")
    after = panes(page)
    assert float(after[0].split("px")[1].strip(" ,")) > float(before[0].split("px")[1].strip(" ,"))
    assert after[0] != before[0] and after[1] != before[1]
    seen.check()


def test_the_page_can_be_used_on_a_phone(simulated: Land, opened: Opened, seen: Seen, pictures: Path) -> None:
    page = opened(f"{simulated.url}/explore", phone=True)
    expect_tiles(map_in(page))
    settled(page)
    click_map(page)
    expect(page.get_by_role("tab", name="Through time")).to_be_visible()
    expect(page.get_by_test_id("stVegaLiteChart").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing has to be scrolled sideways"
    keep(page, pictures, "explore-phone")
    seen.check()


def test_streets_are_asked_for_only_when_wanted_and_told_where_they_are_out_of_reach(
    served: Callable[[Land], Land], simulated_land: Land, opened: Opened, seen: Seen
) -> None:
    page = opened(f"{served(simulated_land).url}/explore")
    frame = map_in(page)
    expect_tiles(frame)
    seen.check()
    page.route("https://tile.openstreetmap.org/**", lambda route: route.abort())
    page.get_by_text("Streets and names below").click()
    expect(frame.get_by_text("The street map cannot be reached")).to_be_visible()
    assert seen.outside and all(one.startswith("https://tile.openstreetmap.org/") for one in seen.outside)
    page.get_by_text("Streets and names below").click()
    expect(frame.get_by_text("The street map cannot be reached")).to_be_hidden()
