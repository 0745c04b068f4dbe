"""A person chooses an area in every way, has its map made, sees how that goes on, and why it does not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from browsing import (
    RUN_MS,
    Land,
    Seen,
    box_around,
    choose,
    draw_box,
    draw_polygon,
    keep,
    map_in,
    pages_of,
)
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]
PERIODS = {"simulated": "2022-05", "real": "2018-04"}
"""Short ones that have no map yet."""


def ask_for_map(page: Page, land: Land, period: str) -> None:
    if land.model != "starter":
        choose(page, "Model", land.model)
    page.get_by_role("textbox", name="Period").fill(period)
    page.get_by_role("textbox", name="Period").press("Enter")
    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_role("heading", name=re.compile("^Run "))).to_be_visible()


def test_a_person_draws_an_area_and_has_its_map_made(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(land.url)
    map_in(page)
    expect(page.get_by_role("heading", name="Make a map")).to_be_visible()
    expect(page.get_by_text(re.compile(r"The catalogue holds scenes from \d{4}-"))).to_be_visible()
    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_text("Still missing: the area")).to_be_visible()

    draw_box(page)
    expect(page.get_by_text("Your area: the shape you drew")).to_be_visible()
    expect(page.get_by_label("West")).not_to_have_value("")
    expect(page.get_by_text(re.compile(r"\d km², [\d,]+ pixels of 10 m in \d tiles?"))).to_be_visible()
    expect(page.get_by_text(re.compile(rf"{len(land.periods)} maps in your area"))).to_be_visible()
    keep(page, pictures, f"area-{land.name}")

    ask_for_map(page, land, PERIODS[land.name])
    expect(page.get_by_text(re.compile(r"\d+ of \d+ steps"))).to_be_visible()
    expect(page.get_by_text("The map is ready.")).to_be_visible(timeout=RUN_MS)
    expect(page.get_by_text(re.compile("About .* took"))).to_be_visible()
    page.get_by_text(re.compile(r"Log \(\d+ lines\)")).click()
    expect(page.get_by_text(re.compile("indexed|embed"))).not_to_have_count(0)
    keep(page, pictures, f"area-run-{land.name}")

    page.get_by_role("link", name="Explore the map").click()
    expect(page.get_by_role("heading", name="Explore", exact=True)).to_be_visible()
    chosen = re.compile(re.escape(f"{PERIODS[land.name]} · {land.model}"))
    expect(page.get_by_role("combobox", name="Map")).to_have_value(chosen)
    seen.check()


def test_a_failed_run_says_why_and_can_be_tried_again(
    simulated: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(simulated.url)
    map_in(page)
    page.get_by_role("button", name="Take all that the catalogue covers").click()
    expect(page.get_by_text("Your area: all that the catalogue covers")).to_be_visible()
    ask_for_map(page, simulated, "1999")
    expect(page.get_by_text(re.compile(r"The run failed\. .*1999"))).to_be_visible(timeout=RUN_MS)
    keep(page, pictures, "area-run-failed")

    first = page.get_by_role("heading", name=re.compile("^Run ")).inner_text()
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("heading", name=re.compile("^Run "))).not_to_have_text(first)
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("button", name="Try again")).to_be_visible(timeout=RUN_MS)
    expect(page.locator(".stMarkdownBadge").first).to_contain_text("cancelled")
    seen.check()


def test_an_area_can_be_typed_uploaded_drawn_or_named(
    served: Callable[[Land], Land], simulated_land: Land, opened: Opened, seen: Seen, tmp_path: Path
) -> None:
    land = served(simulated_land)
    page = opened(land.url)
    map_in(page)
    chosen = page.get_by_text(re.compile("^Your area:"))

    sides = box_around(land.middle, 300)
    for side, value in zip(("West", "South", "East", "North"), sides, strict=True):
        page.get_by_label(side).fill(f"{value:.6f}")
    page.get_by_role("button", name="Take this box").click()
    expect(chosen).to_contain_text("the box you typed")
    expect(page.get_by_text(re.compile(r"0\.3\d km²"))).to_be_visible()

    west, south, east, north = sides
    shape = {"type": "Polygon", "coordinates": [[[west, south], [east, south], [east, north], [west, south]]]}
    (tmp_path / "half.geojson").write_text(json.dumps(shape))
    (tmp_path / "none.geojson").write_text("/etc/passwd")
    page.get_by_role("tab", name="GeoJSON").click()
    page.locator("input[type=file]").set_input_files(tmp_path / "none.geojson")
    expect(page.get_by_text("is not readable GeoJSON")).to_be_visible()
    page.locator("input[type=file]").set_input_files(tmp_path / "half.geojson")
    expect(chosen).to_contain_text("half.geojson")
    expect(page.get_by_text(re.compile(r"0\.1\d km²"))).to_be_visible()

    page.get_by_role("button", name="Choose another").click()
    expect(chosen).to_have_count(0)
    draw_polygon(page, [(0.3, 0.3), (0.6, 0.3), (0.6, 0.7)])
    expect(chosen).to_contain_text("the shape you drew")

    page.get_by_role("tab", name="Place name").click()
    for name, told in (
        ("Brokentown", "OpenStreetMap cannot be reached"),
        ("Nowhere", "no area named 'Nowhere'"),
    ):
        page.get_by_role("textbox", name="Name of a town").fill(name)
        page.get_by_role("button", name="Look it up").click()
        expect(page.get_by_text(told)).to_be_visible()
    page.get_by_role("textbox", name="Name of a town").fill("Testdorp")
    page.get_by_role("button", name="Look it up").click()
    page.get_by_role("button", name="Take its outline").click()
    expect(chosen).to_contain_text("Testdorp")
    expect(page.get_by_text("No map in your area")).to_be_visible()
    seen.check()


def test_services_that_are_down_are_told_with_what_to_do(
    simulated_land: Land, opened: Opened, pictures: Path
) -> None:
    with pages_of(simulated_land, parts=("dashboard",)) as land:
        page = opened(land.url)
        expect(page.get_by_text("no search service answers").first).to_be_visible()
        expect(page.get_by_text("Prefect, which runs the jobs, does not answer")).to_be_visible()
        expect(page.get_by_text("earthfield up").first).to_be_visible()
        keep(page, pictures, "area-services-down")


def test_the_page_can_be_used_on_a_phone(simulated: Land, opened: Opened, seen: Seen, pictures: Path) -> None:
    page = opened(simulated.url, phone=True)
    map_in(page)
    page.get_by_role("button", name="Take all that the catalogue covers").click()
    expect(page.get_by_text(re.compile(r"\d km², [\d,]+ pixels"))).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390, "nothing has to be scrolled sideways"
    keep(page, pictures, "area-phone")
    seen.check()
