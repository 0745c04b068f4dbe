"""Whatever arrives, in whatever order and pieces, a cube equals what a slow and obvious program makes of it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from ingest_catalogue import TinyCatalogue, area_text, write_tif
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.cube import Cube
from earthfield.grid import Tile, Window
from earthfield.schemas import IngestRequest
from earthfield.sources import Source, source_named
from earthfield.timeline import step_of
from earthfield_ingest import jobs
from earthfield_ingest.compose import COVERED, NOT_CLEAR, USED, Composed, Frame, compose
from earthfield_ingest.scene import SUPERSEDED, Scene
from earthfield_ingest.write import ledger_of

START = datetime(2020, 6, 4, tzinfo=UTC)  # the first instant of a 5-day step
S2, S1, L8 = (source_named(name) for name in ("sentinel-2-l2a", "sentinel-1-rtc", "landsat-c2-l2"))


# One step in memory.

SHAPE = (4, 5)


@dataclass(frozen=True)
class Acquisition:
    """One acquisition as the slow program sees it."""

    id: str
    hours: int
    clear: NDArray[np.bool_]
    """What its quality asset says."""
    values: NDArray[Any]
    """(B, H, W), nodata where nothing was measured."""

    @property
    def scene(self) -> Scene:
        return Scene(self.id, "", START + timedelta(hours=self.hours), shapely.Point(0, 0), {}, {})


class Shelf:
    """Stands in for a reader: pixels from memory."""

    shape = SHAPE

    def __init__(self, source: Source, taken: Sequence[Acquisition]) -> None:
        self._nodata = source.nodata
        self._taken = {one.id: one for one in taken}
        self.bytes_read = 0

    def clear(self, scene: Scene) -> NDArray[np.bool_]:
        return self._taken[scene.id].clear.copy()

    def bands(self, scene: Scene) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        values = self._taken[scene.id].values.copy()
        return values, (values != self._nodata).any(axis=0)


@st.composite
def steps(draw: st.DrawFn, source: Source) -> list[Acquisition]:
    """Acquisitions of one step: equal instants, holes in single bands, partial footprints."""
    number = draw(st.integers(1, 5))
    info = np.iinfo(source.dtype)
    numbers = st.sampled_from([source.nodata, info.max, info.max - 1, 3, 4, 5])
    masks = hnp.arrays(bool, SHAPE)
    taken = []
    for place in draw(st.permutations(range(number))):
        values = draw(hnp.arrays(source.dtype, (len(source.bands), *SHAPE), elements=numbers, fill=numbers))
        values[:, ~draw(st.one_of(st.just(np.ones(SHAPE, bool)), masks))] = source.nodata
        measured = (values != source.nodata).any(axis=0)
        clear = draw(masks) if source.quality else measured
        taken.append(Acquisition(f"i{place}", draw(st.sampled_from([0, 0, 1, 47, 119])), clear, values))
    return taken


def slow(source: Source, taken: Sequence[Acquisition]) -> tuple[NDArray[Any], list[list[str | None]]]:
    """Gives the values of a step and who gave each pixel."""
    order = sorted(taken, key=lambda one: (-sum(map(int, one.clear.flat)), one.hours, one.id))
    values = np.full((len(source.bands), *SHAPE), source.nodata, source.dtype)
    givers: list[list[str | None]] = [[None] * SHAPE[1] for _ in range(SHAPE[0])]
    for y in range(SHAPE[0]):
        for x in range(SHAPE[1]):
            for one in order:
                pixel = one.values[:, y, x]
                if one.clear[y, x] and any(number != source.nodata for number in pixel):
                    values[:, y, x] = pixel
                    givers[y][x] = one.id
                    break
    return values, givers


def check(source: Source, taken: Sequence[Acquisition], made: Composed) -> None:
    values, givers = slow(source, taken)
    gave = {giver for row in givers for giver in row if giver is not None}
    order = sorted(taken, key=lambda one: (-int(one.clear.sum()), one.hours, one.id))
    assert made.outcomes.keys() == {one.id for one in taken}
    assert {item for item, what in made.outcomes.items() if what == USED} == gave
    assert set(made.outcomes.values()) <= {USED, COVERED, NOT_CLEAR}
    if not gave:
        assert made.frame is None
        return
    assert made.frame is not None
    assert (made.frame.values == values).all()
    assert made.frame.values.dtype == source.dtype
    assert made.frame.valid.tolist() == [[giver is not None for giver in row] for row in givers]
    assert (made.frame.values[:, ~made.frame.valid] == source.nodata).all()
    assert made.frame.items == tuple(one.id for one in order if one.id in gave)
    assert made.frame.acquired == next(one.scene.acquired for one in order if one.id in gave)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from([S2, S1, L8]).flatmap(lambda one: st.tuples(st.just(one), steps(one))))
def test_a_step_equals_the_slow_obvious_reference(given_: tuple[Source, list[Acquisition]]) -> None:
    source, taken = given_
    check(source, taken, compose(source, [one.scene for one in taken], Shelf(source, taken)))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([S2, S1]).flatmap(lambda one: st.tuples(st.just(one), steps(one))),
    hnp.arrays(bool, SHAPE),
)
def test_kept_pixels_stay_and_every_value_is_one_that_some_acquisition_had(
    given_: tuple[Source, list[Acquisition]], mask: NDArray[np.bool_]
) -> None:
    source, taken = given_
    number = np.int64(77).astype(source.dtype)
    stored = np.where(mask, number, np.array(source.nodata, source.dtype))
    kept = Frame(
        step_of(START), START, ("old",), np.stack([stored] * len(source.bands)), mask.copy(), {"orbit": 8}
    )
    made = compose(source, [one.scene for one in taken], Shelf(source, taken), kept=kept)
    if made.frame is None:
        assert not mask.any()
        return
    assert (made.frame.values[:, mask] == 77).all()
    assert made.frame.valid[mask].all()
    assert (made.frame.items[0] == "old") == bool(mask.any())
    if mask.any():
        assert (made.frame.acquired, made.frame.about) == (START, {"orbit": 8})
    for y, x in zip(*np.nonzero(made.frame.valid & ~mask), strict=True):
        had = [one.values[:, y, x].tolist() for one in taken if one.clear[y, x]]
        assert made.frame.values[:, y, x].tolist() in had


# Whole runs over files.

PLACE = Window(-562_962, -562_938, 50_202, 50_226)
"""24 x 24 px inside tile 49; pixels of 10, 20 and 60 m nest in it."""
TILE = Tile.parse("32631_0049_0549")
FACTORS = {"B04": 1, "B11": 2, "B05": 6}
CLEAR = (2, 4, 5, 6, 7, 11)


@dataclass(frozen=True)
class Shot:
    """One item of a catalogue."""

    id: str
    day: int
    hour: int
    version: int
    """Processing: 2 comes before 5."""
    place: Window
    """Which part of PLACE its files cover."""
    seed: int
    cloud: float
    arrives: int
    """From which run on the catalogue holds it."""
    raw: dict[str, NDArray[np.uint16]] = field(default_factory=dict, compare=False)

    @property
    def when(self) -> datetime:
        return START + timedelta(days=self.day, hours=self.hour)

    @property
    def _edges(self) -> tuple[int, ...]:
        inner = self.place.shifted(-PLACE.y0, -PLACE.x0)
        return inner.y0, inner.y1, inner.x0, inner.x1

    @property
    def orbit(self) -> str:
        """What two processings of one acquisition share."""
        return f"{self.day}/{self.hour}/{self.place}"

    def files(self) -> dict[str, NDArray[Any]]:
        """Gives the pixels of each file."""
        rng = np.random.default_rng(self.seed)
        rows, cols = self.place.shape
        found: dict[str, NDArray[Any]] = {
            key: rng.integers(0, 5, (rows // f, cols // f)).astype(np.uint16) * 1000 + 500 * (f > 1)
            for key, f in FACTORS.items()
        }
        found["SCL"] = np.where(
            rng.random((rows // 2, cols // 2)) < self.cloud, 9, rng.choice(CLEAR, (rows // 2, cols // 2))
        ).astype(np.uint8)
        return found

    def add_to(self, tiny: TinyCatalogue) -> None:
        files = self.files()
        folder = tiny.add(
            self.id, f"{self.when:%Y-%m-%dT%H:%M:%S}", window=self.place, bands=("B04", "B11", "B05"),
            scl=files["SCL"], platform="sentinel-2a",
            **{
                "s2:processing_baseline": f"{self.version:02}.00" if self.version < 4 else "03.01",
                "grid:code": "MGRS-31U" + "".join(f"{edge:02}" for edge in self._edges),
            },
        )  # fmt: skip
        for key, factor in FACTORS.items():
            write_tif(folder / f"{key}.tif", files[key], self.place, nodata=0, factor=factor)


SIXES = st.sampled_from([0, 6, 12])


@st.composite
def schedules(draw: st.DrawFn) -> list[Shot]:
    """Items over two steps and a bit; some cover only a part, some are processed twice."""
    shots = []
    for number in range(draw(st.integers(1, 4))):
        part = Window(
            PLACE.y0 + draw(SIXES), PLACE.y1 - draw(st.sampled_from([0, 0, 6])),
            PLACE.x0 + draw(SIXES), PLACE.x1 - draw(st.sampled_from([0, 0, 6])),
        )  # fmt: skip
        shot = Shot(
            f"s{number}", draw(st.sampled_from([0, 4, 5, 9])), draw(st.sampled_from([0, 10])), 2, part,
            draw(st.integers(0, 99)), draw(st.sampled_from([0.0, 0.3, 0.8, 1.0])), draw(st.integers(0, 2)),
        )  # fmt: skip
        if shot.orbit in {one.orbit for one in shots}:
            continue  # two items of one acquisition are processings of it, below
        shots.append(shot)
        if draw(st.integers(0, 3)) == 0:
            again = {**shot.__dict__, "id": f"a{number}", "version": 5, "seed": shot.seed + 100}
            shots.append(Shot(**{**again, "arrives": draw(st.integers(0, 2))}))
    return shots


def expected(shots: Sequence[Shot], window: Window) -> dict[int, Any]:
    """The slow program: by step the values, who gave them, and the ids, over a window of the zone's grid."""
    newest = [
        one for one in shots if not any(o.orbit == one.orbit and o.version > one.version for o in shots)
    ]
    found = {}
    for step in sorted({step_of(one.when) for one in newest}):
        pictures = []
        for one in newest:
            if step_of(one.when) != step:
                continue
            files, clear, numbers = one.files(), {}, {}
            for y in range(max(window.y0, one.place.y0), min(window.y1, one.place.y1)):
                for x in range(max(window.x0, one.place.x0), min(window.x1, one.place.x1)):
                    row, col = y - one.place.y0, x - one.place.x0
                    clear[y, x] = int(files["SCL"][row // 2, col // 2]) in CLEAR
                    numbers[y, x] = {k: int(files[k][row // f, col // f]) for k, f in FACTORS.items()}
            pictures.append((-sum(clear.values()), one.when, one.id, clear, numbers))
        pixels, gave = {}, []
        for y in range(window.y0, window.y1):
            for x in range(window.x0, window.x1):
                for _, _, name, clear, numbers in sorted(pictures, key=lambda one: one[:3]):
                    if clear.get((y, x)) and any(numbers[y, x].values()):
                        pixels[y, x] = {k: v or S2.nodata for k, v in numbers[y, x].items()}
                        gave.append(name)
                        break
        if gave:
            items = tuple(name for _, _, name, _, _ in sorted(pictures, key=lambda p: p[:3]) if name in gave)
            found[step] = (pixels, items)
    return found


def held(root: Path) -> dict[int, Any]:
    """What a cube holds, in the same form."""
    place = Catalog(root).cube(TILE)
    if not place.exists() or S2.name not in Cube(place).sources:
        return {}
    cube, found = Cube(place), {}
    names = [S2.band_names.index(key) for key in FACTORS]
    seen = cube.observations(S2.name)
    values, valid = cube.read(S2.name, [one.slot for one in seen], Window(0, 1024, 0, 1024))
    for one, numbers, clear in zip(seen, values, valid, strict=True):
        assert (numbers[:, ~clear] == S2.nodata).all()
        assert (np.delete(numbers, names, axis=0) == S2.nodata).all()
        pixels = {
            (int(y) + TILE.window.y0, int(x) + TILE.window.x0): {
                key: int(numbers[band, y, x]) for key, band in zip(FACTORS, names, strict=True)
            }
            for y, x in zip(*np.nonzero(clear), strict=True)
        }
        if pixels:
            found[one.step] = (pixels, one.items)
    return found


def run(tiny: TinyCatalogue, root: Path, window: Window) -> Any:
    return jobs.ingest(
        IngestRequest(
            root=root, catalog=str(tiny.folder), periods=("2020-06",), sources=(S2.name,), dask="none",
            aoi=area_text(window),
        )
    )  # fmt: skip


@st.composite
def windows(draw: st.DrawFn) -> Window:
    y, x = draw(st.integers(0, 16)), draw(st.integers(0, 16))
    down, right = draw(st.integers(4, 24 - y)), draw(st.integers(4, 24 - x))
    return Window(PLACE.y0 + y, PLACE.y0 + y + down, PLACE.x0 + x, PLACE.x0 + x + right)


def arriving(folder: Path, shots: Sequence[Shot], steps: Sequence[Window]) -> None:
    """Runs an ingest for each window, each with the items that have arrived by then."""
    tiny = TinyCatalogue(folder / "catalogue")
    for number, window in enumerate(steps):
        for one in shots:
            if one.arrives == number or (number == 0 and one.arrives < 0):
                one.add_to(tiny)
        if (folder / "catalogue" / "catalog.json").exists() and _any_inside(tiny, shots, number, window):
            run(tiny, folder / "root", window)


def _any_inside(tiny: TinyCatalogue, shots: Sequence[Shot], number: int, window: Window) -> bool:
    return any(one.arrives <= number and one.place & window for one in shots)


@settings(max_examples=9, deadline=None, suppress_health_check=list(HealthCheck))
@given(schedules(), st.lists(windows(), min_size=2, max_size=2))
def test_items_that_arrive_in_any_order_over_any_windows_end_as_the_slow_reference_says(
    shots: list[Shot], parts: list[Window]
) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        arriving(folder, shots, [*parts, PLACE])
        assert held(folder / "root") == expected(shots, PLACE)
        cube = Cube(Catalog(folder / "root").cube(TILE))
        ledger = ledger_of(cube.attributes(S2.name))
        gave = {item for _, items in held(folder / "root").values() for item in items}
        assert {item for item, entry in ledger.items() if entry.outcome == USED} == gave
        for one in shots:
            older = any(other.orbit == one.orbit and other.version > one.version for other in shots)
            # An old processing that came with its successor was never read.
            assert one.id in ledger or older
            if older and one.id in ledger:
                assert ledger[one.id].outcome == SUPERSEDED
    finally:
        shutil.rmtree(folder)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(schedules(), st.lists(windows(), min_size=2, max_size=3))
def test_windows_one_after_another_give_what_their_hull_gives_at_once(
    shots: list[Shot], parts: list[Window]
) -> None:
    """Which acquisition is the clearest is counted over all that a cube holds of its step: nothing depends on the
    order of requests, where every item covers the place."""
    whole = [
        Shot(**{**one.__dict__, "place": PLACE, "arrives": 0, "day": place})
        for place, one in enumerate(shots)
    ]
    hull = parts[0]
    for one in parts[1:]:
        hull |= one
    folder = Path(tempfile.mkdtemp())
    try:
        arriving(folder, whole, parts)
        assert held(folder / "root") == expected(whole, hull)
    finally:
        shutil.rmtree(folder)
