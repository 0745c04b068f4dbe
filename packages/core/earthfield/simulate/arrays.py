"""Names for the array types this package passes around."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
"""Float32 array; masks and units are told where it is used."""

Ints = NDArray[np.int32]
"""Int32 array of identifiers or indices."""

Codes = NDArray[np.uint8]
"""Uint8 array of class codes."""

Bools = NDArray[np.bool_]
"""Boolean mask; True means the thing named is there."""

Raster = NDArray[Any]
"""A 2-d array on its way into a file, of any dtype."""
