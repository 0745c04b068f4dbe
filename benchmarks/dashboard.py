"""Measures in a browser what a person waits for: a usable page, a map layer of a whole tile, a click on "similar".

Run: `python benchmarks/dashboard.py --root ROOT` over a root with fields of whole tiles and an index. The search
service and the dashboard are started for it; Chromium has to be on the machine. Time runs from the moment at which
a person acts until it stands on the screen: every map tile in view is drawn, the places are marked. Figures go to
docs/experiments.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
from playwright.sync_api import Browser, Error, FrameLocator, Page, expect, sync_playwright
from rich.console import Console
from rich.table import Table

WAIT_MS = 120_000
_FORGET = "() => document.querySelectorAll('.earthfield-rank').forEach((one) => one.classList.add('old'))"
_FRESH = ".earthfield-rank:not(.old)"
_LOOK_MS = 1500
"""How long a person looks at a map before they click it."""
_WHOLE = """() => {
  const tiles = [...document.querySelectorAll('img.leaflet-tile')].filter((one) => one.src.includes(ADDRESS));
  return tiles.length > 0 && tiles.every((one) => one.complete && one.classList.contains('leaflet-tile-loaded'));
}"""


@contextlib.contextmanager
def running_pages(root: Path) -> Iterator[str]:
    """Starts the search service and the dashboard over a root; gives the address of the pages."""
    search, dashboard = _free_port(), _free_port()
    environment = {
        **os.environ,
        "EARTHFIELD_ROOT": str(root.absolute()),
        "EARTHFIELD_SEARCH_URL": f"http://127.0.0.1:{search}",
        "EARTHFIELD_DASHBOARD_PORT": str(dashboard),
        "EARTHFIELD_PREFECT_URL": "http://127.0.0.1:9/api",
    }
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    modules = ("earthfield_search.api.server", "earthfield_dashboard")
    processes = [
        subprocess.Popen([sys.executable, "-m", name], env=environment, **quiet)  # type: ignore[call-overload]
        for name in modules
    ]
    try:
        for address in (f"http://127.0.0.1:{search}/health", f"http://127.0.0.1:{dashboard}/_stcore/health"):
            _wait(address)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=20)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(address: str, *, most_s: float = 120.0) -> None:
    deadline = time.monotonic() + most_s
    while time.monotonic() < deadline:
        try:
            if httpx.get(address, timeout=5, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit(f"{address} did not answer within {most_s:.0f} s")


class Visit:
    """A person at a desk, with a watch."""

    def __init__(self, browser: Browser, url: str, watch: dict[str, list[float]]) -> None:
        """Opens nothing yet; `watch` takes the seconds of each wait by its name."""
        self.page: Page = browser.new_page(viewport={"width": 1280, "height": 900})
        self.url, self.watch = url, watch

    def timed(self, name: str, act: Callable[[], None], until: Callable[[], None]) -> None:
        """Notes how long it takes from an act until something is there."""
        began = time.perf_counter()
        act()
        until()
        self.watch.setdefault(name, []).append(time.perf_counter() - began)

    def frame(self) -> FrameLocator:
        """The first map of the page."""
        return self.page.frame_locator("iframe[title*=folium]").first

    def whole(self, address: str) -> None:
        """Waits until every map tile whose address holds a text is drawn."""
        deadline, script = time.monotonic() + WAIT_MS / 1e3, _WHOLE.replace("ADDRESS", json.dumps(address))
        while time.monotonic() < deadline:
            for frame in self.page.frames[1:]:
                with contextlib.suppress(Error):  # it was drawn anew meanwhile
                    if frame.evaluate(script):
                        return
            self.page.wait_for_timeout(20)
        raise SystemExit(f"the tiles {address} were not whole within {WAIT_MS / 1e3:.0f} s")

    def explore(self, name: str) -> None:
        """Opens *Explore* until its map is whole."""
        self.timed(
            f"{name} page until usable", lambda: self.page.goto(f"{self.url}/explore") and None,
            lambda: expect(self.page.get_by_role("slider").first).to_be_visible(timeout=WAIT_MS),
        )  # fmt: skip
        self.timed(f"{name} map layer after that", lambda: None, lambda: self.whole("style=pca"))
        axes = self.page.get_by_text("Three numbers as they are", exact=True)
        self.timed(f"{name} other colours", axes.click, lambda: self.whole("style=axes"))

    def similar(self, name: str, places: list[tuple[float, float]]) -> None:
        """Opens *Similar* and clicks its map at several places, shares of its sides."""
        self.page.goto(f"{self.url}/similar")
        self.whole("style=pca")
        for number, place in enumerate(places):
            self.page.wait_for_timeout(_LOOK_MS)
            if number == 0:
                self.click(f"{name} click on similar", *place, heat="style=similarity")
            else:  # one more example: another question, whose heat map is an answer of its own
                self.click("one more click on similar", *place, heat="/service/answers/")

    def click(self, name: str, x: float, y: float, *, heat: str) -> None:
        """Clicks the map, until the places are marked and until the heat map is whole."""
        box = self.page.locator("iframe[title*=folium]").first.bounding_box()
        assert box is not None
        at = box["x"] + box["width"] * x, box["y"] + box["height"] * y
        self.frame().locator("body").evaluate(_FORGET)
        began = time.perf_counter()
        self.page.mouse.click(*at)
        expect(self.frame().locator(_FRESH).first).to_be_attached(timeout=WAIT_MS)
        self.watch.setdefault(f"{name}, until places", []).append(time.perf_counter() - began)
        self.whole(heat)
        self.watch.setdefault(f"{name}, until the heat map", []).append(time.perf_counter() - began)


def measure(browser: Browser, url: str, *, times: int) -> dict[str, list[float]]:
    """Gives the seconds of every wait, by name."""
    watch: dict[str, list[float]] = {}
    visit = Visit(browser, url, watch)
    visit.explore("first")
    for _ in range(times):
        visit.explore("later")
    rng = np.random.default_rng(1)
    for number in range(times + 1):
        places = [(float(x), float(y)) for x, y in rng.uniform(0.3, 0.7, (3, 2))]
        visit.similar("very first" if number == 0 else "first", places)
    return watch


def main() -> None:
    """Tells how long a person waits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--root", type=Path, required=True, help="root with fields of whole tiles and an index"
    )
    parser.add_argument("--times", type=int, default=5, help="how often each is repeated")
    asked = parser.parse_args()
    with running_pages(asked.root) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        watch = measure(browser, url, times=asked.times)
        browser.close()
    table = Table("what", "times", "p50 s", "most s", title=f"load of the machine {os.getloadavg()[0]:.1f}")
    for name, seconds in watch.items():
        table.add_row(name, str(len(seconds)), f"{np.median(seconds):.2f}", f"{max(seconds):.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
