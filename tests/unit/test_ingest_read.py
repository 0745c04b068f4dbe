"""Assets arrive on the zone's 10 m grid: nested ones pixel for pixel, others warped, broken ones named."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ingest_catalogue import EPSG, PLACE, write_tif
from rasterio.enums import Resampling
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import Affine

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.grid import Window
from earthfield.sources import source_named
from earthfield_ingest.dialect import Declared
from earthfield_ingest.fetch import Fetcher
from earthfield_ingest.readers.grid import Grid
from earthfield_ingest.readers.raster import RasterReader, nesting, read_asset
from earthfield_ingest.scene import Scene

NEAREST, BILINEAR = Resampling.nearest, Resampling.bilinear


def at(window: Window) -> Grid:
    return Grid.over(EPSG, window)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    y=st.integers(-40, 40), x=st.integers(-40, 40), rows=st.integers(1, 40), cols=st.integers(1, 40),
    factor=st.sampled_from([1, 2, 3, 6]),
)  # fmt: skip
def test_a_nested_file_gives_each_pixel_its_own_value(
    tmp_path: Path, y: int, x: int, rows: int, cols: int, factor: int
) -> None:
    side = 12
    data = np.arange(1, side * side + 1, dtype=np.uint16).reshape(side, side)
    path = tmp_path / f"{factor}.tif"
    if not path.exists():
        write_tif(path, data, PLACE, nodata=0, factor=factor)
    window = Window(PLACE.y0 + y, PLACE.y0 + y + rows, PLACE.x0 + x, PLACE.x0 + x + cols)
    raster = read_asset(str(path), at(window), fetcher=Fetcher(), resampling=BILINEAR)
    for row, col in np.ndindex(rows, cols):
        file_row, file_col = (y + row) // factor, (x + col) // factor
        inside = 0 <= file_row < side and 0 <= file_col < side
        assert raster.measured[row, col] == inside
        if inside:
            assert raster.values[row, col] == data[file_row, file_col]


def test_only_exact_grids_nest() -> None:
    assert nesting(Affine(10, 0, 500_000, 0, -10, 5_600_000), at(PLACE)) == 1
    assert nesting(Affine(20, 0, 500_010, 0, -20, 5_600_000), at(PLACE)) == 2
    assert (
        nesting(Affine(30, 0, 353_685, 0, -30, 5_374_215), at(PLACE)) is None
    )  # Landsat stands half a pixel off
    assert nesting(Affine(10, 0, 500_003, 0, -10, 5_600_000), at(PLACE)) is None
    assert nesting(Affine(10, 0, 500_000, 0, 10, 5_600_000), at(PLACE)) is None
    assert nesting(Affine(5, 0, 500_000, 0, -5, 5_600_000), at(PLACE)) is None
    assert nesting(Affine(10, 1, 500_000, 1, -10, 5_600_000), at(PLACE)) is None


def test_a_30_m_grid_off_by_half_a_pixel_is_interpolated_between_its_own_values(tmp_path: Path) -> None:
    data = np.linspace(1000, 2000, 20 * 20).reshape(20, 20).astype(np.uint16)
    shifted = Window(PLACE.y0, PLACE.y1, PLACE.x0, PLACE.x1)
    path = tmp_path / "a.tif"
    write_tif(path, data, shifted, nodata=0, factor=3)
    with rasterio.open(path, "r+") as file:
        file.transform = file.transform @ Affine.translation(0.5, 0.5)
    inner = Window(PLACE.y0 + 6, PLACE.y0 + 30, PLACE.x0 + 6, PLACE.x0 + 30)
    smooth = read_asset(str(path), at(inner), fetcher=Fetcher(), resampling=BILINEAR)
    assert smooth.measured.all()
    assert data.min() <= smooth.values.min() <= smooth.values.max() <= data.max()
    nearest = read_asset(str(path), at(inner), fetcher=Fetcher(), resampling=NEAREST)
    assert set(np.unique(nearest.values)) <= set(data.ravel().astype(float))
    assert len(np.unique(smooth.values)) > len(np.unique(nearest.values))


def test_nodata_does_not_bleed_into_interpolated_neighbours(tmp_path: Path) -> None:
    data = np.full((20, 20), 1000, np.uint16)
    data[:, 10:] = 0
    path = tmp_path / "a.tif"
    write_tif(path, data, PLACE, nodata=None, factor=1, crs=32632)
    box = Window(PLACE.y0, PLACE.y0 + 20, PLACE.x0, PLACE.x0 + 20)
    raster = read_asset(
        str(path), Grid.over(32632, box.shifted(0, 0)), fetcher=Fetcher(), resampling=BILINEAR
    )
    assert (raster.measured == (data != 0)).all()
    moved = read_asset(str(path), Grid.over(32631, _in_zone_31(box)), fetcher=Fetcher(), resampling=BILINEAR)
    assert moved.measured.any()
    assert np.allclose(moved.values[moved.measured], 1000, rtol=1e-9)


def _in_zone_31(box: Window) -> Window:
    from odc.geo.geom import box as geom_box

    there = geom_box(box.x0 * 10, -box.y1 * 10, box.x1 * 10, -box.y0 * 10, "EPSG:32632").to_crs("EPSG:32631")
    bounds = there.boundingbox
    return Window(
        int(-bounds.top // 10), int(-bounds.bottom // 10), int(bounds.left // 10), int(bounds.right // 10)
    )


def test_a_file_that_tells_no_place_takes_the_item_s(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    with pytest.warns(NotGeoreferencedWarning), rasterio.open(
        path, "w", driver="GTiff", height=8, width=8, count=1, dtype="uint8"
    ) as file:  # fmt: skip
        file.write(np.arange(1, 65, dtype=np.uint8).reshape(8, 8), 1)
    corner = (10.0, 0.0, PLACE.x0 * 10.0, 0.0, -10.0, -PLACE.y0 * 10.0)
    told = Declared(crs="EPSG:32631", transform=corner, shape=(32, 32))  # the file is a quarter as fine
    raster = read_asset(str(path), at(PLACE), fetcher=Fetcher(), resampling=NEAREST, told=told)
    assert raster.measured.all()
    assert (raster.values == np.arange(1, 65).reshape(8, 8).repeat(4, 0).repeat(4, 1)).all()
    for less in (Declared(), Declared(crs="EPSG:32631"), Declared(transform=corner)):
        with pytest.raises(BrokenArtefact, match="no coordinate system"):
            read_asset(str(path), at(PLACE), fetcher=Fetcher(), resampling=NEAREST, told=less)


def test_unreadable_files_are_named_with_item_asset_and_what_to_do(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    rng = np.random.default_rng(0)
    write_tif(whole, rng.integers(1, 9999, (32, 32)).astype(np.uint16), PLACE, nodata=0)
    cut.write_bytes(whole.read_bytes()[:-1500])
    text = tmp_path / "text.tif"
    text.write_text("this is no picture")
    source = source_named("sentinel-2-l2a")
    for path in (cut, text, tmp_path / "gone.tif"):
        scene = Scene(
            "S2_X",
            source.name,
            datetime(2020, 1, 1, tzinfo=UTC),
            shapely.Point(),
            {},
            {"B04": {"href": str(path)}},
        )
        with pytest.raises(BrokenArtefact) as caught:
            RasterReader(source, at(PLACE), Fetcher()).bands(scene)
        for word in ("S2_X", "B04", str(path), "--skip-unreadable"):
            assert word in str(caught.value)


def test_absent_bands_are_nodata(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    write_tif(path, np.full((32, 32), 700, np.uint16), PLACE, nodata=0)
    source = source_named("sentinel-2-l2a")
    scene = Scene(
        "a", source.name, datetime(2020, 1, 1, tzinfo=UTC), shapely.Point(), {}, {"B05": {"href": str(path)}}
    )
    values, measured = RasterReader(source, at(PLACE), Fetcher()).bands(scene)
    assert measured.all()
    assert (values[3] == 700).all()
    assert (np.delete(values, 3, axis=0) == source.nodata).all()


class _Moody(SimpleHTTPRequestHandler):
    """A file server that answers its first requests with an error."""

    failures = 0
    status = 503

    def do_GET(self) -> None:
        if self._stumbles():
            return
        data = Path(self.translate_path(self.path)).read_bytes()
        first, _, last = (self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last or len(data)) + 1]
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}")
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        self.wfile.write(part)

    def do_HEAD(self) -> None:
        if not self._stumbles():
            super().do_HEAD()

    def _stumbles(self) -> bool:
        if type(self).failures == 0:
            return False
        type(self).failures -= 1
        self.send_error(self.status)
        return True

    def log_message(self, *_: Any) -> None:
        """Keeps quiet."""


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)
    write_tif(tmp_path / "a.tif", np.full((32, 32), 7, np.uint16), PLACE, nodata=0)
    (tmp_path / "text.tif").write_text("this is no picture")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Moody, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    _Moody.failures, _Moody.status = 0, 503


def test_a_server_that_stumbles_is_asked_again(served: str) -> None:
    _Moody.failures = 3
    raster = read_asset(f"{served}/a.tif", at(PLACE), fetcher=Fetcher(), resampling=NEAREST)
    assert (raster.values == 7).all()


def test_trouble_of_the_network_can_be_tried_again_and_a_missing_file_cannot(served: str) -> None:
    _Moody.failures = 1000
    with pytest.raises(Unavailable, match="try again later"):
        read_asset(f"{served}/a.tif", at(PLACE), fetcher=Fetcher(), resampling=NEAREST)
    with pytest.raises(Unavailable):
        read_asset("http://127.0.0.1:9/a.tif", at(PLACE), fetcher=Fetcher(), resampling=NEAREST)
    _Moody.status = 404
    with pytest.raises(BrokenArtefact, match="answers 404"):
        read_asset(f"{served}/a.tif", at(PLACE), fetcher=Fetcher(), resampling=NEAREST)
    _Moody.failures = 0
    with pytest.raises(BrokenArtefact):
        read_asset(f"{served}/text.tif", at(PLACE), fetcher=Fetcher(), resampling=NEAREST)
