"""Cubes and assets in a bucket of a real S3 server: the same as in folders, whatever happens on the way."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import obstore
import pytest
import zarr
from forked import Command
from object_store import ObjectStore, commits, everything, lead_to, running

from earthfield.catalog import Catalog
from earthfield.cube import Cube, CubeReader
from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.grid import Tile, Window
from earthfield.schemas import IngestReport, IngestRequest
from earthfield.simulate import Landscape, simulate
from earthfield.timeline import Period, step_of, step_start
from earthfield_ingest import jobs
from earthfield_ingest.repository import make_repository, tidy

S2, S1, L8 = "sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"
TILE = Tile.parse("32631_0048_0549")
QUARTER = "2018-04..2018-06"
Root = str | Path


@pytest.fixture(scope="module")
def store(land: Path) -> Iterator[ObjectStore]:
    # The landscape comes first: rasterio takes its time for each file where the environment holds credentials.
    with running() as store:
        yield store


@pytest.fixture
def bucket(store: ObjectStore, request: pytest.FixtureRequest) -> str:
    """A root of its own in the bucket."""
    return store.address(f"roots/{abs(hash(request.node.name))}")


@pytest.fixture(params=["folder", "bucket"])
def root(request: pytest.FixtureRequest) -> Root:
    """A root of either kind."""
    given: Root = request.getfixturevalue("tmp_path" if request.param == "folder" else "bucket")
    return given / "root" if isinstance(given, Path) else given


@pytest.fixture(scope="module")
def flanders(real_data: Path) -> Path:
    return real_data / "places" / "flanders_a"


@pytest.fixture(scope="module")
def quarter(flanders: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, IngestReport]:
    """A folder with cubes of the real land, and what their ingest told; nobody changes it."""
    root = tmp_path_factory.mktemp("quarter")
    return root, ingest(flanders, root, QUARTER)


@pytest.fixture(scope="module")
def land(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("land") / "land"
    simulate(folder, Landscape(size_px=(64, 64), cloudiness=0.3))
    return folder


def ingest(catalog: Path | str, root: Root, period: str, **content: Any) -> IngestReport:
    given = {"root": root, "catalog": str(catalog), "periods": (period,), "dask": "none", **content}
    return jobs.ingest(IngestRequest.model_validate(given))


def start(catalog: Path, root: Root, period: str) -> Command:
    return Command("ingest", "--catalog", catalog, "--root", root, "--period", period, "--json")


def command(*words: object, **environment: str) -> tuple[int | None, str, str]:
    child = Command(*words, env={**os.environ, **environment})
    out, err = child.communicate()
    return child.returncode, out, err


def names_in(root: Root, store: ObjectStore) -> set[str]:
    """Every object or file below a root but locks."""
    if isinstance(root, str):
        return set(store.sizes(root.partition("earth/")[2]))
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.suffix != ".lock"
    }


def test_cubes_in_a_bucket_are_those_of_a_folder_and_are_read_alike(
    flanders: Path, store: ObjectStore, bucket: str, quarter: tuple[Path, IngestReport]
) -> None:
    folder, local = quarter
    told = ingest(flanders, bucket, QUARTER)
    assert told.items_read == local.items_read > 0
    here, there = everything(folder), everything(bucket)
    assert len(here) > 50
    assert there == here
    names = names_in(bucket, store)
    assert all(name.startswith(("cubes/32631_0048_0549/", "cubes/32631_0049_0549/")) for name in names)
    window, period = Window(-562_968, -562_904, 50_136, 50_200), Period.parse(QUARTER)
    frames = [CubeReader(Catalog(root), (S2, S1)).read(32631, window, period) for root in (folder, bucket)]
    for source in (S2, S1):
        assert frames[0][source].valid.any()
        assert np.array_equal(frames[0][source].values, frames[1][source].values)
    again = ingest(flanders, bucket, QUARTER)
    assert (again.items_read, again.sources[S2].bytes_read) == (0, 0)
    assert again.sources[S2].used == told.sources[S2].used
    assert names_in(bucket, store) == names


def test_assets_in_a_bucket_give_the_same_cubes(
    flanders: Path, store: ObjectStore, bucket: str, quarter: tuple[Path, IngestReport], tmp_path: Path
) -> None:
    folder, local = quarter
    store.upload(flanders, "assets/flanders")
    lead_to(store, flanders, tmp_path / "catalogue", "assets/flanders")
    remote = ingest(tmp_path / "catalogue", bucket, QUARTER)
    assert remote.sources[S2].used == local.sources[S2].used > 0
    assert everything(bucket) == everything(folder)


def test_a_refresh_reads_what_is_new_and_is_one_commit(
    land: Path, root: Root, store: ObjectStore, tmp_path: Path
) -> None:
    border = step_start(step_of(Period.parse("2022-03").start))
    catalogue, half = tmp_path / "catalogue", "2022-01..2022-06"
    shutil.copytree(land, catalogue)
    publish(catalogue, lambda name: name < f"{border:%Y%m%d}")
    first = ingest(catalogue, root, half)
    publish(catalogue, lambda _: True)
    second = ingest(catalogue, root, half)
    alone = ingest(catalogue, tmp_path / "alone", f"{border:%Y-%m-%d}/2022-07-01")
    for source in (S2, S1, L8):
        assert second.sources[source].read == alone.sources[source].read > 0
        assert second.sources[source].bytes_read == alone.sources[source].bytes_read > 0
        assert second.sources[source].found == first.sources[source].found + alone.sources[source].found
    assert [len(one) for one in commits(root).values()] == [2]
    ingest(catalogue, tmp_path / "once", half)
    assert everything(root) == everything(tmp_path / "once")
    names = names_in(root, store)
    third = ingest(catalogue, root, half)
    assert (third.items_read, third.sources[S2].bytes_read) == (0, 0)
    assert names_in(root, store) == names
    assert [len(one) for one in commits(root).values()] == [2]


def test_a_reprocessed_item_is_read_and_its_step_alone_is_made_again(
    land: Path, root: Root, tmp_path: Path
) -> None:
    catalogue, spring = tmp_path / "catalogue", "2022-03..2022-05"
    shutil.copytree(land, catalogue)
    ingest(catalogue, root, spring, sources=(S2,))
    before = everything(root)
    old = next(iter(Cube(Catalog(root).cube(Catalog(root).cube_tiles()[0])).observations(S2)))
    new = reprocess(catalogue, old.items[0])
    told = ingest(catalogue, root, spring, sources=(S2,))
    of_step = [name for name in links(catalogue, S2) if (day := taken(name)) and step_of(day) == old.step]
    assert new in of_step
    assert 1 <= told.sources[S2].read < len(of_step)  # the old one is not read
    assert told.sources[S2].dropped["superseded by a newer processing"] == 1
    after = everything(root)
    changed = {key for key in after if after[key] != before.get(key) and key.count("/") == 2}
    assert [int(key.rpartition("/")[2]) for key in changed] == [old.step]
    assert after[changed.pop()][1][0] == new
    assert [len(one) for one in commits(root).values()] == [2]
    ingest(catalogue, tmp_path / "once", spring, sources=(S2,))
    once = everything(tmp_path / "once")
    assert {key: after[key] for key in after if key.count("/") == 2} == {
        key: once[key] for key in once if key.count("/") == 2
    }


def test_the_commands_take_a_bucket_or_say_what_it_cannot_hold(land: Path, bucket: str) -> None:
    code, out, err = command("ingest", "--catalog", land, "--period", "2022-06", "--root", bucket)
    assert code == 0, err
    assert f"{bucket}/cubes" in out.replace("\n", "")
    _, out, _ = command("cube", "info", "--json", EARTHFIELD_ROOT=bucket)
    held = {one["source"]: one["steps"] for one in json.loads(out)["cubes"]}
    assert held.keys() == {S2, S1, L8}
    assert held[S2] > 3
    for words in (("embed", "--period", "2022"), ("map", "--catalog", land, "--period", "2022"), ("index",)):
        code, _, err = command(*words, "--root", bucket)
        assert code == 2
        assert "cubes only" in " ".join(err.split())


def test_an_ingest_killed_at_any_moment_leaves_the_last_commit(
    land: Path, store: ObjectStore, bucket: str, tmp_path: Path
) -> None:
    for period in ("2022-01", "2022-01..2022-05"):
        ingest(land, tmp_path / period, period)
    before, after = (everything(tmp_path / period) for period in ("2022-01", "2022-01..2022-05"))
    ingest(land, bucket, "2022-01")
    kills = 0
    for more in (0, 2, 12, 20, 24):  # objects that it may put before it dies; a whole one puts about 26
        most = store.count() + more
        child = start(land, bucket, "2022-01..2022-05")
        while store.count() < most and child.poll() is None:
            time.sleep(0.001)
        child.kill()
        child.communicate()
        kills += child.returncode == -9
        held = everything(bucket)
        assert held in (before, after)
        assert [len(one) for one in commits(bucket).values()] == [1 if held == before else 2]
        if held == after:
            break
    assert kills >= 3
    ingest(land, bucket, "2022-01..2022-05")
    assert everything(bucket) == after
    assert [len(one) for one in commits(bucket).values()] == [2]
    store.age(timedelta(days=2))
    assert tidy(Catalog(bucket).cube(Catalog(bucket).cube_tiles()[0])).objects > 0
    assert everything(bucket) == after


def test_of_two_ingests_at_once_one_is_refused_and_nothing_is_lost(
    land: Path, bucket: str, tmp_path: Path
) -> None:
    children = {period: start(land, bucket, period) for period in ("2022-01..2022-03", "2022-04..2022-06")}
    told = {period: child.communicate() for period, child in children.items()}
    codes = {period: child.returncode for period, child in children.items()}
    assert sorted(codes.values()) == [0, 4], told
    refused = next(period for period, code in codes.items() if code == 4)
    assert "another ingest has just written the cube" in " ".join(told[refused][1].split())
    again = start(land, bucket, refused)
    assert again.communicate() is not None
    assert again.returncode == 0
    for period in ("2022-01..2022-03", "2022-04..2022-06"):
        ingest(land, tmp_path, period)
    assert everything(bucket) == everything(tmp_path)


@pytest.mark.parametrize("moment", ["while it reads", "when it has looked up what is missing"])
def test_what_another_ingest_commits_in_between_is_never_overwritten(
    land: Path, bucket: str, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = IngestRequest(root=bucket, catalog=str(land), periods=("2022-01..2022-02",), sources=(S2,))
    others = iter([lambda: ingest(land, bucket, "2022-04", sources=(S1, S2))])
    look_up, looks = jobs._TileJob._jobs, iter([False, True])

    def meanwhile(task: str = "ingest", *_: object) -> None:
        if task.startswith("ingest"):  # not while it plans
            for other in others:
                other()

    def looked_up(job: Any) -> Any:
        found = look_up(job)
        if next(looks, False):
            meanwhile()
        return found

    if moment.startswith("when"):
        make_repository(Catalog(bucket).cube(jobs.plan(request).tiles[0].tile))
        monkeypatch.setattr(jobs._TileJob, "_jobs", looked_up)
    with pytest.raises(Unavailable, match=r"just written the cube.*nothing is lost.*again"):
        jobs.ingest(request, progress=meanwhile)
    ingest(land, tmp_path, "2022-04", sources=(S1, S2))
    assert everything(bucket) == everything(tmp_path)
    jobs.ingest(request)
    ingest(land, tmp_path, "2022-01..2022-02", sources=(S2,))
    assert everything(bucket) == everything(tmp_path)


def test_any_number_may_begin_a_cube_at_once(store: ObjectStore, bucket: str) -> None:
    place = Catalog(bucket).cube(TILE)
    with pytest.raises(NotFound, match="earthfield ingest"):
        Cube(place)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make_repository, [place] * 8))
    assert Cube(place).sources == ()
    assert Catalog(bucket).cube_tiles() == [TILE]
    # Killed between the two objects that a repository begins with.
    obstore.delete(store.open(str(place.at.prefix)), "refs/branch.main/ref.json")  # type: ignore[attr-defined]
    assert not place.exists()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(make_repository, [place] * 8))
    session = place.open().writable_session("main")
    zarr.create_group(session.store)
    session.commit("works")
    assert next(one.message for one in place.open().ancestry(branch="main")) == "works"


def test_a_bucket_that_is_not_there_is_told(store: ObjectStore, land: Path) -> None:
    for ask in (
        lambda: Catalog("s3://nowhere/root").cube_tiles(),
        lambda: Catalog("s3://nowhere/root").cube(TILE).exists(),
        lambda: Catalog("s3://nowhere/root").cube(TILE).open(),
        lambda: ingest(land, "s3://nowhere/root", "2022-06"),
    ):
        with pytest.raises(InvalidInput, match="there is no such bucket"):
            ask()


def links(catalogue: Path, source: str) -> list[str]:
    """Ids of the items that a catalogue lists."""
    found = json.loads((catalogue / source / "collection.json").read_text())["links"]
    return [Path(one["href"]).stem for one in found if one["rel"] == "item"]


def taken(name: str) -> datetime | None:
    """The day in an item's id."""
    found = re.search(r"_(\d{8})T", name)
    return datetime.strptime(found[1], "%Y%m%d").replace(tzinfo=UTC) if found else None


def publish(catalogue: Path, wanted: Callable[[str], bool]) -> None:
    """Makes a catalogue list only the items whose day (as 20220131) is wanted."""
    for path in catalogue.glob("*/collection.json"):
        whole = path.with_suffix(".whole")
        if not whole.exists():
            shutil.copy(path, whole)
        content = json.loads(whole.read_text())
        content["links"] = [
            one for one in content["links"]
            if one["rel"] != "item" or (day := taken(one["href"])) is None or wanted(f"{day:%Y%m%d}")
        ]  # fmt: skip
        path.write_text(json.dumps(content))


def reprocess(catalogue: Path, name: str) -> str:
    """Adds a newer processing of an item, with another band in the place of B04; gives its id."""
    folder, new = catalogue / S2 / name, f"{name[:-1]}9"
    shutil.copytree(folder, folder.with_name(new))
    shutil.copy(folder / "B08.tif", folder.with_name(new) / "B04.tif")
    item = json.loads((folder.with_name(new) / f"{name}.json").read_text())
    item["id"] = new
    item["properties"]["s2:processing_baseline"] = (
        f"{float(item['properties']['s2:processing_baseline']) + 0.01:05.2f}"
    )
    (folder.with_name(new) / f"{name}.json").unlink()
    (folder.with_name(new) / f"{new}.json").write_text(json.dumps(item))
    collection = catalogue / S2 / "collection.json"
    content = json.loads(collection.read_text())
    content["links"].append({"rel": "item", "href": f"./{new}/{new}.json"})
    collection.write_text(json.dumps(content))
    return new
