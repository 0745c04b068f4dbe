"""Draws the README's picture from a mapped place: a clear day, the field, and what is alike.

Run: `earthfield map --catalog ../shared/data/places/flanders_a --period 2018 --root /tmp/flanders`, then
`python docs/pictures/make.py /tmp/flanders docs/pictures/flanders.png`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.field import fields_of
from earthfield.grid import Window
from earthfield.timeline import Period
from earthfield_analysis.project import pca_rgb

YEAR = Period.parse("2018")
CLICK = (26, 33)
"""Row and column of the marked pixel."""


def joined(catalog: Catalog) -> tuple[int, Window, NDArray[np.float32]]:
    """Gives zone, window and vectors of all tiles of the year side by side."""
    fields = fields_of(catalog, "starter", YEAR.id)
    window = fields[0].window
    for field in fields[1:]:
        window = window | field.window
    vectors = np.full((*window.shape, 64), np.nan, np.float32)
    for field in fields:
        vectors[field.window.shifted(-window.y0, -window.x0).slices] = field.vectors()
    return fields[0].key.tile.epsg, window, vectors


def clear_day(catalog: Catalog, epsg: int, window: Window) -> tuple[NDArray[np.float32], str]:
    """Gives the clearest summer day in natural colours."""
    frames = CubeReader(catalog, ["sentinel-2-l2a"]).read(epsg, window, Period.parse("2018-06..2018-07"))
    one = frames["sentinel-2-l2a"]
    best = int(one.valid.mean(axis=(1, 2)).argmax())
    bands = [one.bands.index(name) for name in ("B04", "B03", "B02")]
    rgb = np.moveaxis(one.values[best][bands], 0, -1).astype(np.float32)
    return np.clip(rgb / 2000, 0, 1) ** 0.7, str(one.acquired[best])[:10]


def main(root: Path, picture: Path) -> None:
    """Draws the three panels."""
    catalog = Catalog(root)
    epsg, window, vectors = joined(catalog)
    rgb, day = clear_day(catalog, epsg, window)
    similarity = vectors @ vectors[CLICK]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4.6), layout="constrained")
    extent = (0, window.shape[1] * 10, 0, window.shape[0] * 10)
    axes[0].imshow(rgb, extent=extent, interpolation="nearest")
    axes[0].set_title(f"Sentinel-2, {day}")
    axes[1].imshow(pca_rgb(vectors), extent=extent, interpolation="nearest")
    axes[1].set_title("embedding field of 2018 (first three components)")
    low = float(np.nanpercentile(similarity, 2))
    shown = axes[2].imshow(
        similarity, extent=extent, interpolation="nearest", cmap="viridis", vmin=low, vmax=1
    )
    axes[2].set_title("how alike every pixel is to the marked one")
    figure.colorbar(shown, ax=axes[2], shrink=0.85, label="cosine")
    for axis in axes:
        axis.plot(CLICK[1] * 10 + 5, extent[3] - CLICK[0] * 10 - 5, "w+", markersize=12, markeredgewidth=2)
        axis.set_xlabel("m")
        axis.set_yticks([])
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
