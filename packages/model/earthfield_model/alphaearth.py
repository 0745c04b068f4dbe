"""The whole model: stems, trunk, summary and decoders, and its folder on disk."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from pathlib import Path

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64, Int, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from earthfield.errors import BrokenArtefact, NotFound
from earthfield.storage import make_folder, whole_file
from earthfield_model import folders
from earthfield_model.batch import Batch
from earthfield_model.config import ModelConfig
from earthfield_model.decoder import Decoder
from earthfield_model.pyramid import coarser, run_length
from earthfield_model.stem import Stem
from earthfield_model.stp import Trunk
from earthfield_model.summary import Observed, Summary
from earthfield_model.text import TextNetwork

CONFIG_FILE, WEIGHTS_FILE = folders.CONFIG_FILE, folders.WEIGHTS_FILE


class AlphaEarth(nn.Module):
    """Frames of a place to unit vectors per pixel, for any valid period.

    Source: AlphaEarth Foundations (arXiv 2507.22291); departures are named where they are made.
    """

    def __init__(self, config: ModelConfig) -> None:
        """Builds it with random weights."""
        super().__init__()
        self.config = config
        self.stems = nn.ModuleDict({one.name: Stem(one, config.widths) for one in config.inputs})
        self.trunk = Trunk(config.widths)
        self.summary = Summary(config)
        self.decoders = nn.ModuleDict({one.name: Decoder(one, config.widths) for one in config.targets})
        # Last, so that a model with texts begins with the same weights as one without.
        self.text = None if config.text is None else TextNetwork(config.text)

    def observe(self, batch: Batch) -> Observed:
        """Runs stems and trunk: the part that all periods share."""
        near, near_mask, half, half_mask, days, source = {}, {}, [], [], [], []
        for index, name in enumerate(self.config.source_names):
            if name not in batch:
                continue
            stem, frames = self._stem(name), batch[name]
            num_samples, num_frames = frames.days.shape
            near[name], mask, at_half = _stemmed(stem, frames.stored, frames.valid)
            split = {"b": num_samples, "n": num_frames}
            near_mask[name] = rearrange(mask, "(b n) h w -> b n h w", **split)
            half.append(rearrange(at_half, "(b n) h w f -> b n h w f", **split))
            half_mask.append(rearrange(coarser(mask, 2), "(b n) h w -> b n h w", **split))
            days.append(frames.days)
            source.append(torch.full((num_frames,), index, device=mask.device))
        all_half, all_mask, all_days = torch.cat(half, 1), torch.cat(half_mask, 1), torch.cat(days, 1)
        del half, at_half
        features = self.trunk(all_half.flatten(0, 1), all_mask.flatten(0, 1), all_days)
        which = nn.functional.one_hot(torch.cat(source), len(self.config.inputs)).float()
        return Observed(near, near_mask, features.view_as(all_half), all_mask, all_days, which)

    def forward(self, batch: Batch, periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B H W D"]:
        """Gives the mean directions for one valid period per sample, [start, end) in days since 2000."""
        return self.summary(self.observe(batch), periods)

    def measured(
        self, source: str, stored: Int[Tensor, "... C H W"], valid: Bool[Tensor, "... H W"]
    ) -> tuple[Float[Tensor, "... C H W"], Bool[Tensor, "... C H W"]]:
        """Gives what a decoder must reconstruct: standardised values and the mask per band."""
        part = self._decoder(source) if source in self.decoders else self._stem(source)
        return part.declared(stored, valid)

    def classes_of(
        self, source: str, stored: Int[Tensor, "... 1 H W"], valid: Bool[Tensor, "... H W"]
    ) -> tuple[Int64[Tensor, "... H W"], Bool[Tensor, "... H W"]]:
        """Gives the same of a source of classes: their numbers, in its config's order, and where they are known."""
        return self._decoder(source).codes(stored, valid)

    def decode(
        self,
        source: str,
        embedding: Float[Tensor, "B H W D"],
        relative_time: Float[Tensor, "B T"],
        geometry: Float[Tensor, "B T G"],
    ) -> Float[Tensor, "B T H W C"]:
        """Gives what a source would see: standardised bands, or logits of classes.

        Args:
            source: its name.
            embedding: unit vectors.
            relative_time: instants, 0 at the start of the valid period and 1 at its end.
            geometry: sun and sensor, as in `earthfield.geometry`; zeros where unknown.
        """
        return self.decoders[source](embedding, relative_time, geometry)

    def _stem(self, source: str) -> Stem:
        stem = self.stems[source]
        assert isinstance(stem, Stem)
        return stem

    def _decoder(self, source: str) -> Decoder:
        decoder = self.decoders[source]
        assert isinstance(decoder, Decoder)
        return decoder

    @property
    def num_parameters(self) -> int:
        """Learned figures."""
        return sum(one.numel() for one in self.parameters())

    def save_pretrained(self, folder: Path) -> None:
        """Writes config.json and model.safetensors, each whole or not at all."""
        make_folder(folder)
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        with whole_file(folder / WEIGHTS_FILE) as temporary:
            # Not `save_file`, which lets nobody but the owner read.
            temporary.write_bytes(save(weights))
        with whole_file(folder / CONFIG_FILE) as temporary:
            temporary.write_text(self.config.to_json())

    @classmethod
    def from_pretrained(cls, folder: Path) -> AlphaEarth:
        """Reads what `save_pretrained` wrote.

        Raises:
            NotFound: the folder holds no model.
            BrokenArtefact: config or weights cannot be read, or do not fit one another.
        """
        if not (folder / CONFIG_FILE).is_file() or not (folder / WEIGHTS_FILE).is_file():
            raise NotFound(f"{folder} holds no model: it needs {CONFIG_FILE} and {WEIGHTS_FILE}")
        try:
            text = (folder / CONFIG_FILE).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise BrokenArtefact(
                f"{folder / CONFIG_FILE} cannot be read ({error}): replace the file"
            ) from error
        model = cls(ModelConfig.from_json(text))
        model.load_weights(read_weights(folder / WEIGHTS_FILE), folder / WEIGHTS_FILE)
        return model

    def load_weights(self, weights: Mapping[str, Tensor], path: Path) -> None:
        """Takes weights over; `path` says in errors where they came from.

        Raises:
            BrokenArtefact: they are not of this network.
        """
        try:
            self.load_state_dict(dict(weights))
        except RuntimeError as error:
            first = str(error).splitlines()[-1].strip()
            raise BrokenArtefact(f"the weights in {path} do not fit its config ({first})") from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Reads a safetensors file.

    Raises:
        BrokenArtefact: it cannot be read as one.
    """
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BrokenArtefact(f"{path} cannot be read as weights ({error}): replace the file") from error


def _stemmed(
    stem: Stem, stored: Int[Tensor, "B N C H W"], valid: Bool[Tensor, "B N H W"]
) -> tuple[Float[Tensor, "B N H W F"], Bool[Tensor, "BN H W"], Float[Tensor, "BN h w F"]]:
    """Gives a source's features at full resolution, their mask, and its features at L/2.

    Where no gradient is wanted it goes by runs of frames, and the first lie in memory as `pooling` reads them:
    pixel by pixel, the frames of one beside each other.
    """
    num_samples, num_frames, _, height, width = stored.shape
    if torch.is_grad_enabled():
        features, mask = stem(stored.flatten(0, 1), valid.flatten(0, 1))
        near = rearrange(features, "(b n) h w f -> b n h w f", b=num_samples)
        return near, mask, stem.to_half(features, mask)
    size = (num_samples, height, width, num_frames, stem.num_features)
    near = rearrange(torch.empty(size, device=stored.device), "b h w n f -> b n h w f")
    seen, half = [], []
    length = run_length(near[0])
    for sample, first in product(range(num_samples), range(0, num_frames, length)):
        run = slice(first, first + length)
        features, mask = stem.without_gradient(stored[sample, run], valid[sample, run])
        near[sample, run] = features
        seen.append(mask)
        half.append(stem.to_half(features, mask))
    return near, torch.cat(seen), torch.cat(half)
