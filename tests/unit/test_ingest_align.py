"""Scenes of one step become one frame: the clearest first, nothing invented."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from earthfield.errors import BrokenArtefact
from earthfield.sources import Source, source_named
from earthfield_ingest.align import Composite, clearest_first
from earthfield_ingest.compose import COVERED, NOT_CLEAR, UNREADABLE, USED, compose
from earthfield_ingest.scene import Scene

SHAPE = (3, 4)
START = datetime(2020, 6, 1, tzinfo=UTC)
S2, S1 = source_named("sentinel-2-l2a"), source_named("sentinel-1-rtc")


class Shelf:
    """Stands in for a reader: pixels from memory."""

    shape = SHAPE

    def __init__(self, source: Source, clear: dict[str, Any], measured: dict[str, Any]) -> None:
        self._source, self._clear, self._measured = source, clear, measured
        self.opened: list[str] = []

    def clear(self, scene: Scene) -> Any:
        if scene.id == "broken":
            raise BrokenArtefact("broken")
        return self._clear[scene.id]

    def bands(self, scene: Scene) -> Any:
        if scene.id == "broken":
            raise BrokenArtefact("broken")
        self.opened.append(scene.id)
        values = np.full((len(self._source.bands), *SHAPE), self._source.nodata, self._source.dtype)
        values[:, self._measured[scene.id]] = number_of(scene.id)
        return values, self._measured[scene.id]


def number_of(name: str) -> int:
    return int(name[1:]) + 100


def scene(name: str, hours: float = 0.0) -> Scene:
    return Scene(name, "", START + timedelta(hours=hours), shapely.Point(0, 0), {}, {})


MASKS = hnp.arrays(bool, SHAPE)
SCHEDULES = st.lists(st.tuples(st.integers(0, 48), MASKS, MASKS), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(SCHEDULES, st.randoms(use_true_random=False))
def test_a_frame_equals_the_slow_obvious_reference(schedule: list[Any], random: Any) -> None:
    scenes = [scene(f"i{n}", hours) for n, (hours, _, _) in enumerate(schedule)]
    clear = {f"i{n}": mask for n, (_, mask, _) in enumerate(schedule)}
    measured = {f"i{n}": mask for n, (_, _, mask) in enumerate(schedule)}
    shuffled = random.sample(scenes, len(scenes))
    made = compose(S2, shuffled, Shelf(S2, clear, measured))

    order = sorted(scenes, key=lambda one: (-clear[one.id].sum(), one.acquired, one.id))
    expected = np.full(SHAPE, S2.nodata)
    givers = []
    for y, x in np.ndindex(SHAPE):
        for one in order:
            if clear[one.id][y, x] and measured[one.id][y, x]:
                expected[y, x] = number_of(one.id)
                givers.append(one.id)
                break
    if not givers:
        assert made.frame is None
    else:
        assert made.frame is not None
        assert (made.frame.values == expected).all()
        assert (made.frame.valid == (expected != S2.nodata)).all()
        assert made.frame.items == tuple(one.id for one in order if one.id in givers)
        assert made.frame.acquired == next(one.acquired for one in order if one.id in givers)
    assert set(made.outcomes) == {one.id for one in scenes}
    assert {item for item, what in made.outcomes.items() if what == USED} == set(givers)


@settings(max_examples=40, deadline=None)
@given(SCHEDULES)
def test_without_a_quality_asset_the_most_complete_comes_first_and_no_more_than_needed_is_read(
    schedule: list[Any],
) -> None:
    scenes = [scene(f"i{n}", hours) for n, (hours, _, _) in enumerate(schedule)]
    measured = {f"i{n}": mask for n, (_, _, mask) in enumerate(schedule)}
    shelf = Shelf(S1, {}, measured)
    made = compose(S1, scenes, shelf)
    by_time = sorted(scenes, key=lambda one: (one.acquired, one.id))
    whole = [one.id for one in by_time if measured[one.id].all()]
    if whole:
        assert made.frame is not None
        assert made.frame.items == (whole[0],)
        assert shelf.opened[-1] == whole[0]
    union = np.any([measured[one.id] for one in scenes], axis=0)
    assert (made.frame.valid == union).all() if made.frame is not None else not union.any()


def test_ties_are_broken_by_time_and_then_by_id() -> None:
    mask = np.ones(SHAPE, bool)
    assert clearest_first([mask] * 3, [START, START, START - timedelta(days=1)], ["b", "a", "c"]) == [2, 1, 0]


def test_a_pixel_belongs_wholly_to_one_acquisition() -> None:
    whole = Composite(2, SHAPE, dtype="int16", nodata=-1)
    first = np.array([[[5]], [[-1]]]) * np.ones((1, *SHAPE), int)
    assert whole.lay(first.astype("int16"), np.ones(SHAPE, bool)) == 12
    assert whole.full
    assert whole.lay(np.full((2, *SHAPE), 9, "int16"), np.ones(SHAPE, bool)) == 0
    assert (whole.values[0] == 5).all()
    assert (whole.values[1] == -1).all()


def test_each_scene_left_out_has_its_reason() -> None:
    full, none = np.ones(SHAPE, bool), np.zeros(SHAPE, bool)
    scenes = [scene("i1"), scene("i2", 1), scene("i3", 2), scene("broken", 3)]
    shelf = Shelf(S2, {"i1": none, "i2": full, "i3": full}, {"i1": full, "i2": full, "i3": full})
    made = compose(S2, scenes, shelf)
    assert made.outcomes == {"i1": NOT_CLEAR, "i2": USED, "i3": COVERED, "broken": UNREADABLE}
    assert shelf.opened == ["i2"]
    assert list(made.unreadable) == ["broken"]
