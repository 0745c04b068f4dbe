"""Checkpoints: weights, optimiser and step in one safetensors file, written whole, never pickled."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from earthfield.errors import BrokenArtefact, Conflict, NotFound
from earthfield.storage import whole_file
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import ModelConfig
from earthfield_train.processes import Processes, parted_like, whole

CHECKPOINT_FOLDER = "checkpoints"
SCHEMA = "earthfield-checkpoint/2"
_WEIGHT, _STATE = "weight/", "optimiser/"
_BROKEN = "go back to the one before with --resume --previous, or start anew with --overwrite"


@dataclass(frozen=True)
class Facts:
    """What a checkpoint says of its run."""

    step: int
    """Steps done."""
    model: str
    """The model's configuration, as JSON."""
    run: Mapping[str, Any]
    """What decides the result, by name: the training configuration and the parts of a step."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """What tells the data apart: a run whose data have changed since goes on, but not as it would have."""


def checkpoints(folder: Path) -> list[Path]:
    """Lists the checkpoints of a model's folder, the last one first."""
    return sorted((folder / CHECKPOINT_FOLDER).glob("step-*.safetensors"), reverse=True)


def chosen_checkpoint(folder: Path, *, previous: bool = False) -> Path:
    """Gives the checkpoint to go on from: the last one, or the one before it.

    Raises:
        NotFound: there is none.
    """
    held = checkpoints(folder)
    if len(held) <= previous:
        which = "no checkpoint before the last" if held else "no checkpoint"
        raise NotFound(f"there is {which} under {folder}: start without --resume, or --resume alone")
    return held[int(previous)]


def save_checkpoint(
    folder: Path,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    facts: Facts,
    *,
    keep: int,
    processes: Processes,
) -> Path:
    """Writes all that a run needs to go on; data order and noise are functions of the seed and the step.

    Args:
        folder: the model's folder.
        objective: all weights.
        optimizer: its state.
        facts: what the run is.
        keep: checkpoints that stay; older ones and those of an abandoned later step are removed.
        processes: all of them must call this; the first one writes.
    """
    path = folder / CHECKPOINT_FOLDER / f"step-{facts.step:08d}.safetensors"
    tensors = {_WEIGHT + name: whole(one) for name, one in objective.state_dict().items()}
    tensors |= {_STATE + name: whole(one) for name, one in _states(objective, optimizer)}
    if not processes.is_first:
        return path
    tensors = {name: one.contiguous().clone() for name, one in tensors.items()}
    content = {
        "schema": SCHEMA,
        "step": str(facts.step),
        "model": facts.model,
        "run": json.dumps(facts.run, sort_keys=True),
        "data": json.dumps(facts.data, sort_keys=True),
        "sum": _sum_of(tensors),
    }
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=content)
    _tidy(folder, path, keep)
    return path


def load_checkpoint(
    path: Path, objective: nn.Module, optimizer: torch.optim.Optimizer, *, run: Mapping[str, Any]
) -> Facts:
    """Puts weights and optimiser back and gives what the checkpoint says, the number of steps done among it.

    Args:
        path: the file.
        objective: takes the weights.
        optimizer: takes its state.
        run: what decides the result of the run that goes on.

    Raises:
        NotFound: there is no checkpoint.
        BrokenArtefact: it cannot be read, or is of another version.
        Conflict: it is of a run with other settings; the message lists them.
    """
    facts = facts_of(path)
    if facts.run != (now := json.loads(json.dumps(run))):
        raise Conflict(
            f"{path} is of a run with other settings: {'; '.join(_differences(facts.run, now))}. Give the same "
            "ones to go on, or start a new model from its weights with --name NEW --from NAME"
        )
    tensors = _tensors(path)
    _put_weights(
        objective, {k.removeprefix(_WEIGHT): v for k, v in tensors.items() if k.startswith(_WEIGHT)}, path
    )
    names = _parameter_names(objective, optimizer)
    parameters = dict(objective.named_parameters())
    content = optimizer.state_dict()
    content["state"] = {index: _state_of(tensors, name, parameters[name]) for index, name in names.items()}
    optimizer.load_state_dict(content)
    return facts


def model_of(path: Path) -> AlphaEarth:
    """Builds the model of a checkpoint with its weights; errors as in `load_checkpoint`."""
    config = ModelConfig.from_json(facts_of(path).model)
    model = AlphaEarth(config)
    start = f"{_WEIGHT}model."
    model.load_weights(
        {k.removeprefix(start): v for k, v in _tensors(path).items() if k.startswith(start)}, path
    )
    return model


def facts_of(path: Path) -> Facts:
    """Reads what a checkpoint says of its run; errors as in `load_checkpoint`."""
    content = _metadata(path)
    schema = content.get("schema", "no version")
    if schema != SCHEMA:
        raise BrokenArtefact(
            f"the checkpoint {path} is of {schema} and this is {SCHEMA}: use the version of Earthfield that wrote "
            "it, or start anew with --overwrite"
        )
    try:
        run, data = json.loads(content["run"]), json.loads(content["data"])
        return Facts(int(content["step"]), content["model"], run, data)
    except (KeyError, ValueError) as error:
        raise BrokenArtefact(f"the checkpoint {path} is broken ({error!r}): {_BROKEN}") from error


def _metadata(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise NotFound(f"there is no checkpoint at {path}: start without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BrokenArtefact(f"the checkpoint {path} is broken ({error}): {_BROKEN}") from error


def _tensors(path: Path) -> dict[str, Tensor]:
    """Reads all tensors and checks their sum, so that a bit that turned on the disk is noticed."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise BrokenArtefact(f"the checkpoint {path} is broken ({error}): {_BROKEN}") from error
    if _sum_of(tensors) != _metadata(path).get("sum"):
        raise BrokenArtefact(f"the checkpoint {path} is broken (its content has changed): {_BROKEN}")
    return tensors


def _sum_of(tensors: Mapping[str, Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(name.encode(), total)
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return f"crc32:{total:08x}"


def _tidy(folder: Path, newest: Path, keep: int) -> None:
    """Removes older checkpoints, those beyond the newest one, and what a killed process left half written."""
    held = checkpoints(folder)
    stale = [one for one in held if one.name > newest.name]
    stale += [one for one in held if one.name <= newest.name][keep:]
    stale += newest.parent.glob(".writing-*")
    for one in stale:
        one.unlink(missing_ok=True)


def _put_weights(objective: nn.Module, weights: Mapping[str, Tensor], path: Path) -> None:
    own = objective.state_dict()
    try:
        objective.load_state_dict({k: parted_like(v, own[k]) if k in own else v for k, v in weights.items()})
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise BrokenArtefact(
            f"the weights in {path} are of another network ({first}): use the version of Earthfield that wrote it, "
            "or start anew with --overwrite"
        ) from error


def _states(objective: nn.Module, optimizer: torch.optim.Optimizer) -> Iterator[tuple[str, Tensor]]:
    names = _parameter_names(objective, optimizer)
    for index, state in optimizer.state_dict()["state"].items():
        for key in sorted(state):
            yield f"{key}/{names[index]}", torch.as_tensor(state[key])


def _state_of(tensors: Mapping[str, Tensor], name: str, parameter: Tensor) -> dict[str, Tensor]:
    end = f"/{name}"
    held = {
        key.removeprefix(_STATE).removesuffix(end): one
        for key, one in tensors.items()
        if key.startswith(_STATE) and key.endswith(end) and key.count("/") == 2
    }
    return {
        k: parted_like(v, parameter) if v.shape == parameter.shape and v.ndim else v for k, v in held.items()
    }


def _parameter_names(objective: nn.Module, optimizer: torch.optim.Optimizer) -> dict[int, str]:
    """Names the optimiser's numbered parameters."""
    by_id = {id(one): name for name, one in objective.named_parameters()}
    ordered = [one for group in optimizer.param_groups for one in group["params"]]
    return {index: by_id[id(one)] for index, one in enumerate(ordered)}


def _differences(before: Any, now: Any, name: str = "") -> list[str]:
    """Lists what differs between two contents, by dotted name."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [f"{name} was {json.dumps(before)} and is {json.dumps(now)}"]
    found = []
    for key in sorted(before.keys() | now.keys()):
        found += _differences(before.get(key), now.get(key), f"{name}.{key}" if name else key)
    return found
