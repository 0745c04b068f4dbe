"""Wall to wall: what an estimator says of every pixel of a coverage, strip by strip, as rasters of any size."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield.codec import is_missing, values_of
from earthfield.grid import Window
from earthfield.progress import Progress, silent
from earthfield.storage import make_folder, writing
from earthfield_search.ground.coverage import Coverage
from earthfield_search.ground.pixels import Block, blocks

_CHUNK_PX = 1 << 16

Predict = Callable[[NDArray[np.float32]], Sequence[NDArray[Any]]]
"""(n, D) unit vectors without gaps to one (n,) array for each layer, in the layers' own types."""


@dataclass(frozen=True)
class Layer:
    """One number for every pixel."""

    dtype: str
    """Its type."""
    nodata: float
    """What stands where there is no vector, or no area."""


class Predicted:
    """Layers of a coverage on disk, until they are written as rasters; nothing is held in memory."""

    def __init__(self, layers: Mapping[str, Layer], folder: Path) -> None:
        """Keeps what comes in files of a folder."""
        self._layers = layers
        self._paths = {name: folder / f"{number}.raw" for number, name in enumerate(layers)}
        self._windows: list[Window] = []

    def put(self, window: Window, values: Sequence[NDArray[Any]]) -> None:
        """Takes the values (h, w) of each layer over a window, after those of the windows before it."""
        self._windows.append(window)
        for path, own in zip(self._paths.values(), values, strict=True):
            with path.open("ab") as file:
                file.write(np.ascontiguousarray(own).data)

    def strips(self, name: str) -> Iterator[tuple[Window, NDArray[Any]]]:
        """Yields a layer in the order in which it came."""
        with self._paths[name].open("rb") as file:
            for window in self._windows:
                height, width = window.shape
                values = np.fromfile(file, self._layers[name].dtype, height * width)
                yield window, values.reshape(height, width)


@contextmanager
def predicted(
    coverage: Coverage,
    layers: Mapping[str, Layer],
    predict: Predict,
    *,
    beside: Path,
    progress: Progress = silent,
    task: str = "telling every pixel",
) -> Iterator[Predicted]:
    """Predicts every pixel of a coverage.

    Args:
        coverage: of fields of one model and period, with or without an area.
        layers: what is told of each pixel, by name.
        predict: tells it.
        beside: folder in which the layers lie until the block ends.
        progress: told after each strip.
        task: what progress calls it.
    """
    make_folder(beside)
    with writing(beside), tempfile.TemporaryDirectory(dir=beside, prefix=".writing-") as scratch:
        found = Predicted(layers, Path(scratch))
        total = len(list(coverage.strips()))
        for done, block in enumerate(blocks(coverage), 1):
            found.put(block.window, _of_block(block, layers, predict))
            progress(task, done, total)
        yield found


def _of_block(block: Block, layers: Mapping[str, Layer], predict: Predict) -> list[NDArray[Any]]:
    shape = block.window.shape
    codes = block.codes.reshape(len(block.codes), -1)
    wanted = ~is_missing(block.codes).ravel()
    if block.inside is not None:
        wanted &= block.inside.ravel()
    found = [np.full(len(wanted), one.nodata, one.dtype) for one in layers.values()]
    places = np.flatnonzero(wanted)
    whole = len(places) == len(wanted)
    for start in range(0, len(places), _CHUNK_PX):
        rows = places[start : start + _CHUNK_PX]
        own = codes[:, start : start + _CHUNK_PX] if whole else codes[:, rows]
        values = values_of(own)
        norm = np.sqrt(np.einsum("dn,dn->n", values, values))
        # A vector of zeros has no direction: no data, as elsewhere.
        known = norm > 0
        values /= np.where(known, norm, 1)
        for layer, told in zip(found, predict(values.T), strict=True):
            layer[rows] = np.where(known, told, layer[rows])
    return [layer.reshape(shape) for layer in found]
