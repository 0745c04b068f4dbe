"""An ingest adds what is missing, once, whole or not at all."""

from __future__ import annotations

import fcntl
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ingest_catalogue import PLACE, TinyCatalogue, area_text

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, Unavailable
from earthfield.grid import Tile, Window
from earthfield.schemas import IngestReport, IngestRequest
from earthfield_ingest import jobs
from earthfield_ingest.scene import NO_ASSET, NO_QUALITY
from earthfield_ingest.timeline import held, months

WEST, EAST = Tile.parse("32631_0048_0549"), Tile.parse("32631_0049_0549")
S2 = "sentinel-2-l2a"
WEST_HALF = Window(PLACE.y0, PLACE.y1, PLACE.x0, PLACE.x0 + 8)


@pytest.fixture
def tiny(tmp_path: Path) -> TinyCatalogue:
    tiny = TinyCatalogue(tmp_path / "catalogue")
    cloudy = np.full((16, 16), 9, np.uint8)
    cloudy[:8] = 4
    tiny.add("june", "2020-06-10T10:00:00", value=1100)
    tiny.add("half", "2020-06-20T10:00:00", value=1200, scl=cloudy)
    tiny.add("rest", "2020-06-21T10:00:00", value=1300, scl=np.where(cloudy == 9, 5, 8).astype(np.uint8))
    tiny.add("cloud", "2020-07-10T10:00:00", value=1400, scl=9)
    return tiny


def run(tiny: TinyCatalogue, *, root: str = "root", **content: Any) -> IngestReport:
    given = {"catalog": str(tiny.folder), "periods": ("2020",), "sources": (S2,), **content}
    return jobs.ingest(IngestRequest.model_validate({"root": tiny.folder.parent / root, **given}))


def cube(tiny: TinyCatalogue, tile: Tile = WEST, *, root: str = "root") -> Cube:
    return Cube(Catalog(tiny.folder.parent / root).cube(tile))


def content(cube: Cube, source: str = S2) -> dict[int, Any]:
    """Everything that a cube holds of a source, by step, whatever the slots."""
    whole = Window(0, 1024, 0, 1024)
    seen = cube.observations(source)
    values, valid = cube.read(source, [one.slot for one in seen], whole)
    return {
        one.step: (one.acquired, one.items, values[place].tobytes(), valid[place].tobytes())
        for place, one in enumerate(seen)
    }


def commits(tiny: TinyCatalogue, tile: Tile = WEST) -> int:
    repository = Catalog(tiny.folder.parent / "root").cube(tile).open()
    return len(list(repository.ancestry(branch="main")))


def test_a_step_is_made_of_its_scenes_and_each_is_accounted_for(tiny: TinyCatalogue) -> None:
    report = run(tiny)
    assert report.sources[S2].found == 4
    assert report.sources[S2].used == 3
    assert report.sources[S2].dropped == {"no clear pixel in the area": 1}
    assert report.sources[S2].steps == 2
    assert report.sources[S2].clear_share == 1.0
    assert set(report.tiles) == {WEST.id, EAST.id}
    seen = cube(tiny).observations(S2)
    assert [one.items for one in seen] == [("june",), ("half", "rest")]
    assert seen[1].acquired.isoformat() == "2020-06-20T10:00:00+00:00"
    local = WEST.local(PLACE & WEST.window)
    values, valid = cube(tiny).read(S2, [seen[1].slot], local)
    assert valid.all()
    assert (values[0, 2, :16] == 1200).all()
    assert (values[0, 2, 16:] == 1300).all()
    assert (values[0, 0] == -32768).all()  # B02 is not published


def test_nothing_outside_the_area_is_stored(tiny: TinyCatalogue) -> None:
    run(tiny, aoi=area_text(WEST_HALF))
    seen = cube(tiny).observations(S2)
    values, valid = cube(tiny).read(S2, [seen[0].slot], Window(0, 1024, 0, 1024))
    ys, xs = WEST.local(WEST_HALF).slices
    assert valid[0, ys, xs].all()
    assert valid.sum() == 32 * 8
    assert (values != -32768).sum() == 2 * 32 * 8
    assert not Catalog(tiny.folder.parent / "root").cube(EAST).exists()


def test_a_rerun_reads_nothing_writes_nothing_and_reports_the_same(tiny: TinyCatalogue) -> None:
    first = run(tiny)
    before, many = cube(tiny).snapshot, commits(tiny)
    for path in tiny.folder.rglob("*.tif"):
        path.unlink()  # so that any read would fail
    second = run(tiny)
    assert second.items_read == 0
    assert second.sources[S2].bytes_read == 0
    assert (cube(tiny).snapshot, commits(tiny)) == (before, many)
    for report in (first, second):
        report.seconds = 0.0
        for one in (report.sources[S2], *(tile[S2] for tile in report.tiles.values())):
            one.read = one.bytes_read = 0
            one.seconds = 0.0
    assert first == second


def test_one_ingest_of_a_tile_is_one_commit(tiny: TinyCatalogue) -> None:
    run(tiny)
    assert commits(tiny) == 2  # Icechunk's first, and everything


def test_new_scenes_recompose_their_step_and_leave_the_others(tiny: TinyCatalogue) -> None:
    run(tiny)
    before = content(cube(tiny))
    tiny.add("clearer", "2020-06-19T10:00:00", value=1250)
    tiny.add("early", "2020-05-10T10:00:00", value=1000)
    report = run(tiny)
    assert report.sources[S2].read == 4  # the step's other two are looked at again
    assert report.sources[S2].dropped["covered by a clearer acquisition of the same 5-day step"] == 2
    after = content(cube(tiny))
    june = next(one.step for one in cube(tiny).observations(S2) if one.items == ("june",))
    assert after[june] == before[june]
    assert [one.items for one in cube(tiny).observations(S2)] == [("early",), ("june",), ("clearer",)]
    run(tiny, root="fresh")
    assert content(cube(tiny, root="fresh")) == after


def test_a_period_after_another_gives_what_both_at_once_give(tiny: TinyCatalogue) -> None:
    run(tiny, periods=("2020-06-21/2020-12-01",))
    run(tiny, periods=("2020-06",))
    run(tiny, root="fresh")
    assert content(cube(tiny)) == content(cube(tiny, root="fresh"))


def test_a_wider_area_reads_the_steps_again_over_both(tiny: TinyCatalogue) -> None:
    run(tiny, aoi=area_text(WEST_HALF))
    report = run(tiny)
    assert report.sources[S2].read == 4
    run(tiny, root="fresh")
    for tile in (WEST, EAST):
        assert content(cube(tiny, tile)) == content(cube(tiny, tile, root="fresh"))
    narrow = run(tiny, aoi=area_text(WEST_HALF))
    assert narrow.items_read == 0


def test_another_catalogue_adds_to_a_step_and_takes_nothing_away(tiny: TinyCatalogue, tmp_path: Path) -> None:
    run(tiny)
    before = cube(tiny).observations(S2)[0]
    other = TinyCatalogue(tmp_path / "other")
    other.add("foreign", "2020-06-11T10:00:00", value=1700)
    other.add("new", "2020-08-11T10:00:00", value=1800)
    jobs.ingest(
        IngestRequest(root=tmp_path / "root", catalog=str(other.folder), periods=("2020",), sources=(S2,))
    )
    seen = cube(tiny).observations(S2)
    assert seen[0] == before
    assert seen[-1].items == ("new",)
    assert run(tiny).items_read == 0


def test_a_newer_processing_takes_the_place_of_the_older(tiny: TinyCatalogue) -> None:
    grid = {"grid:code": "MGRS-31UDS", "platform": "sentinel-2a"}
    tiny.add("v2", "2020-09-01T10:00:00", value=2000, **grid, **{"s2:processing_baseline": "02.14"})
    run(tiny)
    tiny.add("v5", "2020-09-01T10:00:00", value=3000, **grid, **{"s2:processing_baseline": "05.00"})
    report = run(tiny)
    assert report.sources[S2].dropped["superseded by a newer processing"] == 1
    last = cube(tiny).observations(S2)[-1]
    assert last.items == ("v5",)
    values, _ = cube(tiny).read(S2, [last.slot], WEST.local(PLACE & WEST.window))
    assert (values[0, 2] == 2000).all()  # 3000 with the offset of 04.00
    assert run(tiny).items_read == 0


def test_an_unreadable_asset_holds_up_its_step_alone_or_is_left_out(tiny: TinyCatalogue) -> None:
    path = tiny.folder / S2 / "june" / "B04.tif"
    kept = path.read_bytes()
    path.write_bytes(kept[:200])
    report = run(tiny)
    with pytest.raises(BrokenArtefact, match="item june, asset B04"):
        report.check_complete()
    assert report.sources[S2].dropped["unreadable asset"] == 1
    assert report.sources[S2].steps == 1  # the other step is there
    report = run(tiny, skip_unreadable=True)
    assert report.sources[S2].dropped["unreadable asset"] == 1
    assert len(report.unreadable) == 1
    assert "june" in report.unreadable[0]
    snapshot = cube(tiny).snapshot
    again = run(tiny, skip_unreadable=True)
    assert again.unreadable == report.unreadable
    assert cube(tiny).snapshot == snapshot
    with pytest.raises(BrokenArtefact, match="item june"):
        run(tiny).check_complete()
    path.write_bytes(kept)
    assert run(tiny, skip_unreadable=True).sources[S2].used == 3
    run(tiny, root="fresh")
    assert content(cube(tiny)) == content(cube(tiny, root="fresh"))


def test_scenes_that_cannot_be_used_are_counted(tiny: TinyCatalogue) -> None:
    folder = tiny.add("nothing", "2020-10-01T10:00:00", bands=())
    tiny.add("no-classes", "2020-10-02T10:00:00")
    item = folder.parent / "no-classes" / "no-classes.json"
    without = json.loads(item.read_text())
    without["assets"].pop("SCL")
    item.write_text(json.dumps(without))
    report = run(tiny)
    assert report.sources[S2].dropped == {
        "no clear pixel in the area": 1, NO_QUALITY: 1, NO_ASSET: 1,
    }  # fmt: skip


def test_two_writers_of_one_cube_are_told_apart(tiny: TinyCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("earthfield_ingest.repository.WAIT_S", 0.3)
    path = Catalog(tiny.folder.parent / "root").cube(WEST).path
    path.parent.mkdir(parents=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Unavailable, match="being written by another ingest"):
            run(tiny)
    assert run(tiny).sources[S2].used == 3


def test_a_rerun_with_nothing_to_do_needs_no_right_to_write(tiny: TinyCatalogue) -> None:
    run(tiny)
    for name in Catalog(tiny.folder.parent / "root").cubes.glob(".*.lock"):
        name.unlink()
    root = tiny.folder.parent / "root"
    before = sorted(str(path) for path in root.rglob("*"))
    run(tiny)
    assert sorted(str(path) for path in root.rglob("*")) == before


def test_a_root_that_cannot_be_made_is_told(tiny: TinyCatalogue) -> None:
    (tiny.folder.parent / "root").write_text("a file, not a folder")
    with pytest.raises(InvalidInput, match="cannot be written"):
        run(tiny)


def test_a_root_that_may_not_be_written_is_told(tiny: TinyCatalogue) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        run(tiny, root="/proc/earthfield")


def test_a_full_disk_is_told_and_nothing_half_made_is_seen(
    tiny: TinyCatalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tiny)
    tiny.add("more", "2020-11-01T10:00:00")
    before = cube(tiny).snapshot

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("icechunk.Session.commit", full)
    with pytest.raises(Unavailable, match="full"):
        run(tiny)
    monkeypatch.undo()
    assert cube(tiny).snapshot == before
    assert run(tiny).sources[S2].used == 4


def test_a_cube_with_other_bands_is_refused(tiny: TinyCatalogue, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tiny)
    from dataclasses import replace

    from earthfield.sources import known_sources

    changed = {**known_sources()}
    changed[S2] = replace(changed[S2], bands=changed[S2].bands[:4])
    monkeypatch.setattr("earthfield.sources.known_sources", lambda: changed)
    tiny.add("more", "2020-11-01T10:00:00")
    with pytest.raises(Conflict, match="remove the cube"):
        run(tiny)


def test_a_folder_that_is_no_cube_is_named(tiny: TinyCatalogue) -> None:
    run(tiny)
    path = Catalog(tiny.folder.parent / "root").cube(WEST).path
    shutil.rmtree(path / "refs")
    with pytest.raises(BrokenArtefact, match=WEST.id):
        run(tiny)


def test_progress_reaches_its_end(tiny: TinyCatalogue) -> None:
    told: list[tuple[str, int, int]] = []
    request = IngestRequest(
        root=tiny.folder.parent / "root", catalog=str(tiny.folder), periods=("2020",), sources=(S2,)
    )
    jobs.ingest(request, progress=lambda *one: told.append(one))
    assert told[-1] == (f"ingest {EAST.id}", 3, 3)


def test_more_steps_than_a_run_of_slots_are_stored_right(tmp_path: Path) -> None:
    tiny = TinyCatalogue(tmp_path / "catalogue")
    for day in range(1, 28):
        tiny.add(f"d{day:02}", f"2020-{1 + day % 9:02}-{day:02}T10:00:00", value=1000 + day)
    run(tiny)
    seen = cube(tiny).observations(S2)
    values, _ = cube(tiny).read(S2, [one.slot for one in seen], WEST.local(PLACE & WEST.window))
    for one, frame in zip(seen, values, strict=True):
        assert (frame[2] == 1000 + int(one.items[0][1:])).all()


def test_a_timeline_has_a_character_a_month(tiny: TinyCatalogue) -> None:
    run(tiny)
    (one,) = held(Catalog(tiny.folder.parent / "root").cube(WEST))
    assert (one.source, one.steps, one.items, one.first, one.last) == (S2, 2, 3, "2020-06-10", "2020-06-20")
    assert len(one.bars) == 1
    assert months([]) == ""
