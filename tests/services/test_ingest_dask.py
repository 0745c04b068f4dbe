"""Tiles over the workers of a real Dask cluster."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from ingest_catalogue import PLACE, TinyCatalogue, area_text

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import Unavailable
from earthfield.schemas import IngestReport, IngestRequest
from earthfield_ingest.jobs import ingest

distributed = pytest.importorskip("distributed")
S2 = "sentinel-2-l2a"


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCatalogue:
    catalogue = TinyCatalogue(tmp_path / "catalogue")
    for number in range(1, 13):
        catalogue.add(f"s{number}", f"2020-{number:02}-03T10:00:00", value=1000 + number)
    return catalogue


def run(tiny: TinyCatalogue, root: str, dask: str) -> IngestReport:
    return ingest(
        IngestRequest(
            root=tiny.folder.parent / root, catalog=str(tiny.folder), periods=("2020",), sources=(S2,),
            aoi=area_text(PLACE), dask=dask,
        )
    )  # fmt: skip


def content(root: Path) -> dict[str, list[np.ndarray]]:
    catalog, found = Catalog(root), {}
    for tile in catalog.cube_tiles():
        cube = Cube(catalog.cube(tile))
        seen = cube.observations(S2)
        window = tile.local(PLACE & tile.window)
        found[tile.id] = [*cube.read(S2, [one.slot for one in seen], window)]
    return found


def assert_same(one: Path, other: Path) -> None:
    first, second = content(one), content(other)
    assert first.keys() == second.keys()
    assert len(first) == 2
    for tile, arrays in first.items():
        for mine, theirs in zip(arrays, second[tile], strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_a_local_cluster_makes_the_same_cubes_as_one_process(tiny: TinyCatalogue) -> None:
    alone, spread = run(tiny, "alone", "none"), run(tiny, "spread", "local")
    assert_same(tiny.folder.parent / "alone", tiny.folder.parent / "spread")
    assert spread.sources[S2].used == alone.sources[S2].used == 12
    assert run(tiny, "spread", "local").items_read == 0


def test_an_address_without_a_scheduler_is_told(tiny: TinyCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthfield_ingest.parallel._CONNECT_S", 1)
    with pytest.raises(Unavailable, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        run(tiny, "root", "tcp://127.0.0.1:9")


def test_a_worker_that_is_killed_loses_nothing(tiny: TinyCatalogue) -> None:
    run(tiny, "alone", "none")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        victim = next(iter(cluster.workers.values())).pid

        def kill() -> None:
            time.sleep(0.3)
            os.kill(victim, signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
        report = run(tiny, "spread", cluster.scheduler_address)
    report.check_complete()
    assert_same(tiny.folder.parent / "alone", tiny.folder.parent / "spread")
