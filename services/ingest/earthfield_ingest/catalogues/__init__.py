"""Catalogues: every kind that scenes are found in, opened by address alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pystac.utils import make_absolute_href

from earthfield.errors import InvalidInput, NotFound
from earthfield_ingest.catalogues.archive import Archive, Extent, Findings, Question, touches
from earthfield_ingest.catalogues.reading import Reader
from earthfield_ingest.catalogues.static import (
    LINE_SUFFIXES,
    LooseArchive,
    StaticArchive,
    is_data,
    is_stac,
    loose_files,
)
from earthfield_ingest.providers import PROVIDERS, address_of
from earthfield_ingest.scene import is_remote

__all__ = ["Archive", "Extent", "Findings", "Question", "open_archive", "touches"]

_TABLE_SUFFIXES = (".parquet", ".geoparquet")
_ROOTS = ("catalog.json", "collection.json")


def open_archive(address: str, *, allow: Sequence[str] = ()) -> Archive:
    """Opens the catalogue at an address, whatever kind it is.

    Args:
        address: a provider's name (`planetary-computer`, `earth-search`, `cdse`), the URL of a STAC API, the
            folder, file or URL of a static catalogue, a stac-geoparquet file, a file of items (JSON, or one a
            line), a folder of such files, or a data file.
        allow: folders and hosts beyond the catalogue's own that its links may lead to.

    Raises:
        NotFound: nothing is there.
        InvalidInput: what is there is not STAC.
        Unavailable: the network or the server does not answer.
    """
    place = address_of(address)
    if not is_remote(place):
        path = Path(place).expanduser()
        if not path.exists():
            raise NotFound(
                f"there is no catalogue at {address}: give a folder, a STAC file, a URL or the name of a provider "
                f"({', '.join(provider.name for provider in PROVIDERS)}) with --catalog"
            )
        if path.is_dir() and not is_data(path.name):
            return _folder(address, path.resolve(), allow)
        place = str(path.resolve())
    reader = Reader(place, allow)
    named = urlsplit(place).path.lower()
    if named.endswith(_TABLE_SUFFIXES):
        return _tables(address, [place], reader)
    if named.endswith(LINE_SUFFIXES) or is_data(place):
        return LooseArchive(address, [place], reader)
    return _linked(address, place, reader)


def _folder(address: str, path: Path, allow: Sequence[str]) -> Archive:
    reader = Reader(str(path), allow)
    root = next((path / name for name in _ROOTS if (path / name).is_file()), None)
    if root is not None:
        return _linked(address, str(root), reader)
    tables = [str(one) for one in sorted(path.rglob("*")) if one.suffix in _TABLE_SUFFIXES]
    files = list(loose_files(path))
    if tables and not files:
        return _tables(address, tables, reader)
    return LooseArchive(address, files, reader)


def _tables(address: str, paths: list[str], reader: Reader) -> Archive:
    from earthfield_ingest.catalogues.parquet import ParquetArchive

    return ParquetArchive(address, paths, reader)


def _linked(address: str, place: str, reader: Reader) -> Archive:
    content = reader.json(place)
    if not is_stac(content):
        raise InvalidInput(f"{place} is JSON but not STAC: it must be a Catalog, a Collection or an Item")
    if is_remote(place):
        from earthfield_ingest.catalogues.api import ApiArchive, is_api

        if is_api(content):
            return ApiArchive(place, reader)
        root = _root_of_collection(content, place)
        if root is not None and is_api(reader.json(root)):
            return ApiArchive(root, reader, only=str(content["id"]))
    content = content if isinstance(content, Mapping) else _collected(content)
    return StaticArchive(address, place, content, reader)


def _collected(items: Any) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": items}


def _root_of_collection(content: Any, place: str) -> str | None:
    """Gives the root that a collection names, if its items come from a server rather than from files."""
    if not isinstance(content, Mapping) or content.get("type") != "Collection":
        return None
    links = {one.get("rel"): one for one in content.get("links") or () if isinstance(one, Mapping)}
    if "item" in links or "items" not in links or "root" not in links:
        return None
    root = make_absolute_href(str(links["root"].get("href", "")), place, start_is_dir=False)
    return root if is_remote(root) and root != place else None
