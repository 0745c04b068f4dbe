"""*Cluster* in a browser: groups are found, named, told of a place, and downloaded with their names."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import rasterio
from browsing import Land, Seen, click_map, downloaded, draw_box, expect_tiles, is_narrow, keep, map_in
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]
HEADING = re.compile(r"^6 groups on [\d.,]+ (ha|km²)")


def find(page: Page) -> None:
    page.get_by_role("button", name="Find the groups").click()


def test_a_person_finds_groups_names_one_and_takes_the_files(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{land.url}/cluster")
    frame = map_in(page)
    find(page)
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    expect_tiles(frame, "/service/answers/")
    page.get_by_label("Name of group 1", exact=True).fill("Wet <meadow>")
    page.get_by_label("Name of group 1", exact=True).press("Enter")
    click_map(page, 0.5, 0.5)
    expect(page.get_by_text(re.compile(r"is nearest to (group \d|Wet <meadow>)"))).to_be_visible()
    keep(page, pictures, f"cluster-{land.name}")
    outlines = downloaded(page, "Outlines with names")
    named = json.loads(outlines.read_text())["features"]
    assert [one["properties"]["name"] for one in named] == ["Wet <meadow>", "2", "3", "4", "5", "6"]
    table = downloaded(page, re.compile("^Groups, sizes, names"))
    told = json.loads(table.read_text())
    assert told["clusters"][0]["name"] == "Wet <meadow>" and len(told["centres"]) == 6
    raster = downloaded(page, re.compile("GeoTIFF"))
    with rasterio.open(raster) as data:
        assert set(data.read(1).ravel()) - {0} == {1, 2, 3, 4, 5, 6}
    seen.check()


def test_names_and_colours_follow_to_another_period_of_a_part(real: Land, opened: Opened, seen: Seen) -> None:
    page = opened(f"{real.url}/cluster")
    map_in(page)
    find(page)
    name = page.get_by_label("Name of group 2", exact=True)
    expect(name).to_be_visible()
    name.fill("Wood")
    name.press("Enter")
    page.get_by_role("combobox", name="Map").click()
    page.get_by_role("option", name=re.compile(rf"^{re.escape(real.periods[0])} ")).click()
    expect(page.get_by_role("combobox", name="Same numbers, colours and names as")).to_be_visible()
    map_in(page)
    draw_box(page)
    expect(page.get_by_text("inside your shape")).to_be_visible()
    find(page)
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    expect(page.get_by_label("Name of group 2", exact=True)).to_have_value("Wood")
    seen.check()


def test_groups_are_found_on_a_phone_and_noise_is_told(
    real: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{real.url}/cluster", phone=True)
    map_in(page)
    page.get_by_text("As many as the land has").click()
    expect(page.get_by_text("Smallest group, % of the land")).to_be_visible()
    find(page)
    expect(page.get_by_text("fits no group well")).to_be_visible()
    assert is_narrow(page)
    keep(page, pictures, "cluster-phone")
    seen.check()


def test_more_groups_by_keyboard_are_not_asked_before_the_button(
    real: Land, opened: Opened, seen: Seen
) -> None:
    page = opened(f"{real.url}/cluster")
    map_in(page)
    find(page)
    expect(page.get_by_role("heading", name=HEADING)).to_be_visible()
    answers = len(real.client().answers())
    page.get_by_role("slider", name=re.compile("^Groups")).press("ArrowRight")
    expect(page.get_by_text("found with other settings")).to_be_visible()
    page.get_by_role("slider", name="Opacity of the groups, %").press("ArrowLeft")
    expect(page.get_by_test_id("stStatusWidget")).to_have_count(0)
    assert len(real.client().answers()) == answers
    page.get_by_role("button", name="Find the groups").press("Enter")
    expect(page.get_by_role("heading", name=re.compile("^7 groups on"))).to_be_visible()
    seen.check()
