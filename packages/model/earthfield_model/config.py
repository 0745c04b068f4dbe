"""Configuration of a model as data: what it reads of which source, its widths, its bottleneck."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.sources import Band, Cadence, Loss, Source, Transform
from earthfield_model.widths import Widths

SCHEMA = "earthfield-model/2"
EMBEDDING_DIM = 64
MULTIPLE_PX = 16
"""Windows are multiples of this, because the space operator works at L/16."""

T = TypeVar("T")


@dataclass(frozen=True)
class BandConfig:
    """How a stored integer of one band becomes what the network sees."""

    name: str
    """Name in the cube; frames are matched to it by name, never by position."""
    scale: float = 1.0
    """Physical value = stored x scale + offset."""
    offset: float = 0.0
    """See `scale`."""
    transform: Transform = "log_reflectance"
    """Applied to the physical value before it is standardised."""
    mean: float = 0.0
    """Mean of the transformed values over the training sites."""
    std: float = 1.0
    """Their standard deviation."""

    @classmethod
    def of(cls, band: Band) -> BandConfig:
        """Takes over what a source declares; statistics are put in with `with_statistics`."""
        return cls(band.name, band.scale, band.offset, band.transform)


@dataclass(frozen=True)
class SourceConfig:
    """The declared part of one source: what its stem reads, and how its reconstruction is measured.

    Raises:
        InvalidInput: its classes do not fit its loss or its bands.
    """

    name: str
    """Name of the source."""
    nodata: int
    """Stored value of a missing measurement."""
    bands: tuple[BandConfig, ...]
    """Bands in the order of the stem's channels."""
    loss_weight: float = 1.0
    """Weight of its reconstruction."""
    is_input: bool = True
    """Whether the encoder sees it: it then has a stem."""
    is_target: bool = True
    """Whether it is reconstructed: it then has a decoder."""
    loss: Loss = "l1"
    """Kind of its reconstruction loss."""
    shift_m: float = 0.0
    """The loss is the least over shifts up to this, metres."""
    regrid_m: float = 0.0
    """Cells on which values are compared as means, metres; 0 for pixel by pixel."""
    cadence: Cadence = "instant"
    """Whether a frame is an acquisition, stands for an interval, or for all time."""
    is_coarse: bool = False
    """Whether it lies on a grid of its own: its one cell nearest the sample is compared with the sample's mean."""
    classes: tuple[int, ...] = ()
    """Stored codes, ascending, where values are classes; the decoder gives a logit for each."""

    def __post_init__(self) -> None:
        if (self.loss == "cross_entropy") != bool(self.classes) or (self.classes and len(self.bands) != 1):
            raise InvalidInput(
                f"{self.name}: classes go with the loss cross_entropy and one band, not with {self.loss} and "
                f"{len(self.bands)} bands"
            )

    @classmethod
    def of(cls, source: Source) -> SourceConfig:
        """Takes over what a source declares."""
        return cls(
            source.name,
            source.nodata,
            tuple(map(BandConfig.of, source.bands)),
            source.loss_weight,
            is_input="input" in source.roles,
            is_target="target" in source.roles,
            loss=source.loss,
            shift_m=source.shift_m,
            regrid_m=source.regrid_m,
            cadence=source.cadence,
            is_coarse=source.lattice is not None,
            classes=tuple(sorted(source.classes or ())) if source.loss == "cross_entropy" else (),
        )

    def with_statistics(self, statistics: Mapping[str, tuple[float, float]]) -> SourceConfig:
        """Puts (mean, std) by band name in; bands that nobody measured keep 0 and 1."""
        bands = (
            replace(band, mean=statistics[band.name][0], std=statistics[band.name][1])
            if band.name in statistics
            else band
            for band in self.bands
        )
        return replace(self, bands=tuple(bands))

    @property
    def band_names(self) -> tuple[str, ...]:
        """Names of the bands, in order."""
        return tuple(band.name for band in self.bands)

    @property
    def num_outputs(self) -> int:
        """Figures that its decoder gives for a pixel: one a band, or one a class."""
        return len(self.classes) or len(self.bands)


@dataclass(frozen=True)
class TextConfig:
    """The text network: which frozen sentence vectors it reads, and its size."""

    encoder: str = "landscape-words-1"
    """Name of the sentence model, as in `sentence_encoder`."""
    dim: int = 384
    """Length of its vectors."""
    hidden: int = 256
    """Hidden features."""
    scale: float = 1 / 0.07
    """Factor on cosines in the contrastive loss, before any of it is learned."""


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed, beside the weights, to build and use a model."""

    name: str
    """The model's name, as in addresses."""
    sources: tuple[SourceConfig, ...]
    """Sources that it reads or reconstructs, sorted by name."""
    widths: Widths
    """Depth and widths."""
    kappa: float = 8e3
    """Concentration of the von Mises-Fisher bottleneck."""
    text: TextConfig | None = None
    """The text network; None in a model that was trained without texts."""

    def source(self, name: str) -> SourceConfig:
        """Gives the part for one source."""
        return next(one for one in self.sources if one.name == name)

    @property
    def inputs(self) -> tuple[SourceConfig, ...]:
        """Sources that the encoder sees, sorted by name."""
        return tuple(one for one in self.sources if one.is_input)

    @property
    def targets(self) -> tuple[SourceConfig, ...]:
        """Sources that are reconstructed, sorted by name."""
        return tuple(one for one in self.sources if one.is_target)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources that the encoder sees, sorted."""
        return tuple(one.name for one in self.inputs)

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the sources that are reconstructed, sorted."""
        return tuple(one.name for one in self.targets)

    def to_json(self) -> str:
        """Writes it; equal configurations give equal text."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> ModelConfig:
        """Reads what `to_json` wrote.

        Raises:
            BrokenArtefact: the text is something else, or of another version.
        """
        try:
            content = json.loads(text)
            if (found := content.pop("schema")) != SCHEMA:
                raise BrokenArtefact(
                    f"config.json is of {found}, this program reads {SCHEMA}: train the model again, or use the "
                    f"version of Earthfield that made it"
                )
            sources = tuple(map(_source, content["sources"]))
            texts = _built(TextConfig, content["text"]) if content.get("text") else None
            widths = _built(Widths, content["widths"])
            return _built(cls, content | {"sources": sources, "widths": widths, "text": texts})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BrokenArtefact(
                f"config.json cannot be read as {SCHEMA} ({error!r}): replace the file"
            ) from error


def model_config(name: str, sources: Sequence[SourceConfig], widths: Widths) -> ModelConfig:
    """Gives a configuration with its sources sorted by name."""
    return ModelConfig(name, tuple(sorted(sources, key=lambda one: one.name)), widths)


def _source(content: Mapping[str, Any]) -> SourceConfig:
    parts = {
        "bands": tuple(_built(BandConfig, band) for band in content["bands"]),
        "classes": tuple(content["classes"]),
    }
    return _built(SourceConfig, {**content, **parts})


def _built(kind: type[T], content: Mapping[str, Any]) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - known):
        raise ValueError(f"unknown entries {unknown} in {kind.__name__}")
    return kind(**content)
