"""The in-process encoder: the model behind the same seam as Triton and other people's models."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from earthfield.errors import InvalidInput
from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import batch_of, packed
from earthfield_model.config import EMBEDDING_DIM
from earthfield_model.folders import bundled_models, model_folder, model_names
from earthfield_model.pooling import Pooling
from earthfield_model.sentences.encoder import SentenceEncoder
from earthfield_model.summary import Observed
from earthfield_model.timecode import period_days

__all__ = [
    "ModelEncoder", "Precision", "bundled_models", "fingerprint_of", "load_encoder", "model_folder", "model_names",
]  # fmt: skip

Precision = Literal["float32", "bf16"]
"""In which type the large products are computed."""


class ModelEncoder:
    """Implements `earthfield.ports.Encoder` with a model in this process."""

    def __init__(self, model: AlphaEarth, *, precision: Precision = "float32") -> None:
        """Takes a model over for inference.

        Args:
            model: what encodes, on the device where it is to run.
            precision: `bf16` computes the products of the trunk in bfloat16, on a GPU those of the summary too.
                That is sooner, and moves the starter's vectors by about 1e-6 of a cosine. So does autocast around
                `encode`. The fingerprint is the model's alone; who keeps vectors notes the precision beside it.

        Raises:
            InvalidInput: another precision.
        """
        if precision not in get_args(Precision):
            raise InvalidInput(
                f"precision {precision!r} is not known; choose one of {', '.join(get_args(Precision))}"
            )
        self.model = model.eval()
        self.precision = precision
        self.name = model.config.name
        self.dim = EMBEDDING_DIM
        self.sources = model.config.source_names
        self.fingerprint = fingerprint_of(model)
        self._sentences: SentenceEncoder | None = None

    @torch.inference_mode()
    def encode(self, frames: Frames, periods: Sequence[Period]) -> Float[np.ndarray, "P H W D"]:
        """Gives a unit vector per pixel and period; NaN at pixels that no valid observation covers.

        Frames that show nothing are left out first. All that looks at single frames then runs over a few at a
        time, and `Pooling` serves one period after the other, so memory grows by about 4 MB per frame of
        128 x 128 px and hardly with the number of periods.

        Args:
            frames: observations of one window; sources that the model does not know are ignored.
            periods: valid periods, served by one pass of the trunk.

        Raises:
            InvalidInput: no known source, no period, or a size that is not a multiple of 16.
        """
        return self.encode_together([frames], [periods])[0]

    @torch.inference_mode()
    def encode_together(
        self, samples: Sequence[Frames], periods: Sequence[Sequence[Period]]
    ) -> Float[np.ndarray, "B P H W D"]:
        """Gives what `encode` gives for several windows of one size, with one pass of the trunk for all.

        Args:
            samples: observations of each window; shorter ones are filled up with masked frames.
            periods: valid periods of each, as many for every window.

        Raises:
            InvalidInput: as `encode`.
        """
        if not all(periods):
            raise InvalidInput("name at least one valid period to encode")
        batch = packed(batch_of(samples, self.model.config))
        device = next(self.model.parameters()).device
        moved = {
            name: type(one)(one.stored.to(device), one.valid.to(device), one.days.to(device))
            for name, one in batch.items()
        }
        low = self.precision == "bf16" or torch.is_autocast_enabled(device.type)
        with torch.autocast(device.type, torch.bfloat16, enabled=low):
            observed = self.model.observe(moved)
        uncovered = ~_covered(observed)
        # A processor has no fast product of many small matrices in bfloat16.
        kind = torch.bfloat16 if low and device.type != "cpu" else torch.float32
        fields = np.empty((len(samples), len(periods[0]), *uncovered.shape[1:], self.dim), np.float32)
        for place, own in enumerate(torch.from_numpy(fields)):
            pooling = Pooling(self.model.summary, observed, place, kind=kind)
            for field, span in zip(own, period_days(periods[place]).to(device), strict=True):
                field.copy_(pooling.field(span).masked_fill_(uncovered[place, ..., None], torch.nan))
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


def _covered(observed: Observed) -> Bool[Tensor, "B H W"]:
    return torch.stack([mask.any(1) for mask in observed.near_mask.values()]).any(0)


def fingerprint_of(model: AlphaEarth) -> str:
    """Gives the SHA-256 of config and weights: two models with the same one give the same fields.

    The text network has no part in it, because it has none in the fields: they outlive its learning other texts.
    """
    digest = hashlib.sha256(replace(model.config, text=None).to_json().encode())
    for name, tensor in sorted(model.state_dict().items()):
        if name.startswith("text."):
            continue
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load_encoder(folder: Path, *, precision: Precision = "float32") -> ModelEncoder:
    """Opens a model's folder as an encoder; errors as in `AlphaEarth.from_pretrained` and `ModelEncoder`."""
    return ModelEncoder(AlphaEarth.from_pretrained(folder), precision=precision)
