"""Previews: a tile's observations as one picture, every 5-day step in its place and every gap to be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from earthfield.cube import Cube
from earthfield.errors import NotFound
from earthfield.schemas import INPUT_SOURCES
from earthfield.storage import whole_file
from earthfield.timeline import Period, step_start
from earthfield_ingest.quicklook import Look, look
from earthfield_ingest.timeline import Stretch, Track, middle, month_starts, stretches

_CELL_PX = 56
"""Longest side of a picture of a step."""
_GAP_PX = 4
_LONGEST = 37
"""Steps in one row: half a year."""
_GUTTER_PX = 232
_MARGIN_PX = 36
_BLOCK_GAP_PX = 30
_PAGE, _INK, _SOFT, _LINE = (252, 252, 250), (32, 36, 40), (120, 126, 132), (229, 230, 226)
_HIDDEN = (213, 214, 211)
_SCALE = 2
"""Pixels of the picture for each pixel of the layout: text stays sharp on fine screens."""


@dataclass(frozen=True)
class Preview:
    """A picture that was made, and what it shows."""

    tile: str
    """Id of the tile."""
    path: Path
    """The picture."""
    steps: range
    """The 5-day steps on its line."""
    tracks: tuple[Track, ...]
    """The sources on that line."""

    def as_json(self) -> dict[str, Any]:
        """As plain content: by source, each step's first day with the share of pixels that it shows."""
        shown = {
            one.source: {
                f"{step_start(step):%Y-%m-%d}": round(share, 4) for step, share in one.shares.items()
            }
            for one in self.tracks
        }
        return {"tile": self.tile, "path": str(self.path), "sources": shown}


def make_preview(
    path: Path, cube: Cube, *, sources: Sequence[str] = (), period: Period | None = None
) -> Preview:
    """Draws a tile's observations into a PNG; the arguments and errors are those of `looks_of`."""
    looks = looks_of(cube, sources=sources, period=period)
    steps, tile = span_of(looks, period), cube.place.tile.id
    write_preview(path, looks, steps, title=f"Tile {tile}")
    return Preview(tile, path, steps, tuple(one.track for one in looks if not one.stands))


def looks_of(cube: Cube, *, sources: Sequence[str] = (), period: Period | None = None) -> list[Look]:
    """Reads the small pictures of a tile, optical sources first.

    Args:
        cube: the tile's.
        sources: names; all that the cube holds without.
        period: frames acquired in it; all without.

    Raises:
        NotFound: the cube lacks a source, or holds nothing of the period.
    """
    names = sorted(sources or cube.sources, key=lambda name: (_rank(name), name))
    found = [look(cube, name, period=period, side_px=_CELL_PX * _SCALE) for name in names]
    if not any(one.shots for one in found):
        when = f" of {period}" if period else ""
        raise NotFound(
            f"the cube {cube.place} holds no frame{when} of {', '.join(names) or 'any source'}: "
            "run `earthfield ingest` for it, or name another --period"
        )
    return [one for one in found if one.shots or sources]


def span_of(looks: Sequence[Look], period: Period | None = None) -> range:
    """Gives the steps that a preview shows: the period's, or from the first to the last observation."""
    steps = [step for one in looks if not one.stands for step in one.shots]
    if period is not None:
        return period.steps
    return range(min(steps), max(steps) + 1) if steps else range(0)


def write_preview(path: Path, looks: Sequence[Look], steps: range, *, title: str) -> Path:
    """Draws the picture and writes it whole, as PNG; errors as in `earthfield.storage.writing`."""
    picture = draw(looks, steps, title=title)
    with whole_file(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=4)
    return path


def draw(looks: Sequence[Look], steps: range, *, title: str) -> Image.Image:
    """Draws one row a source and one place a step, in half-years below one another.

    A step without an observation is an empty frame, a pixel that was hidden is grey. What stands for years or for
    all time (elevation, land cover) follows below.
    """
    moving = [one for one in looks if not one.stands]
    page = _Page(looks, stretches(steps, longest=_LONGEST) if moving else [])
    page.head(title, steps)
    for part in page.parts:
        page.block(part, moving)
    page.standing([one for one in looks if one.stands and one.shots])
    return page.image


def _rank(name: str) -> int:
    return INPUT_SOURCES.index(name) if name in INPUT_SOURCES else len(INPUT_SOURCES)


class _Page:
    """The picture in the making, from top to bottom; lengths are those of the layout."""

    def __init__(self, looks: Sequence[Look], parts: list[Stretch]) -> None:
        self.parts = parts
        self._cell = _cell(looks)
        cells = max((part.length for part in parts), default=12)
        num_moving = sum(not one.stands for one in looks)
        standing = any(one.stands and one.shots for one in looks)
        row = self._cell[1] + _GAP_PX
        width = max(_GUTTER_PX + cells * (self._cell[0] + _GAP_PX), 640) + 2 * _MARGIN_PX
        height = 2 * _MARGIN_PX + 56 + len(parts) * (num_moving * row + 30 + _BLOCK_GAP_PX)
        height += row + 60 if standing else -_BLOCK_GAP_PX
        self.image = Image.new("RGB", (width * _SCALE, height * _SCALE), _PAGE)
        self._pen = ImageDraw.Draw(self.image)
        self._width, self._y = width, _MARGIN_PX

    def head(self, title: str, steps: range) -> None:
        """Writes what it is, and what its signs mean."""
        self._text(_MARGIN_PX, self._y, title, size=20)
        if steps:
            when = f"{step_start(steps[0] + 1):%B %Y} to {step_start(steps[-1]):%B %Y}, one place for every 5 days"
            self._text(_MARGIN_PX, self._y + 28, when, size=12, fill=_SOFT)
        x, y = self._width - _MARGIN_PX - 258, self._y + 6
        self._pen.rectangle(self._box(x, y, 14, 14), fill=_HIDDEN)
        self._text(x + 22, y, "hidden or unseen", size=12, fill=_SOFT)
        self._pen.rectangle(self._box(x + 142, y, 14, 14), outline=_LINE, width=_SCALE)
        self._text(x + 164, y, "no observation", size=12, fill=_SOFT)
        self._y += 56

    def block(self, part: Stretch, looks: Sequence[Look]) -> None:
        """Draws a half-year: its months, then a row for each source."""
        step_px, tall = self._cell[0] + _GAP_PX, self._cell[1]
        x0 = _MARGIN_PX + _GUTTER_PX + part.offset * step_px
        bottom = self._y + 30 + len(looks) * (tall + _GAP_PX) - _GAP_PX
        self._text(_MARGIN_PX, self._y + 4, part.year, size=18)
        starts = month_starts(part.steps)
        for step, name in starts.items():
            x = x0 + (step - part.steps[0]) * step_px
            self._pen.line(self._points(x - _GAP_PX / 2, self._y + 8, x - _GAP_PX / 2, bottom), _LINE, _SCALE)
            if step + 1 not in starts:
                self._text(x + 3, self._y + 8, name, size=12, fill=_SOFT)
        self._y += 30
        for one in looks:
            self._row(one, part.steps, x0)
            self._y += tall + _GAP_PX
        self._y += _BLOCK_GAP_PX

    def standing(self, looks: Sequence[Look]) -> None:
        """Draws what holds for years or for all time."""
        if not looks:
            return
        self._text(_MARGIN_PX, self._y + 4, "Lasting", size=18)
        self._y += 34
        x: float = _MARGIN_PX
        for one in looks:
            for step in one.shots:
                self._thumb(one, step, x)
                name = one.title if one.shows == "elevation" else f"{one.title}, {middle(step):%Y}"
                self._text(x, self._y + self._cell[1] + 6, name, size=11, fill=_SOFT)
                x += max(self._cell[0], self._length(name, 11)) + 18

    def _row(self, one: Look, steps: range, x0: int) -> None:
        wide, tall = self._cell
        held = sum(step in one.shots for step in steps)
        y = self._y + tall / 2
        self._text(_MARGIN_PX, y - 16, one.source, size=14)
        self._text(_MARGIN_PX, y + 2, f"{one.shows} · {held} of {len(steps)} steps", size=11, fill=_SOFT)
        for place, step in enumerate(steps):
            x: float = x0 + place * (wide + _GAP_PX)
            if step in one.shots:
                self._thumb(one, step, x)
            else:
                self._pen.rectangle(self._box(x, self._y, wide, tall), outline=_LINE, width=_SCALE)

    def _thumb(self, one: Look, step: int, x: float) -> None:
        wide, tall = self._cell
        small = Image.fromarray(one.picture(step), "RGBA")
        size = (wide * _SCALE, tall * _SCALE)
        grows = small.width < size[0]
        small = small.resize(size, Image.Resampling.NEAREST if grows else Image.Resampling.BOX)
        self._pen.rectangle(self._box(x, self._y, wide, tall), fill=_HIDDEN)
        self.image.paste(small, (round(x * _SCALE), round(self._y * _SCALE)), small)

    def _text(self, x: float, y: float, text: str, *, size: int, fill: tuple[int, int, int] = _INK) -> None:
        self._pen.text((x * _SCALE, y * _SCALE), text, font=_font(size), fill=fill)

    def _length(self, text: str, size: int) -> float:
        return self._pen.textlength(text, font=_font(size)) / _SCALE

    def _box(self, x: float, y: float, wide: float, tall: float) -> tuple[float, float, float, float]:
        return x * _SCALE, y * _SCALE, (x + wide) * _SCALE - 1, (y + tall) * _SCALE - 1

    def _points(self, *xy: float) -> list[float]:
        return [one * _SCALE for one in xy]


def _cell(looks: Sequence[Look]) -> tuple[int, int]:
    """Width and height of a step's place: the shape of the finest pictures."""
    shapes = [shot.pixels.shape[1:] for one in looks for shot in list(one.shots.values())[:1]]
    rows, cols = max(shapes, default=(1, 1), key=lambda shape: shape[0] * shape[1])
    longest = max(rows, cols)
    return max(round(_CELL_PX * cols / longest), 12), max(round(_CELL_PX * rows / longest), 36)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size * _SCALE)
