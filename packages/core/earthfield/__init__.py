"""Earthfield: embedding fields from satellite archives, made and searched on your own machines.

In a notebook:

    >>> import earthfield
    >>> catalog = earthfield.Catalog(earthfield.Path("earthfield-data"))
    >>> for key in catalog.fields(model="starter"):
    ...     vectors = earthfield.Field(catalog, key).vectors()  # (H, W, 64) float32, NaN where there is none
"""

from pathlib import Path

from earthfield.catalog import Catalog, FieldKey
from earthfield.codec import dequantise, normalised, quantise
from earthfield.cube import Cube, CubeReader
from earthfield.field import Field
from earthfield.grid import Tile, Window
from earthfield.timeline import Period

__all__ = [
    "Catalog",
    "Cube",
    "CubeReader",
    "Field",
    "FieldKey",
    "Path",
    "Period",
    "Tile",
    "Window",
    "dequantise",
    "normalised",
    "quantise",
]
