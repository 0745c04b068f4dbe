"""*Change* in a browser: patches at a stated rate, looked at one by one, before and after, and as files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from browsing import Land, Seen, choose, downloaded, expect_tiles, is_narrow, keep, map_frame, map_in
from playwright.sync_api import Page, expect

Opened = Callable[..., Page]
PATCHES = re.compile("^Patches, largest first")


def find(page: Page, *, rate: str = "5.0%", steps: int = 2) -> None:
    """Asks at a rate that is some steps above the first one."""
    slider = page.get_by_role("slider", name="False alarms that you accept")
    expect(slider).to_be_visible()
    for _ in range(steps):
        slider.press("ArrowRight")
    expect(page.get_by_text(rate, exact=True)).to_be_visible()
    expect(page.get_by_text("Of 20 places where nothing changed, about one")).to_be_visible()
    page.get_by_role("button", name="Find what changed").click()
    expect(page.get_by_role("heading", name=PATCHES)).to_be_visible()


def test_a_person_finds_patches_looks_at_one_and_takes_the_files(
    land: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{land.url}/change")
    expect_tiles(map_in(page))
    find(page)
    frame = map_in(page)
    expect_tiles(frame, "/service/answers/")
    expect(frame.locator(".earthfield-rank").first).to_be_visible()
    page.get_by_text("How sure is this?").click()
    expect(page.get_by_text(re.compile(r"Calibrated on [\d,]+ pixels"))).to_be_visible()
    keep(page, pictures, f"change-{land.name}")
    outlines = downloaded(page, re.compile("^All patches"))
    patches = json.loads(outlines.read_text())
    table = downloaded(page, "Table of patches")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert patches["earthfield"]["false_alarms"] == 0.05 and len(rows) == len(patches["features"])
    assert float(rows[0]["hectares"]) == patches["features"][0]["properties"]["hectares"]
    choose(page, "Look at", "Patch 1,")
    looked_at = map_in(page).locator("path[stroke='#b5179e']")
    expect(looked_at).to_be_visible()
    patch, around = looked_at.bounding_box(), map_frame(page).bounding_box()
    assert patch and around, "the patch lies in the middle"
    assert patch["x"] + patch["width"] / 2 == pytest.approx(around["x"] + around["width"] / 2, abs=20)
    assert patch["y"] + patch["height"] / 2 == pytest.approx(around["y"] + around["height"] / 2, abs=20)
    seen.check()


def test_before_and_after_lie_beside_a_line_that_moves(land: Land, opened: Opened, seen: Seen) -> None:
    page = opened(f"{land.url}/change")
    frame = map_in(page)
    for period in (land.periods[0], land.periods[-1]):
        label = frame.get_by_text(period, exact=True)
        expect(label).to_be_visible()
    expect(page.get_by_text("Left of the line before")).to_be_visible()
    expect_tiles(frame, "like=")
    seen.check()


def test_change_is_found_on_a_phone(real: Land, opened: Opened, seen: Seen, pictures: Path) -> None:
    page = opened(f"{real.url}/change", phone=True)
    map_in(page)
    find(page)
    expect(map_in(page).locator(".earthfield-rank").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("^All patches"))).to_be_visible()
    assert is_narrow(page)
    keep(page, pictures, "change-phone")
    seen.check()


def test_another_rule_says_that_it_is_not_calibrated(real: Land, opened: Opened, seen: Seen) -> None:
    page = opened(f"{real.url}/change")
    map_in(page)
    page.get_by_text("A distance that I choose").click()
    expect(page.get_by_text("not how likely it is to be a change")).to_be_visible()
    page.get_by_role("slider", name="Smallest patch, pixels").press("End")
    expect(page.get_by_text("Patches below 1.00 ha are left out")).to_be_visible()
    page.get_by_role("slider", name="Changed from this distance on").press("End")
    page.get_by_role("button", name="Find what changed").click()
    expect(page.get_by_text(re.compile("Nothing stands out on"))).to_be_visible()
    seen.check()
