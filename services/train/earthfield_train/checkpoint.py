"""Checkpoints: weights, optimiser and step in one safetensors file, written whole, never pickled."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from earthfield.errors import BrokenArtefact, Conflict, NotFound
from earthfield.storage import whole_file
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import ModelConfig
from earthfield_train.config import TrainConfig

CHECKPOINT_FILE = "checkpoint.safetensors"
SCHEMA = "earthfield-checkpoint/1"


def save_checkpoint(
    path: Path, model: AlphaEarth, optimizer: torch.optim.Optimizer, *, step: int, config: TrainConfig
) -> None:
    """Writes all that a run needs to go on; data order and noise are functions of the seed and the step."""
    names = _parameter_names(model, optimizer)
    tensors = {f"model.{name}": one.detach().contiguous() for name, one in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optim.{names[index]}.{key}": torch.as_tensor(value) for key, value in state.items()}
    facts = {
        "schema": SCHEMA,
        "step": str(step),
        "train": json.dumps(asdict(config), sort_keys=True),
        "model": model.config.to_json(),
    }
    with whole_file(path) as temporary:
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, temporary, metadata=facts)


def model_of(path: Path) -> AlphaEarth:
    """Builds the model that a checkpoint was made of, with its statistics; weights come with `load_checkpoint`."""
    return AlphaEarth(ModelConfig.from_json(_facts(path)["model"]))


def load_checkpoint(
    path: Path, model: AlphaEarth, optimizer: torch.optim.Optimizer, *, config: TrainConfig
) -> int:
    """Puts weights and optimiser back and gives the number of steps done.

    Raises:
        NotFound: there is no checkpoint.
        BrokenArtefact: it cannot be read.
        Conflict: it is of a run with another configuration.
    """
    facts = _facts(path)
    if facts["train"] != json.dumps(asdict(config), sort_keys=True):
        raise Conflict(f"{path} is of a run with another configuration: use the same options, or --overwrite")
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise BrokenArtefact(
            f"the checkpoint {path} is broken ({error}): start anew with --overwrite"
        ) from error
    model.load_weights({k[6:]: v for k, v in tensors.items() if k.startswith("model.")}, path)
    names = _parameter_names(model, optimizer)
    keys = ("step", "exp_avg", "exp_avg_sq")
    whole = optimizer.state_dict()
    whole["state"] = {
        index: {key: tensors[f"optim.{name}.{key}"] for key in keys}
        for index, name in names.items()
        if f"optim.{name}.step" in tensors
    }
    optimizer.load_state_dict(whole)
    return int(facts["step"])


def _facts(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise NotFound(f"there is no checkpoint at {path}: start without --resume")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise BrokenArtefact(
            f"the checkpoint {path} is broken ({error}): start anew with --overwrite"
        ) from error
    if facts.get("schema") != SCHEMA:
        raise BrokenArtefact(f"the checkpoint {path} is not of {SCHEMA}: start anew with --overwrite")
    return facts


def _parameter_names(model: AlphaEarth, optimizer: torch.optim.Optimizer) -> dict[int, str]:
    """Names the optimiser's numbered parameters."""
    by_id = {id(one): name for name, one in model.named_parameters()}
    ordered = [one for group in optimizer.param_groups for one in group["params"]]
    return {index: by_id[id(one)] for index, one in enumerate(ordered)}
