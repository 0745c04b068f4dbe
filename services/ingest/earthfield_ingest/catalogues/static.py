"""Static catalogues: files that link to one another, collections of items in one file, and loose files."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pystac.utils import make_absolute_href

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.progress import Progress
from earthfield_ingest.catalogues.archive import ITEM_ERRORS, Findings, Question, Sieve
from earthfield_ingest.catalogues.reading import MAX_CONNECTIONS, Reader, json_of
from earthfield_ingest.scene import is_remote

DATA_SUFFIXES = (".nc", ".nc4", ".h5", ".hdf5", ".he5", ".zarr")
"""Names of files that are items of their own where they lie loose."""
LINE_SUFFIXES = (".ndjson", ".jsonl", ".geojsonl")
"""Names of files with one item a line."""
_MAX_UNANSWERED = 5
_TASK = "reading the catalogue"
_ENTRIES = {"item": True, "items": False, "child": False}
"""Links that lead down, and whether they lead to one item."""


@dataclass(frozen=True)
class _Document:
    """A document to be read."""

    place: str
    """Its address."""
    is_item: bool
    """Whether it should hold one item, so that the rest can be read without it."""
    under: str | None
    """Id of the collection that leads to it."""


class StaticArchive:
    """A catalogue of linked files, walked from its root; its documents are fetched side by side from the web."""

    def __init__(self, address: str, place: str, content: Mapping[str, Any], reader: Reader) -> None:
        """Args: what the user calls it; the address of its root document; that document; what reads others."""
        self.address, self._reader = address, reader
        self._root, self._content = _Document(place, content.get("type") == "Feature", None), content

    def find(self, question: Question, *, progress: Progress) -> Findings:
        """See `Archive`."""
        sieve = Sieve(question, remote=is_remote(self._root.place))
        _Walk(question, sieve, self._reader, progress).run(self._root, self._content)
        return sieve.findings()


class _Walk:
    """One walk over every document below a root."""

    def __init__(self, question: Question, sieve: Sieve, reader: Reader, progress: Progress) -> None:
        self._question, self._sieve, self._reader, self._progress = question, sieve, reader, progress
        self._seen: set[str] = set()
        self._waiting: deque[_Document] = deque()
        self._num_read = self._num_unanswered = 0

    def run(self, root: _Document, content: Any) -> None:
        """Walks; the sieve takes the items."""
        self._seen.add(root.place)
        self._use(root, content)
        if is_remote(root.place):
            self._side_by_side()
        else:
            while self._waiting:
                document = self._waiting.popleft()
                self._answered(document, partial(self._reader.json, document.place))

    def _side_by_side(self) -> None:
        running: dict[Future[Any], _Document] = {}
        with ThreadPoolExecutor(MAX_CONNECTIONS) as pool:
            try:
                while self._waiting or running:
                    while self._waiting and len(running) < MAX_CONNECTIONS:
                        document = self._waiting.popleft()
                        running[pool.submit(self._reader.json, document.place)] = document
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        self._answered(running.pop(future), future.result)
            finally:
                pool.shutdown(cancel_futures=True)

    def _answered(self, document: _Document, result: Callable[[], Any]) -> None:
        """Uses a document; an item that cannot be read is named, anything else stops the walk."""
        try:
            content = result()
        except (InvalidInput, NotFound, BrokenArtefact, Unavailable) as error:
            if not document.is_item:
                raise
            if isinstance(error, Unavailable):
                self._num_unanswered += 1
                if self._num_unanswered > _MAX_UNANSWERED:
                    raise
            self._sieve.reject(document.place, error)
            return
        self._use(document, content)
        self._num_read += 1
        self._progress(_TASK, self._num_read, self._num_read + len(self._waiting))

    def _use(self, document: _Document, content: Any) -> None:
        if document.is_item or is_items(content):
            items = items_in(content)
            if not items and not _is_collection(content):
                items = [content]
            for item in items:
                self._sieve.take(item, document.place, under=document.under)
            self._follow(document, content, ("next",))
            return
        if not is_stac(content):
            raise InvalidInput(
                f"{document.place} is JSON but not STAC: it must be a Catalog, a Collection or an Item"
            )
        under = str(content.get("id")) if content.get("type") == "Collection" else None
        wanted: Collection[str] = _ENTRIES
        if under is not None:
            self._sieve.collections[under] += 0
            if self._question.is_for_others(under):
                wanted = ("child",)
        self._follow(document, content, wanted, under)

    def _follow(
        self, document: _Document, content: Any, relations: Collection[str], under: str | None = None
    ) -> None:
        links = content.get("links") if isinstance(content, Mapping) else None
        for link in links if isinstance(links, list) else ():
            if not isinstance(link, Mapping) or str(link.get("rel")) not in relations:
                continue
            try:
                place = _resolved(document.place, link)
                self._reader.may_lead_to(place)
            except (InvalidInput, BrokenArtefact) as error:
                self._sieve.reject(document.place, error)
                continue
            if place not in self._seen:
                self._seen.add(place)
                is_item = _ENTRIES.get(str(link["rel"]), False)
                self._waiting.append(_Document(place, is_item, under or document.under))


class LooseArchive:
    """Items that no catalogue links: in a folder, one a line of a file, or told by data files themselves."""

    def __init__(self, address: str, paths: Iterable[str], reader: Reader) -> None:
        """Args: what the user calls it; addresses of its files; what reads them."""
        self.address, self._paths, self._reader = address, list(paths), reader

    def find(self, question: Question, *, progress: Progress) -> Findings:
        """See `Archive`; files that hold no item are passed over.

        Raises:
            NotFound: no file holds one.
        """
        sieve = Sieve(question, remote=any(is_remote(path) for path in self._paths))
        named: set[str] = set()
        empty = True
        # Data files last: those that an item names are not loose.
        ordered = sorted(self._paths, key=lambda path: (is_data(path), path))
        for done, path in enumerate(ordered):
            if path in named:
                continue
            try:
                for item in _loose_items(path, self._reader):
                    empty = False
                    named |= _hrefs(item, path)
                    sieve.take(item, path)
            except ITEM_ERRORS as error:
                empty = False
                sieve.reject(path, error)
            progress(_TASK, done + 1, len(ordered))
        if empty:
            raise NotFound(
                f"{self.address} holds neither catalog.json, collection.json nor a STAC item: name another folder"
            )
        return sieve.findings()


def loose_files(folder: Path) -> Iterator[str]:
    """Yields the files below a folder that may hold items."""
    for path in sorted(folder.rglob("*")):
        inside_zarr = any(parent.suffix == ".zarr" for parent in path.parents)
        if not inside_zarr and path.suffix in (".json", ".geojson", *LINE_SUFFIXES, *DATA_SUFFIXES):
            yield str(path)


def is_data(path: str) -> bool:
    """Tells whether a name is one of a data file that may be an item of its own."""
    return urlsplit(path).path.rstrip("/").lower().endswith(DATA_SUFFIXES)


def is_stac(content: Any) -> bool:
    """Tells whether JSON looks like STAC."""
    if isinstance(content, list):
        return bool(items_in(content))
    return isinstance(content, Mapping) and bool({"type", "stac_version"} & content.keys())


def is_items(content: Any) -> bool:
    """Tells whether JSON is one item or a collection of items."""
    if isinstance(content, list):
        return True
    return isinstance(content, Mapping) and content.get("type") in ("Feature", "FeatureCollection")


def items_in(content: Any) -> list[Any]:
    """Gives the items in JSON: one, a FeatureCollection of them, or a list."""
    if _is_collection(content):
        content = content.get("features")
        return content if isinstance(content, list) else []
    several = content if isinstance(content, list) else [content]
    return [one for one in several if isinstance(one, Mapping) and one.get("type") == "Feature"]


def _is_collection(content: Any) -> bool:
    return isinstance(content, Mapping) and content.get("type") == "FeatureCollection"


def _resolved(place: str, link: Mapping[str, Any]) -> str:
    """Gives the address that a link leads to."""
    if str(link.get("method", "GET")).upper() != "GET":
        raise InvalidInput(
            f"{place} is one page of a search, whose next page cannot be read from here: "
            "give the API's own address and --bbox or --aoi"
        )
    href = str(link.get("href", ""))
    if urlsplit(href).scheme.lower() == "file" and not is_remote(place):
        return urlsplit(href).path
    return make_absolute_href(href, place, start_is_dir=False)


def _loose_items(path: str, reader: Reader) -> Iterator[dict[str, Any]]:
    if is_data(path):
        yield from _told_by_file(path)
    elif urlsplit(path).path.lower().endswith(LINE_SUFFIXES):
        yield from _lines(path, reader)
    else:
        yield from items_in(reader.json(path))


def _lines(path: str, reader: Reader) -> Iterator[dict[str, Any]]:
    """Yields the items of a file with one a line."""
    if is_remote(path):
        lines: Iterable[str] = reader.text(path).splitlines()
        yield from (json_of(line, path) for line in lines if line.strip())
        return
    try:
        with Path(path).open(encoding="utf-8") as file:
            yield from (json_of(line, path) for line in file if line.strip())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} cannot be read ({error}): check the address of the catalogue") from error


def _told_by_file(path: str) -> Iterator[dict[str, Any]]:
    from earthfield_ingest.loose import item_of

    item = item_of(Path(path))
    if item is not None:
        yield item.to_dict(include_self_link=False, transform_hrefs=False)


def _hrefs(item: Mapping[str, Any], path: str) -> set[str]:
    assets = item.get("assets")
    several = assets.values() if isinstance(assets, Mapping) else ()
    hrefs = (str(one["href"]) for one in several if isinstance(one, Mapping) and "href" in one)
    return {make_absolute_href(href, path, start_is_dir=False) for href in hrefs}
