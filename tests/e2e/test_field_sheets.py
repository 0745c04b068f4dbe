"""Sheets of any number of tiles are joined in the same memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised, stored
from earthfield.field import FieldContent, write_field
from earthfield.grid import Tile
from earthfield.timeline import Period

FIRST, DIM = Tile(32631, 48, 544), 8
_JOIN = """
import json, re, sys
from pathlib import Path
from earthfield.catalog import Catalog
from earthfield_infer.fields.choose import chosen
from earthfield_infer.fields import mosaic as module
# Small enough to be full in both: a cache that fills up would look like memory that grows with the sheet.
module._CACHE_BYTES = 2**24
root, out, side = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
(report,) = [one for one in module.mosaic(chosen(Catalog(root), "m"), out, side=side) if one.tiles > 1]
# Not what getrusage tells: a child begins with the peak of the process that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps([report.path, report.pixels, peak]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One full tile of noise."""
    catalog, window = Catalog(tmp_path_factory.mktemp("one")), FIRST.window
    codes = stored(normalised(np.random.default_rng(0).normal(size=(*window.shape, DIM)).astype(np.float32)))
    manifest = {
        "window": [window.y0, window.y1, window.x0, window.x1], "inputs": "i", "pixels": codes[0].size,
        "area": FIRST.geobox.extent.wkt, "model": {"name": "m", "fingerprint": "f"}, "sources": {},
    }  # fmt: skip
    quality, picture = {"clear_x": np.ones(window.shape, np.uint16)}, np.zeros((*window.shape, 4), np.uint8)
    key = FieldKey("m", FIRST, Period.parse("2018"))
    return write_field(catalog, FieldContent(key, window, codes, quality, picture, manifest))


def joined(folder: Path, root: Path, num: int) -> tuple[str, int, int]:
    """Joins num x num tiles in a process of its own: path, pixels, and the most memory that it held."""
    catalog, manifest = Catalog(root), json.loads((folder / "manifest.json").read_text())
    for row in range(num):
        for col in range(num):
            tile = Tile(FIRST.epsg, FIRST.col + col, FIRST.row + row)
            window, place = tile.window, catalog.field(FieldKey("m", tile, Period.parse("2018")))
            place.mkdir(parents=True)
            for name in ("embedding.tif", "quality.tif"):
                (place / name).symlink_to(folder / name)
            told = manifest | {"window": [window.y0, window.y1, window.x0, window.x1]}
            (place / "manifest.json").write_text(json.dumps(told))
    words = [sys.executable, "-c", _JOIN, str(root), str(root / "out"), str(num * 1024)]
    path, pixels, memory = json.loads(
        subprocess.run(words, capture_output=True, check=True, text=True).stdout
    )
    return path, pixels, memory


def test_four_times_the_tiles_need_no_more_memory(folder: Path, tmp_path: Path) -> None:
    small, few, memory = joined(folder, tmp_path / "small", 2)
    large, many, more = joined(folder, tmp_path / "large", 4)
    assert (few, many) == (4 * 1024**2, 16 * 1024**2)
    # The codes alone of the twelve further tiles are 100 MB.
    assert more - memory < 40 * 1024**2
    assert more < 1024**3
    with rasterio.open(folder / "embedding.tif") as data:
        wanted = data.read()
    for path, num in ((small, 2), (large, 4)):
        with rasterio.open(path) as data:
            for place in ((0, 0), (num - 1, 0), (num - 1, num - 1)):
                view = tuple((side * 1024, (side + 1) * 1024) for side in place)
                assert (data.read(window=view) == wanted).all()
