"""Ingest of real acquisitions: counts, pixels, reruns, and death at any moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import NotFound
from earthfield.grid import Tile, Window
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.timeline import Period
from earthfield_ingest import jobs

S2, S1, L8 = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"
WEST, EAST = Tile.parse("32631_0048_0549"), Tile.parse("32631_0049_0549")
FIELD = Window(-562_968, -562_904, 50_136, 50_200)
"""The 64 x 64 px of flanders_a in the zone's grid."""
COVERED = "covered by a clearer acquisition of the same 5-day step"
NOT_CLEAR = "no clear pixel in the area"


def run(catalog: Path | str, root: Path, period: str, **content: Any) -> IngestReport:
    return jobs.ingest(
        IngestRequest.model_validate({"root": root, "catalog": str(catalog), "periods": (period,), **content})
    )


def everything(root: Path) -> dict[str, Any]:
    """Every frame of every cube of flanders_a, by tile, source and step."""
    found = {}
    for tile in Catalog(root).cube_tiles():
        cube = Cube(Catalog(root).cube(tile))
        part = tile.local(FIELD.padded(8) & tile.window)
        for source in cube.sources:
            seen = cube.observations(source)
            values, valid = cube.read(source, [one.slot for one in seen], part)
            for one, numbers, clear in zip(seen, values, valid, strict=True):
                key = f"{tile.id}/{source}/{one.step}"
                found[key] = (one.acquired, one.items, numbers.tobytes(), clear.tobytes())
    return found


@pytest.fixture(scope="session")
def flanders(real_data: Path) -> Path:
    return real_data / "places" / "flanders_a"


@pytest.fixture(scope="session")
def whole(flanders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IngestReport]:
    """All of flanders_a, ingested once."""
    root = tmp_path_factory.mktemp("flanders")
    return root, run(flanders, root, "2017..2018")


def test_flanders_is_counted_whole_over_two_tiles(whole: tuple[Path, IngestReport]) -> None:
    _, report = whole
    assert {name: one.found for name, one in report.sources.items()} == {S2: 118, S1: 159, L8: 26}
    for one in report.sources.values():
        assert one.used + sum(one.dropped.values()) == one.found
        assert set(one.dropped) <= {COVERED, NOT_CLEAR}
    assert set(report.tiles) == {WEST.id, EAST.id}
    assert report.sources[S1].clear_share == 1.0
    assert report.unreadable == []


def test_a_rerun_of_flanders_makes_no_commit(whole: tuple[Path, IngestReport], flanders: Path) -> None:
    root, first = whole
    before = [Cube(Catalog(root).cube(tile)).snapshot for tile in (WEST, EAST)]
    again = run(flanders, root, "2017..2018")
    assert again.items_read == 0
    assert [Cube(Catalog(root).cube(tile)).snapshot for tile in (WEST, EAST)] == before
    for name, one in first.sources.items():
        other = again.sources[name]
        assert (one.found, one.used, one.dropped, one.steps) == (
            other.found,
            other.used,
            other.dropped,
            other.steps,
        )


def test_a_part_of_the_period_needs_no_reading(whole: tuple[Path, IngestReport], flanders: Path) -> None:
    root, _ = whole
    part = run(flanders, root, "2018-04..2018-07")
    assert part.items_read == 0
    assert 0 < part.sources[S2].found < 118
    with pytest.raises(NotFound, match="2017-08-01 to 2018-11-29"):
        run(flanders, root, "2015")


@pytest.mark.parametrize("tile", [WEST, EAST])
def test_stored_pixels_equal_the_files(whole: tuple[Path, IngestReport], flanders: Path, tile: Tile) -> None:
    root, _ = whole
    cube = Cube(Catalog(root).cube(tile))
    part = FIELD & tile.window
    ys, xs = part.shifted(-FIELD.y0, -FIELD.x0).slices
    checked = 0
    for source, band, key, factor in (
        (S2, 2, "B04", 1),
        (S2, 9, "B12", 2),
        (S1, 1, "vh", 2),
        (L8, 6, "lwir11", 1),
    ):
        for one in cube.observations(source):
            if len(one.items) != 1:
                continue
            with rasterio.open(flanders / source / one.items[0] / f"{key}.tif") as file:
                raw = file.read(1).repeat(factor, 0).repeat(factor, 1)[ys, xs]
            values, valid = cube.read(source, [one.slot], tile.local(part))
            expected = np.rint(1000 * np.log10(raw.astype(float))) if source == S1 else raw
            assert (values[0, band][valid[0]] == expected[valid[0]]).all()
            assert (values[0, band][~valid[0]] == cube.attributes(source)["nodata"]).all()
            checked += 1
    assert checked > 150


def test_the_two_tiles_hold_no_pixel_outside_the_place(whole: tuple[Path, IngestReport]) -> None:
    root, _ = whole
    pixels = 0
    for tile in (WEST, EAST):
        cube = Cube(Catalog(root).cube(tile))
        first = cube.observations(S1)[0]
        pixels += int(cube.read_valid(S1, [first.slot], Window(0, 1024, 0, 1024)).sum())
    assert pixels == 64 * 64


def test_tanzania_lacks_bands_and_landsat_and_runs(real_data: Path, tmp_path: Path) -> None:
    report = run(real_data / "places" / "tanzania_d", tmp_path, "2020")
    assert report.sources[S2].found == 70
    assert report.sources[S1].found == 31
    assert report.sources[L8].found == 0
    (tile,) = Catalog(tmp_path).cube_tiles()
    assert tile.epsg == 32737
    cube = Cube(Catalog(tmp_path).cube(tile))
    seen = cube.observations(S2, Period.parse("2020"))
    values, valid = cube.read(S2, [one.slot for one in seen], Window(0, 1024, 0, 1024))
    names = cube.attributes(S2)["bands"]
    for band, name in enumerate(names):
        measured = values[:, band] != -32768
        if name in ("B02", "B03", "B04", "B08"):
            assert not measured.any()
        else:
            assert (measured == valid).all()


def test_earth_search_granules_of_one_day_are_mosaicked_without_counting_the_offset_twice(
    real_data: Path, tmp_path: Path
) -> None:
    place = real_data / "stac" / "earth_search_static"
    # Across the border of 33TWL and 33TWM. The 20 m bands point to the internet and are taken out of the copy.
    copy = tmp_path / "catalogue"
    _without_remote_assets(place, copy)
    report = run(
        copy, tmp_path / "root", "2023-08", bbox=(15.02, 46.022, 15.06, 46.05), sources=(S2,),
        allow=(str(place),),
    )  # fmt: skip
    report.check_complete()
    assert report.sources[S2].found == 3
    assert report.sources[S2].used >= 1
    for tile in Catalog(tmp_path / "root").cube_tiles():
        cube = Cube(Catalog(tmp_path / "root").cube(tile))
        for one in cube.observations(S2):
            values, valid = cube.read(S2, [one.slot], Window(0, 1024, 0, 1024))
            raw = {int(value) for item in one.items for value in _numbers(place / item / "B04.tif")}
            assert set(np.unique(values[0, 2][valid[0]]).tolist()) <= raw


def _without_remote_assets(place: Path, copy: Path) -> None:
    import json

    for path in place.glob("*/*.json"):
        item = json.loads(path.read_text())
        item["assets"] = {key: one for key, one in item["assets"].items() if "://" not in one["href"]}
        for one in item["assets"].values():
            one["href"] = str(path.parent / one["href"])
        target = copy / path.parent.name / path.name
        target.parent.mkdir(parents=True)
        target.write_text(json.dumps(item))


def _numbers(path: Path) -> Any:
    with rasterio.open(path) as file:
        return np.unique(file.read(1))


class _Ranges(SimpleHTTPRequestHandler):
    """A file server that answers range requests, as object stores do."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        wanted = self.headers.get("Range")
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        data = path.read_bytes()
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first), min(int(last or len(data) - 1), len(data) - 1)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {start}-{end}/{len(data)}")
        self.send_header("Content-Length", str(end - start + 1))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()
        self.wfile.write(data[start : end + 1])

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def served(flanders: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Ranges, directory=str(flanders)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/catalog.json"
    server.shutdown()


def test_the_same_catalogue_over_http_gives_the_same_cubes(
    flanders: Path, served: str, tmp_path: Path
) -> None:
    period, sources = "2018-06-01/2018-06-20", (S2, S1)
    local = run(flanders, tmp_path / "local", period, sources=sources)
    remote = run(served, tmp_path / "remote", period, sources=sources)
    assert everything(tmp_path / "remote") == everything(tmp_path / "local")
    assert remote.sources[S2].used == local.sources[S2].used > 0
