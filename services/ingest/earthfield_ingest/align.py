"""Alignment: the acquisitions of one 5-day step put together, arrays in, arrays out; nothing is interpolated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray


def clearest_first(
    clear: Sequence[NDArray[np.bool_]], acquired: Sequence[datetime], ids: Sequence[str]
) -> list[int]:
    """Orders acquisitions by their number of clear pixels; ties by time, then by id.

    Args:
        clear: (H, W) per acquisition, True where it shows the surface.
        acquired: its instant.
        ids: its id.

    Returns:
        Places in the given sequences, clearest first.
    """
    counts = [int(one.sum()) for one in clear]
    return sorted(range(len(ids)), key=lambda place: (-counts[place], acquired[place], ids[place]))


class Composite:
    """The frame of one step as acquisitions are laid into it, clearest first.

    A pixel belongs wholly to one acquisition: all its bands come from the same instant.
    """

    def __init__(self, num_bands: int, shape: tuple[int, int], *, dtype: str, nodata: int) -> None:
        """Args: bands; rows and columns; integer type of the values; value where nothing was seen."""
        self.values = np.full((num_bands, *shape), nodata, dtype)
        """(B, H, W) stored values; nodata where nothing was seen."""
        self._bits = f"i{self.values.itemsize}"
        self.valid = np.zeros(shape, bool)
        """(H, W) True where the surface was seen."""

    @property
    def full(self) -> bool:
        """Whether every pixel has been seen."""
        return bool(self.valid.all())

    def gains(self, clear: NDArray[np.bool_]) -> bool:
        """Tells whether an acquisition that is clear there would add a pixel."""
        return bool((clear & ~self.valid).any())

    def lay(self, values: NDArray[np.integer], clear: NDArray[np.bool_]) -> int:
        """Fills the pixels that are still unseen and clear in this acquisition.

        Args:
            values: (B, H, W) stored values.
            clear: (H, W) True where they show the surface.

        Returns:
            How many pixels it gave.
        """
        new = clear & ~self.valid
        count = int(np.count_nonzero(new))
        if count == new.size:
            self.values[:] = values
        elif count:
            # A masked copy by bits: several times faster than numpy's, which branches at every pixel.
            bits = np.negative(new.astype(self._bits))
            for own, given in zip(self.values.view(self._bits), values.view(self._bits), strict=True):
                own ^= (own ^ given) & bits
        self.valid |= new
        return count
