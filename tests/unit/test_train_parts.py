"""The parts of training: perturbations, gradients of the four losses, schedule, health and configuration."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_land import SOURCES, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import SourceBatch
from earthfield_model.bottleneck import sample_vmf
from earthfield_model.config import ModelConfig, SourceConfig, model_config
from earthfield_model.widths import widths_named
from earthfield_train.checkpoint import Facts, load_checkpoint, model_of, save_checkpoint
from earthfield_train.config import DataConfig, LossConfig, OptimConfig, train_config
from earthfield_train.dataset import Sampler, TrainBatch
from earthfield_train.losses import consistency_loss, uniformity_loss
from earthfield_train.metrics import effective_rank, health_of
from earthfield_train.objective import PretrainObjective, noise
from earthfield_train.optim import learning_rate, make_optimizer
from earthfield_train.perturb import student_view
from earthfield_train.plots import Plot, PlotStore, find_plots
from earthfield_train.processes import Processes
from earthfield_train.statistics import measured_sources

DATA = DataConfig(
    chip_px=16, plot_px=32, max_frames={"sentinel-2-l2a": 6, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
)
ALONE = LossConfig(reconstruction=0, uniformity=0, consistency=0, text=0)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("root")
    write_cube(folder, made_frames(Land(48, days=730)))
    return folder


@pytest.fixture(scope="module")
def plots(root: Path) -> list[Plot]:
    return find_plots([root], SOURCES, DATA)


@pytest.fixture(scope="module")
def store() -> PlotStore:
    return PlotStore(SOURCES, limit_gb=1)


@pytest.fixture(scope="module")
def sampler(plots: list[Plot], store: PlotStore) -> Sampler:
    return Sampler(plots, store, DATA, seed=5)


@pytest.fixture(scope="module")
def model(plots: list[Plot], store: PlotStore) -> AlphaEarth:
    torch.manual_seed(0)
    return AlphaEarth(model_config("test", measured_sources(SOURCES, plots, store), widths_named("nano")))


def year_of_frames(num_samples: int) -> dict[str, SourceBatch]:
    """A frame each ten days of a year, days 0 to 360; a second Landsat beside the first."""
    days = torch.arange(5, 365, 10, dtype=torch.float64).expand(num_samples, -1)
    num_frames = days.shape[1]
    stored = torch.ones(num_samples, num_frames, 1, 1, 1, dtype=torch.int16)
    valid = torch.ones(num_samples, num_frames, 1, 1, dtype=torch.bool)
    names = ("sentinel-2-l2a", "sentinel-1-grd", "landsat-c2-l2", "landsat-tm-c2-l2", "palsar")
    return {name: SourceBatch(stored, valid, days) for name in names}


def test_the_student_misses_what_the_paper_says(num: int = 6000) -> None:
    batch, supports = year_of_frames(num), torch.tensor([[0.0, 365.2425]]).repeat(num, 1).double()
    view = student_view(batch, supports, LossConfig(), noise(0, torch.device("cpu")))
    kept = {name: one.shows() for name, one in view.items()}
    late = batch["sentinel-2-l2a"].days[0] >= 365.2425 / 2
    optical = kept["sentinel-2-l2a"]
    no_late = optical[:, ~late].all(1) & ~optical[:, late].any(1)
    no_early = ~optical[:, ~late].any(1) & optical[:, late].all(1)
    some = ~no_late & ~no_early
    for share in (no_late, no_early, some):
        assert float(share.float().mean()) == pytest.approx(1 / 3, abs=0.02)
    assert optical.any(1).all()
    assert float(optical[some].float().mean()) == pytest.approx(0.5, abs=0.02)
    for name in ("sentinel-1-grd", "landsat-c2-l2"):
        whole = ~kept[name].any(1)
        assert float(whole.float().mean()) == pytest.approx(0.3, abs=0.02), name
        assert float(kept[name][some & ~whole].float().mean()) == pytest.approx(0.7, abs=0.02), name
        assert torch.equal(kept[name][no_late & ~whole], optical[no_late & ~whole])
    assert torch.equal(kept["landsat-c2-l2"].any(1), kept["landsat-tm-c2-l2"].any(1))
    apart = (~kept["landsat-c2-l2"].any(1)).float() * (~kept["sentinel-1-grd"].any(1)).float()
    assert float(apart.mean()) == pytest.approx(0.09, abs=0.02)
    assert kept["palsar"][some].all()


def test_the_student_misses_frames_by_mask_only_and_never_all() -> None:
    batch = {k: v for k, v in year_of_frames(200).items() if "sentinel-1" in k}
    supports = torch.tensor([[0.0, 365.0]]).repeat(200, 1).double()
    lost = LossConfig(drop_source={"sentinel-1": 1.0})
    view = student_view(batch, supports, lost, noise(0, torch.device("cpu")))["sentinel-1-grd"]
    assert view.shows().all()
    view = student_view(batch, supports, LossConfig(drop_source={}), noise(0, torch.device("cpu")))
    one = view["sentinel-1-grd"]
    assert torch.equal(one.stored, batch["sentinel-1-grd"].stored)
    assert one.shows().any(1).all()
    assert not one.shows().all()


def test_half_of_a_short_support_takes_the_place_of_six_months() -> None:
    batch = {k: v for k, v in year_of_frames(300).items() if "sentinel-2" in k}
    inside = batch["sentinel-2-l2a"].days < 100
    batch = {"sentinel-2-l2a": batch["sentinel-2-l2a"].masked(inside)}
    supports = torch.tensor([[0.0, 100.0]]).repeat(300, 1).double()
    view = student_view(batch, supports, LossConfig(drop_frame={}), noise(0, torch.device("cpu")))
    counts = view["sentinel-2-l2a"].shows().sum(1)
    assert set(counts.tolist()) == {5, 10}


def test_teacher_gets_no_gradient_from_the_student() -> None:
    teacher, student = (
        torch.nn.functional.normalize(torch.randn(1, 2, 2, 64), dim=-1).requires_grad_() for _ in range(2)
    )
    consistency_loss(teacher, student).backward()
    assert teacher.grad is None
    assert student.grad is not None


def test_the_students_gradient_reaches_the_shared_weights(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(2, 2, model.config)
    objective = PretrainObjective(model, replace(ALONE, consistency=1.0, student_share=1.0))
    model.zero_grad()
    objective(batch, 0).total.backward()
    found = {name: one.grad.clone() for name, one in model.named_parameters() if one.grad is not None}
    for part in ("stems.sentinel-2-l2a.", "trunk.", "summary."):
        assert any(float(one.abs().sum()) > 0 for name, one in found.items() if name.startswith(part)), part
    # It is the student's own: with a teacher of figures instead of a network it is the same.
    with torch.no_grad():
        mu = model(batch.inputs, batch.periods)
    generator = noise(0, torch.device("cpu"))
    sample_vmf(mu, model.config.kappa, generator)
    view = student_view(batch.inputs, batch.supports, objective.config, generator)
    model.zero_grad()
    consistency_loss(mu, model(view, batch.periods)).backward()
    for name, one in model.named_parameters():
        if one.grad is not None:
            assert torch.allclose(found[name], one.grad, atol=1e-6), name
    model.zero_grad()


def test_uniformity_is_of_what_the_bottleneck_drew(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(3, 3, model.config)
    few = AlphaEarth(replace(model.config, kappa=1000.0))
    few.load_state_dict(model.state_dict())
    with torch.no_grad():
        mu = few(batch.inputs, batch.periods)
        u = sample_vmf(mu, 1000.0, noise(7, torch.device("cpu")))
        found = PretrainObjective(few, LossConfig())(batch, 7).figures()["uniformity"]
    assert found == pytest.approx(float(uniformity_loss(u)), rel=1e-4)
    assert found != pytest.approx(float(uniformity_loss(mu)), rel=1e-2)


def test_the_total_is_the_weighted_sum_of_the_four(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(3, 3, model.config)
    config = LossConfig(reconstruction=2.0, uniformity=3.0, consistency=5.0, text=7.0)
    with torch.no_grad():
        losses = PretrainObjective(model, config)(batch, 1)
        again = PretrainObjective(model, config, pack=False)(batch, 1)
    found = losses.figures()
    by_hand = 2 * found["reconstruction"] + 3 * found["uniformity"] + 5 * found["consistency"]
    assert float(losses.total) == pytest.approx(by_hand, rel=1e-5)
    assert found["text"] == 0.0
    assert again.figures()["reconstruction"] == pytest.approx(found["reconstruction"], rel=1e-4)
    assert (LossConfig().uniformity, LossConfig().consistency, LossConfig().text) == (0.05, 0.02, 0.001)


def test_an_anchor_is_what_the_model_was_as_the_run_began(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(2, 2, model.config)
    moving = AlphaEarth(model.config)
    moving.load_state_dict(model.state_dict())
    objective = PretrainObjective(moving, replace(ALONE, anchor=2.0, student_share=1.0))
    began = objective(batch, 0)
    assert float(began.total.detach()) == pytest.approx(2 * began.figures()["anchor"], rel=1e-6)
    # The teacher stands where it stood: what is left is the student's way to it, and it alone pulls.
    assert began.figures()["anchor"] == pytest.approx(began.figures()["consistency"] / 2, rel=1e-4)
    began.total.backward()
    with torch.no_grad():
        for one in moving.parameters():
            if one.grad is not None:
                one -= 0.05 * one.grad / one.grad.norm().clamp(min=1e-9)
    moved = objective(batch, 0).figures()
    with torch.no_grad():
        held, now = (one(batch.inputs, batch.periods) for one in (model, moving))
    teacher = float(consistency_loss(held, now))
    assert teacher > 0
    assert moved["anchor"] > teacher / 2, "the anchor stays while the model moves"
    assert objective.anchor is not None
    assert all(one.grad is None for one in objective.anchor.parameters())


def test_a_checkpoint_holds_the_anchor_too(model: AlphaEarth, tmp_path: Path) -> None:
    objective = PretrainObjective(model, replace(ALONE, anchor=1.0))
    optimizer = make_optimizer(objective, OptimConfig())
    facts = Facts(3, model.config.to_json(), {})
    path = save_checkpoint(tmp_path, objective, optimizer, facts, keep=1, processes=Processes())
    # A run goes on from the weights of its last step, which are not the anchor's.
    torch.manual_seed(1)
    later = PretrainObjective(AlphaEarth(model.config), replace(ALONE, anchor=1.0))
    load_checkpoint(path, later, make_optimizer(later, OptimConfig()), run={})
    assert later.anchor is not None
    for name, one in model.state_dict().items():
        assert torch.equal(later.anchor.state_dict()[name], one), name
    assert model_of(path).num_parameters == model.num_parameters, "no model carries its anchor"


def test_a_batch_without_any_target_costs_nothing_to_reconstruct(sampler: Sampler, model: AlphaEarth) -> None:
    batch = sampler.batch(3, 2, model.config)
    bare = TrainBatch(batch.inputs, {}, batch.periods)
    losses = PretrainObjective(model, LossConfig())(bare, 0)
    assert losses.figures()["reconstruction"] == 0.0
    losses.total.backward()
    model.zero_grad()


def test_every_weight_gets_a_gradient(plots: list[Plot], store: PlotStore, model: AlphaEarth) -> None:
    # Two cells a side at L/16: with one, distances between cells would have nothing to say.
    wide = Sampler(plots, store, replace(DATA, chip_px=32), seed=5)
    batch = wide.batch(0, 3, model.config)
    # Made-up land tells no geometry.
    batch = replace(
        batch, targets={k: replace(v, geometry=torch.ones_like(v.geometry)) for k, v in batch.targets.items()}
    )
    # Layers that start at zero hide those before them until the first step is made.
    stirred = AlphaEarth(model.config)
    with torch.no_grad():
        for one in stirred.parameters():
            one += 0.02 * torch.randn(one.shape, generator=torch.Generator().manual_seed(one.numel()))
    PretrainObjective(stirred, LossConfig())(batch, 0).total.backward()
    without = [n for n, one in stirred.named_parameters() if one.grad is None or not one.grad.abs().sum()]
    # The vectors that stand for an absent source wait for a sample without it.
    assert [name for name in without if not name.startswith("summary.absent")] == []


def test_decoders_tell_geometries_and_instants_apart(sampler: Sampler, model: AlphaEarth) -> None:
    u = torch.nn.functional.normalize(torch.randn(2, 4, 4, 64), dim=-1)
    when, taken = torch.tensor([[0.1, 0.6]] * 2), torch.zeros(2, 2, 11)
    one = model.decode("sentinel-1-rtc", u, when, taken)
    assert one.shape == (2, 2, 4, 4, 2)
    assert not torch.allclose(one[:, 0], one[:, 1])
    assert not torch.allclose(one, model.decode("sentinel-1-rtc", u, when, taken + 1))
    alone = model.decode("sentinel-1-rtc", u[1:], when[1:, 1:], taken[1:, 1:])
    assert torch.allclose(alone[0, 0], one[1, 1], atol=1e-6)


def test_a_config_of_another_version_is_told_with_both_versions(model: AlphaEarth) -> None:
    text = model.config.to_json()
    assert ModelConfig.from_json(text) == model.config
    with pytest.raises(BrokenArtefact, match=r"earthfield-model/1.*earthfield-model/2"):
        ModelConfig.from_json(text.replace("earthfield-model/2", "earthfield-model/1"))


def test_classes_without_their_loss_are_told(model: AlphaEarth) -> None:
    bands = model.config.sources[0].bands[:1]
    with pytest.raises(InvalidInput, match="cross_entropy"):
        SourceConfig("x", 0, bands, classes=(1, 2))
    with pytest.raises(InvalidInput, match="cross_entropy"):
        SourceConfig("x", 0, bands, loss="cross_entropy")


def test_health_tells_collapse_and_blindness(sampler: Sampler, model: AlphaEarth) -> None:
    assert effective_rank(torch.randn(20_000, 64, generator=torch.Generator().manual_seed(0))) > 60
    line = torch.randn(500, 1) * torch.ones(64)
    assert effective_rank(line) == pytest.approx(1, abs=1e-3)
    health = health_of(model, sampler.batch(0, 3, model.config))
    assert 1 < health.effective_rank < 64
    assert 0 <= health.mean_norm <= 1
    assert health.period_response > 0


def test_the_rate_rises_and_falls_to_zero() -> None:
    config = OptimConfig(learning_rate=1.0, warmup=0.1)
    for decay in ("cosine", "linear"):
        rates = [learning_rate(step, 100, replace(config, decay=decay)) for step in range(100)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == 1.0 == rates[10]
        assert rates[-1] < 0.02
        assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    with pytest.raises(InvalidInput):
        OptimConfig(decay="steps")
    assert config.beta2 < 1


def test_settings_change_what_they_name() -> None:
    changes = [
        "optim.learning_rate=1e-3",
        "data.max_frames.sentinel-2-l2a=20",
        "optim.decay=linear",
        "batch=3",
    ]
    config = train_config("nano", steps=7, settings=changes)
    assert config.optim.learning_rate == 1e-3
    assert config.data.max_frames == {"sentinel-2-l2a": 20, "sentinel-1-rtc": 4, "landsat-c2-l2": 3}
    assert (config.optim.decay, config.batch, config.steps) == ("linear", 3, 7)


@pytest.mark.parametrize(
    "wrong",
    ["batch", "batch=two", "batch=2.5", "optim.lr=1", "seed.x=1", "data.chip_px=20", "batch=0", "data=1"],
)
def test_wrong_settings_are_told(wrong: str) -> None:
    with pytest.raises(InvalidInput):
        train_config("nano", settings=[wrong])


def test_unknown_presets_are_told() -> None:
    with pytest.raises(NotFound, match="tiny"):
        train_config("huge")
