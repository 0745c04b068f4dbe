"""An estimate counts exactly what an ingest will read, and comes near to what it takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_catalogue import TinyCatalogue

from earthfield.schemas import IngestRequest
from earthfield_ingest import jobs
from earthfield_ingest.assets import size_of
from earthfield_ingest.estimate import MAX_TILES, Estimate, Rates, SourceEstimate, estimate

S2 = "sentinel-2-l2a"


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCatalogue:
    tiny = TinyCatalogue(tmp_path / "catalogue")
    tiny.add("june", "2020-06-10T10:00:00")
    tiny.add("twin", "2020-06-08T10:00:00")
    tiny.add("overcast", "2020-07-10T10:00:00", scl=9, **{"eo:cloud_cover": 99.0})
    tiny.add("bare", "2020-08-10T10:00:00", bands=())
    return tiny


def request(tiny: TinyCatalogue, **content: Any) -> IngestRequest:
    given = {
        "root": tiny.folder.parent / "root",
        "catalog": str(tiny.folder),
        "periods": ("2020",),
        "sources": (S2,),
    }
    return IngestRequest.model_validate({**given, **content})


def expected(tiny: TinyCatalogue, **content: Any) -> Estimate:
    return estimate(jobs.plan(request(tiny, **content)))


def test_items_are_counted_once_over_tiles_and_what_is_read_of_them_in_each(tiny: TinyCatalogue) -> None:
    made = expected(tiny)
    one = made.sources[S2]
    assert (one.items, one.there, one.unusable, one.to_read) == (4, 0, 1, 3)
    assert len(made.tiles) == 2
    assert one.assets == 2 * (3 + 2 * 2)  # three quality assets, two bands of the two clear items
    assert one.steps == 2  # the overcast step is not stored, in two tiles
    # Whole files: a block is larger. Their size follows from the footprint.
    assert one.pixels == pytest.approx(2 * (3 * 16 * 16 + 4 * 32 * 32), rel=0.05)
    assert made.total == one
    assert one.seconds > 0


def test_nothing_is_opened_or_written(tiny: TinyCatalogue) -> None:
    for path in tiny.folder.rglob("*.tif"):
        path.unlink()
    assert expected(tiny).sources[S2].to_read == 3
    assert not (tiny.folder.parent / "root").exists()


def test_what_is_there_is_not_read_again(tiny: TinyCatalogue) -> None:
    jobs.ingest(request(tiny))
    there = expected(tiny).sources[S2]
    assert (there.there, there.to_read, there.bytes, there.disk_bytes, there.seconds) == (3, 0, 0, 0, 0.0)
    tiny.add("new", "2020-09-10T10:00:00")
    made = expected(tiny).sources[S2]
    assert (made.items, made.there, made.to_read, made.steps) == (5, 3, 1, 2)


def test_a_step_is_read_whole_where_one_of_its_items_is_new(tiny: TinyCatalogue) -> None:
    jobs.ingest(request(tiny))
    tiny.add("third", "2020-06-09T10:00:00")
    assert expected(tiny).sources[S2].to_read == 3  # with its two neighbours


def test_radar_is_read_until_footprints_cover_the_area(tmp_path: Path) -> None:
    tiny = TinyCatalogue(tmp_path / "catalogue", "sentinel-1-rtc")
    for day in (7, 8, 9):
        tiny.add(f"d{day}", f"2020-06-{day:02}T10:00:00", bands=("vv", "vh"))
    made = expected(tiny, sources=("sentinel-1-rtc",))
    assert made.sources["sentinel-1-rtc"].assets == 2 * 2  # the first shows everything, in two tiles
    assert made.sources["sentinel-1-rtc"].to_read == 3


def test_a_told_file_size_counts_for_the_part_that_is_read(tiny: TinyCatalogue) -> None:
    path = tiny.folder / S2 / "june" / "june.json"
    item = json.loads(path.read_text())
    told = {"file:size": 4_000_000, "proj:shape": [2000, 2000], "proj:transform": [10, 0, 0, 0, -10, 0]}
    item["assets"]["B04"] |= told
    path.write_text(json.dumps(item))
    plan = jobs.plan(request(tiny))
    (june,) = (scene for scene in plan.items[S2] if scene.id == "june")
    from earthfield.sources import source_named

    size = size_of(june, "B04", source_named(S2), (880.0, 4880.0), gsd_m=10, dtype="int16")
    assert size.pixels == (88 + 512) * (488 + 512)
    assert size.bytes == 600_000  # 15 % of the file
    assert not size.remote


def test_remote_files_are_waited_for_side_by_side() -> None:
    rates = Rates(asset_s=0.01, remote_asset_s=0.4, connections=4, pixels_per_s=1e6, bytes_per_s=1e6)
    many = SourceEstimate(assets=110, remote_assets=100, pixels=2_000_000, bytes=10_000, remote_bytes=9_000)
    assert rates.seconds(many) == pytest.approx(10 * 0.01 + 100 * 0.4 / 4 + 2.0)
    heavy = SourceEstimate(assets=100, remote_assets=100, bytes=50_000_000, remote_bytes=50_000_000)
    assert rates.seconds(heavy) == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("tiles", "num_bytes", "to_read", "asks"),
    [(MAX_TILES, 1, 1, False), (MAX_TILES + 1, 1, 1, True), (1, 60e9, 1, True), (400, 0, 0, False)],
)
def test_a_large_area_is_asked_for_unless_nothing_is_to_be_read(
    tiles: int, num_bytes: float, to_read: int, asks: bool
) -> None:
    rows = {S2: SourceEstimate(to_read=to_read, bytes=int(num_bytes))}
    made = Estimate(sources=rows, tiles={str(number): {} for number in range(tiles)})
    assert bool(made.too_large) is asks


@pytest.mark.parametrize(("place", "period"), [("flanders_a", "2017..2018"), ("tanzania_d", "2020")])
def test_of_real_places_bytes_and_disk_are_met_within_a_third(
    real_data: Path, tmp_path: Path, place: str, period: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import rasterio

    # Landsat was enlarged there to 10 m, and compresses four times as well as what is published.
    sources = (S2, "sentinel-1-rtc")
    asked = IngestRequest(
        root=tmp_path, catalog=str(real_data / "places" / place), periods=(period,), sources=sources
    )
    plan = jobs.plan(asked)
    made, opened = estimate(plan).total, list[str]()
    open_file = rasterio.open

    def counting(address: Any, *args: Any, **kwargs: Any) -> Any:
        file = open_file(address, *args, **kwargs)
        opened.append(file.name)
        return file

    monkeypatch.setattr(rasterio, "open", counting)
    report = jobs.ingest(asked, made=plan)
    assert made.items == sum(one.found for one in report.sources.values())
    assert made.to_read == made.items
    real = sum(Path(name).stat().st_size for name in opened)
    disk = sum(path.stat().st_size for path in (tmp_path / "cubes").rglob("*") if path.is_file())
    assert real > 500_000
    assert made.bytes == pytest.approx(real, rel=0.33)
    assert made.disk_bytes == pytest.approx(disk, rel=0.33)
    assert np.isfinite(made.seconds)
