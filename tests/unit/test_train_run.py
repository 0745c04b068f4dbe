"""A training run: it learns, it can be killed and resumed, alone or in several processes, and leaves a model."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel
from training_land import SOURCES, Land, made_frames, one_thread, write_cube  # noqa: F401
from training_processes import free_port, train_together

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.timeline import Period
from earthfield_model.encoder import load_encoder, model_folder
from earthfield_train.checkpoint import checkpoints
from earthfield_train.config import PRESETS, train_config
from earthfield_train.jobs import TrainReport, TrainRequest, dry_run_model, train_model
from earthfield_train.journal import read_log

SMALL = (
    "batch=2",
    "data.chip_px=16",
    "data.plot_px=32",
    "data.max_frames.sentinel-2-l2a=5",
    "run.checkpoint_every=3",
    "run.health_every=100",
)
TOGETHER = ("batch=4", "loss.anchor=2")
"""Of runs in several processes; the anchor is a second model that each of them has to hold."""
STEPS = 8
GOLDEN = Path(__file__).with_name("golden_losses.json")
GOLDEN_SETTINGS = ("batch=2", "data.chip_px=32", "data.plot_px=48", "first_fit=8")


class Killed(Exception):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_cube(folder, made_frames(Land(48)))
    return folder


def request_of(root: Path, data: Path, *settings: str, steps: int = STEPS, **more) -> TrainRequest:
    return TrainRequest(
        root=root, name="m", preset="nano", data=(data,), steps=steps, settings=(*SMALL, *settings), **more
    )


def trained(root: Path, data: Path, *settings: str, steps: int = STEPS, watch=None, **more) -> TrainReport:
    request = request_of(root, data, *settings, steps=steps, **more)
    return train_model(request, sources=SOURCES, **({"watch": watch} if watch else {}))


def rows(root: Path) -> list[dict[str, float]]:
    return read_log(Catalog(root).report("train", "m").with_suffix(".jsonl"))


def losses(root: Path) -> list[float]:
    return [row["loss"] for row in rows(root)]


def weights(root: Path) -> dict[str, torch.Tensor]:
    return load_encoder(Catalog(root).model("m")).model.state_dict()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    root = tmp_path_factory.mktemp("whole")
    trained(root, data)
    return root


# What a run leaves


def test_leaves_a_model_that_encodes(whole: Path) -> None:
    folder = model_folder("m", Catalog(whole))
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "config.json", "model.safetensors", "train.json", "metrics.json", "card.md", "losses.png", "checkpoints"
    }  # fmt: skip
    encoder = load_encoder(folder)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["fingerprint"] == encoder.fingerprint
    assert metrics["steps"] == STEPS
    assert metrics["samples"] == 2 * STEPS
    assert {"effective_rank", "mean_norm", "nearest", "period_response"} <= set(metrics["health"])
    assert "## Losses" in (folder / "card.md").read_text()
    assert (folder / "losses.png").read_bytes().startswith(b"\x89PNG")
    frames = made_frames(Land(32, seed=4))
    field = encoder.encode(frames, [Period.parse("2018")])
    seen = np.any([one.valid.any(0) for one in frames.values()], 0)
    assert np.array_equal(np.isfinite(field[0]).all(-1), seen)


def test_the_resolved_settings_lie_beside_the_weights(whole: Path) -> None:
    held = json.loads((Catalog(whole).model("m") / "train.json").read_text())
    assert held["config"]["batch"] == 2
    assert held["config"]["data"]["chip_px"] == 16
    assert held["config"]["optim"]["clip_norm"] == PRESETS["nano"].optim.clip_norm
    assert set(held["versions"]) == {"earthfield", "torch"}


def test_every_loss_is_logged_apart(whole: Path) -> None:
    held = rows(whole)
    assert [row["step"] for row in held] == list(range(STEPS))
    parts = {"loss", "reconstruction", "uniformity", "consistency", "rate", "gradient", "samples_per_second"}
    assert all(parts <= set(row) for row in held)
    assert any(name.startswith("l1/") for name in held[0])
    assert "health/nearest" in held[-1]
    assert "health/nearest" not in held[0]


def test_tensorboard_files_hold_the_same_figures(whole: Path) -> None:
    event_pb2 = pytest.importorskip("tensorboardX.proto.event_pb2")
    (file,) = (whole / "reports" / "train" / "m").glob("events.out.tfevents.*")
    content, found = file.read_bytes(), []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        event = event_pb2.Event.FromString(content[12 : 12 + length])
        found += [(event.step, one.simple_value) for one in event.summary.value if one.tag == "loss"]
        content = content[16 + length :]
    assert [step for step, _ in found] == list(range(STEPS))
    assert np.allclose([value for _, value in found], losses(whole))


def test_only_the_last_checkpoints_stay(whole: Path) -> None:
    assert [one.stem for one in checkpoints(Catalog(whole).model("m"))] == ["step-00000008", "step-00000006"]


# Going on


def test_a_broken_run_goes_on_bit_for_bit(whole: Path, data: Path, tmp_path: Path) -> None:
    def kill(step: int, row: dict[str, float]) -> None:
        if step == 5:
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path, data, watch=kill)
    log = Catalog(tmp_path).report("train", "m").with_suffix(".jsonl")
    log.write_text(log.read_text() + '{"step": 5, "lo')
    torch.manual_seed(99)
    # How it is carried out may change.
    report = trained(tmp_path, data, "run.keep=1", "run.checkpoint_every=2", "run.workers=2", resume=True)
    assert report.steps_done == STEPS - 3
    assert losses(tmp_path) == losses(whole)
    same = [load_encoder(model_folder("m", Catalog(root))).fingerprint for root in (whole, tmp_path)]
    assert same[0] == same[1]
    assert len(checkpoints(Catalog(tmp_path).model("m"))) == 1


SCRIPT = Path(__file__).with_name("training_processes.py")


def commanded(root: Path, data: Path, *more: str, steps: int, signal_at: int, number: int) -> tuple[int, str]:
    """Runs `earthfield train` as a process that gets a signal in a step, and gives exit code and output."""
    settings = [part for one in SMALL for part in ("--set", one)]
    ended = subprocess.run(
        [
            sys.executable, str(SCRIPT), str(signal_at), "0", str(int(number)), "train", "--preset", "nano",
            "--name", "m", "--steps", str(steps), "--root", str(root), "--data", str(data), *settings, *more,
        ],
        capture_output=True, text=True, timeout=900, env={**os.environ, "EARTHFIELD_THREADS": "1"},
    )  # fmt: skip
    return ended.returncode, ended.stdout + ended.stderr


def test_killed_and_stopped_processes_go_on_as_if_nothing_had_been(data: Path, tmp_path: Path) -> None:
    steps = 12
    undisturbed, root = tmp_path / "undisturbed", tmp_path / "root"
    train_model(request_of(undisturbed, data, steps=steps))
    code, told = commanded(root, data, steps=steps, signal_at=5, number=signal.SIGKILL)
    assert code == -signal.SIGKILL, told
    assert (len(rows(root)), checkpoints(Catalog(root).model("m"))[0].stem) == (5, "step-00000003")
    assert not (Catalog(root).model("m") / "model.safetensors").exists()
    code, told = commanded(root, data, "--resume", steps=steps, signal_at=7, number=signal.SIGTERM)
    assert code == 128 + signal.SIGTERM, told
    assert "--resume" in told
    # The step that was under way is done and kept.
    assert (len(rows(root)), checkpoints(Catalog(root).model("m"))[0].stem) == (8, "step-00000008")
    report = train_model(request_of(root, data, steps=steps, resume=True))
    assert report.steps_done == 4
    assert losses(root) == losses(undisturbed)
    assert weights_equal(root, undisturbed)


def weights_equal(one: Path, other: Path, **tolerance: float) -> bool:
    first, second = weights(one), weights(other)
    if not tolerance:
        return all(torch.equal(x, second[name]) for name, x in first.items())
    return all(torch.allclose(x, second[name], **tolerance) for name, x in first.items())


def test_what_is_there_is_not_overwritten_unasked(whole: Path, data: Path) -> None:
    with pytest.raises(Conflict, match="--overwrite"):
        trained(whole, data)
    with pytest.raises(InvalidInput, match="--resume"):
        trained(whole, data, resume=True, overwrite=True)
    with pytest.raises(InvalidInput, match="--previous"):
        trained(whole, data, previous=True)


def test_other_settings_are_listed(whole: Path, data: Path) -> None:
    with pytest.raises(Conflict) as told:
        trained(whole, data, "optim.learning_rate=1e-4", "accumulate=2", steps=9, resume=True)
    for words in (
        "optim.learning_rate was 0.002 and is 0.0001",
        "steps was 8 and is 9",
        "accumulate was 1 and is 2",
    ):
        assert words in str(told.value)
    assert "batch was" not in str(told.value)


def test_changed_data_are_told_and_the_run_goes_on(whole: Path, tmp_path: Path, caplog) -> None:
    shutil.copytree(Catalog(whole).model("m"), Catalog(tmp_path).model("m"))
    moved = tmp_path / "data"
    write_cube(moved, made_frames(Land(48, seed=5)))
    trained(tmp_path, moved, resume=True)
    assert "cubes have changed" in caplog.text


# Broken files


def test_resuming_from_nothing_or_rubble_is_told(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="--resume"):
        trained(tmp_path, data, resume=True)
    checkpoint = Catalog(tmp_path).model("m") / "checkpoints" / "step-00000001.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"rubble")
    with pytest.raises(BrokenArtefact, match="is broken"):
        trained(tmp_path, data, resume=True)


@pytest.mark.parametrize("harm", ["cut", "flipped"])
def test_a_broken_checkpoint_is_told_and_the_one_before_taken_only_when_asked(
    harm: str, whole: Path, data: Path, tmp_path: Path
) -> None:
    folder = Catalog(tmp_path).model("m")
    shutil.copytree(Catalog(whole).model("m"), folder)
    last = checkpoints(folder)[0]
    content = bytearray(last.read_bytes())
    content[-1000] ^= 1
    last.write_bytes(content[:-100] if harm == "cut" else content)
    with pytest.raises(BrokenArtefact, match="--previous"):
        trained(tmp_path, data, resume=True)
    report = trained(tmp_path, data, resume=True, previous=True)
    assert report.steps_done == 2
    assert weights_equal(tmp_path, whole)


def test_a_checkpoint_of_another_version_is_told(whole: Path, data: Path, tmp_path: Path) -> None:
    folder = Catalog(tmp_path).model("m")
    shutil.copytree(Catalog(whole).model("m"), folder)
    last = checkpoints(folder)[0]
    last.write_bytes(last.read_bytes().replace(b"earthfield-checkpoint/2", b"earthfield-checkpoint/1"))
    with pytest.raises(
        BrokenArtefact, match=r"of earthfield-checkpoint/1 and this is earthfield-checkpoint/2"
    ):
        trained(tmp_path, data, resume=True)


# When it goes wrong


def test_a_loss_that_is_not_finite_stops_with_all_one_needs_to_know(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as told:
        trained(tmp_path, data, "optim.learning_rate=1e30", "optim.warmup=0.0", "run.checkpoint_every=1")
    held = checkpoints(Catalog(tmp_path).model("m"))[0]
    good = int(held.stem.removeprefix("step-"))
    for words in (
        f"at step {good}",
        "is nan",
        "sentinel-2-l2a",
        "optim.learning_rate",
        data.name,
        "--from m",
    ):
        assert words in str(told.value)
    assert told.value.exit_code == 2
    # What was kept is what was before the step, and can be started from.
    assert len(rows(tmp_path)) == good
    request = request_of(tmp_path, data, "optim.learning_rate=0.0", steps=1, start="m")
    if good == 0:
        train_model(request.model_copy(update={"name": "further"}), sources=SOURCES)


def test_settings_that_do_not_fit_are_told(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, words in {
        "precision=fp8": "float32 or bf16",
        "run.distributed=mpi": "none or ddp or fsdp",
        "objective=guess": "pretrain or emulate",
        "optim.decay=step": "cosine or linear",
        "accumulate=3": "multiple of 3",
        "run.distributed=ddp": "torchrun",
        "run.keep=0": "at least 1",
        "run.device=tpu": "auto or cpu or cuda",
    }.items():
        with pytest.raises(InvalidInput, match=words):
            trained(tmp_path, data, setting)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(InvalidInput, match=r"run\.distributed=ddp"):
        trained(tmp_path, data)
    assert not checkpoints(Catalog(tmp_path).model("m"))


def test_data_without_a_declared_source_is_told(data: Path, tmp_path: Path) -> None:
    request = TrainRequest(root=tmp_path, name="m", preset="nano", data=(data,), steps=1)
    with pytest.raises(NotFound, match="no cube"):
        train_model(request, sources={"palsar": SOURCES["sentinel-1-rtc"]})


# Learning


def test_it_learns(data: Path, tmp_path: Path) -> None:
    # Whole years only: periods of a month with few targets make short runs noisy.
    years = ('data.valid_odds={"year": 1.0}', "data.alone=0.0")
    report = trained(tmp_path, data, *years, "optim.learning_rate=3e-3", steps=60)
    errors = [row["reconstruction"] for row in rows(tmp_path)]
    assert np.mean(errors[-15:]) < 0.95 * np.mean(errors[:5])
    assert report.health["period_response"] > 0.01
    assert report.health["mean_norm"] < 0.98


def test_a_run_starts_from_another_models_weights(whole: Path, data: Path, tmp_path: Path) -> None:
    request = TrainRequest(
        root=whole, name="further", preset="nano", start="m", data=(data,), steps=1,
        settings=(*SMALL, "optim.learning_rate=0.0"),
    )  # fmt: skip
    train_model(request, sources=SOURCES)
    before, after = (load_encoder(Catalog(whole).model(name)).model for name in ("m", "further"))
    assert after.config.name == "further"
    assert after.config.sources == before.config.sources
    assert all(torch.equal(one, after.state_dict()[name]) for name, one in before.state_dict().items())
    with pytest.raises(Conflict, match="preset"):
        train_model(request.model_copy(update={"name": "other", "preset": "tiny"}), sources=SOURCES)
    with pytest.raises(NotFound, match="nonesuch"):
        train_model(request.model_copy(update={"name": "other", "start": "nonesuch"}), sources=SOURCES)


def test_a_refit_computes_the_embedding_layer_anew_and_nothing_else(whole: Path, data: Path) -> None:
    request = TrainRequest(
        root=whole, name="refitted", preset="nano", start="m", data=(data,), steps=1,
        settings=(*SMALL, "optim.learning_rate=0.0", "refit=true"),
    )  # fmt: skip
    train_model(request, sources=SOURCES)
    before, after = (
        load_encoder(Catalog(whole).model(name)).model.state_dict() for name in ("m", "refitted")
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"summary.direct.weight", "summary.direct.bias"}


def test_the_first_losses_of_tiny_are_as_they_were(data: Path, tmp_path: Path) -> None:
    # To renew: EARTHFIELD_RENEW=1 python -m pytest tests/unit/test_train_run.py -k first_losses
    steps = 20
    settings = tuple(one for one in SMALL if one.startswith("run.")) + GOLDEN_SETTINGS
    request = TrainRequest(
        root=tmp_path, name="m", preset="tiny", data=(data,), steps=steps, settings=settings
    )
    train_model(request, sources=SOURCES)
    if os.environ.get("EARTHFIELD_RENEW"):
        GOLDEN.write_text(
            json.dumps({"settings": GOLDEN_SETTINGS, "losses": losses(tmp_path)}, indent=1) + "\n"
        )
    golden = json.loads(GOLDEN.read_text())
    assert tuple(golden["settings"]) == GOLDEN_SETTINGS
    assert losses(tmp_path) == pytest.approx(golden["losses"], rel=1e-4)


def test_bf16_and_recomputing_change_only_the_last_digits(whole: Path, data: Path, tmp_path: Path) -> None:
    trained(tmp_path / "a", data, "run.checkpointing=true", steps=4)
    assert losses(tmp_path / "a") == pytest.approx(losses(whole)[:1] + losses(tmp_path / "a")[1:], rel=1e-6)
    trained(tmp_path / "b", data, "precision=bf16", steps=2)
    assert losses(tmp_path / "b")[0] == pytest.approx(losses(whole)[0], rel=2e-2)
    assert losses(tmp_path / "b")[0] != losses(whole)[0]


# Parts of a step


def test_parts_of_a_step_give_what_one_large_batch_gives(data: Path, tmp_path: Path) -> None:
    from earthfield_train.objective import Objective
    from earthfield_train.prepare import prepared
    from earthfield_train.trainer import Trainer

    class Mean(Objective):
        """A loss that is a mean over samples, as uniformity and the contrast with texts are not."""

        def forward(self, batch, seed):
            total = self.model(batch.inputs, batch.periods)[..., 0].square().mean((1, 2)).mean()
            return SimpleNamespace(total=total, figures=lambda: {"square": float(total.detach())})

    found = {}
    for accumulate in (1, 4):
        settings = ("batch=4", f"accumulate={accumulate}", "optim.weight_decay=0.0")
        with prepared(request_of(tmp_path, data, *settings, steps=3), SOURCES) as ready:
            samples = OneByOne(ready.trainer.samples)
            trainer = Trainer(Mean(ready.trainer.objective.model), samples, ready.trainer.config)
            figures = [trainer.train_step() for _ in range(3)]
            found[accumulate] = [(one["loss"], one["gradient"]) for one in figures]
    assert np.allclose(found[1], found[4], rtol=1e-4)
    assert found[1][0] != found[1][1]


class OneByOne:
    """Draws sample k of a run whatever the batches are that it is dealt out in."""

    def __init__(self, samples) -> None:
        self._samples = samples

    def batch(self, number, size, model):
        return joined([self._samples.batch(number * size + k, 1, model) for k in range(size)])

    def plots_of(self, number, size):
        return []


def joined(batches):
    """Puts batches together; frames that show nothing fill them up to one length."""
    from dataclasses import replace

    names = sorted({name for one in batches for name in one.inputs})
    inputs = {name: joined_source([one.inputs.get(name) for one in batches]) for name in names}
    return replace(batches[0], inputs=inputs, periods=torch.cat([one.periods for one in batches]))


def joined_source(parts):
    some = next(one for one in parts if one is not None)
    length = max(one.days.shape[1] for one in parts if one is not None)

    def padded(one, name):
        like = getattr(some, name)
        x = torch.zeros(1, length, *like.shape[2:], dtype=like.dtype)
        if one is not None:
            x[:, : one.days.shape[1]] = getattr(one, name)
        return x

    return type(some)(
        **{name: torch.cat([padded(one, name) for one in parts]) for name in some.__dataclass_fields__}
    )


@pytest.fixture(scope="module")
def parted(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Path:
    """A run of two processes."""
    root = tmp_path_factory.mktemp("parted")
    assert train_together(request_of(root, data, *TOGETHER, "run.distributed=ddp")) == [0, 0]
    return root


def test_two_processes_give_what_one_gives_with_two_parts(parted: Path, data: Path, tmp_path: Path) -> None:
    trained(tmp_path, data, *TOGETHER, "accumulate=2")
    assert losses(parted) == pytest.approx(losses(tmp_path), rel=1e-4)
    assert weights_equal(parted, tmp_path, rtol=1e-3, atol=1e-4)
    # Each process draws its own part: both together see what neither saw alone.
    assert len(rows(parted)) == STEPS


def test_nothing_of_ddp_outlives_the_processes_connection(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What held on to it took the connection down later and in one run of many waited for ever.
    for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 1, "MASTER_PORT": free_port()}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    made, left = [], []
    whole_init, destroy = DistributedDataParallel.__init__, dist.destroy_process_group

    def noted(wrapped: DistributedDataParallel, *args, **kwargs) -> None:
        whole_init(wrapped, *args, **kwargs)
        made.append(weakref.ref(wrapped))

    def looked() -> None:
        left.extend(one for one in made if one() is not None)
        destroy()

    monkeypatch.setattr(DistributedDataParallel, "__init__", noted)
    monkeypatch.setattr(dist, "destroy_process_group", looked)
    trained(tmp_path, data, "run.distributed=ddp", steps=2)
    assert made and not left


def test_a_run_that_lost_a_process_goes_on(parted: Path, data: Path, tmp_path: Path) -> None:
    request = request_of(tmp_path, data, *TOGETHER, "run.distributed=ddp")
    ended = subprocess.run(
        [
            sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--rdzv-backend", "c10d",
            "--rdzv-endpoint", "127.0.0.1:0", str(SCRIPT), "5", "1", str(int(signal.SIGKILL)), str(tmp_path),
            str(data), str(STEPS), *request.settings,
        ],
        capture_output=True, text=True, timeout=900, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert ended.returncode != 0
    assert checkpoints(Catalog(tmp_path).model("m"))[0].stem == "step-00000003", ended.stderr
    assert train_together(request.model_copy(update={"resume": True})) == [0, 0]
    assert losses(tmp_path) == losses(parted)
    assert weights_equal(tmp_path, parted)


def test_a_model_in_parts_learns_the_same_and_is_saved_whole(
    parted: Path, data: Path, tmp_path: Path
) -> None:
    request = request_of(tmp_path, data, *TOGETHER, "run.distributed=fsdp", "run.checkpointing=true")
    assert train_together(request) == [0, 0]
    assert losses(tmp_path) == pytest.approx(losses(parted), rel=1e-4)
    # A bias that moves all scores alike has no gradient but rounding: Adam makes steps of that all the same.
    assert weights_equal(tmp_path, parted, rtol=1e-3, atol=5e-4)
    # Its checkpoint is whole too: it goes on in any form, and in parts.
    one = checkpoints(Catalog(tmp_path).model("m"))
    one[0].unlink()
    assert train_together(request.model_copy(update={"resume": True})) == [0, 0]
    assert losses(tmp_path) == pytest.approx(losses(parted), rel=1e-4)


# Before a run


def test_the_first_fit_tells_how_far_it_is(data: Path, tmp_path: Path) -> None:
    from rich.console import Console

    from earthfield_train import live

    told: list[tuple[str, int, int]] = []
    request = request_of(tmp_path, data, "first_fit=3", steps=1)
    train_model(request, progress=lambda *one: told.append(one), sources=SOURCES)
    assert told == [("first fit", done, 3) for done in range(4)]
    for is_terminal in (True, False):
        console = Console(file=io.StringIO(), force_terminal=is_terminal, width=100)
        with live.watching(5, console) as (_, progress):
            progress("first fit", 2, 3)
        shown = console.file.getvalue()  # type: ignore[attr-defined]
        assert ("first fit, batch 2 of 3" in shown) == is_terminal


def test_a_dry_run_tells_and_writes_nothing(data: Path, tmp_path: Path) -> None:
    report = dry_run_model(request_of(tmp_path, data, steps=1000), sources=SOURCES)
    assert report.samples == 2000
    assert report.plots > 0
    assert report.parameters > 1000
    assert report.seconds_a_step > 0
    assert report.first_fit_minutes > 0
    whole_s = report.first_fit_minutes * 60 + report.seconds_a_step * 1000
    assert report.hours == pytest.approx(whole_s / 3600, abs=2e-3)
    assert 0 < report.weights_gb < report.peak_gb
    assert not list(tmp_path.iterdir())


def test_the_large_presets_follow_the_paper() -> None:
    from earthfield_train.optim import learning_rate

    for name in ("base", "large"):
        config = train_config(name)
        assert (config.batch, config.steps) == (256, 100_000)
        rate = [learning_rate(step, config.steps, config.optim) for step in (499, 999, 50_500, 99_999)]
        assert rate == pytest.approx([5e-5, 1e-4, 5e-5, 0.0], abs=2e-9)
