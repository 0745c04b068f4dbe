"""The in-process encoder: the model behind the same seam as Triton and other people's models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import InvalidInput, NotFound
from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.batch import batch_of, packed
from earthfield_model.config import EMBEDDING_DIM
from earthfield_model.sentences.encoder import SentenceEncoder
from earthfield_model.summary import Observed
from earthfield_model.timecode import period_days


class ModelEncoder:
    """Implements `earthfield.ports.Encoder` with a model in this process."""

    def __init__(self, model: AlphaEarth) -> None:
        """Takes a model over for inference."""
        self.model = model.eval()
        self.name = model.config.name
        self.dim = EMBEDDING_DIM
        self.sources = model.config.source_names
        self.fingerprint = fingerprint_of(model)
        self._sentences: SentenceEncoder | None = None

    @torch.inference_mode()
    def encode(self, frames: Frames, periods: Sequence[Period]) -> Float[np.ndarray, "P H W D"]:
        """Gives a unit vector per pixel and period; NaN at pixels that no valid observation covers.

        Frames that show nothing are left out first; stems and convolutions then run over a few frames at a
        time, so memory grows by about 10 MB per frame of 128 x 128 px.

        Args:
            frames: observations of one window; sources that the model does not know are ignored.
            periods: valid periods, served by one pass of the trunk.

        Raises:
            InvalidInput: no known source, no period, or a size that is not a multiple of 16.
        """
        if not periods:
            raise InvalidInput("name at least one valid period to encode")
        batch = packed(batch_of([frames], self.model.config))
        device = next(self.model.parameters()).device
        moved = {
            name: type(one)(one.stored.to(device), one.valid.to(device), one.days.to(device))
            for name, one in batch.items()
        }
        observed = self.model.observe(moved)
        covered = _covered(observed)
        spans = period_days(periods).to(device)
        fields = np.empty((len(periods), *covered.shape, self.dim), np.float32)
        for place, span in enumerate(spans):
            fields[place] = self.model.summary(observed, span[None])[0].cpu().numpy()
            fields[place][~covered] = np.nan
        return fields

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Float[np.ndarray, "N D"]:
        """Gives a unit vector per text, on the same sphere as the field: a dot product says how well they fit.

        Raises:
            InvalidInput: the model was trained without texts, a text says nothing, or the sentence model that it
                was trained with is not installed.
            Unavailable: that sentence model cannot be fetched now.
        """
        network = self.model.text
        if network is None:
            raise InvalidInput(
                f"the model {self.name} was trained without texts: search by example, or train with `--data` "
                "roots that hold texts"
            )
        if self._sentences is None:
            self._sentences = network.sentence_encoder()
        embedded = self._sentences.embed(texts)
        if silent := [text for text, row in zip(texts, embedded, strict=True) if not row.any()]:
            raise InvalidInput(f"the text {silent[0]!r} says nothing of a place: write a word or more")
        device = next(network.parameters()).device
        return network(torch.from_numpy(embedded).to(device)).cpu().numpy()


def _covered(observed: Observed) -> NDArray[np.bool_]:
    seen = torch.stack([mask[0].any(0) for mask in observed.near_mask.values()]).any(0)
    return seen.cpu().numpy()


def fingerprint_of(model: AlphaEarth) -> str:
    """Gives the SHA-256 of config and weights: two models with the same one give the same fields."""
    digest = hashlib.sha256(model.config.to_json().encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_encoder(folder: Path) -> ModelEncoder:
    """Opens a model's folder as an encoder; errors as in `AlphaEarth.from_pretrained`."""
    return ModelEncoder(AlphaEarth.from_pretrained(folder))


def bundled_models() -> Path:
    """Gives the folder of the models that come with the package; it may not exist."""
    return Path(str(files("earthfield_model") / "pretrained"))


def model_names(catalog: Catalog) -> list[str]:
    """Lists the models of a root and the bundled ones, sorted."""
    places = (catalog.folder / "models", bundled_models())
    found = (path.parent for place in places for path in place.glob(f"*/{CONFIG_FILE}"))
    return sorted({path.name for path in found if (path / WEIGHTS_FILE).is_file()})


def model_folder(name: str, catalog: Catalog) -> Path:
    """Finds a model by name: in the root first, then among the bundled ones.

    Raises:
        InvalidInput: the name cannot stand in an address.
        NotFound: there is no such model; the message lists those there are.
    """
    for folder in (catalog.model(name), bundled_models() / checked_name(name)):
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
            return folder
    have = ", ".join(model_names(catalog)) or "none"
    raise NotFound(f"there is no model {name!r} under {catalog.root}; models there are: {have}")
