"""Reading from a web server: only the parts needed, only where it was allowed, and an end that is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from affine import Affine
from published_fields import (
    TILE,
    WINDOW,
    Published,
    bbox_of,
    publish,
    random_codes,
    write_index,
    write_raster,
)

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import normalised
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.field import Field
from earthfield.timeline import Period
from earthfield_infer.importing.jobs import import_fields
from earthfield_infer.importing.request import ImportReport, ImportRequest

sys.path.insert(0, str(Path(__file__).parents[1]))
from local_http import Answer, Asked, Server, files_in, serving


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that a server offers: an index and one file."""
    return tmp_path / "offered"


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    with serving(files_in(folder)) as running:
        yield running


def take(root: Path, index: str, **more: Any) -> ImportReport:
    content = {"kind": "aef", "origins": (index,), "periods": ("2023",), "bbox": bbox_of(WINDOW)}
    return import_fields(ImportRequest(root=root, **{**content, **more}))


def field_of(root: Path) -> Field:
    return Field(Catalog(root), FieldKey("aef-v1", TILE, Period.parse("2023")))


def offered(folder: Path, name: str = "aef_index.parquet") -> np.ndarray:
    codes = random_codes(WINDOW.shape)
    write_index(folder / name, [publish(folder, codes, WINDOW)])
    return codes


@pytest.mark.parametrize("name", ["aef_index.parquet", "aef_index.csv"])
def test_codes_come_through_byte_for_byte(tmp_path: Path, folder: Path, server: Server, name: str) -> None:
    codes = offered(folder, name)
    take(tmp_path / "root", f"{server.url}/{name}")
    field = field_of(tmp_path / "root")
    ys, xs = WINDOW.shifted(-field.window.y0, -field.window.x0).slices
    assert np.array_equal(field.codes()[:, ys, xs], codes)


def test_the_same_files_here_and_there_are_known_again(tmp_path: Path, folder: Path, server: Server) -> None:
    offered(folder)
    take(tmp_path / "root", f"{server.url}/aef_index.parquet")
    assert take(tmp_path / "root", str(folder / "aef_index.parquet")).written == 0


def test_only_parts_of_a_large_file_are_fetched(tmp_path: Path, folder: Path, server: Server) -> None:
    path, side = folder / "2023/31N/x0.tiff", 1024
    path.parent.mkdir(parents=True)
    noise = np.random.default_rng(0).integers(-127, 128, (64, side, side)).astype(np.int8)
    codes = random_codes(WINDOW.shape, gap=False)
    noise[:, : codes.shape[1], : codes.shape[2]] = codes
    with rasterio.open(
        path, "w", driver="GTiff", count=64, height=side, width=side, dtype="int8", nodata=-128, crs="EPSG:32631",
        transform=Affine(10, 0, WINDOW.x0 * 10, 0, -10, -WINDOW.y0 * 10), tiled=True, blockxsize=64, blockysize=64,
        interleave="pixel",
    ) as data:  # fmt: skip
        data.write(noise)
    write_index(folder / "aef_index.csv", [Published("2023/31N/x0.tiff", 2023, 32631, WINDOW)])
    west, south, east, north = bbox_of(WINDOW)
    inset = ((east - west) / 20, (north - south) / 20)
    box = (west + inset[0], south + inset[1], east - inset[0], north - inset[1])
    take(tmp_path / "root", f"{server.url}/aef_index.csv", bbox=box)
    fetched = 0
    for asked in server.asked:
        if asked.path.endswith(".tiff") and asked.method == "GET":
            first, _, last = asked.query["range"].removeprefix("bytes=").partition("-")
            fetched += int(last) - int(first) + 1
    assert fetched < path.stat().st_size / 20


def test_betaearths_files_and_their_scenes_are_read(tmp_path: Path, folder: Path, server: Server) -> None:
    values = np.moveaxis(normalised(np.random.default_rng(0).normal(size=(*WINDOW.shape, 64))), -1, 0)
    write_raster(folder / "2023.tif", values, WINDOW, nodata=None, bands=None)
    scene = {"stac_collection": "sentinel-2-l2a", "stac_id": "S2", "datetime": "2023-06-01T10:30:00Z"}
    (folder / "2023_manifest.json").write_text(json.dumps({"scenes": [scene]}))
    request = ImportRequest(
        root=tmp_path / "root", kind="betaearth", origins=(f"{server.url}/2023.tif",), dtype="float32"
    )
    [field] = import_fields(request).fields
    assert field.pixels == values[0].size and field.frames == {"sentinel-2-l2a": 1}
    (folder / "2023_manifest.json").unlink()
    assert import_fields(request.model_copy(update={"name": "other"})).fields[0].frames == {}


def test_a_missing_file_is_told(tmp_path: Path, folder: Path, server: Server) -> None:
    offered(folder)
    (folder / "2023/31N/x0.tiff").unlink()
    report = take(tmp_path / "root", f"{server.url}/aef_index.parquet")
    assert report.written == 0 and "(404)" in report.failed[0].why
    with pytest.raises(NotFound, match="404"):
        take(tmp_path / "root", f"{server.url}/other.parquet")


def test_files_on_another_host_need_its_name(tmp_path: Path, folder: Path, server: Server) -> None:
    codes = offered(folder)
    index = write_index(tmp_path / "aef_index.csv", [publish(folder, codes, WINDOW)], prefix=f"{server.url}/")
    with pytest.raises(InvalidInput, match=r"--allow 127\.0\.0\.1"):
        take(tmp_path / "root", str(index))
    assert server.asked == []
    assert take(tmp_path / "root", str(index), allow=("127.0.0.1",)).written == 1


def test_a_redirection_leads_to_no_host_that_nobody_named(tmp_path: Path, folder: Path) -> None:
    offered(folder)
    with serving(files_in(folder)) as other:
        moved = Answer(b"", 302, {"Location": f"{other.url}/aef_index.parquet"})
        with serving(lambda asked: moved) as server, pytest.raises(InvalidInput, match="--allow"):
            take(tmp_path / "root", f"{server.url}/aef_index.parquet")
        assert other.asked == []


def test_a_server_that_breaks_off_is_asked_again_and_told(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offered(folder)
    whole = files_in(folder)

    def respond(asked: Asked) -> Answer:
        answer = whole(asked)
        return Answer(answer.body, answer.status, answer.headers, cut=len(answer.body) // 2)

    with serving(respond) as server, pytest.raises(Unavailable, match=r"broke off|cannot be reached"):
        take(tmp_path / "root", f"{server.url}/aef_index.parquet")
    assert len(server.asked) == 3


def test_a_file_that_is_refused_holds_up_its_tiles_alone(tmp_path: Path, folder: Path) -> None:
    """Buckets that may not be listed answer 403 for what is not there."""
    offered(folder)
    whole = files_in(folder)

    def respond(asked: Asked) -> Answer:
        return Answer(b"", 403) if asked.path.endswith(".tiff") else whole(asked)

    with serving(respond) as server:
        report = take(tmp_path / "root", f"{server.url}/aef_index.parquet", skip_unreadable=True)
    report.check_complete(skipped=True)
    assert report.written == 0 and "(403)" in report.failed[0].why


def test_a_busy_server_makes_the_run_incomplete(tmp_path: Path, folder: Path) -> None:
    offered(folder)
    whole = files_in(folder)

    def respond(asked: Asked) -> Answer:
        return Answer(b"", 503) if asked.path.endswith(".tiff") else whole(asked)

    with serving(respond) as server:
        report = take(tmp_path / "root", f"{server.url}/aef_index.parquet", skip_unreadable=True)
    with pytest.raises(Unavailable, match="503"):
        report.check_complete(skipped=True)


def test_a_server_without_ranges_is_refused(tmp_path: Path, folder: Path) -> None:
    offered(folder)
    whole = files_in(folder)

    def respond(asked: Asked) -> Answer:
        asked.query.pop("range", None)
        return whole(asked)

    with serving(respond) as server, pytest.raises(InvalidInput, match="only whole files"):
        take(tmp_path / "root", f"{server.url}/aef_index.parquet")


def test_servers_are_told_who_asks(tmp_path: Path, folder: Path) -> None:
    """Some refuse the names that libraries give themselves."""
    from earthfield_infer.importing.reach import reading_options, user_agent

    assert user_agent().startswith("earthfield/")
    assert reading_options()["GDAL_HTTP_USERAGENT"] == user_agent()
