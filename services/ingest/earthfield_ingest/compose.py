"""Composition: one 5-day step's frame from its scenes, read as sparingly as the result allows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from earthfield.errors import BrokenArtefact, Unavailable
from earthfield.sources import Source
from earthfield_ingest.align import Composite, clearest_first
from earthfield_ingest.dialect import property_ending
from earthfield_ingest.readers import SceneReader
from earthfield_ingest.scene import Scene

T = TypeVar("T")

USED = "used"
NOT_CLEAR = "no clear pixel in the area"
COVERED = "covered by a clearer acquisition of the same 5-day step"
UNREADABLE = "unreadable asset"
NO_ANSWER = "the network did not answer"
WAITS = "waits for an unread item of its 5-day step"

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
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the clearest item tells of how it was taken: orbit, angles, platform."""


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
    unanswered: dict[str, str] = field(default_factory=dict)
    """By STAC id what the network failed with; another try may help."""


def compose(
    source: Source,
    scenes: Sequence[Scene],
    reader: SceneReader,
    *,
    kept: Frame | None = None,
) -> Composed:
    """Makes the frame of one step: clearest scene first, its unseen pixels from the next clearest.

    Only what can matter is read: of a source with a quality asset that asset of every scene, and the bands of the
    scenes that add a pixel; of one without, scenes in order of time until one shows everything.

    Args:
        source: what they are scenes of.
        scenes: every usable scene of the step.
        reader: reads them over the window wanted.
        kept: pixels that are stored already and whose scenes the catalogue no longer tells; they stay.

    Returns:
        The frame without the scenes that could not be read; these are named, and the caller decides what they mean.
    """
    step = _Step(source, reader)
    ordered = sorted(scenes, key=lambda one: (one.acquired, one.id))
    candidates = step.by_quality(ordered) if source.quality else step.by_pixels(ordered)
    return step.laid(candidates, kept)


def unseen(source: Source, step: int, acquired: datetime, shape: tuple[int, int]) -> Frame:
    """Gives a frame that shows nothing, for a stored step whose scenes are all gone."""
    empty = Composite(len(source.bands), shape, dtype=source.dtype, nodata=source.nodata)
    return Frame(step, acquired, (), empty.values, empty.valid)


class _Step:
    """One step in the making."""

    def __init__(self, source: Source, reader: SceneReader) -> None:
        self._source, self._reader = source, reader
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
        used, acquired, about = [], None, {}
        if kept is not None and whole.lay(kept.values, kept.valid):
            used, acquired, about = list(kept.items), kept.acquired, dict(kept.about)
        for scene in scenes:
            made.outcomes[scene.id] = COVERED
            if whole.full or not whole.gains(self._clear[scene.id]):
                continue
            pixels = self._pixels.pop(scene.id, None) or self._pixels_of(scene)
            if pixels is None:
                continue  # its outcome says why
            clear = self._clear[scene.id] & pixels[1]
            if whole.lay(pixels[0], clear):
                made.outcomes[scene.id] = USED
                used.append(scene.id)
                if acquired is None:
                    acquired, about = scene.acquired, _about(source, scene)
            elif not clear.any():
                made.outcomes[scene.id] = NOT_CLEAR
        # What was kept may come from scenes that were read again.
        made.outcomes |= {item: USED for item in used if item in made.outcomes}
        if acquired is not None:
            step = kept.step if kept is not None else scenes[0].step
            made.frame = Frame(step, acquired, tuple(dict.fromkeys(used)), whole.values, whole.valid, about)
        return made

    def _ordered(self, scenes: Sequence[Scene]) -> list[Scene]:
        order = clearest_first(
            [self._clear[one.id] for one in scenes],
            [one.acquired for one in scenes],
            [one.id for one in scenes],
        )
        return [scenes[place] for place in order]

    def _clear_of(self, scene: Scene) -> NDArray[np.bool_] | None:
        return self._tried(scene, self._reader.clear)

    def _pixels_of(self, scene: Scene) -> Pixels | None:
        return self._tried(scene, self._reader.bands)

    def _tried(self, scene: Scene, read: Callable[[Scene], T]) -> T | None:
        made = self._made
        try:
            what = read(scene)
        except BrokenArtefact as error:
            made.outcomes[scene.id], made.unreadable[scene.id] = UNREADABLE, str(error)
            return None
        except Unavailable as error:
            made.outcomes[scene.id], made.unanswered[scene.id] = NO_ANSWER, str(error)
            return None
        made.read.add(scene.id)
        return what


def _about(source: Source, scene: Scene) -> dict[str, Any]:
    told = {name: property_ending(scene.properties, name) for name in source.keeps}
    if source.cadence == "interval" and scene.stands_for is not None:
        told["stands_for"] = [scene.stands_for.start.isoformat(), scene.stands_for.end.isoformat()]
    return {name: value for name, value in told.items() if value is not None}
