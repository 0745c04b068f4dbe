"""Pictures of answers: a raster with a title, axes in metres on the ground, and what its colours mean."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import BoundaryNorm, ListedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from earthfield.grid import PIXEL_M
from earthfield.storage import whole_file
from earthfield_search.ground.coverage import Coverage
from earthfield_search.ground.places import pixel_centre

OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
"""Colours that people with any colour vision tell apart. Source: Okabe and Ito, 2008; black lightened."""
_NO_DATA = "#E8E8E8"
_MAX_SIDE_PX = 2400
_SIDE_IN = 6.4


@dataclass(frozen=True)
class Mark:
    """Points drawn over a picture."""

    rows: Sequence[float]
    """Pixel rows in the zone's grid; x.0 is a pixel's upper edge."""
    cols: Sequence[float]
    """Pixel columns in the zone's grid."""
    label: str
    """What they are, for the legend."""
    style: Mapping[str, Any] = field(default_factory=dict)
    """How matplotlib draws them."""


def class_colours(count: int) -> list[str]:
    """Gives a colour for each of `count` classes: Okabe and Ito's, these lighter, these darker, or viridis."""
    lighter = [_mixed(one, "white", 0.55) for one in OKABE_ITO]
    darker = [_mixed(one, "black", 0.45) for one in OKABE_ITO]
    if count <= 3 * len(OKABE_ITO):
        return [*OKABE_ITO, *lighter, *darker][:count]
    return [to_hex(colormaps["viridis"](number / (count - 1))).upper() for number in range(count)]


def _mixed(colour: str, other: str, share: float) -> str:
    red, green, blue = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))
    return to_hex((red, green, blue)).upper()


def draw_values(
    path: Path,
    values: NDArray[np.float32],
    coverage: Coverage,
    *,
    title: str,
    meaning: str,
    colours: str = "viridis",
    limits: tuple[float, float] | None = None,
    threshold: float | None = None,
    outline: NDArray[np.bool_] | None = None,
    marks: Sequence[Mark] = (),
) -> Path:
    """Draws a layer of numbers (H, W), NaN for no data, with a colour bar.

    Args:
        path: where the PNG goes.
        values: the layer.
        coverage: where it lies.
        title: first line; the second says place and size.
        meaning: what the colour bar shows, with its unit.
        colours: name of a perceptually even colour map.
        limits: values of the first and last colour; the 1st and 99.5th percentile when absent.
        threshold: a value to mark on the colour bar.
        outline: (H, W) where True an area is outlined.
        marks: points to draw.
    """
    figure, axes, view = _canvas(coverage, title)
    low, high = limits or _limits(values)
    image = axes.imshow(
        view.thin(values), extent=view.extent, cmap=colours, vmin=low, vmax=high, interpolation="nearest"
    )
    bar = figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02, extend=_extend(values, low, high))
    bar.set_label(meaning)
    if threshold is not None and low < threshold < high:
        bar.ax.axhline(threshold, color="white", linewidth=2.5)
        bar.ax.axhline(threshold, color="black", linewidth=1.2, linestyle="--")
    if outline is not None and outline.any():
        _outline(axes, view, outline)
    _draw_marks(figure, axes, view, marks)
    return _save(figure, path)


def draw_classes(
    path: Path,
    classes: NDArray[np.uint8],
    coverage: Coverage,
    *,
    title: str,
    names: Sequence[str],
    colours: Sequence[str] | None = None,
) -> Path:
    """Draws a layer of classes (H, W), 1..K, 0 for no data, with a legend; arguments as in `draw_values`."""
    figure, axes, view = _canvas(coverage, title)
    colours = colours or class_colours(len(names))
    shown = np.ma.masked_equal(view.thin(classes), 0)
    norm = BoundaryNorm(np.arange(0.5, len(names) + 1), len(names))
    axes.imshow(shown, extent=view.extent, cmap=ListedColormap(colours), norm=norm, interpolation="nearest")
    handles = [Patch(color=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    if (classes == 0).any():
        handles.append(Patch(color=_NO_DATA, label="no data"))
    columns = 1 if len(handles) <= 20 else math.ceil(len(handles) / 20)
    axes.legend(
        handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), borderaxespad=0, frameon=False,
        ncols=columns, prop={"family": "monospace", "size": 9},
    )  # fmt: skip
    return _save(figure, path)


@dataclass(frozen=True)
class _View:
    """From pixels of the zone's grid to the picture's axes."""

    coverage: Coverage
    unit_m: float
    step: int

    @property
    def extent(self) -> tuple[float, float, float, float]:
        height, width = self.coverage.window.shape
        return 0.0, width * PIXEL_M / self.unit_m, 0.0, height * PIXEL_M / self.unit_m

    def thin(self, layer: NDArray[Any]) -> NDArray[Any]:
        """Gives a layer as the picture shows it; a raster's view is thin already."""
        return layer[:: self.step, :: self.step] if layer.shape == self.coverage.window.shape else layer

    def xy(self, rows: Sequence[float], cols: Sequence[float]) -> tuple[NDArray[Any], NDArray[Any]]:
        window, scale = self.coverage.window, PIXEL_M / self.unit_m
        return (np.asarray(cols) - window.x0) * scale, (window.y1 - np.asarray(rows)) * scale


def _canvas(coverage: Coverage, title: str) -> tuple[Figure, Any, _View]:
    height, width = coverage.window.shape
    longest = max(height, width)
    unit_m, unit = (1000.0, "km") if longest * PIXEL_M >= 3000 else (1.0, "m")
    aspect = min(max(height / width, 0.35), 2.5)
    side_x, side_y = (_SIDE_IN, _SIDE_IN * aspect) if aspect <= 1 else (_SIDE_IN / aspect, _SIDE_IN)
    figure = Figure(figsize=(max(side_x, 3.6) + 1.9, side_y + 1.1), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    axes.set_facecolor(_NO_DATA)
    window = coverage.window
    lon, lat = pixel_centre(coverage.epsg, (window.y0 + window.y1 - 1) / 2, (window.x0 + window.x1 - 1) / 2)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=20)
    where = f"centre {abs(lat):.4f}°{'N' if lat >= 0 else 'S'} {abs(lon):.4f}°{'E' if lon >= 0 else 'W'}"
    size = f"{width * PIXEL_M / unit_m:g} x {height * PIXEL_M / unit_m:g} {unit}"
    axes.text(
        0,
        1.012,
        f"{where}, {size}, EPSG:{coverage.epsg}",
        transform=axes.transAxes,
        fontsize=8.5,
        color="#555555",
    )
    axes.set_xlabel(f"east, {unit}")
    axes.set_ylabel(f"north, {unit}")
    axes.tick_params(labelsize=8.5)
    return figure, axes, _View(coverage, unit_m, max(1, math.ceil(longest / _MAX_SIDE_PX)))


def _limits(values: NDArray[np.float32]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    if not known.size:
        return 0.0, 1.0
    low, high = (float(one) for one in np.percentile(known, (1, 99.5)))
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _extend(values: NDArray[np.float32], low: float, high: float) -> str:
    under, over = bool(np.nanmin(values) < low), bool(np.nanmax(values) > high)
    return {(True, True): "both", (True, False): "min", (False, True): "max", (False, False): "neither"}[
        under, over
    ]


def _outline(axes: Any, view: _View, outline: NDArray[np.bool_]) -> None:
    """Draws the edges between pixels inside and outside, as they are."""
    thin = np.pad(view.thin(outline), 1)
    side, top = view.step * PIXEL_M / view.unit_m, view.extent[3]
    y, x = np.nonzero(thin[1:, 1:-1] != thin[:-1, 1:-1])
    level = np.stack([np.stack([x, x + 1], 1) * side, np.stack([top - y * side] * 2, 1)], axis=2)
    y, x = np.nonzero(thin[1:-1, 1:] != thin[1:-1, :-1])
    upright = np.stack([np.stack([x, x], 1) * side, top - np.stack([y, y + 1], 1) * side], axis=2)
    edges = list(np.concatenate([level, upright]))
    for colour, width in (("white", 2.2), ("black", 0.9)):
        lines = LineCollection(edges, colors=colour, linewidths=width, capstyle="projecting")
        axes.add_collection(lines, autolim=False)


def _draw_marks(figure: Figure, axes: Any, view: _View, marks: Sequence[Mark]) -> None:
    for mark in marks:
        x, y = view.xy(mark.rows, mark.cols)
        halo = [withStroke(linewidth=3.5, foreground="black")]
        axes.scatter(x, y, label=mark.label, path_effects=halo, **mark.style)
    if marks:
        axes.set_xlim(view.extent[:2])
        axes.set_ylim(view.extent[2:])
        figure.legend(loc="outside lower center", ncols=len(marks), frameon=False, fontsize=9)


def _save(figure: Figure, path: Path) -> Path:
    FigureCanvasAgg(figure)
    with whole_file(path) as temporary:
        # Without the library's name, so that equal answers give equal bytes.
        figure.savefig(
            temporary, format="png", metadata={"Software": None}, bbox_inches="tight", pad_inches=0.15
        )
    return path


def draw_panels(
    path: Path,
    pictures: Sequence[tuple[str, NDArray[np.uint8]]],
    values: NDArray[np.float32],
    coverage: Coverage,
    *,
    title: str,
    name: str,
    meaning: str,
    limits: tuple[float, float] | None = None,
    threshold: float | None = None,
    outline: NDArray[np.bool_] | None = None,
) -> Path:
    """Draws pictures (h, w, 4) RGBA with their names, and a layer (H, W) of the same place beside them.

    Args:
        path: where the PNG goes.
        pictures: each with its name; all over the coverage.
        values: the layer, NaN for no data.
        coverage: where they lie.
        title: of all of it; a second line says place and size.
        name: of the layer.
        meaning: what its colour bar shows, with its unit.
        limits: as in `draw_values`.
        threshold: as in `draw_values`.
        outline: as in `draw_values`, drawn over everything.
    """
    height, width = coverage.window.shape
    count, is_wide = len(pictures) + 1, width > 1.6 * height
    side = 3.7
    size = (side * 1.9 + 1.6, side * 1.9 * height / width * count + 1.6)
    if not is_wide:
        size = (side * count + 1.2, side * min(height / width, 2.5) + 0.6)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    grid = figure.subplots(count, 1) if is_wide else figure.subplots(1, count)
    view, unit, where = _place_of(coverage)
    for axes, (label, picture) in zip(grid, pictures, strict=False):
        axes.imshow(picture, extent=view.extent, interpolation="nearest")
        axes.set_title(label, loc="left", fontsize=10)
    low, high = limits or _limits(values)
    image = grid[-1].imshow(
        view.thin(values), extent=view.extent, cmap="cividis", vmin=low, vmax=high, interpolation="nearest"
    )
    grid[-1].set_title(name, loc="left", fontsize=10)
    bar = figure.colorbar(image, ax=grid[-1], shrink=0.85, pad=0.02, extend=_extend(values, low, high))
    bar.set_label(meaning, fontsize=8.5)
    bar.ax.tick_params(labelsize=8)
    if threshold is not None and low < threshold < high:
        bar.ax.axhline(threshold, color="white", linewidth=2.5)
        bar.ax.axhline(threshold, color="black", linewidth=1.2, linestyle="--")
    for axes in grid:
        axes.set_facecolor(_NO_DATA)
        axes.tick_params(labelsize=7.5)
        axes.set_xlabel(f"east, {unit}", fontsize=8)
        if outline is not None and outline.any():
            _outline(axes, view, outline)
    grid[0].set_ylabel(f"north, {unit}", fontsize=8)
    figure.suptitle(f"{title}\n{where}", x=0.01, ha="left", fontsize=10.5)
    return _save(figure, path)


def _place_of(coverage: Coverage) -> tuple[_View, str, str]:
    """Gives how a coverage is laid on axes, their unit, and its place and size in words."""
    height, width = coverage.window.shape
    longest, window = max(height, width), coverage.window
    unit_m, unit = (1000.0, "km") if longest * PIXEL_M >= 3000 else (1.0, "m")
    lon, lat = pixel_centre(coverage.epsg, (window.y0 + window.y1 - 1) / 2, (window.x0 + window.x1 - 1) / 2)
    centre = f"centre {abs(lat):.4f}°{'N' if lat >= 0 else 'S'} {abs(lon):.4f}°{'E' if lon >= 0 else 'W'}"
    size = f"{width * PIXEL_M / unit_m:g} x {height * PIXEL_M / unit_m:g} {unit}"
    view = _View(coverage, unit_m, max(1, math.ceil(longest / _MAX_SIDE_PX)))
    return view, unit, f"{centre}, {size}, EPSG:{coverage.epsg}"


def draw_lines(
    path: Path,
    labels: Sequence[str],
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    meaning: str,
    marked: Sequence[bool] = (),
    marked_as: str = "",
) -> Path:
    """Draws a line for each name over the same labels, NaN where a line has a gap.

    Args:
        path: where the PNG goes.
        labels: what stands below, west to east.
        lines: values by name.
        title: first line.
        meaning: what the values are.
        marked: which labels a dotted line stands at.
        marked_as: what such a line says.
    """
    figure = Figure(figsize=(max(6.4, 0.62 * len(labels) + 3.4), 4.2), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(labels))
    for colour, (name, values) in zip(class_colours(len(lines)), lines.items(), strict=True):
        axes.plot(places, values, marker="o", markersize=4.5, linewidth=1.8, color=colour, label=name)
    at = [place for place, mark in zip(places, marked, strict=False) if mark]
    for number, place in enumerate(at):
        axes.axvline(
            float(place), color="#555555", linewidth=1, linestyle=":", label=marked_as if not number else None
        )
    many = len(labels) > 6
    axes.set_xticks(places, labels, rotation=30 if many else 0, ha="right" if many else "center")
    axes.set_ylabel(meaning)
    axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
    axes.tick_params(labelsize=8.5)
    axes.grid(axis="y", color="#DDDDDD", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), borderaxespad=0, frameon=False, fontsize=8.5)
    return _save(figure, path)
