"""BetaEarth's weights: where they are, read without running code from them, put into the package's own network."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import SimpleNamespace
from typing import Any

import torch
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from torch import Tensor, nn

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield_infer.adapters.checked import told_by

log = logging.getLogger(__name__)

NAME = "betaearth"
HUB = "asterisk-labs"
DEFAULT_VARIANT = "betaearth-segformer-film-robust"
"""What the package itself takes by default: the variant that copes with missing sensors."""
FILES = ("model.safetensors", "model.pt")
INSTALL = "pip install 'earthfield[betaearth]'"
EMBEDDING_DIM = 64
_SIZES: dict[tuple[int, ...], str] = {
    (2, 2, 2, 2): "mit_b1",
    (3, 4, 6, 3): "mit_b2",
    (3, 4, 18, 3): "mit_b3",
    (3, 8, 27, 3): "mit_b4",
    (3, 6, 40, 3): "mit_b5",
}
"""Blocks of the four stages of a Mix Transformer, by its name; mit_b0 has those of mit_b1 at half its width."""
_TIME = "time_cond."
_LOCK = Lock()
_declared: list[Any] = []


class Where(BaseSettings):
    """Where BetaEarth's weights are on this machine."""

    model_config = SettingsConfigDict(env_prefix="EARTHFIELD_BETAEARTH_", extra="ignore")

    weights: Path | None = Field(default=None, description="File or folder of the weights of `betaearth`.")


@dataclass(frozen=True)
class Opened:
    """A BetaEarth ready to predict."""

    model: Any
    """The `betaearth.BetaEarth`."""
    hash: str
    """SHA-256 of its weights and of the package's version."""
    reads_all: bool
    """Whether it reads Sentinel-1 and the elevation too."""


def opened(catalog: Catalog, model: str) -> Opened:
    """Opens the BetaEarth of a name; errors as in `adapters.betaearth.connect`."""
    package = betaearth_package()
    if "dinov3" in model:
        raise _dinov3(model)
    path = weights_path(catalog, model)
    state = read_weights(path)
    network = network_of(package, state, path)
    reads_all = isinstance(network, package.SegFormerEncoder)
    # The package itself falls back to the CPU where there is no GPU.
    return Opened(package.BetaEarth(network, device="cuda"), _hash_of(state), reads_all)


def betaearth_package() -> Any:
    """Imports the package's module of networks.

    Raises:
        InvalidInput: it, or something that it needs, is not installed or cannot be imported.
    """
    if find_spec("betaearth") is None:
        raise InvalidInput(f"the model betaearth needs a package that is not installed: run `{INSTALL}`")
    try:
        _import_torchvision()
        return import_module("betaearth.modeling_betaearth")
    except ImportError as error:
        raise InvalidInput(
            f"the package betaearth cannot be imported ({told_by(error)}): run `{INSTALL}`"
        ) from error
    except RuntimeError as error:
        raise InvalidInput(
            f"torchvision, which the package betaearth needs, does not fit this torch ({told_by(error)}): install "
            "the build of torchvision that belongs to it"
        ) from error


def _import_torchvision() -> None:
    """Imports torchvision, also where its operators cannot be loaded.

    PyPI's build for Linux is made for CUDA. Beside a torch without CUDA it fails at import for want of the names of
    two operators, of which BetaEarth uses none: the names alone are declared then.
    """
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if _declared or torch.version.cuda is not None or "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _declared.append(library)  # it is withdrawn when nothing holds it
        import_module("torchvision")


def weights_path(catalog: Catalog, model: str) -> Path:
    """Finds the file of a model's weights: as set, in the root, or from BetaEarth's hub.

    Raises:
        NotFound: what is set is not there, or its folder or the hub hold no such weights.
        Unavailable: they are not on this machine and the hub does not answer.
    """
    told = Where().weights if model == NAME else None
    if told is not None:
        return _file_in(told, "EARTHFIELD_BETAEARTH_WEIGHTS")
    folder = catalog.model(model)
    return _file_in(folder, "the folder") if folder.exists() else _from_hub(model, folder)


def _file_in(place: Path, who: str) -> Path:
    for path in (place, *(place / name for name in FILES)):
        if path.is_file():
            return path
    why = f"it holds neither {' nor '.join(FILES)}" if place.is_dir() else "there is no such file or folder"
    raise NotFound(f"no weights of BetaEarth: {who} {place} was named, and {why}")


def _from_hub(model: str, folder: Path) -> Path:
    repository = f"{HUB}/{DEFAULT_VARIANT if model == NAME else model}"
    advice = f"put model.safetensors or model.pt of it into {folder}"
    if model == NAME:
        advice += ", or name its place in EARTHFIELD_BETAEARTH_WEIGHTS"
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.errors import (
            EntryNotFoundError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError as error:
        raise InvalidInput(
            f"weights of BetaEarth cannot be fetched without huggingface-hub: run `{INSTALL}`, or {advice}"
        ) from error
    for name in FILES:
        if isinstance(cached := try_to_load_from_cache(repository, name), str):
            return Path(cached)
    for name in FILES:
        try:
            log.info("fetching %s of %s", name, repository)
            return Path(hf_hub_download(repository, name))
        except RepositoryNotFoundError as error:
            raise NotFound(f"the hub has no {repository}: check the model's name {model!r}") from error
        except LocalEntryNotFoundError as error:
            raise Unavailable(f"the hub of {repository} does not answer: {advice}") from error
        except EntryNotFoundError:
            continue
        except OSError as error:
            raise Unavailable(f"{repository} cannot be fetched ({told_by(error)}): {advice}") from error
    raise NotFound(f"{repository} holds neither {' nor '.join(FILES)}: {advice}")


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads weights by name; nothing in the file is ever run.

    Raises:
        InvalidInput: a pickle that holds more than tensors.
        BrokenArtefact: the file is damaged, or holds no tensors by name.
    """
    try:
        if path.suffix == ".safetensors":
            state = _read_safetensors(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InvalidInput(
            f"{path} is no plain file of tensors and is not opened, since such a file can run code: take "
            "model.safetensors, or a model.pt that torch.load reads with weights_only=True"
        ) from error
    except (RuntimeError, ValueError, EOFError, KeyError) as error:
        raise BrokenArtefact(f"{path} cannot be read ({told_by(error)}): fetch it again") from error
    named = isinstance(state, Mapping) and all(isinstance(one, Tensor) for one in state.values())
    if not named or not state:
        raise BrokenArtefact(f"{path} holds no tensors by name: it is no model of BetaEarth")
    return dict(state)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def network_of(package: Any, state: Mapping[str, Tensor], path: Path) -> nn.Module:
    """Builds the network that weights belong to, at the sizes that they show, and gives it the weights.

    The package's own `from_pretrained` is not used: it fetches ImageNet weights only to overwrite them, cannot read
    safetensors, and passes over names that do not fit, which leaves parts of the network random.

    Raises:
        InvalidInput: a variant that fetches code at run time.
        BrokenArtefact: the weights fit no network of the package.
    """
    if any(name.startswith("dpt_head.") for name in state):
        raise _dinov3(str(path))
    with _LOCK, _without_download(package):
        try:
            if "head.2.weight" in state:
                network = package.RGBOnlySegFormerEncoder(**_sizes(state, "encoder", "head"))
            else:
                network = package.SegFormerEncoder(**_sizes(state, "s2l2a_encoder", "fusion"))
            missing, extra = network.load_state_dict(state, strict=False)
        except (KeyError, IndexError, RuntimeError) as error:
            raise BrokenArtefact(
                f"the weights in {path} fit no network of BetaEarth ({told_by(error)}): take them from its hub"
            ) from error
    # The variant without a day of the year has none of these, and they do nothing as they come.
    if lacking := [name for name in missing if not name.startswith(_TIME)]:
        raise BrokenArtefact(
            f"the weights in {path} lack {len(lacking)} of {len(network.state_dict())} tensors, {lacking[0]} "
            "first: take them from BetaEarth's hub"
        )
    if extra:
        log.warning("%s: %d tensors that BetaEarth has no place for, %s first", path, len(extra), extra[0])
    return network


def _sizes(state: Mapping[str, Tensor], encoder: str, head: str) -> dict[str, Any]:
    """Reads the sizes of a network off its weights."""
    embed_dim, fusion_dim = state[f"{head}.2.weight"].shape[:2]
    if embed_dim != EMBEDDING_DIM:
        raise RuntimeError(f"{embed_dim} dimensions where {EMBEDDING_DIM} are due")
    block = re.compile(rf"{encoder}\.encoder\.block(\d)\.(\d+)\.")
    found = {(int(hit[1]), int(hit[2])) for name in state if (hit := block.match(name))}
    kind = _SIZES[tuple(sum(stage == one for stage, _ in found) for one in range(1, 5))]
    if state[f"{encoder}.encoder.patch_embed1.proj.weight"].shape[0] == 32:
        kind = "mit_b0"
    time = state.get(f"{_TIME}film.proj.weight")
    time_dim = 128 if time is None else time.shape[1]
    return {
        "encoder_name": kind, "embed_dim": embed_dim, "fusion_dim": fusion_dim, "time_embed_dim": time_dim,
    }  # fmt: skip


@contextmanager
def _without_download(package: Any) -> Iterator[None]:
    """Keeps a new network from fetching ImageNet weights, which the ones at hand replace anyway."""
    whole = package.smp
    package.smp = SimpleNamespace(FPN=lambda **sizes: whole.FPN(**sizes | {"encoder_weights": None}))
    try:
        yield
    finally:
        package.smp = whole


def _hash_of(state: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(f"betaearth {version('betaearth')}".encode())
    for name, tensor in sorted(state.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _dinov3(what: str) -> InvalidInput:
    return InvalidInput(
        f"{what} is a DINOv3 variant of BetaEarth, which fetches and runs code from GitHub when it starts: take a "
        "SegFormer variant, such as the default"
    )
