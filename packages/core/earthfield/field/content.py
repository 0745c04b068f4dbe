"""What a field consists of: its arrays, how its numbers are stored, the names of its files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import FieldKey
from earthfield.codec import DTYPES, QUANTIZATION, band_names
from earthfield.errors import InvalidInput
from earthfield.grid import Window

SCHEMA = "earthfield-field/1"
EMBEDDING = "embedding.tif"
QUALITY = "quality.tif"
PREVIEW = "preview.png"
THREE_AXES = "axes.png"
ITEM = "item.json"
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Embedding:
    """How the vectors of a field are stored: the section `embedding` of its manifest."""

    dimensions: int
    """Length of a vector."""
    dtype: str
    """`int8` (the published code, -128 is no data), `float16` or `float32` (NaN is no data)."""
    bands: tuple[str, ...]
    """Name of each dimension, in the order of the bands."""

    @classmethod
    def of(cls, manifest: Mapping[str, Any]) -> Embedding:
        """Reads the section of a manifest; fields written before there was one hold 64 x int8.

        Raises:
            KeyError, TypeError, ValueError: the section breaks the schema.
        """
        if "embedding" not in manifest:
            return cls(64, "int8", band_names(64))
        section = manifest["embedding"]
        found = cls(int(section["dimensions"]), str(section["dtype"]), tuple(map(str, section["bands"])))
        if found.dtype not in DTYPES or len(found.bands) != found.dimensions:
            raise ValueError("embedding")
        return found

    def section(self) -> dict[str, Any]:
        """Gives the manifest's section."""
        return {
            "dimensions": self.dimensions,
            "dtype": self.dtype,
            "bands": list(self.bands),
            "quantization": QUANTIZATION if self.dtype == "int8" else None,
        }


@dataclass(frozen=True)
class FieldContent:
    """What is written for one field; arrays cover `window`, the files the whole tile."""

    key: FieldKey
    """Which field."""
    window: Window
    """Pixels in the zone's grid that the arrays hold."""
    codes: NDArray[Any]
    """(D, h, w): int8 codes, -128 where there is no vector; or float16 or float32 values, NaN where there is none.
    `earthfield.codec.stored` makes either of vectors."""
    quality: Mapping[str, NDArray[Any]]
    """Layers by name, (h, w): uint16, 65535 where there is no data; or float, NaN where there is none."""
    preview: NDArray[np.uint8]
    """(h, w, 4) RGBA picture."""
    manifest: Mapping[str, Any]
    """What it was made from; the hashes of the files and the section `embedding` are added."""
    axes: NDArray[np.uint8] | None = None
    """(h, w, 4) RGBA picture of three single axes; none is written where it is absent."""
    bands: tuple[str, ...] | None = None
    """Names of the dimensions; A00, A01, ... where absent."""

    @property
    def embedding(self) -> Embedding:
        """How the vectors are stored.

        Raises:
            InvalidInput: they are of another type, or their names do not fit.
        """
        dim, dtype = len(self.codes), str(self.codes.dtype)
        if dtype not in DTYPES:
            raise InvalidInput(f"vectors of {dtype} cannot be stored: give {', '.join(DTYPES)}")
        bands = self.bands or band_names(dim)
        if len(bands) != dim:
            raise InvalidInput(f"{len(bands)} names were given for {dim} dimensions: give one for each")
        return Embedding(dim, dtype, bands)
