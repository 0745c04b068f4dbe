"""Composition: one 5-day step's frame from its scenes, read as sparingly as the result allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact
from earthfield.sources import Source
from earthfield_ingest.align import Composite, clearest_first
from earthfield_ingest.read import SceneReader
from earthfield_ingest.scene import Scene

USED = "used"
NOT_CLEAR = "no clear pixel in the area"
COVERED = "covered by a clearer acquisition of the same 5-day step"
UNREADABLE = "unreadable asset"

Pixels = tuple[NDArray[np.integer], NDArray[np.bool_]]
"""Stored values (B, H, W) and where the surface was seen (H, W)."""


@dataclass(frozen=True)
class Frame:
    """What a cube stores of one step."""

    step: int
    """Index of the 5-day step."""
    acquired: datetime
    """Instant of the clearest acquisition."""
    items: tuple[str, ...]
    """STAC ids that gave pixels, clearest first."""
    values: NDArray[np.integer]
    """(B, H, W) stored values; nodata where nothing was seen."""
    valid: NDArray[np.bool_]
    """(H, W) True where the surface was seen."""


@dataclass
class Composed:
    """A step's frame and what became of its scenes."""

    frame: Frame | None = None
    """The frame, or None where no scene shows a pixel."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """By STAC id: used, or the reason why not."""
    read: set[str] = field(default_factory=set)
    """Ids of the scenes of which something was read."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """By STAC id what made it unreadable."""


def compose(
    source: Source,
    scenes: Sequence[Scene],
    reader: SceneReader,
    *,
    kept: Frame | None = None,
    skip_unreadable: bool = False,
) -> Composed:
    """Makes the frame of one step: clearest scene first, its unseen pixels from the next clearest.

    Only what can matter is read: of a source with a quality asset that asset of every scene, and the bands of the
    scenes that add a pixel; of one without, scenes in order of time until one shows everything.

    Args:
        source: what they are scenes of.
        scenes: every usable scene of the step.
        reader: reads them over the window wanted.
        kept: pixels that are stored already and whose scenes the catalogue no longer tells; they stay.
        skip_unreadable: leave an unreadable scene out instead of stopping.

    Raises:
        BrokenArtefact: a scene is unreadable and `skip_unreadable` is not set.
        Unavailable: the network fails.
    """
    step = _Step(source, reader, skip_unreadable)
    ordered = sorted(scenes, key=lambda one: (one.acquired, one.id))
    candidates = step.by_quality(ordered) if source.quality else step.by_pixels(ordered)
    return step.laid(candidates, kept)


def unseen(source: Source, step: int, acquired: datetime, shape: tuple[int, int]) -> Frame:
    """Gives a frame that shows nothing, for a stored step whose scenes are all gone."""
    empty = Composite(len(source.bands), shape, dtype=source.dtype, nodata=source.nodata)
    return Frame(step, acquired, (), empty.values, empty.valid)


class _Step:
    """One step in the making."""

    def __init__(self, source: Source, reader: SceneReader, skip_unreadable: bool) -> None:
        self._source, self._reader, self._skip = source, reader, skip_unreadable
        self._pixels: dict[str, Pixels] = {}
        self._clear: dict[str, NDArray[np.bool_]] = {}
        self._made = Composed()

    def by_quality(self, scenes: Sequence[Scene]) -> list[Scene]:
        """Orders scenes by what their quality assets say, clearest first; those wholly unclear fall out."""
        for scene in scenes:
            clear = self._clear_of(scene)
            if clear is not None and clear.any():
                self._clear[scene.id] = clear
            elif clear is not None:
                self._made.outcomes[scene.id] = NOT_CLEAR
        return self._ordered([scene for scene in scenes if scene.id in self._clear])

    def by_pixels(self, scenes: Sequence[Scene]) -> list[Scene]:
        """Orders scenes by how many pixels they measured, most first.

        Scenes come in order of time, so nothing after one that shows every pixel can come before it.
        """
        full = False
        for scene in scenes:
            if full:
                self._made.outcomes[scene.id] = COVERED
                continue
            pixels = self._pixels_of(scene)
            if pixels is not None and pixels[1].any():
                self._pixels[scene.id], self._clear[scene.id] = pixels, pixels[1]
                full = bool(pixels[1].all())
            elif pixels is not None:
                self._made.outcomes[scene.id] = NOT_CLEAR
        return self._ordered([scene for scene in scenes if scene.id in self._clear])

    def laid(self, scenes: Sequence[Scene], kept: Frame | None) -> Composed:
        """Lays the scenes over one another in the order given."""
        made, source = self._made, self._source
        shape = self._reader.shape
        whole = Composite(len(source.bands), shape, dtype=source.dtype, nodata=source.nodata)
        used, acquired = [], None
        if kept is not None and whole.lay(kept.values, kept.valid):
            used, acquired = list(kept.items), kept.acquired
        for scene in scenes:
            made.outcomes[scene.id] = COVERED
            if whole.full or not whole.gains(self._clear[scene.id]):
                continue
            pixels = self._pixels.pop(scene.id, None) or self._pixels_of(scene)
            if pixels is None:
                continue
            clear = self._clear[scene.id] & pixels[1]
            if whole.lay(pixels[0], clear):
                made.outcomes[scene.id] = USED
                used.append(scene.id)
                acquired = acquired or scene.acquired
            elif not clear.any():
                made.outcomes[scene.id] = NOT_CLEAR
        # What was kept may come from scenes that were read again.
        made.outcomes |= {item: USED for item in used if item in made.outcomes}
        if acquired is not None:
            step = kept.step if kept is not None else scenes[0].step
            made.frame = Frame(step, acquired, tuple(dict.fromkeys(used)), whole.values, whole.valid)
        return made

    def _ordered(self, scenes: Sequence[Scene]) -> list[Scene]:
        order = clearest_first(
            [self._clear[one.id] for one in scenes],
            [one.acquired for one in scenes],
            [one.id for one in scenes],
        )
        return [scenes[place] for place in order]

    def _clear_of(self, scene: Scene) -> NDArray[np.bool_] | None:
        try:
            clear = self._reader.clear(scene)
        except BrokenArtefact as error:
            self._give_up(scene, error)
            return None
        self._made.read.add(scene.id)
        return clear

    def _pixels_of(self, scene: Scene) -> Pixels | None:
        try:
            pixels = self._reader.bands(scene)
        except BrokenArtefact as error:
            self._give_up(scene, error)
            return None
        self._made.read.add(scene.id)
        return pixels

    def _give_up(self, scene: Scene, error: BrokenArtefact) -> None:
        if not self._skip:
            raise error
        self._made.outcomes[scene.id] = UNREADABLE
        self._made.unreadable[scene.id] = str(error)
