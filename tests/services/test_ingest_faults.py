"""Whatever a server does, an ingest ends, tries again what may pass, and names what it left out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from faulty_server import Fault, FaultyServer, serving

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from ingest_catalogue import EPSG, PLACE, TinyCatalogue, write_tif

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.schemas import IngestReport, IngestRequest
from earthfield_ingest import jobs
from earthfield_ingest.fetch import Fetcher, Limits

S2 = "sentinel-2-l2a"
UNREADABLE, NO_ANSWER = "unreadable asset", "the network did not answer"
QUICK = Limits(
    connect_s=5, read_s=1.2, budget_s=20, tries=5, pause_s=0.02, pause_max_s=0.2,
    retry_after_max_s=1, failures_to_trip=20, trip_s=30,
)  # fmt: skip


@dataclass
class World:
    """A catalogue on a server, an undisturbed twin on the disk, and what should become of each item."""

    server: FaultyServer
    root: Path
    passing: set[str] = field(default_factory=set)
    """Items whose trouble passes."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Items that stay unreadable, and words of the reason."""
    unanswered: set[str] = field(default_factory=set)
    """Items whose server never answers."""
    flawed: dict[str, str] = field(default_factory=dict)
    """Items that are seen to be unusable from the catalogue, and why."""
    broken: set[str] = field(default_factory=set)
    """Items that break the rules of STAC."""
    good: set[str] = field(default_factory=set)

    @property
    def used(self) -> set[str]:
        return self.good | self.passing

    @property
    def counted(self) -> set[str]:
        return self.used | self.unreadable.keys() | self.unanswered | self.flawed.keys()

    def request(self, name: str, **content: Any) -> IngestRequest:
        return IngestRequest.model_validate(
            {
                "root": self.root / name,
                "catalog": f"{self.server.url}/catalog.json",
                "periods": ("2020",),
                "sources": (S2,),
                **content,
            }
        )


class Maker:
    """Makes the catalogue, an item every five days so that each has a step of its own."""

    def __init__(self, world: World) -> None:
        self.world, self.tiny = world, TinyCatalogue(world.server.folder)
        self._number = 0

    def item(self, name: str, *, when: str = "", **more: Any) -> Path:
        day = np.datetime64("2020-01-06") + 5 * self._number
        self._number += 1
        return self.tiny.add(name, when or f"{day}T10:00:00", value=1000 + self._number, **more)

    def fault(self, name: str, fault: Fault, *, asset: str = "B04") -> None:
        self.world.server.faults[f"{S2}/{name}/{asset}.tif"] = fault

    def edit(self, folder: Path, change: Any) -> None:
        path = folder / f"{folder.name}.json"
        item = json.loads(path.read_text())
        change(item)
        path.write_text(json.dumps(item))


def furnish(world: World) -> None:
    """About thirty items: good ones between bad ones of every kind."""
    make = Maker(world)
    for name in ("good-0", "good-1", "good-2"):
        make.item(name)
        world.good.add(name)
    _passing(make, world)
    _refused(make, world)
    _spoilt(make, world)
    _misdescribed(make, world)
    for name in ("good-3", "good-4"):
        make.item(name)
        world.good.add(name)


def _passing(make: Maker, world: World) -> None:
    """Troubles that pass: every such item must end up used."""
    for name, fault in {
        "busy-seconds": Fault(429, {"Retry-After": "1"}, times=2),
        "busy-date": Fault(429, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, times=2),
        "busy-nonsense": Fault(503, {"Retry-After": "soon"}, times=1),
        "burst-500": Fault(500, times=4),
        "burst-502": Fault(502, times=3),
        "timed-out-408": Fault(408, times=1),
        "stalls-at-once": Fault(stalls=True, after_bytes=0, times=1),
        "stalls-within": Fault(stalls=True, after_bytes=300, times=1),
        "cut-at-once": Fault(cut=True, after_bytes=0, times=2),
        "cut-within": Fault(cut=True, after_bytes=300, times=2),
    }.items():
        make.item(name)
        make.fault(name, fault)
        world.passing.add(name)
    make.item("classes-busy")
    make.fault("classes-busy", Fault(503, times=2), asset="SCL")
    world.passing.add("classes-busy")


def _refused(make: Maker, world: World) -> None:
    for name, fault, words in (
        ("gone-404", Fault(404), "answers 404"),
        ("gone-410", Fault(410), "answers 410"),
        ("login-401", Fault(401), "answers 401"),
        ("forbidden-403", Fault(403), "answers 403"),
        ("leads-to-metadata", Fault(302, {"Location": "http://169.254.169.254/"}), "--allow 169.254.169.254"),
        ("leads-to-a-file", Fault(302, {"Location": "file:///etc/passwd"}), "no web address"),
    ):  # fmt: skip
        make.item(name)
        make.fault(name, fault)
        world.unreadable[name] = words
    make.item("always-500")
    make.fault("always-500", Fault(500))
    make.item("always-stalls")
    make.fault("always-stalls", Fault(stalls=True, after_bytes=100))
    world.unanswered |= {"always-500", "always-stalls"}


def _spoilt(make: Maker, world: World) -> None:
    """Files that arrive whole and cannot be decoded."""
    for name, words in (
        ("header-cut", "cannot be read"), ("blocks-cut", "is cut short"), ("blocks-broken", "cannot be read"),
        ("empty", "answers 416"), ("text", "neither a GeoTIFF nor a JPEG 2000"),
    ):  # fmt: skip
        path = make.item(name) / "B04.tif"
        write_tif(
            path, np.random.default_rng(1).integers(1, 9999, (32, 32)).astype(np.uint16), PLACE, nodata=0
        )
        data = path.read_bytes()
        path.write_bytes(
            {
                "header-cut": data[:60],
                "blocks-cut": data[:-600],
                "blocks-broken": data[:-1500] + bytes(255 - one for one in data[-1500:]),
                "empty": b"",
                "text": b"<html>not found</html>",
            }[name]
        )
        world.unreadable[name] = words


def _misdescribed(make: Maker, world: World) -> None:
    folder = make.item("wrong-crs")
    with pytest.warns(rasterio.errors.NotGeoreferencedWarning):
        path = folder / "B04.tif"
        with rasterio.open(
            path, "w", driver="GTiff", height=32, width=32, count=1, dtype="uint16"
        ) as file:  # fmt: skip
            file.write(np.full((32, 32), 9, np.uint16), 1)
    make.edit(
        folder,
        lambda item: item["properties"].update(
            {"proj:code": "EPSG:nonsense", "proj:transform": [10, 0, 5e5, 0, -10, 5.6e6]}
        ),
    )
    world.flawed["wrong-crs"] = "proj:code"
    folder = make.item("no-bands")
    make.edit(folder, lambda item: [item["assets"].pop(key) for key in ("B04", "B08")])
    world.flawed["no-bands"] = "no usable asset"
    folder = make.item("no-classes")
    make.edit(folder, lambda item: item["assets"].pop("SCL"))
    world.flawed["no-classes"] = "no quality asset"
    folder = make.item("local-file")
    make.edit(folder, lambda item: [one.update(href="file:///etc/passwd") for one in item["assets"].values()])
    world.unreadable["local-file"] = "--allow"
    folder = make.item("no-geometry")
    make.edit(folder, lambda item: (item.update(geometry=None), item.pop("bbox")))
    folder = make.item("no-time")
    make.edit(folder, lambda item: item["properties"].update(datetime="2020-13-45T10:00:00Z"))
    world.broken |= {"no-geometry", "no-time"}
    make.item("clock-ahead", when="2093-06-01T10:00:00")  # outside the period: not found, and no harm done


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("earthfield_ingest.fetch.fetcher.LIMITS", QUICK)
    with serving(tmp_path / "served") as server:
        world = World(server, tmp_path)
        furnish(world)
        yield world


def frames(root: Path) -> dict[tuple[str, int], Any]:
    """Everything that the cubes under a root hold, by tile and step."""
    found = {}
    for tile in Catalog(root).cube_tiles():
        cube = Cube(Catalog(root).cube(tile))
        seen = cube.observations(S2)
        values, valid = cube.read(S2, [one.slot for one in seen], tile.local(PLACE & tile.window))
        for one, numbers, clear in zip(seen, values, valid, strict=True):
            found[tile.id, one.step] = (one.acquired, one.items, numbers.tobytes(), clear.tobytes())
    return found


def twin(world: World) -> dict[tuple[str, int], Any]:
    """What an ingest of the items that can be used gives, from the disk and with nothing in its way."""
    root = world.root / "twin"
    catalogue = world.root / "undisturbed"
    catalogue.mkdir()
    features = []
    for name in sorted(world.used):
        path = world.server.folder / S2 / name / f"{name}.json"
        item = json.loads(path.read_text())
        for asset in item["assets"].values():
            asset["href"] = str(path.parent / asset["href"])
        features.append(item)
    (catalogue / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    jobs.ingest(
        world.request("twin", catalog=str(catalogue / "items.json"), allow=(str(world.server.folder),))
    ).check_complete()
    return frames(root)


def check(world: World, report: IngestReport) -> None:
    """Every item found is used or counted with its reason, and every failure is named."""
    one = report.sources[S2]
    assert one.found == len(world.counted)
    assert one.used == len(world.used)
    assert one.used + sum(one.dropped.values()) == one.found
    assert one.dropped[UNREADABLE] == len(world.unreadable)
    assert one.dropped[NO_ANSWER] == len(world.unanswered)
    for words in world.flawed.values():
        assert any(words in reason for reason in one.dropped)
    for name, words in world.unreadable.items():
        told = [text for text in report.unreadable if f"item {name}, asset" in text]
        assert len(told) == 1, name
        assert words in told[0]
    for name in world.unanswered:
        assert any(
            f"item {name}, asset B04" in text and "does not answer" in text for text in report.unanswered
        )


def test_every_item_of_a_bad_server_is_used_or_named(world: World) -> None:
    began = time.monotonic()
    report = jobs.ingest(world.request("root", skip_unreadable=True))
    # Nothing hangs: the two that never answer cost their tries and no more.
    assert time.monotonic() - began < 120
    check(world, report)
    with pytest.raises(Unavailable, match=r"always-(500|stalls)"):
        report.check_complete()
    broken = jobs.plan(world.request("root")).broken
    assert all(any(name in text for text in broken) for name in world.broken)
    assert len(broken) == len(world.broken)
    held = frames(world.root / "root")
    assert {item for _, items, _, _ in held.values() for item in items} == world.used
    assert held == twin(world)


def test_without_skipping_only_the_bad_items_steps_wait_and_a_mended_server_completes_them(
    world: World,
) -> None:
    report = jobs.ingest(world.request("root"))
    check(world, report)
    assert report.sources[S2].waiting == len(world.unreadable) + len(world.unanswered)
    with pytest.raises(Unavailable):
        report.check_complete()
    assert frames(world.root / "root") == twin(world)
    for name in ("gone-404", "forbidden-403", "always-500", "always-stalls"):
        del world.server.faults[f"{S2}/{name}/B04.tif"]
    second = jobs.ingest(world.request("root"))
    assert second.sources[S2].used == len(world.used) + 4
    assert second.unanswered == []
    with pytest.raises(BrokenArtefact):
        second.check_complete()


def test_refusals_are_not_asked_again_and_troubles_are(world: World) -> None:
    jobs.ingest(world.request("root", skip_unreadable=True))
    asked = {name: world.server.asked(f"{S2}/{name}/B04.tif") for name in world.counted}
    tiles = 2  # the place lies on the border of two
    for name in ("gone-404", "gone-410", "login-401", "forbidden-403", "leads-to-metadata"):
        assert asked[name] == tiles
    assert asked["always-500"] == tiles * QUICK.tries
    assert asked["busy-seconds"] == tiles + 2
    assert asked["burst-500"] == tiles + 4
    assert asked["good-0"] == tiles


def served(world: World, name: str) -> str:
    return f"{world.server.url}/{S2}/{name}/B04.tif"


def test_a_stalled_answer_ends_at_its_time_out(world: World) -> None:
    once = Limits(connect_s=2, read_s=0.5, tries=1)
    began = time.monotonic()
    with (
        pytest.raises(Unavailable, match="silent"),
        Fetcher(limits=once).raster(served(world, "always-stalls")),
    ):
        pass
    assert 0.5 <= time.monotonic() - began < 15


def test_an_answer_that_drips_ends_with_the_time_allowed_for_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drip(self: Any, body: bytes) -> int:
        for one in body:
            self._sock.sendall(bytes([one]))
            time.sleep(0.05)
        return len(body)

    monkeypatch.setattr("socketserver._SocketWriter.write", drip)
    monkeypatch.setattr("faulty_server._Handler.wbufsize", 0)
    slow = Limits(read_s=5, budget_s=1, tries=5)
    began = time.monotonic()
    with pytest.raises(Unavailable), Fetcher(limits=slow).raster(served(world, "good-0")):
        pass
    assert time.monotonic() - began < 15


def test_a_server_asks_for_patience_and_gets_it(world: World) -> None:
    began = time.monotonic()
    with Fetcher(limits=QUICK).raster(served(world, "busy-seconds")) as file:
        file.read(1)
    assert time.monotonic() - began >= 2  # one second, twice


def test_a_dead_host_is_left_alone_after_some_failures_and_asked_again_later(world: World) -> None:
    limits = Limits(tries=1, pause_s=0.01, failures_to_trip=3, trip_s=0.5)
    fetcher = Fetcher(limits=limits)
    bad, good = served(world, "always-500"), served(world, "good-0")

    def fails(words: str) -> None:
        with pytest.raises(Unavailable, match=words), fetcher.raster(bad):
            pass

    for _ in range(2):
        fails("answers 500")
    with fetcher.raster(good) as file:  # an answer between them: the host is alive
        file.read(1)
    for _ in range(3):
        fails("answers 500")
    many = len(world.server.log)
    fails("left alone")
    with pytest.raises(Unavailable, match="left alone"), fetcher.raster(good):
        pass
    assert len(world.server.log) == many
    time.sleep(0.6)
    with fetcher.raster(good) as file:
        file.read(1)


def test_a_server_that_gives_no_parts_gives_the_whole_up_to_a_limit(world: World) -> None:
    world.server.gives_parts = False
    with Fetcher(limits=QUICK).raster(served(world, "good-0")) as file:
        assert (file.read(1) == 1001).all()
    assert world.server.asked(f"{S2}/good-0/B04.tif") == 1
    tight = Limits(whole_bytes=100)
    with (
        pytest.raises(BrokenArtefact, match="sends more than"),
        Fetcher(limits=tight).raster(served(world, "good-0")),
    ):
        pass


def test_a_job_holds_no_more_connections_than_a_host_is_granted(world: World) -> None:
    from concurrent.futures import ThreadPoolExecutor

    fetcher = Fetcher(limits=Limits(connections=3))
    world.server.faults[f"{S2}/good-0/B04.tif"] = Fault(delay_s=0.02)

    def read(_: int) -> int:
        with fetcher.raster(served(world, "good-0")) as file:
            return int(file.read(1)[0, 0])

    with ThreadPoolExecutor(12) as pool:
        assert set(pool.map(read, range(60))) == {1001}
    assert world.server.most_at_once == 3
    assert fetcher.traffic.requests == 60
    assert fetcher.bytes_fetched == 60 * (world.server.folder / S2 / "good-0" / "B04.tif").stat().st_size


def test_a_large_raster_comes_in_few_requests_and_only_as_far_as_it_is_needed(world: World) -> None:
    rows = np.random.default_rng(0).integers(0, 4000, (1, 1024, 1024)).astype(np.uint16)
    path = world.server.folder / "large.tif"
    with rasterio.open(
        path, "w", driver="COG", width=1024, height=1024, count=1, dtype="uint16", crs=f"EPSG:{EPSG}",
        transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.6e6), compress="deflate", blocksize=256,
    ) as file:  # fmt: skip
        file.write(rows)
    fetcher = Fetcher(limits=QUICK)
    with fetcher.raster(f"{world.server.url}/large.tif") as file:
        assert (file.read(1, window=((256, 512), (256, 768))) == rows[0, 256:512, 256:768]).all()
    assert world.server.asked("large.tif") == 2  # its header, and two neighbouring blocks
    assert fetcher.bytes_fetched < path.stat().st_size / 3
    with fetcher.raster(f"{world.server.url}/large.tif") as file:
        assert (file.read(1) == rows[0]).all()


def test_a_jpeg_2000_file_is_read_over_the_network_too(world: World) -> None:
    if "JP2OpenJPEG" not in rasterio.drivers.raster_driver_extensions().values():
        pytest.skip("this GDAL reads no JPEG 2000")
    rows = np.random.default_rng(0).integers(0, 4000, (1, 256, 256)).astype(np.uint16)
    with rasterio.open(
        world.server.folder / "a.jp2", "w", driver="JP2OpenJPEG", width=256, height=256, count=1, dtype="uint16",
        crs=f"EPSG:{EPSG}", transform=rasterio.Affine(10, 0, 5e5, 0, -10, 5.6e6), quality="100", reversible="yes",
    ) as file:  # fmt: skip
        file.write(rows)
    with Fetcher(limits=QUICK).raster(f"{world.server.url}/a.jp2") as file:
        assert file.crs.to_epsg() == EPSG
        assert (file.read(1) == rows[0]).all()


def test_a_file_that_changes_while_it_is_read_is_not_mixed(world: World) -> None:
    path = world.server.folder / "data.bin"
    path.write_bytes(bytes(300_000))
    with Fetcher(limits=QUICK).file(f"{world.server.url}/data.bin") as file:
        assert file.read(10) == bytes(10)
        path.write_bytes(bytes(400_000))
        file.seek(200_000)
        with pytest.raises(Unavailable, match="changed"):
            file.read(10)


def test_a_remote_file_reads_like_one_of_the_disk(world: World) -> None:
    data = np.random.default_rng(0).bytes(700_000)
    path = world.server.folder / "data.bin"
    path.write_bytes(data)
    rng = np.random.default_rng(1)
    fetcher = Fetcher(limits=QUICK)
    with fetcher.file(f"{world.server.url}/data.bin") as file:
        for start, length in zip(rng.integers(0, 710_000, 60), rng.integers(0, 90_000, 60), strict=True):
            assert file.seek(int(start)) == start
            assert file.read(int(length)) == data[start : start + length]
        file.seek(-5, 2)
        assert file.read() == data[-5:]
    assert fetcher.bytes_fetched <= len(data)


def test_texts_are_read_like_files(world: World) -> None:
    from earthfield.errors import InvalidInput, NotFound

    fetcher = Fetcher(home=f"{world.server.url}/catalog.json", limits=QUICK)
    assert json.loads(fetcher.text(f"{world.server.url}/catalog.json"))["id"] == "tiny"
    with pytest.raises(NotFound):
        fetcher.text(f"{world.server.url}/nothing.json")
    with pytest.raises(InvalidInput, match="no text"):
        fetcher.text(f"{world.server.url}/{S2}/good-0/B04.tif")
    with pytest.raises(InvalidInput, match="--allow"):
        fetcher.text("http://127.0.0.1:1/catalog.json")
    with pytest.raises(InvalidInput, match="--allow"):
        fetcher.text("/etc/passwd")
