"""What travels between a client and a served encoder: tensors by name, and the model's account of itself."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, InvalidInput
from earthfield.frames import Frames, SourceFrames
from earthfield.timeline import Period

PROTOCOL = 1
"""Client and repository must agree on it; it rises when tensors change their meaning."""
ACCOUNT = "earthfield"
"""Parameter of a model's config.pbtxt that holds its account as JSON."""
CONFIG_PBTXT = "config.pbtxt"
"""File that makes a folder a model of a repository."""
PERIODS, VECTORS, FINGERPRINT = "periods", "vectors", "fingerprint"
FINGERPRINT_BYTES = 32
GUARD = "earthfield-key"
"""Header that a server which others can reach asks for, before it loads a model or shares memory."""
KEY_VARIABLE = "EARTHFIELD_ENCODER_KEY"
"""Environment variable with what the header must say, for the server and for those who may."""
MULTIPLE_PX = 16
"""Rows and columns of a window are multiples of this."""

DTYPES = {"uint8": "UINT8", "int8": "INT8", "int16": "INT16", "uint16": "UINT16", "int32": "INT32"}
"""Triton's names of the types that stored integers travel in."""

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class ServedSource:
    """How the observations of one source travel."""

    name: str
    """Name of the source."""
    bands: tuple[str, ...]
    """Bands along the band axis."""
    nodata: int
    """Stored value of a missing measurement."""
    dtype: str
    """Integer type of stored values, a key of `DTYPES`."""

    @property
    def values(self) -> str:
        """Tensor of stored integers, (1, T, B, H, W)."""
        return f"{self.name}.values"

    @property
    def valid(self) -> str:
        """Tensor of masks, (1, T, H, W) bool, true where the surface was seen."""
        return f"{self.name}.valid"

    @property
    def acquired(self) -> str:
        """Tensor of instants, (1, T) int64, microseconds since 1970 UTC."""
        return f"{self.name}.acquired"


@dataclass(frozen=True)
class Served:
    """A served model's account of itself, the same for all its versions."""

    model: str
    """The model's name, as in addresses."""
    dim: int
    """Length of an embedding."""
    sources: tuple[ServedSource, ...]
    """What it reads, sorted by name; a request may leave out any."""
    num_instances: int = 1
    """Copies of it that compute side by side."""
    precision: str = "float32"
    """In what it computes: `float32`, or `bf16` for matrix products in bfloat16."""

    @property
    def source_names(self) -> tuple[str, ...]:
        """Names of what it reads."""
        return tuple(one.name for one in self.sources)

    def to_json(self) -> str:
        """Writes it; equal accounts give equal text."""
        return json.dumps({"protocol": PROTOCOL, **asdict(self)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Served:
        """Reads what `to_json` wrote.

        Raises:
            BrokenArtefact: it is something else, or of another protocol.
        """
        try:
            content = json.loads(text)
            if (found := content.pop("protocol")) != PROTOCOL:
                raise BrokenArtefact(
                    f"the model was exported for protocol {found} and this program speaks {PROTOCOL}: export it "
                    "again with `earthfield model export --triton`, by the version of Earthfield that asks"
                )
            sources = tuple(
                ServedSource(**{**one, "bands": tuple(one["bands"])}) for one in content.pop("sources")
            )
            return cls(sources=sources, **content)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BrokenArtefact(f"the served model gives no account of itself ({error!r})") from error


def periods_tensor(periods: Sequence[Period]) -> NDArray[np.int64]:
    """Gives [start, end) of periods, (1, P, 2) microseconds since 1970 UTC.

    Raises:
        InvalidInput: there is none.
    """
    if not periods:
        raise InvalidInput("name at least one valid period to encode")
    edges = [[one.replace(tzinfo=None) for one in (period.start, period.end)] for period in periods]
    return np.array(edges, "datetime64[us]").astype(np.int64)[None]


def periods_of(tensor: NDArray[np.int64]) -> list[Period]:
    """Reads what `periods_tensor` wrote.

    Raises:
        InvalidInput: a period ends before it starts, or lies beyond the calendar.
    """
    edges = tensor.reshape(-1, 2).astype("datetime64[us]").tolist()
    if any(isinstance(edge, int) for pair in edges for edge in pair):
        raise InvalidInput("a period lies beyond the calendar: give microseconds since 1970 UTC")
    return [Period(start, end) for start, end in edges]


def shape_of(frames: Frames, served: Served) -> tuple[int, int]:
    """Gives rows and columns of frames that the model can read.

    Raises:
        InvalidInput: no source that it reads, sizes that differ or are no multiple of 16, or no integers.
    """
    known = {name: one for name, one in frames.items() if name in served.source_names}
    shapes = {one.shape for one in known.values()}
    if len(shapes) != 1:
        raise InvalidInput(
            f"frames of {', '.join(frames) or 'no source'} with sizes {sorted(shapes)} cannot be encoded: the "
            f"model {served.model} reads {', '.join(served.source_names)} over windows of one size"
        )
    (height, width) = shape = shapes.pop()
    if height % MULTIPLE_PX or width % MULTIPLE_PX or not height or not width:
        raise InvalidInput(f"a window of {height} x {width} px is not a multiple of {MULTIPLE_PX} px")
    for name, one in known.items():
        if not np.issubdtype(one.values.dtype, np.integer) or one.valid.dtype != bool:
            raise InvalidInput(
                f"frames of {name} are {one.values.dtype} with masks of {one.valid.dtype}: give stored integers "
                "and boolean masks"
            )
    return shape


def showing(frames: SourceFrames) -> NDArray[np.intp]:
    """Gives the places of the frames that show anything; nothing else has to travel."""
    return np.flatnonzero(frames.valid.any(axis=(1, 2)))


def write_frames(one: SourceFrames, which: NDArray[np.intp], source: ServedSource, into: Tensors) -> None:
    """Writes some frames of a source into tensors of the wire, bands by name.

    Args:
        one: the frames.
        which: places of those that travel.
        source: how they travel; its nodata stands where a band was not measured.
        into: the tensors, by name.

    Raises:
        InvalidInput: a value does not fit the type that travels.
    """
    values = into[source.values][0]
    for to, band in enumerate(source.bands):
        if band not in one.bands:
            values[:, to] = source.nodata
            continue
        stored = one.values[:, one.bands.index(band)]
        if one.nodata != source.nodata:
            stored = stored.astype(np.int64)
            stored[stored == one.nodata] = source.nodata
        if not np.can_cast(stored.dtype, values.dtype):
            _check_range(stored[which], values.dtype, f"{source.name} {band}")
        for place, frame in enumerate(which):
            values[place, to] = stored[frame]
    into[source.valid][0] = one.valid[which]
    into[source.acquired][0] = one.acquired[which].astype("datetime64[us]").astype(np.int64)


def read_frames(tensors: Tensors, source: ServedSource) -> SourceFrames | None:
    """Reads the frames of a source from tensors of the wire; None where the request leaves the source out.

    Raises:
        InvalidInput: some of its tensors are left out, do not fit one another or are of two windows.
    """
    names = (source.values, source.valid, source.acquired)
    held = [name for name in names if name in tensors]
    if not held:
        return None
    if len(held) != len(names):
        raise InvalidInput(f"the request holds {', '.join(held)} alone: {', '.join(names)} go together")
    values, valid, acquired = (tensors[name] for name in names)
    if {len(values), len(valid), len(acquired)} != {1}:
        raise InvalidInput(
            f"the request holds {source.name} of {len(values)} windows: send one window a request"
        )
    return SourceFrames(
        source.name, source.bands, values[0], valid[0].astype(bool, copy=False),
        acquired[0].astype("datetime64[us]"), source.nodata,
    )  # fmt: skip


def _check_range(stored: NDArray[Any], dtype: np.dtype[Any], what: str) -> None:
    limits = np.iinfo(dtype)
    if stored.size and (stored.min() < limits.min or stored.max() > limits.max):
        raise InvalidInput(
            f"stored values of {what} lie between {stored.min()} and {stored.max()}, and the served model takes "
            f"{dtype}: export it again by a program that knows the source"
        )
