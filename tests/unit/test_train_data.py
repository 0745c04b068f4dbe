"""Where samples come from: plots, targets held out of the inputs, batches in a fixed order, prefetching."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from training_land import SOURCES, TILE, Land, made_frames, one_thread, write_cube  # noqa: F401
from training_targets import ALL, COVER, COVER_YEARS, HEIGHT, LIDAR, WEATHER, made_targets, write_land

from earthfield.errors import InvalidInput, NotFound
from earthfield.frames import SourceFrames
from earthfield.geometry import geometry_of
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import ModelConfig, model_config
from earthfield_model.timecode import days_of, period_days
from earthfield_model.widths import widths_named
from earthfield_train.config import DataConfig, LossConfig
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.objective import PretrainObjective, relative_time
from earthfield_train.plots import Plot, PlotStore, Record, find_plots
from earthfield_train.prefetch import prefetched
from earthfield_train.statistics import check_bands, measured_sources

DATA = DataConfig(
    chip_px=16, plot_px=32, max_frames={"sentinel-2-l2a": 6, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
)
LAND = Land(48, days=730)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_land(folder, LAND)
    return folder


@pytest.fixture(scope="module")
def plots(root: Path) -> list[Plot]:
    return find_plots([root], ALL, DATA)


@pytest.fixture(scope="module")
def store() -> PlotStore:
    return PlotStore(ALL, limit_gb=1)


@pytest.fixture(scope="module")
def sampler(plots: list[Plot], store: PlotStore) -> Sampler:
    return Sampler(plots, store, DATA, seed=5)


@pytest.fixture(scope="module")
def config(plots: list[Plot], store: PlotStore) -> ModelConfig:
    return model_config("test", measured_sources(ALL, plots, store), widths_named("nano"))


def same(one: TrainBatch, other: TrainBatch) -> bool:
    pairs = [(one.inputs, other.inputs), (one.targets, other.targets)]
    if not torch.equal(one.periods, other.periods) or any(set(a) != set(b) for a, b in pairs):
        return False
    parts = ("stored", "valid", "days", "geometry")
    return all(
        torch.equal(getattr(a[name], part), getattr(b[name], part))
        for a, b in pairs for name in a for part in parts
    )  # fmt: skip


def test_plots_cover_what_input_sources_show_and_nothing_else(plots: list[Plot]) -> None:
    covered = np.zeros((1024, 1024), int)
    for plot in plots:
        local = TILE.local(plot.window)
        assert plot.window.shape == (32, 32)
        covered[local.slices] += 1
    assert covered[100:148, 200:248].all()
    assert covered.sum() == covered[100:148, 200:248].sum()


def test_no_cube_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="earthfield ingest"):
        find_plots([tmp_path], SOURCES, DATA)
    write_cube(tmp_path, {HEIGHT.name: made_targets(LAND)[HEIGHT.name]})
    with pytest.raises(NotFound, match="sentinel-2-l2a"):
        find_plots([tmp_path], ALL, DATA)


def test_statistics_standardise_what_was_seen(config: ModelConfig, sampler: Sampler) -> None:
    model, batch = AlphaEarth(config), sampler.batch(0, 8, config)
    for name, one in (*batch.inputs.items(), *batch.targets.items()):
        if config.source(name).classes or name == WEATHER.name:
            continue
        x, seen = model.measured(name, one.stored, one.valid)
        values = x.movedim(2, 0)[seen.movedim(2, 0)]
        assert abs(float(values.mean())) < 0.5, name
        assert 0.5 < float(values.std()) < 1.5, name
    assert COVER.name in batch.targets
    assert [band.std for band in config.source(COVER.name).bands] == [1.0]


def test_targets_belong_to_the_valid_period_and_are_never_among_the_inputs(
    sampler: Sampler, plots: list[Plot]
) -> None:
    rng = np.random.default_rng(0)
    lengths, num_targets = set(), 0
    for _ in range(300):
        sample = sampler.sample(plots[0], rng)
        start, end = sample.period
        lengths.add(round(end - start))
        assert sample.support[0] <= start + 1e-6 < end <= sample.support[1] + 1e-6
        assert set(sample.inputs) <= set(SOURCES)
        for name, target in sample.targets.items():
            days = days_of(target.acquired)
            assert 1 <= len(days) <= DATA.num_targets
            if ALL[name].cadence == "instant":
                assert start <= days.min() <= days.max() < end
            if name in sample.inputs:
                taken = sample.inputs[name]
                assert not np.isin(step(target), step(taken)).any()
                assert not np.isin(target.acquired, taken.acquired).any()
                num_targets += 1
        for name, one in sample.inputs.items():
            assert 0 < len(one.acquired) <= DATA.max_frames[name]
            days = days_of(one.acquired)
            assert sample.support[0] <= days.min() <= days.max() < sample.support[1]
    assert lengths == {365, 182, 91, 35}
    assert num_targets > 250


def step(frames: SourceFrames) -> np.ndarray:
    return frames.acquired.astype("datetime64[D]").astype(int) // 5


def test_another_product_of_a_targets_acquisition_is_no_input_either(plots: list[Plot]) -> None:
    frames = {k: v for k, v in made_frames(Land(32, days=365, every=(5, 5, 5))).items() if "sentinel-2" in k}
    optical = frames["sentinel-2-l2a"]
    twin = replace(optical, source="sentinel-2-l1c")
    sources = {one: replace(SOURCES["sentinel-2-l2a"], name=one) for one in ("sentinel-2-l2a", twin.source)}
    store = PlotStore(sources, limit_gb=1)
    store.put(plots[0], Record({**frames, twin.source: twin}))
    rng, num = np.random.default_rng(0), 0
    for _ in range(50):
        sample = Sampler(plots[:1], store, DATA, seed=0).sample(plots[0], rng)
        for target in sample.targets.values():
            for one in sample.inputs.values():
                assert not np.isin(step(target), step(one)).any()
                num += 1
    assert num > 50


def test_inputs_and_targets_are_turned_alike_and_the_sun_with_them(plots: list[Plot]) -> None:
    # A land that only brightens towards the sun: east of north by 90 degrees, where columns grow.
    frames = {}
    for name, one in made_frames(Land(32, days=365)).items():
        picture = np.broadcast_to(np.arange(32, dtype=one.values.dtype), one.values.shape)
        sun = geometry_of({"sun_azimuth": 90.0, "sun_elevation": 0.0})
        frames[name] = replace(
            one,
            values=picture.copy(),
            valid=np.ones_like(one.valid),
            geometry=np.tile(sun, (len(picture), 1)),
        )
    store = PlotStore(SOURCES, limit_gb=1)
    store.put(plots[0], Record(frames))
    rng, seen = np.random.default_rng(1), set()
    for _ in range(24):
        sample = Sampler(plots[:1], store, DATA, seed=0).sample(plots[0], rng)
        for one in (*sample.inputs.values(), *sample.targets.values()):
            for image, (right, up) in zip(one.values[:, 0].astype(int), one.geometry[:, 2:4], strict=True):
                brighter = (image[0, 1] - image[0, 0], image[0, 0] - image[1, 0])
                assert brighter == (round(float(right)), round(float(up)))
                seen.add(brighter)
    assert seen == {(1, 0), (0, 1), (-1, 0), (0, -1)}


def test_batches_are_functions_of_seed_and_number(
    sampler: Sampler, plots: list[Plot], config: ModelConfig
) -> None:
    again = Sampler(plots, PlotStore(ALL, limit_gb=0), DATA, seed=5)
    other = Sampler(plots, PlotStore(ALL, limit_gb=0), DATA, seed=6)
    one, twin, different = (x.batch(7, 3, config) for x in (sampler, again, other))
    assert same(one, twin)
    assert not same(one, different)
    assert not same(one, sampler.batch(8, 3, config))
    assert len(sampler.plots_of(7, 3)) == 3


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_prefetched_batches_are_the_same_in_the_same_order(
    sampler: Sampler, config: ModelConfig, workers: int
) -> None:
    make = partial(sampler.batch, size=2, model=config)
    numbers = [3, 9, 4, 4, 0, 11]
    found = list(prefetched(make, numbers, workers=workers))
    assert len(found) == len(numbers)
    assert all(same(one, make(number)) for one, number in zip(found, numbers, strict=True))


def test_a_plot_is_decoded_once_however_many_ask(plots: list[Plot]) -> None:
    store = PlotStore(ALL, limit_gb=1)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(store.record, plots * 4))
    assert store.num_decoded == len(plots)
    assert all(one is store.record(plot) for one, plot in zip(found, plots * 4, strict=True))


def test_a_failed_read_is_told_to_all_and_tried_again(plots: list[Plot], tmp_path: Path) -> None:
    store = PlotStore(ALL, limit_gb=1)
    broken = replace(plots[0], root=tmp_path)
    assert store.record(broken).frames == {}
    store._read = lambda plot: (_ for _ in ()).throw(NotFound("gone"))
    for _ in range(2):
        with pytest.raises(NotFound, match="gone"):
            store.record(plots[0])


def test_the_cell_nearest_to_the_chip_is_what_weather_is_of(
    sampler: Sampler, plots: list[Plot], store: PlotStore
) -> None:
    frames = store.record(plots[0]).coarse[WEATHER.name]
    rows, cols = frames.frames.shape
    assert min(rows, cols) > 1
    for plot in plots:
        sample = sampler.sample(plot, np.random.default_rng(0))
        target = sample.targets[WEATHER.name]
        assert target.shape == (1, 1)
        row, col = divmod(int(target.values[0, 0, 0, 0]), 100)
        # By another way: the centre of the plot in degrees, against the centres of all cells.
        middle = TILE.geobox.pix2wld(*(TILE.local(plot.window).x0 + 16, TILE.local(plot.window).y0 + 16))
        from odc.geo.geom import point

        place = point(*middle, crs=TILE.geobox.crs).to_crs("EPSG:4326")
        centres = np.array(
            [[frames.geobox.pix2wld(c + 0.5, r + 0.5) for c in range(cols)] for r in range(rows)]
        )
        apart = np.abs(centres - np.array(place.coords[0])).max(-1)
        assert (row, col) == np.unravel_index(apart.argmin(), apart.shape)


def test_intervals_and_what_never_changes_are_targets_where_they_touch_the_period(
    sampler: Sampler, plots: list[Plot]
) -> None:
    halves = period_days([Period.parse(f"{year}-01..{year}-06") for year in COVER_YEARS])
    rng, num_covers = np.random.default_rng(3), set()
    for _ in range(60):
        sample = sampler.sample(plots[0], rng)
        start, end = sample.period
        assert len(sample.targets[HEIGHT.name].acquired) == 1
        touching = [int(a < end and b > start) for a, b in halves.tolist()]
        num_covers.add(sum(touching))
        cover = sample.targets.get(COVER.name)
        assert (0 if cover is None else len(cover.acquired)) == sum(touching)
        days = days_of(sample.targets[WEATHER.name].acquired)
        assert (days + 2.5 > start).all()
        assert (days - 2.5 < end).all()
    assert num_covers == {0, 1, 2}


def test_every_kind_of_target_is_learned_from(sampler: Sampler, config: ModelConfig) -> None:
    torch.manual_seed(0)
    model = AlphaEarth(config)
    assert set(model.stems) == set(SOURCES)
    assert set(model.decoders) == set(ALL)
    objective = PretrainObjective(model, LossConfig())
    lidar = next(n for n in range(50) if LIDAR.name in sampler.batch(n, 4, config).targets)
    batch = sampler.batch(lidar, 4, config)
    assert 0 < float(batch.targets[LIDAR.name].valid.float().mean()) < 0.05
    losses = objective(batch, 0)
    figures = losses.figures()
    kinds = {f"l1/{name}" for name in ALL if name != COVER.name} | {f"ce/{COVER.name}"}
    assert kinds <= set(figures)
    weights = {one.name: one.loss_weight for one in config.targets}
    each = [weights[name.partition("/")[2]] * figures[name] for name in kinds]
    assert figures["reconstruction"] == pytest.approx(np.mean(each), rel=1e-5)
    losses.total.backward()
    for name in ALL:
        assert float(model.decoders[name].out.weight.grad.abs().sum()) > 0, name
    assert 0.3 < figures[f"ce/{COVER.name}"] < 3


def test_what_stands_for_all_time_is_decoded_at_the_middle_and_intervals_inside(
    sampler: Sampler, config: ModelConfig
) -> None:
    batch = sampler.batch(0, 6, config)
    for name, one in batch.targets.items():
        relative = relative_time(config.source(name), one, batch)
        assert float(relative.min()) >= 0
        assert float(relative.max()) <= 1
        if name == HEIGHT.name:
            assert set(relative.flatten().tolist()) == {0.5}


def test_batches_of_fixed_length_have_one_shape_and_cost_the_same(
    plots: list[Plot], store: PlotStore, sampler: Sampler, config: ModelConfig
) -> None:
    fixed = Sampler(plots, store, replace(DATA, fixed_frames=True), seed=5)
    batches = [fixed.batch(n, 2, config) for n in range(3)]
    for name, most in DATA.max_frames.items():
        assert {one.inputs[name].stored.shape[:2] for one in batches} == {(2, most)}
    torch.manual_seed(0)
    model = AlphaEarth(config).eval()
    short = sampler.batch(1, 2, config)
    with torch.no_grad():
        fields = [model(one.inputs, one.periods) for one in (short, batches[1])]
    assert torch.allclose(*fields, atol=1e-5)


def lies_in(chip: Plot, plot: Plot) -> bool:
    inner, outer = chip.window, plot.window
    return (chip.root, chip.epsg) == (plot.root, plot.epsg) and (
        outer.y0 <= inner.y0 < inner.y1 <= outer.y1 and outer.x0 <= inner.x0 < inner.x1 <= outer.x1
    )


def test_the_text_of_a_sample_is_of_its_chip_and_changes_no_sample(
    plots: list[Plot], store: PlotStore, sampler: Sampler, config: ModelConfig
) -> None:
    asked = []

    def text_at(chip: Plot, rng: np.random.Generator) -> np.ndarray | None:
        asked.append(chip)
        return None if lies_in(chip, plots[0]) else np.full(5, rng.random(), np.float32)

    spoken = Sampler(plots, store, DATA, seed=5, text_at=text_at)
    batch = spoken.batch(2, 4, config)
    assert same(batch, sampler.batch(2, 4, config))
    drawn = spoken.plots_of(2, 4)
    assert all(lies_in(chip, plot) for chip, plot in zip(asked, drawn, strict=True))
    assert {chip.window.shape for chip in asked} == {(DATA.chip_px, DATA.chip_px)}
    assert batch.text.shape == (4, 5)
    assert batch.has_text.tolist() == [plot != plots[0] for plot in drawn]
    assert torch.equal(batch.text, spoken.batch(2, 4, config).text)
    assert not batch.text[~batch.has_text].any()
    assert sampler.batch(2, 4, config).text is None
    silent = Sampler(plots, store, DATA, seed=5, text_at=lambda plot, rng: None)
    assert silent.batch(2, 4, config).has_text is None


def test_batches_move_whole(sampler: Sampler, config: ModelConfig) -> None:
    batch = replace(sampler.batch(0, 2, config), text=torch.ones(2, 3), has_text=torch.ones(2).bool())
    moved = batch.to("meta")
    parts = [getattr(one, part) for held in (moved.inputs, moved.targets) for one in held.values()
             for part in ("stored", "valid", "days", "geometry")]  # fmt: skip
    assert {
        one.device.type for one in (*parts, moved.periods, moved.supports, moved.text, moved.has_text)
    } == {"meta"}


@pytest.fixture(scope="module")
def without_red(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("partial")
    frames = made_frames(LAND)
    optical = frames["sentinel-2-l2a"]
    optical.values[:, optical.bands.index("B04")] = optical.nodata
    del frames["landsat-c2-l2"]
    write_cube(folder, frames)
    return folder


def test_a_band_that_no_cube_holds_is_told(without_red: Path, config: ModelConfig, plots: list[Plot]) -> None:
    check_bands(config, plots, PlotStore(ALL, limit_gb=1))
    partial_plots = find_plots([without_red], ALL, DATA)
    with pytest.raises(InvalidInput, match=r"sentinel-2-l2a: B04.*data\.partial_bands") as told:
        check_bands(config, partial_plots, PlotStore(ALL, limit_gb=1))
    assert "landsat" not in str(told.value)


def test_a_new_model_goes_without_a_band_that_nobody_measured(
    without_red: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = measured_sources(
        SOURCES, find_plots([without_red], SOURCES, DATA), PlotStore(SOURCES, limit_gb=1)
    )
    assert {one.name: one.band_names for one in found} == {
        "sentinel-2-l2a": ("B08", "B11"), "sentinel-1-rtc": ("vv", "vh"),
    }  # fmt: skip
    assert "sentinel-2-l2a: no plot shows B04" in caplog.text


def test_a_plot_that_shows_too_little_is_told(plots: list[Plot]) -> None:
    dark = {k: replace(v, valid=np.zeros_like(v.valid)) for k, v in made_frames(Land(32)).items()}
    store = PlotStore(SOURCES, limit_gb=1)
    store.put(plots[0], Record(dark))
    ask: Callable[..., object] = Sampler(plots[:1], store, DATA, seed=0).sample
    with pytest.raises(NotFound, match="shows too little"):
        ask(plots[0], np.random.default_rng(0))
