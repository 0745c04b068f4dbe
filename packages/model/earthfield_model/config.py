"""Configuration of a model as data: what it reads of which source, its widths, its bottleneck."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

from earthfield.errors import BrokenArtefact
from earthfield.sources import Band, Source, Transform
from earthfield_model.widths import Widths

SCHEMA = "earthfield-model/1"
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
    """The declared part of one source's stem."""

    name: str
    """Name of the source."""
    nodata: int
    """Stored value of a missing measurement."""
    bands: tuple[BandConfig, ...]
    """Bands in the order of the stem's channels."""
    loss_weight: float = 1.0
    """Weight of its reconstruction."""

    @classmethod
    def of(cls, source: Source) -> SourceConfig:
        """Takes over what a source declares."""
        return cls(source.name, source.nodata, tuple(map(BandConfig.of, source.bands)), source.loss_weight)

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


@dataclass(frozen=True)
class ModelConfig:
    """All that is needed, beside the weights, to build and use a model."""

    name: str
    """The model's name, as in addresses."""
    sources: tuple[SourceConfig, ...]
    """Sources that it reads, sorted by name."""
    widths: Widths
    """Depth and widths."""
    kappa: float = 8e3
    """Concentration of the von Mises-Fisher bottleneck."""

    def source(self, name: str) -> SourceConfig:
        """Gives the part for one source."""
        return next(one for one in self.sources if one.name == name)

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of the sources, sorted."""
        return tuple(one.name for one in self.sources)

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
            if content.pop("schema") != SCHEMA:
                raise BrokenArtefact(f"config.json is not of {SCHEMA}: train or export the model again")
            sources = tuple(
                _built(
                    SourceConfig, one | {"bands": tuple(_built(BandConfig, band) for band in one["bands"])}
                )
                for one in content["sources"]
            )
            return _built(cls, content | {"sources": sources, "widths": _built(Widths, content["widths"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BrokenArtefact(
                f"config.json cannot be read as {SCHEMA} ({error!r}): replace the file"
            ) from error


def model_config(name: str, sources: Sequence[SourceConfig], widths: Widths) -> ModelConfig:
    """Gives a configuration with its sources sorted by name."""
    return ModelConfig(name, tuple(sorted(sources, key=lambda one: one.name)), widths)


def _built(kind: type[T], content: Mapping[str, Any]) -> T:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - known):
        raise ValueError(f"unknown entries {unknown} in {kind.__name__}")
    return kind(**content)
