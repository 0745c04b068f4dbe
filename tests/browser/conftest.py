"""Lands with their stacks, and a browser: each is made once in a session, and only when a test wants it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from browsing import (
    SHOW_MS,
    Land,
    Seen,
    copied,
    make_maps,
    mapped_bounds,
    pages_of,
    up,
    write_landscape,
)
from command import Told
from kept import HALVES, YEAR, made
from playwright.sync_api import Browser, Page, expect, sync_playwright

_CHROMIUMS = ("chromium-headless-shell", "chromium", "google-chrome")
"""The one without windows first: the same pages for less work."""
CHROMIUM = next(filter(None, map(shutil.which, _CHROMIUMS)), None)
STILL = """
const still = new CSSStyleSheet();
still.replaceSync("* { animation-duration: 1ms !important; animation-iteration-count: 1 !important; }");
document.adoptedStyleSheets = [...document.adoptedStyleSheets, still];
"""
"""Nothing turns and pulses for ever: without a GPU each picture of it takes time from what the page waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Without Chromium no page can be looked at; the first test of a land waits until its maps are made.

    Tests of one stack come together, those that none needs first: of two stacks, one runs at a time.
    """
    missing = pytest.mark.skip(reason="no Chromium on this machine: apt-get install chromium")
    for item in items:
        if Path(item.path).parent != Path(__file__).parent:
            continue
        item.add_marker(pytest.mark.timeout(1800))
        if CHROMIUM is None:
            item.add_marker(missing)
    items.sort(key=_stack_of)


def _stack_of(item: pytest.Item) -> tuple[int, bool]:
    """Which stack a test needs, and that it is for this one alone; stable, so the rest stays as it was."""
    if Path(item.path).parent != Path(__file__).parent or not isinstance(item, pytest.Function):
        return 0, False
    named = item.callspec.params["land"] if "land" in item.fixturenames else None
    for number, name in enumerate(("simulated", "real"), 1):
        if name == named or name in item.fixturenames:
            return number, named is None
    return 0, False


_DRIVEN = ExitStack()
"""What drives the browser, once a test wants one."""


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Ends the browser after the last test of pages: no other event loop runs beside its driver's."""
    if nextitem is None or Path(nextitem.path).parent != Path(__file__).parent:
        _DRIVEN.close()


@pytest.fixture(scope="session")
def simulated_land(kept: Path, tmp_path_factory: pytest.TempPathFactory) -> Land:
    """Simulated land of 640 m x 640 m, maps of 2022 and 2023; nothing serves it."""
    years = ("2022", "2023")

    def make(to: Path) -> None:
        make_maps(to / "root", write_landscape(to / "land"), years, "starter")

    whole = made(kept / "simulated", make)
    root = copied(whole / "root", tmp_path_factory.mktemp("simulated") / "root")
    return Land("simulated", root, str(whole / "land"), "starter", years, mapped_bounds(root, "starter"))


@pytest.fixture(scope="session")
def real_land(
    mapped: tuple[Path, Told], halved: Path, real_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Land:
    """Real land of 640 m x 640 m over two tiles, maps of 2018 and two parts of it; nothing serves it."""
    place, periods = real_data / "places" / "flanders_a", (HALVES[0], YEAR, HALVES[1])
    root = copied(mapped[0], tmp_path_factory.mktemp("real") / "root")
    shutil.copytree(halved / "fields", root / "fields", dirs_exist_ok=True)
    make_maps(root, place, periods, "starter")  # finds the fields there: lists and indexes them
    return Land(
        "real", root, str(place), "starter", periods, mapped_bounds(root, "starter"),
        labels=place / "labels" / "LC.tif",
    )  # fmt: skip


@pytest.fixture(scope="session")
def stack() -> Iterator[Callable[[Land], Land]]:
    """Serves a land with everything that `earthfield up` starts, and ends the one that was served before."""
    with ExitStack() as ended:
        there: dict[str, Land] = {}

        def serve(land: Land) -> Land:
            if land.name not in there:
                there.clear()
                ended.close()
                there[land.name] = ended.enter_context(up(land))
            return there[land.name]

        yield serve


@pytest.fixture
def simulated(stack: Callable[[Land], Land], simulated_land: Land) -> Land:
    """Simulated land with its stack."""
    return stack(simulated_land)


@pytest.fixture
def real(stack: Callable[[Land], Land], real_land: Land) -> Land:
    """Real land with its stack."""
    return stack(real_land)


@pytest.fixture(params=["simulated", "real"])
def land(request: pytest.FixtureRequest) -> Land:
    """The simulated and the real land, each with its stack: the test runs on both."""
    found: Land = request.getfixturevalue(request.param)
    return found


class _OpenStreetMap(BaseHTTPRequestHandler):
    """Knows one town, a box in the middle of nowhere; breaks down when it is asked for `Brokentown`."""

    def do_GET(self) -> None:
        """Answers as an Overpass server does."""
        asked = parse_qs(urlsplit(self.path).query)["data"][0]
        box = {"minlon": 5.0, "minlat": 52.0, "maxlon": 5.02, "maxlat": 52.01}
        ring = [(5.0, 52.0), (5.02, 52.0), (5.02, 52.01), (5.0, 52.0)]
        way = {"type": "way", "role": "outer", "geometry": [{"lon": lon, "lat": lat} for lon, lat in ring]}
        town = {"type": "relation", "id": 7, "bounds": box, "members": [way]}
        town["tags"] = {"name": "Testdorp", "boundary": "administrative", "admin_level": "8"}
        is_known = '"Testdorp"' in asked or "relation(7)" in asked
        told = json.dumps({"elements": [town] if is_known else []}).encode()
        self.send_response(504 if "Brokentown" in asked else 200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="session")
def openstreetmap() -> Iterator[str]:
    """Address of a server that stands for OpenStreetMap's."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _OpenStreetMap)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api"
    server.shutdown()


@pytest.fixture(scope="session")
def served(openstreetmap: str) -> Iterator[Callable[[Land], Land]]:
    """Gives the pages over a land without Prefect, up in some seconds: for tests that start no run."""
    with ExitStack() as stack:
        there: dict[str, Land] = {}

        def serve(land: Land) -> Land:
            if land.name not in there:
                there[land.name] = stack.enter_context(
                    pages_of(land, settings={"EARTHFIELD_OSM_URL": openstreetmap})
                )
            return there[land.name]

        yield serve


@pytest.fixture(scope="session")
def browser() -> Browser:
    """Chromium."""
    expect.set_options(timeout=SHOW_MS)
    playwright = _DRIVEN.enter_context(sync_playwright())
    options = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
    opened = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
    _DRIVEN.callback(opened.close)
    return opened


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: the folder that EARTHFIELD_SCREENSHOTS names, or one that is thrown away."""
    folder = Path(os.environ.get("EARTHFIELD_SCREENSHOTS") or tmp_path_factory.mktemp("screenshots"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def seen() -> Seen:
    """What the pages of this test did that they should not have done; ask `seen.check()` at its end."""
    return Seen()


@pytest.fixture
def opened(browser: Browser, seen: Seen) -> Iterator[Callable[..., Page]]:
    """Opens an address as on a desk, or with `phone=True` as on a phone; closed when the test is over."""
    contexts: list[Any] = []

    def open_page(address: str, *, phone: bool = False) -> Page:
        size = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 900}
        context = browser.new_context(viewport=size, has_touch=phone, accept_downloads=True)  # type: ignore[arg-type]
        contexts.append(context)
        context.add_init_script(STILL)
        context.set_default_timeout(SHOW_MS)
        page = seen.watch(context.new_page())
        page.goto(address)
        return page

    yield open_page
    for context in contexts:
        context.close()
