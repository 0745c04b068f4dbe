"""Quality masks: class codes and bit fields turned into "the surface was seen"."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def in_classes(values: NDArray[Any], classes: Iterable[int]) -> NDArray[np.bool_]:
    """Tells where a class map holds one of `classes`.

    Args:
        values: class codes, 0..255, any shape.
        classes: codes that count as clear.

    Returns:
        True where the code is one of them, same shape.
    """
    table = np.zeros(256, bool)
    table[list(classes)] = True
    return table[values.astype(np.uint8)]


def without_bits(values: NDArray[Any], bits: Iterable[int]) -> NDArray[np.bool_]:
    """Tells where none of `bits` is set.

    Args:
        values: bit fields, at most 16 bits, any shape.
        bits: positions counted from the lowest, 0.

    Returns:
        True where all of them are 0, same shape.
    """
    flags = np.uint16(sum(1 << bit for bit in bits))
    hidden: NDArray[np.bool_] = (values.astype(np.uint16) & flags) != 0
    return ~hidden
