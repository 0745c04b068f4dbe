"""Quality masks and class maps: codes and bit fields turned into "the surface was seen", or into known classes."""

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


def bit_range(values: NDArray[Any], first: int, count: int) -> NDArray[np.uint16]:
    """Reads the number that some neighbouring bits of a bit field make.

    Args:
        values: bit fields, at most 16 bits, any shape.
        first: the lowest bit, counted from 0.
        count: how many bits.

    Returns:
        Numbers from 0 to 2^count - 1, same shape.
    """
    return (values.astype(np.uint16) >> np.uint16(first)) & np.uint16((1 << count) - 1)


def known_classes(raw: NDArray[Any], classes: Iterable[int], *, nodata: int) -> NDArray[np.uint8]:
    """Keeps the codes of a class map that have a name.

    Args:
        raw: class codes, float, NaN where the map tells none.
        classes: codes that have a name, 0..255.
        nodata: stored instead of every other code.

    Returns:
        uint8 of the same shape.
    """
    table = np.full(256, nodata, np.uint8)
    codes = np.array(sorted(classes))
    table[codes] = codes
    coded = np.isfinite(raw) & (raw >= 0) & (raw <= 255)
    return np.where(coded, table[np.where(coded, raw, 0).astype(np.uint8)], np.uint8(nodata))
