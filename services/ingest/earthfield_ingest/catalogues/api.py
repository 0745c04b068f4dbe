"""STAC APIs: searched page by page, with their dialects."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import groupby
from typing import Any

import shapely
from pystac.utils import str_to_datetime
from pystac_client import Client
from pystac_client.stac_api_io import StacApiIO
from shapely.geometry.base import BaseGeometry

from earthfield.errors import BrokenArtefact, EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield.progress import Progress
from earthfield.sources import known_sources
from earthfield.timeline import Period, as_utc
from earthfield_ingest.catalogues.archive import Extent, Findings, Question, Sieve, asset_names
from earthfield_ingest.catalogues.reading import Reader, Refused, json_of, patiently
from earthfield_ingest.catalogues.shapes import plain, reachable, sides

log = logging.getLogger(__name__)

PAGE_ITEMS = 200
"""Items asked for a page."""
_MAX_STALE_PAGES = 3
_MAX_QUERY = 2000
_YEAR = timedelta(days=366)
"""Longest interval that one item of a source with `cadence="interval"` is expected to stand for."""
_TASK = "searching the catalogue"


def is_api(content: Any) -> bool:
    """Tells whether a document is the landing page of a STAC API, one that cannot be searched included."""
    if not isinstance(content, Mapping) or content.get("type") in ("Collection", "Feature"):
        return False
    return bool(content.get("conformsTo")) or bool(_links(content, "search"))


class ApiArchive:
    """A STAC API."""

    def __init__(self, address: str, reader: Reader, *, only: str | None = None) -> None:
        """Opens it; errors as `Archive.find`.

        Args:
            address: its landing page.
            reader: what asks its server.
            only: the one collection that is meant; None for all.
        """
        self.address = address
        self._only, self._reader = only, reader
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what it misses is told below
                self._client = Client.open(address, stac_io=_Io(reader))
        except EarthfieldError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise InvalidInput(f"{address} is not the landing page of a STAC API ({error})") from error
        self._landing = self._client.to_dict(include_self_link=False, transform_hrefs=False)
        if not self._client.conforms_to("ITEM_SEARCH"):
            if not _links(self._landing, "search"):
                raise InvalidInput(
                    f"{address} is an API that cannot be searched (it lacks item-search): name another catalogue"
                )
            self._client.add_conforms_to("ITEM_SEARCH")

    def find(self, question: Question, *, progress: Progress) -> Findings:
        """See `Archive`; an API is too large to be read whole, so an area is needed."""
        if question.area is None:
            raise InvalidInput(f"{self.address} is a STAC API: say which area you want with --bbox or --aoi")
        sieve = Sieve(question, remote=True)
        sieve.collections.update(self._collections.keys())
        for cadence, group in groupby(sorted(question.sources, key=_cadence), key=_cadence):
            names = self._held(name for source in group for name in source.collections)
            if not names:
                continue
            asked = {"collections": names, "datetime": _asked_time(question.period, cadence)}
            for page in self._answers(asked, question.area.geom, self._unneeded(names)):
                for item in page:
                    sieve.take(item)
                progress(_TASK, sieve.num_taken, sieve.num_taken)
        held = self._held(name for source in question.sources for name in source.collections)
        return sieve.findings(_extent_of(self._collections[name] for name in held))

    @cached_property
    def _collections(self) -> dict[str, dict[str, Any]]:
        """Every collection by its id, as its document."""
        data = _links(self._landing, "data")
        url = str(data[0]["href"]) if data else f"{self.address.rstrip('/')}/collections"
        pages = self._paged(url, "GET", {}, key="collections")
        found = {str(one.get("id")): one for page in pages for one in page if isinstance(one, dict)}
        return {name: one for name, one in found.items() if self._only in (None, name)}

    def _held(self, names: Iterable[str]) -> list[str]:
        return [name for name in dict.fromkeys(names) if name in self._collections]

    def _unneeded(self, names: Sequence[str]) -> list[str]:
        """Lists the parts of items that need not be sent: assets that no source reads.

        Only what the collections declare is left out, so nothing unknown is ever lost, and of an asset that is read
        everything comes.
        """
        if not self._client.conforms_to("FIELDS"):
            return []
        wanted = asset_names(known_sources().values())
        told = [self._collections[name].get("item_assets") for name in names]
        keys = {key for assets in told if isinstance(assets, dict) for key in assets}
        return sorted(f"assets.{key}" for key in keys - wanted if "." not in key)

    def _answers(
        self, asked: Mapping[str, Any], area: BaseGeometry, unneeded: Sequence[str]
    ) -> Iterator[list[Any]]:
        """Yields the pages of a search; where the server refuses one way to ask, another way is tried."""
        ways = list(self._ways(reachable(area), unneeded))
        for place, way in enumerate(ways):
            answered = False
            try:
                for method, shape in way:
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        search = self._client.search(method=method, limit=PAGE_ITEMS, **asked, **shape)
                    parameters = search.get_parameters()
                    for page in self._paged(search.url, method, parameters, key="features"):
                        answered = True
                        yield page
                return
            except (Refused, NotFound) as error:
                if answered or place + 1 == len(ways) or getattr(error, "status", 404) in (401, 403):
                    raise
                log.debug("%s refuses %s: another way is tried", self.address, way)

    def _ways(
        self, area: BaseGeometry, unneeded: Sequence[str]
    ) -> Iterator[list[tuple[str, dict[str, Any]]]]:
        """Yields ways to ask for an area, best first; each is some searches with their method."""
        methods = {str(link.get("method", "GET")).upper() for link in _links(self._landing, "search")}
        shape = {"intersects": shapely.geometry.mapping(plain(area))}
        if "POST" in methods or not methods:
            if unneeded:
                yield [("POST", {**shape, "fields": {"exclude": unneeded}})]
            yield [("POST", shape)]
            yield [("POST", {"bbox": list(box)}) for box in sides(area)]
        elif len(json.dumps(shape)) < _MAX_QUERY:
            yield [("GET", shape)]
        yield [("GET", {"bbox": list(box)}) for box in sides(area)]

    def _paged(
        self, url: str, method: str, parameters: Mapping[str, Any], *, key: str
    ) -> Iterator[list[Any]]:
        """Yields the lists that pages hold; a server that runs in a circle is stopped."""
        asked: set[str] = set()
        known: set[str] = set()
        stale = 0
        request: dict[str, Any] = {"method": method, **_as_request(method, parameters)}
        while True:
            page = _page(self._reader, url, key, **request)
            yield page[key]
            fresh = {_identity(one) for one in page[key]} - known
            known |= fresh
            stale = 0 if fresh else stale + 1
            following = _links(page, "next")
            if not following:
                return
            mark = json.dumps(following[0], sort_keys=True)
            if mark in asked or stale >= _MAX_STALE_PAGES:
                raise BrokenArtefact(
                    f"{self.address} leads from page to page without an end, after {len(known)} {key}: "
                    "ask for a smaller area or period, or name another catalogue"
                )
            asked.add(mark)
            url, request = _next_request(following[0], parameters)


class _Io(StacApiIO):
    """pystac-client's way to the network, with our patience and our errors."""

    def __init__(self, reader: Reader) -> None:
        super().__init__()
        self._reader = reader

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        """Asks the server; errors as `Reader.ask`."""
        method = (method or "GET").upper()
        return self._reader.ask(href, method=method, headers=headers, **_as_request(method, parameters or {}))


@patiently
def _page(reader: Reader, url: str, key: str, **request: Any) -> dict[str, Any]:
    """Reads one page; one that comes unfinished is asked for again."""
    try:
        page = json_of(reader.ask_once(url, **request), url)
    except (Refused, NotFound):
        raise
    except InvalidInput as error:
        raise Unavailable(f"{url} answers an unfinished page ({error}): try again later") from error
    if not isinstance(page, dict) or not isinstance(page.get(key), list):
        raise Unavailable(f"{url} answers a page without {key}: try again later")
    return page


def _as_request(method: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {"json": dict(parameters)} if method == "POST" else {"params": dict(parameters)}


def _next_request(link: Mapping[str, Any], parameters: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Gives the address and request of a next page, as its link has it."""
    method = str(link.get("method", "GET")).upper()
    body = dict(link.get("body") or {})
    if method == "POST":
        body = {**parameters, **body} if link.get("merge") else body
    request = {"method": method, "headers": link.get("headers")}
    return str(link["href"]), {**request, **({"json": body} if method == "POST" else {})}


def _identity(one: Any) -> str:
    return f"{one.get('collection')}/{one.get('id')}" if isinstance(one, Mapping) else repr(one)


def _links(content: Mapping[str, Any], relation: str) -> list[Mapping[str, Any]]:
    links = content.get("links")
    several = links if isinstance(links, list) else []
    return [
        one for one in several if isinstance(one, Mapping) and one.get("rel") == relation and "href" in one
    ]


def _cadence(source: Any) -> str:
    return str(source.cadence)


def _asked_time(period: Period, cadence: str) -> list[datetime] | None:
    """Gives what to ask for, so that items that stand for an interval are answered whichever end is indexed."""
    if cadence == "static":
        return None
    margin = _YEAR if cadence == "interval" else timedelta(0)
    return [period.start - margin, period.end + margin]


def _extent_of(collections: Iterable[Mapping[str, Any]]) -> Extent:
    """Reads where and when from the documents of collections, as far as they tell."""
    shapes, instants = [], []
    for one in collections:
        told = one.get("extent") or {}
        box = ((told.get("spatial") or {}).get("bbox") or [[]])[0]
        if len(box) in (4, 6):
            half = len(box) // 2
            shapes.append(shapely.box(box[0], box[1], box[half], box[half + 1]))
        for end in ((told.get("temporal") or {}).get("interval") or [[]])[0]:
            instants.append(as_utc(str_to_datetime(end)) if end else datetime.now(UTC))
    return Extent(shapes, instants)
