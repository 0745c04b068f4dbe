"""Search: which scenes a STAC catalogue holds, a static one on disk or the web, or an API."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx
import pystac
import shapely
from odc.geo.geom import Geometry
from pystac.stac_io import DefaultStacIO
from shapely.geometry.base import BaseGeometry
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from earthfield.errors import EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield.sources import Source, known_sources
from earthfield.timeline import Period
from earthfield_ingest.scene import Scene, is_remote, scene_of

_TIMEOUT_S = 60.0


class Archive(Protocol):
    """A catalogue that can be asked for scenes."""

    address: str
    """Where it is."""

    def everything(self, sources: Sequence[Source]) -> list[Scene]:
        """Gives every scene of the sources; only for catalogues that are small enough to be walked."""
        ...

    def scenes(self, sources: Sequence[Source], *, area: Geometry, period: Period) -> list[Scene]:
        """Gives the scenes of the sources that touch the area and were acquired in the period."""
        ...

    def extent(self, sources: Sequence[Source]) -> Extent:
        """Gives where and when the catalogue holds something of the sources, as far as it tells."""
        ...


class Extent:
    """Where and when a catalogue holds something."""

    def __init__(self, shapes: Iterable[BaseGeometry], instants: Iterable[datetime]) -> None:
        """Args: footprints in degrees; instants of acquisitions."""
        self.shape = shapely.union_all([shape for shape in shapes if not shape.is_empty])
        self.instants = sorted(instants)

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


def open_archive(address: str) -> Archive:
    """Opens the catalogue at an address, whatever kind it is.

    Args:
        address: folder or file of a static catalogue, its URL, or the URL of a STAC API.

    Raises:
        NotFound: nothing is there.
        InvalidInput: what is there is not STAC.
        Unavailable: the network or the server does not answer.
    """
    place = address if is_remote(address) else str(_local_root(address))
    if Path(place).is_dir():
        return StaticArchive(address, _loose_items(Path(place)))
    content = _parsed(read_text(place), place)
    if any("item-search" in str(rule) for rule in content.get("conformsTo", ())):
        return ApiArchive(place)
    return StaticArchive(address, _walked(content, place))


class StaticArchive:
    """A catalogue of files, walked once."""

    def __init__(self, address: str, items: Iterator[pystac.Item]) -> None:
        """Args: where it is; its items, not yet read."""
        self.address = address
        self._items = items
        self._scenes: dict[str, list[Scene]] | None = None
        self._remote = is_remote(address)

    def everything(self, sources: Sequence[Source]) -> list[Scene]:
        """See `Archive`; errors as in `open_archive`."""
        if self._scenes is None:
            self._scenes = {}
            for item in self._items:
                self._keep(item)
        return [scene for source in sources for scene in self._scenes.get(source.name, ())]

    def scenes(self, sources: Sequence[Source], *, area: Geometry, period: Period) -> list[Scene]:
        """See `Archive`."""
        found = self.everything(sources)
        return [one for one in found if one.inside(period) and touches(one.footprint, area)]

    def extent(self, sources: Sequence[Source]) -> Extent:
        """See `Archive`."""
        found = self.everything(sources)
        return Extent((one.footprint for one in found), (one.acquired for one in found))

    def _keep(self, item: pystac.Item) -> None:
        assert self._scenes is not None
        for source in _sources_of(item.collection_id):
            scene = scene_of(item, source, remote=self._remote)
            self._scenes.setdefault(source.name, []).append(scene)


class ApiArchive:
    """A STAC API, asked through pystac-client."""

    def __init__(self, address: str) -> None:
        """Args: its landing page. Errors as in `open_archive`."""
        import pystac_client

        self.address = address
        with _asking(address):
            self._client = pystac_client.Client.open(address, timeout=_TIMEOUT_S)
            self._collections = {one.id: one for one in self._client.get_collections()}

    def everything(self, sources: Sequence[Source]) -> list[Scene]:
        """An API is too large to be read whole.

        Raises:
            InvalidInput: always.
        """
        raise InvalidInput(f"{self.address} is a STAC API: say which area you want with --bbox or --aoi")

    def scenes(self, sources: Sequence[Source], *, area: Geometry, period: Period) -> list[Scene]:
        """See `Archive`; errors as in `open_archive`."""
        found = []
        for source in sources:
            collections = [name for name in source.collections if name in self._collections]
            if not collections:
                continue
            with _asking(self.address):
                answer = self._client.search(
                    collections=collections,
                    intersects=shapely.geometry.mapping(area.geom),
                    datetime=None if source.cadence == "static" else [period.start, period.end],
                    limit=200,
                )
                items = list(answer.items())
            found += [scene_of(item, source, remote=True) for item in items]
        return [one for one in found if one.inside(period) and touches(one.footprint, area)]

    def extent(self, sources: Sequence[Source]) -> Extent:
        """See `Archive`."""
        names = {name for source in sources for name in source.collections} & self._collections.keys()
        extents = [self._collections[name].extent for name in sorted(names)]
        boxes = [box for one in extents for box in one.spatial.bboxes[:1]]
        ends = [end for one in extents for pair in one.temporal.intervals[:1] for end in pair]
        shapes = [shapely.box(box[0], box[1], box[len(box) // 2], box[len(box) // 2 + 1]) for box in boxes]
        return Extent(shapes, (end or datetime.now(UTC) for end in ends))


def touches(footprint: BaseGeometry, area: Geometry) -> bool:
    """Tells whether a footprint and an area share more than a border."""
    return bool(footprint.intersects(area.geom)) and not footprint.touches(area.geom)


@retry(
    retry=retry_if_exception_type(Unavailable),
    stop=stop_after_attempt(4),
    wait=wait_exponential_jitter(initial=0.5, max=8),
    reraise=True,
)
def read_text(place: str) -> str:
    """Reads a text from disk or the web; transient failures of the web are tried again.

    Raises:
        NotFound: nothing is there.
        InvalidInput: it is not text, or may not be read.
        Unavailable: the network or the server does not answer.
    """
    try:
        if urlsplit(place).scheme in ("http", "https"):
            return _fetched(place)
        return Path(place).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise NotFound(
            f"the catalogue names {place}, which does not exist: check the address of the catalogue"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{place} cannot be read as STAC ({error}): check the address of the catalogue"
        ) from error


def _fetched(url: str) -> str:
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_S, follow_redirects=True)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{url} does not answer ({error}): check the address and the network, then run again"
        ) from error
    if answer.status_code in (404, 410):
        raise NotFound(f"there is nothing at {url}: check the address of the catalogue")
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Unavailable(f"{url} answers {answer.status_code}: try again later")
    if answer.is_error:
        raise InvalidInput(
            f"{url} refuses to be read ({answer.status_code}): check the address and your rights"
        )
    return answer.text


class _Reader(DefaultStacIO):
    """pystac's way to files, with our errors."""

    def read_text_from_href(self, href: str, *args: Any, **kwargs: Any) -> str:
        """Reads the text at an absolute address."""
        return read_text(href)

    def read_json(self, source: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Reads STAC; what cannot be read is named by its address."""
        place = os.fspath(source)
        return _parsed(self.read_text(source), place)


@contextmanager
def _walking(place: str) -> Iterator[None]:
    """Turns what pystac says of a broken catalogue into a sentence."""
    try:
        yield
    except EarthfieldError:
        raise
    except (pystac.STACError, KeyError, ValueError, TypeError) as error:
        if isinstance(error.__cause__, EarthfieldError):
            raise error.__cause__ from None
        raise InvalidInput(
            f"the catalogue {place} breaks the STAC rules ({type(error).__name__}: {error}): repair or replace it"
        ) from error


@contextmanager
def _asking(address: str) -> Iterator[None]:
    """Turns what pystac-client says of an API into a sentence."""
    import pystac_client.exceptions
    import requests

    try:
        yield
    except pystac_client.exceptions.APIError as error:
        status = getattr(error, "status_code", None)
        if status is not None and 400 <= status < 500 and status != 429:
            raise InvalidInput(f"{address} refuses the search ({status}: {str(error)[:200]})") from error
        raise Unavailable(f"{address} fails ({str(error)[:200]}): try again later") from error
    except requests.RequestException as error:
        raise Unavailable(f"{address} does not answer ({error}): check the network and try again") from error


def _local_root(address: str) -> Path:
    path = Path(address).expanduser()
    if not path.exists():
        raise NotFound(
            f"there is no catalogue at {address}: give a folder, a STAC file or a URL with --catalog"
        )
    if path.is_dir():
        named = (path / name for name in ("catalog.json", "collection.json"))
        path = next((file for file in named if file.is_file()), path)
    return path.resolve()


def json_of(text: str, place: str) -> Any:
    """Reads JSON.

    Raises:
        InvalidInput: it is none; the place is named.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidInput(f"{place} is not readable JSON ({error}): repair or replace it") from error


def _parsed(text: str, place: str) -> dict[str, Any]:
    content = json_of(text, place)
    if isinstance(content, list) and _features(content):
        return {"type": "FeatureCollection", "features": content}
    if not isinstance(content, dict) or not {"type", "stac_version"} & content.keys():
        raise InvalidInput(f"{place} is JSON but not STAC: it must be a Catalog, a Collection or an Item")
    return content


def _walked(content: dict[str, Any], place: str) -> Iterator[pystac.Item]:
    """Yields every item under a root whose collection some source knows, in the order of the links."""
    with _walking(place):
        if content.get("type") in ("Feature", "FeatureCollection"):
            yield from (pystac.Item.from_dict(feature, href=place) for feature in _features(content))
        else:
            kind = pystac.Collection if content.get("type") == "Collection" else pystac.Catalog
            yield from _items_under(kind.from_file(place, stac_io=_Reader()))


def _items_under(catalog: pystac.Catalog) -> Iterator[pystac.Item]:
    if not isinstance(catalog, pystac.Collection) or _sources_of(catalog.id):
        for item in catalog.get_items():
            if item.collection_id is None and isinstance(catalog, pystac.Collection):
                item.collection_id = catalog.id
            yield item
    for child in catalog.get_children():
        yield from _items_under(child)


def _loose_items(folder: Path) -> Iterator[pystac.Item]:
    """Yields the items that lie in a folder which has no catalogue file; other JSON is passed over."""
    empty = True
    for path in sorted(folder.rglob("*.json")):
        for content in _features(json_of(read_text(str(path)), str(path))):
            empty = False
            with _walking(str(path)):
                yield pystac.Item.from_dict(content, href=str(path))
    if empty:
        raise NotFound(
            f"{folder} holds neither catalog.json, collection.json nor a STAC item: name another folder"
        )


def _features(content: Any) -> list[dict[str, Any]]:
    """Gives the items in JSON content: one, a FeatureCollection of them, or a list."""
    if isinstance(content, dict) and content.get("type") == "FeatureCollection":
        content = content.get("features", [])
    several = content if isinstance(content, list) else [content]
    return [one for one in several if isinstance(one, dict) and one.get("type") == "Feature"]


def _sources_of(collection: str | None) -> list[Source]:
    return [source for source in known_sources().values() if collection in source.collections]
