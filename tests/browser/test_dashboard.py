"""A person in a browser: draws a box, has the map made, sees it in colour, asks what is alike."""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, FrameLocator, Page, expect, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))
from stack_parts import free_ports, model_for, write_landscape

from earthfield_flows.processes import recorded, stop
from earthfield_flows.stack import Stack, start_stack, stop_stack

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: apt-get install chromium"
)
RUN_MS = 300_000
SHOW_MS = 40_000


@dataclass
class Seen:
    """What a page did that it should not have done."""

    outside: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> Page:
        page.on("request", lambda one: self.outside.append(one.url) if _is_outside(one.url) else None)
        page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: self.errors.append(str(one)))
        return page


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def model(root: Path) -> str:
    return model_for(root)


@pytest.fixture(scope="module")
def stack(root: Path, model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    landscape = write_landscape(tmp_path_factory.mktemp("landscape"))
    try:
        yield start_stack(root, ports=free_ports(), catalog=str(landscape), timeout_s=180)
    finally:
        stop_stack(root)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get("EARTHFIELD_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def map_in(page: Page) -> FrameLocator:
    frame = page.frame_locator("iframe").first
    frame.locator(".leaflet-container").wait_for(timeout=SHOW_MS)
    return frame


def keep(page: Page, folder: Path, name: str) -> None:
    """Saves the whole page, grown to its height, because Streamlit scrolls inside it."""
    size = page.viewport_size
    assert size is not None
    page.wait_for_timeout(1500)
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], height + 16), 4000)})
    page.wait_for_timeout(1000)
    page.screenshot(path=folder / f"{name}.png")
    page.set_viewport_size(size)


def overlay_of(frame: FrameLocator) -> np.ndarray:
    """The picture that lies over the map, (h, w, 4)."""
    image = frame.locator("img.leaflet-image-layer").first
    image.wait_for(timeout=SHOW_MS)
    source = image.get_attribute("src") or ""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def choose(page: Page, model: str) -> None:
    if model != "starter":
        page.get_by_role("combobox", name="Model").click()
        page.get_by_role("option", name=model).click()


def draw_box(page: Page, frame: FrameLocator) -> None:
    frame.locator(".leaflet-draw-draw-rectangle").click()
    box = page.locator("iframe").first.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.35, box["y"] + box["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.move(box["x"] + box["width"] * 0.65, box["y"] + box["height"] * 0.7, steps=5)
    page.mouse.up()


def test_a_person_makes_a_map_and_asks_what_is_alike(
    stack: Stack, browser: Browser, model: str, pictures: Path
) -> None:
    seen = Seen()
    page = seen.watch(browser.new_page(viewport={"width": 1280, "height": 900}))
    page.goto(stack.dashboard)
    frame = map_in(page)
    expect(page.get_by_role("heading", name="Make a map")).to_be_visible()
    keep(page, pictures, "1-area-empty")

    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_text("Still missing: the area")).to_be_visible(timeout=SHOW_MS)
    draw_box(page, frame)
    expect(page.get_by_label("West")).not_to_have_value("", timeout=SHOW_MS)
    expect(page.get_by_text(re.compile(r"\d km²"))).to_be_visible(timeout=SHOW_MS)
    choose(page, model)
    keep(page, pictures, "2-area-chosen")

    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_role("heading", name=re.compile("^Run "))).to_be_visible(timeout=SHOW_MS)
    expect(page.get_by_text(re.compile(r"\d+ of \d+ steps"))).to_be_visible(timeout=SHOW_MS)
    keep(page, pictures, "3-run-going")
    expect(page.get_by_text("The map is ready.")).to_be_visible(timeout=RUN_MS)
    page.get_by_text(re.compile(r"Log \(\d+ lines\)")).click()
    keep(page, pictures, "4-run-done")

    page.get_by_role("button", name="Explore the map").click()
    expect(page.get_by_role("heading", name="Explore")).to_be_visible(timeout=SHOW_MS)
    frame = map_in(page)
    coloured = overlay_of(frame)
    opaque = coloured[coloured[..., 3] > 0]
    assert len(np.unique(opaque[:, :3], axis=0)) > 100, "the field is in colour"
    keep(page, pictures, "5-explore")

    frame.locator(".leaflet-container").click()
    expect(page.get_by_role("heading", name=re.compile("places most like"))).to_be_visible(timeout=SHOW_MS)
    expect(frame.locator(".earthfield-rank").first).to_be_visible(timeout=SHOW_MS)
    assert frame.locator(".earthfield-rank").count() >= 5
    assert not np.array_equal(overlay_of(frame), coloured), "the heat map lies over the map"
    keep(page, pictures, "6-similar")
    page.get_by_role("tab", name="This place").click()
    expect(page.get_by_text("observations behind it")).to_be_visible(timeout=SHOW_MS)
    page.get_by_text("observations behind it").click()
    page.get_by_text("The 64 numbers of the embedding").click()
    keep(page, pictures, "7-place")
    assert seen.outside == [] and seen.errors == []


def test_the_pages_can_be_used_on_a_phone(stack: Stack, browser: Browser, pictures: Path) -> None:
    seen = Seen()
    page = seen.watch(browser.new_page(viewport={"width": 390, "height": 844}))
    page.goto(stack.dashboard)
    map_in(page)
    keep(page, pictures, "phone-1-area")
    page.get_by_role("link", name="Explore").click()
    expect(page.get_by_role("heading", name="Explore")).to_be_visible(timeout=SHOW_MS)
    frame = map_in(page)
    overlay_of(frame)
    keep(page, pictures, "phone-2-explore")
    frame.locator(".leaflet-container").click()
    expect(page.get_by_role("heading", name=re.compile("places most like"))).to_be_visible(timeout=SHOW_MS)
    keep(page, pictures, "phone-3-similar")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390, "nothing has to be scrolled sideways"
    assert seen.outside == [] and seen.errors == []


def test_a_failed_run_says_why(stack: Stack, browser: Browser, model: str, pictures: Path) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(stack.dashboard)
    map_in(page)
    page.get_by_role("button", name="Take all that the catalogue covers").click()
    expect(page.get_by_label("West")).not_to_have_value("", timeout=SHOW_MS)
    choose(page, model)
    page.get_by_role("textbox", name="Period").fill("1999")
    page.get_by_role("textbox", name="Period").press("Enter")
    page.get_by_role("button", name="Make the map").click()
    expect(page.get_by_text(re.compile(r"The run failed\. .*1999"))).to_be_visible(timeout=RUN_MS)
    keep(page, pictures, "8-run-failed")


def test_a_service_that_is_down_is_told_with_what_to_do(
    stack: Stack, root: Path, browser: Browser, pictures: Path
) -> None:
    for one in recorded(root / "run"):
        if one.name in ("search", "flows", "prefect"):
            stop(one, folder=root / "run")
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(stack.dashboard)
    expect(page.get_by_text("The search service does not answer").first).to_be_visible(timeout=SHOW_MS)
    expect(page.get_by_text("earthfield up").first).to_be_visible()
    keep(page, pictures, "9-services-down")
