"""What tests of pages share: lands with their stacks, what a page did wrong, the map on it, screenshots."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
from playwright.sync_api import FrameLocator, Locator, Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

sys.path.insert(0, str(Path(__file__).parents[1] / "services"))
from stack_parts import free_ports

from earthfield.area import area_from_bbox
from earthfield.client import Client, Place
from earthfield.errors import NotFound
from earthfield.schemas import IndexRequest, MapRequest
from earthfield.simulate import Landscape, simulate
from earthfield_flows.stack import Ports, start_stack, stop_stack

SHOW_MS = 240_000
"""How long a page may take to show something on a busy machine: what waits is told no other time."""
RUN_MS = 900_000
"""How long a run of flows may take there."""
Bounds = tuple[float, float, float, float]


@dataclass(frozen=True)
class Land:
    """Land whose maps are made, and what serves them."""

    name: str
    """`simulated` or `real`."""
    root: Path
    """Its root: cubes, fields with quality layers, index."""
    catalog: str
    """Where its scenes are."""
    model: str
    """The model of its fields."""
    periods: tuple[str, ...]
    """Periods of the maps that were made beforehand, as pages write them, oldest first. Tests of Area add others:
    choose a layer by its period."""
    bounds: Bounds
    """West, south, east, north of what is mapped, degrees."""
    labels: Path | None = None
    """A GeoTIFF of land cover classes, where there is one."""
    url: str = ""
    """Address of the pages, without a slash at its end."""
    search_url: str = ""
    """Address of the search service."""
    prefect_url: str = ""
    """Address of Prefect's API; empty where there is none."""

    @property
    def middle(self) -> Place:
        """Longitude and latitude of the middle."""
        west, south, east, north = self.bounds
        return (west + east) / 2, (south + north) / 2

    def client(self) -> Client:
        """Asks its search service beside the pages."""
        return Client(self.search_url)


@dataclass
class Seen:
    """What a page did that it should not have done."""

    outside: list[str] = field(default_factory=list)
    """Requests to other hosts."""
    errors: list[str] = field(default_factory=list)
    """Errors on the console, and answers that were refused."""

    def watch(self, page: Page) -> Page:
        """Notes what a page does from now on."""
        page.on("request", lambda one: self.outside.append(one.url) if _is_outside(one.url) else None)
        page.on("console", lambda one: self.errors.append(one.text) if one.type == "error" else None)
        page.on("pageerror", lambda one: self.errors.append(str(one)))
        page.on(
            "response", lambda one: self.errors.append(f"{one.status} {one.url}") if one.status >= 400 else 0
        )
        return page

    def check(self) -> None:
        """Makes sure that no other host was asked and nothing went wrong."""
        assert self.outside == [], "no other host is asked for anything"
        assert self.errors == [], "the console is clean"


def _is_outside(url: str) -> bool:
    return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:", "about:"))


# Lands ------------------------------------------------------------------------------------------------------------


def write_landscape(folder: Path) -> Path:
    """Writes a simulated landscape of 640 m x 640 m and two years, seen half as often as it would be."""
    seldom = {"s2_revisit_days": 10, "s1_revisit_days": 12, "landsat_revisit_days": 16}
    simulate(folder, Landscape(size_px=(64, 64), **seldom))
    return folder


def make_maps(root: Path, catalog: Path, periods: Sequence[str], model: str) -> None:
    """Makes cubes, fields with quality layers, and the index, without flows."""
    from earthfield_infer.jobs import embed
    from earthfield_ingest.jobs import ingest
    from earthfield_search.jobs.index import index_fields

    asked = MapRequest(root=root, catalog=str(catalog), periods=tuple(periods), model=model)
    ingest(asked.ingest())
    embed(asked.embed())
    index_fields(IndexRequest(root=root, model=model))


def mapped_bounds(root: Path, model: str) -> Bounds:
    """West, south, east, north of all fields of a model."""
    from earthfield.catalog import Catalog
    from earthfield.field import fields_of

    found = [one.area.to_crs("EPSG:4326").boundingbox.bbox for one in fields_of(Catalog(root), model)]
    if not found:
        raise NotFound(f"no field under {root}")
    west, south, east, north = zip(*found, strict=True)
    return min(west), min(south), max(east), max(north)


@contextmanager
def up(land: Land) -> Iterator[Land]:
    """Everything over a land, as `earthfield up` starts it."""
    ports = free_ports()
    try:
        stack = start_stack(land.root, ports=ports, catalog=land.catalog, timeout_s=900)
        yield replace(
            land, url=stack.dashboard, search_url=f"http://127.0.0.1:{ports.search}",
            prefect_url=f"http://127.0.0.1:{ports.prefect}/api",
        )  # fmt: skip
    finally:
        stop_stack(land.root)


@contextmanager
def pages_of(
    land: Land, *, parts: Sequence[str] = ("search", "dashboard"), settings: Mapping[str, str] | None = None
) -> Iterator[Land]:
    """The pages and the search service alone, up in some seconds; nothing runs jobs.

    Args:
        land: what they serve.
        parts: of these, those that are started: the others are down.
        settings: more of the environment.
    """
    ports = free_ports()
    with TemporaryDirectory() as logs:
        processes = [_start(one, land, ports, Path(logs) / f"{one}.log", settings or {}) for one in parts]
        try:
            for one, process in zip(parts, processes, strict=True):
                _wait(process, _HEALTH[one].format(**vars(ports)), Path(logs) / f"{one}.log")
            yield replace(
                land, url=f"http://127.0.0.1:{ports.dashboard}", search_url=f"http://127.0.0.1:{ports.search}"
            )
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(timeout=20)


_MODULES = {"search": "earthfield_search.api.server", "dashboard": "earthfield_dashboard"}
_HEALTH = {
    "search": "http://127.0.0.1:{search}/health",
    "dashboard": "http://127.0.0.1:{dashboard}/_stcore/health",
}


def _start(
    part: str, land: Land, ports: Ports, log: Path, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    environment = {
        **settings,
        "EARTHFIELD_ROOT": str(land.root),
        "EARTHFIELD_CATALOG": land.catalog,
        "EARTHFIELD_DASHBOARD_PORT": str(ports.dashboard),
        "EARTHFIELD_SEARCH_URL": f"http://127.0.0.1:{ports.search}",
        "EARTHFIELD_PREFECT_URL": f"http://127.0.0.1:{ports.prefect}/api",
    }
    with log.open("wb") as told:
        return subprocess.Popen(
            [sys.executable, "-m", _MODULES[part]],
            env={**os.environ, **environment},
            stdout=told,
            stderr=told,
        )


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    """Until a part answers; `httpx` tries again by itself while nobody listens."""
    with httpx.Client(transport=httpx.HTTPTransport(retries=9), timeout=60, trust_env=False) as client:
        while process.poll() is None:
            try:
                if client.get(address).is_success:
                    return
            except httpx.HTTPError:
                continue
    raise AssertionError(f"it ended while starting: {log.read_text()[-2000:]}")


# Pages ------------------------------------------------------------------------------------------------------------


def map_in(page: Page, number: int = 0) -> FrameLocator:
    """The frame of a map on a page, once the map is there; the first, unless another number is given."""
    frame = page.frame_locator("iframe[title*=folium]").nth(number)
    frame.locator(".leaflet-container").wait_for()
    return frame


def map_frame(page: Page, number: int = 0) -> Locator:
    """The element that holds a map, for its place on the page."""
    return page.locator("iframe[title*=folium]").nth(number)


def expect_tiles(frame: FrameLocator, address: str = "/service/tiles/") -> None:
    """Waits until a tile whose address holds a text is on a map, and really is a picture."""
    tile = frame.locator(f'img.leaflet-tile-loaded[src*="{address}"]').first
    expect(tile).to_be_attached()
    assert tile.evaluate("one => one.naturalWidth") == 256


def click_map(page: Page, x: float = 0.5, y: float = 0.5, *, number: int = 0) -> None:
    """Clicks a map at shares of its width and height, once the page is not being drawn: it would miss the click."""
    settled(page)
    _click(page, x, y, number)


def _click(page: Page, x: float, y: float, number: int) -> None:
    frame = map_frame(page, number)
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * x, box["y"] + box["height"] * y)


def draw_box(page: Page, *, low: float = 0.35, high: float = 0.65, number: int = 0) -> None:
    """Draws a rectangle on a map, between shares of its sides."""
    settled(page)
    map_in(page, number).locator(".leaflet-draw-draw-rectangle").click()
    map_frame(page, number).scroll_into_view_if_needed()
    box = map_frame(page, number).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * low, box["y"] + box["height"] * low)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5, steps=5)
    page.mouse.move(box["x"] + box["width"] * high, box["y"] + box["height"] * high, steps=5)
    page.mouse.up()


def draw_polygon(page: Page, corners: Sequence[tuple[float, float]], *, number: int = 0) -> None:
    """Draws a polygon on a map through corners, given as shares of its width and height.

    Each corner waits for the one before, as a person would: Leaflet.draw takes none within 50 ms of another, and a
    busy browser hands two clicks over at once.
    """
    settled(page)  # a map that is drawn anew forgets a shape that was begun
    frame = map_in(page, number)
    frame.locator(".leaflet-draw-draw-polygon").click()
    drawn = frame.locator(".leaflet-editing-icon")
    for count, (x, y) in enumerate(corners, 1):
        page.wait_for_timeout(200)
        _click(page, x, y, number)
        expect(drawn).to_have_count(count)
    page.wait_for_timeout(200)
    _click(page, *corners[0], number)
    expect(drawn).to_have_count(0)


def choose(page: Page, label: str, option: str) -> None:
    """Chooses in a select box by a part of what stands there; a page that is drawn anew closes its list."""
    box = page.get_by_role("combobox", name=label, exact=False).first
    wanted = page.get_by_role("option", name=option).first
    for _ in range(4):
        box.click()
        try:
            wanted.click(timeout=5_000)
            return
        except PlaywrightTimeout:
            page.keyboard.press("Escape")
    expect(wanted).to_be_visible()


def choose_row(page: Page, y: float, then: Locator) -> None:
    """Clicks a list `y` px below its top, until what a chosen row brings is there: one being drawn takes none."""
    table = page.get_by_test_id("stDataFrame").first
    for _ in range(4):
        table.scroll_into_view_if_needed()
        table.click(position={"x": 300, "y": y})
        try:
            then.wait_for(timeout=10_000)
            return
        except PlaywrightTimeout:
            continue
    expect(then).to_be_visible()


def is_narrow(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return bool(
        page.evaluate(
            "Math.max(document.documentElement.scrollWidth,"
            " document.querySelector('[data-testid=stMain]').scrollWidth) <= window.innerWidth"
        )
    )


_IS_QUIET = """() => {
  const app = document.querySelector("[data-testid=stApp]");
  const spinner = document.querySelector("[data-testid=stSpinner]");
  const isBusy = spinner || app?.dataset.testScriptState !== "notRunning";
  if (isBusy || !window.quietSince) { window.quietSince = performance.now(); return false; }
  return performance.now() - window.quietSince > 500;
}"""


def settled(page: Page) -> None:
    """Waits until the page was not drawn for half a second: a click counts only after a moment."""
    page.evaluate("window.quietSince = 0")
    page.wait_for_function(_IS_QUIET, polling=100)


def keep(page: Page, folder: Path, name: str) -> None:
    """Saves the whole page, grown to its height because Streamlit scrolls inside it, as a small PNG."""
    import io

    from PIL import Image

    size = page.viewport_size
    assert size is not None
    for _ in range(2):  # what comes into view may make the page longer
        settled(page)
        height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": min(max(size["height"], height), 4000)})
        page.wait_for_timeout(700)  # for the eye only: fonts, and tiles that fade in
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128).save(folder / f"{name}.png", optimize=True)
    page.set_viewport_size(size)


def copied(root: Path, to: Path) -> Path:
    """A root of its own for a test that changes it."""
    shutil.copytree(root, to, ignore=shutil.ignore_patterns("run"))
    return to


def box_around(place: Place, half_m: float) -> Bounds:
    """A box around a place, `half_m` to each side."""
    lat = half_m / 111_320
    lon = lat / 0.6
    return place[0] - lon, place[1] - lat, place[0] + lon, place[1] + lat


def km2_of(bounds: Bounds) -> float:
    """How large a box is."""
    return area_from_bbox(bounds).to_crs("EPSG:6933").area / 1e6


def downloaded(where: Page | Locator, button: str | re.Pattern[str]) -> Path:
    """Presses a button that downloads and gives the file; again, as a person would, where the page was made anew
    meanwhile and the browser let go of it.
    """
    page = where if isinstance(where, Page) else where.page
    for _ in range(3):
        with page.expect_download() as found:
            where.get_by_role("button", name=button).first.click()
        if (failure := found.value.failure()) is None:
            break
    assert failure is None, f"{button}: {failure}"
    return Path(found.value.path())
