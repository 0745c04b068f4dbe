"""Archives: what can be asked of a catalogue, whatever form it has, and what it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Protocol

import pystac
import shapely
from odc.geo.geom import Geometry
from shapely.errors import ShapelyError
from shapely.geometry.base import BaseGeometry

from earthfield.errors import EarthfieldError
from earthfield.progress import Progress
from earthfield.sources import Source, known_sources
from earthfield.timeline import Period
from earthfield_ingest.dialect import collection_of
from earthfield_ingest.scene import Scene, scene_of

ITEM_ERRORS = (
    EarthfieldError,
    pystac.STACError,
    ShapelyError,
    KeyError,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
)
"""What reading an item that breaks the rules may raise: items are other people's JSON."""


@dataclass(frozen=True)
class Question:
    """What is wanted of a catalogue."""

    sources: Sequence[Source]
    """Sources whose scenes are wanted."""
    area: Geometry | None
    """Where, in EPSG:4326; None for everywhere."""
    period: Period
    """When."""

    def wants(self, collection: str | None) -> list[Source]:
        """Lists the sources wanted that a collection carries."""
        return [source for source in self.sources if collection in source.collections]

    def is_for_others(self, collection: str | None) -> bool:
        """Tells whether a collection is one that declared sources carry, but none of those wanted.

        Items of a collection that nobody knows must be looked at: they may tell themselves what they are.
        """
        return not self.wants(collection) and collection in known_collections()


class Extent:
    """Where and when a catalogue holds something."""

    def __init__(self, shapes: Iterable[BaseGeometry], instants: Iterable[datetime]) -> None:
        """Args: footprints in degrees; instants of acquisitions."""
        self.shapes = [shape for shape in shapes if not shape.is_empty]
        self.instants = sorted(instants)

    @cached_property
    def shape(self) -> BaseGeometry:
        """All footprints together."""
        return shapely.union_all([shapely.make_valid(shape) for shape in self.shapes])

    @property
    def is_empty(self) -> bool:
        """Tells whether neither a place nor a time is known."""
        return not self.shapes and not self.instants

    @property
    def where(self) -> str:
        """West, south, east, north in words."""
        if self.shape.is_empty:
            return "an unknown place"
        return "west {:.4f} south {:.4f} east {:.4f} north {:.4f}".format(*self.shape.bounds)

    @property
    def when(self) -> str:
        """First and last day in words."""
        if not self.instants:
            return "an unknown time"
        return f"{self.instants[0]:%Y-%m-%d} to {self.instants[-1]:%Y-%m-%d}"


@dataclass(frozen=True)
class Findings:
    """What a catalogue answers to a question."""

    scenes: tuple[Scene, ...]
    """Scenes of the sources wanted, in the area and period."""
    extent: Extent
    """Where and when the catalogue holds something of these sources, as far as it tells."""
    broken: tuple[str, ...] = ()
    """Items that break the rules, each with the reason; they are not among the scenes."""
    collections: tuple[str, ...] = ()
    """Ids of the collections that the catalogue holds, as far as they were met."""


class Archive(Protocol):
    """A catalogue that can be asked for scenes."""

    address: str
    """Where it is."""

    def find(self, question: Question, *, progress: Progress) -> Findings:
        """Answers a question; metadata only.

        Raises:
            NotFound: a part of the catalogue is missing.
            InvalidInput: a part of it is not STAC, or the question cannot be asked of it.
            BrokenArtefact: its server contradicts itself.
            Unavailable: the network or the server does not answer.
        """
        ...


class Sieve:
    """Takes items one by one, keeps those that a question asks for, and names those that are broken."""

    def __init__(self, question: Question, *, remote: bool) -> None:
        """Args: what is wanted; whether the items came over the network (see `scene_of`)."""
        self._question, self._remote = question, remote
        self._scenes: dict[tuple[str, str, str], Scene] = {}
        self._shapes: list[BaseGeometry] = []
        self._instants: list[datetime] = []
        self._broken: list[str] = []
        self.collections: Counter[str] = Counter()
        self.num_taken = 0

    def take(self, content: Any, place: str = "", *, under: str | None = None) -> None:
        """Takes an item.

        Args:
            content: the item as JSON gives it; it may be altered.
            place: where it was read, against which relative addresses are resolved; its own link where empty.
            under: the collection in which it was found.
        """
        name = _name(content, place)
        self.num_taken += 1
        try:
            collection = collection_of(_checked(content), under)
            self.collections[collection or "none"] += 1
            wanted = self._question.wants(collection)
            if wanted:
                old = _is_old(str(content.get("stac_version", "0")))
                item = pystac.Item.from_dict(
                    dict(content), href=place or None, migrate=old, preserve_dict=False
                )
                for source in wanted:
                    self._keep(scene_of(item, source, remote=self._remote), str(collection), name)
        except ITEM_ERRORS as error:
            self.reject(name, error)

    def reject(self, name: str, error: Exception | str) -> None:
        """Names an item that cannot be used."""
        plain = isinstance(error, (str, EarthfieldError))
        why = str(error) if plain else f"breaks the STAC rules ({type(error).__name__}: {error})"
        told = "/" in name and name in why  # an address that the reason names itself
        self._broken.append(why if told else f"{name}: {why}")

    def findings(self, extent: Extent | None = None) -> Findings:
        """Gives what was found; `extent` where the catalogue tells it better than its items."""
        return Findings(
            tuple(self._scenes.values()),
            extent or Extent(self._shapes, self._instants),
            tuple(dict.fromkeys(self._broken)),
            tuple(sorted(self.collections)),
        )

    def _keep(self, scene: Scene, collection: str, name: str) -> None:
        question = self._question
        self._shapes.append(scene.footprint)
        self._instants.append(scene.acquired)
        if not scene.inside(question.period):
            return
        if scene.footprint.is_empty:
            self.reject(name, "tells no place: it has neither geometry nor bbox")
            return
        if question.area is not None and not touches(scene.footprint, question.area):
            return
        # Parts of one acquisition may share their id in two collections of a source.
        known = self._scenes.setdefault((scene.source, collection, scene.id), scene)
        if known != scene:
            self.reject(
                name, f"another item of {collection} has the id {scene.id!r} too; the first one counts"
            )


def touches(footprint: BaseGeometry, area: Geometry) -> bool:
    """Tells whether a footprint and an area share more than a border."""
    return bool(footprint.intersects(area.geom)) and not footprint.touches(area.geom)


def asset_names(sources: Iterable[Source]) -> set[str]:
    """Gives every name under which an asset that the sources read may be published."""
    return {
        name
        for source in sources
        for names in (*(band.assets for band in source.bands), *(one.assets for one in source.quality))
        for name in names
    }


def known_collections() -> frozenset[str]:
    """Gives the ids of every collection that some source carries."""
    return frozenset(name for source in known_sources().values() for name in source.collections)


def _checked(content: Any) -> dict[str, Any]:
    if not isinstance(content, Mapping) or content.get("type") != "Feature":
        raise TypeError("it is no STAC item")
    return dict(content)


def _name(content: Any, place: str) -> str:
    told = content.get("id") if isinstance(content, Mapping) else None
    if place and told:
        return f"{told} ({place})"
    return str(told or place or "an item without an id")


def _is_old(version: str) -> bool:
    """Tells whether pystac must migrate an item; what came since 1.0.0 the dialect reads as it stands."""
    return version.startswith("0") or "-" in version
