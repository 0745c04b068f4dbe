"""Places: where a tile's cube lies, in a folder or in a bucket, and how its repository is opened there."""

from __future__ import annotations

import os
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import icechunk
from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield.grid import Tile
from earthfield.storage import cause_of, refused

_BUCKET = re.compile(r"s3:/{1,2}(?P<name>[a-z0-9][a-z0-9.-]+)(?:/(?P<prefix>.*))?", re.IGNORECASE)
"""An address in a bucket; `pathlib` leaves one of its two slashes away."""
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)
_TILE = re.compile(r"\d{5}_\d+_\d+")
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_CREDENTIALS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
"""Any of them in the environment tells who asks; without one a bucket is read as anybody may."""


@dataclass(frozen=True, order=True)
class Bucket:
    """A root, or an address below it, in an S3 bucket; only cubes can lie there."""

    name: str
    """Name of the bucket."""
    prefix: str = ""
    """What every key begins with, without a slash at its ends."""

    def __truediv__(self, name: str) -> Bucket:
        return Bucket(self.name, f"{self.prefix}/{name}".lstrip("/"))

    def __str__(self) -> str:
        return f"s3://{self.name}/{self.prefix}".rstrip("/")


Root = Path | Bucket
"""Where artefacts lie: a folder for all of them, or a bucket for cubes."""


def root_of(text: str | Root) -> Root:
    """Reads `--root` and EARTHFIELD_ROOT: a folder, or `s3://bucket/prefix`.

    Raises:
        InvalidInput: an address of another kind.
    """
    if isinstance(text, Bucket):
        return text
    if found := _BUCKET.fullmatch(str(text)):
        return Bucket(found["name"], (found["prefix"] or "").strip("/"))
    if _SCHEME.match(str(text)):
        raise InvalidInput(
            f"the root {text} is neither a folder nor s3://bucket/prefix: choose one of the two"
        )
    return Path(text)


RootField = Annotated[
    Root,
    BeforeValidator(root_of),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string"}),
]
"""A root as a field of requests and settings: text outside, a root inside."""


def folder_of(root: str | Root) -> Path:
    """Gives a root that must be a folder.

    Raises:
        InvalidInput: it is a bucket.
    """
    found = root_of(root)
    if isinstance(found, Bucket):
        raise InvalidInput(
            f"the root {found} is a bucket, which can hold cubes only (`earthfield ingest`, `earthfield cube`): "
            "for fields, models, indexes and answers choose a folder with --root or EARTHFIELD_ROOT"
        )
    return found


class CubePlace(ABC):
    """Where the cube of one tile lies."""

    @property
    @abstractmethod
    def tile(self) -> Tile:
        """The tile."""

    @abstractmethod
    def exists(self) -> bool:
        """Tells whether a cube was begun here; it may still be empty.

        Raises:
            Unavailable: a bucket's server does not answer.
            InvalidInput: it refuses, or has no such bucket.
        """

    @abstractmethod
    def storage(self) -> icechunk.Storage:
        """Gives the place as Icechunk addresses it."""

    def open(self) -> icechunk.Repository:
        """Opens the repository.

        Raises:
            NotFound: there is none.
            BrokenArtefact: what lies here is not one.
            EarthfieldError: as `exists`.
        """
        try:
            return icechunk.Repository.open(self.storage())
        except icechunk.IcechunkError as error:
            if told := refused(error, self):
                raise told from error
            if not self.exists():
                raise self._absent() from error
            raise BrokenArtefact(
                f"the cube {self} cannot be opened ({cause_of(error)}): remove it and ingest again"
            ) from error

    def _absent(self) -> NotFound:
        return NotFound(f"there is no cube at {self}: run `earthfield ingest` for this area first")


@dataclass(frozen=True)
class FolderPlace(CubePlace):
    """A cube in a folder of this machine."""

    path: Path
    """The folder, named after the tile."""

    @property
    def tile(self) -> Tile:
        """The tile."""
        return Tile.parse(self.path.name)

    def exists(self) -> bool:
        """Tells whether the folder is there: it appears with an empty cube in it."""
        return self.path.is_dir() and any(self.path.iterdir())

    def open(self) -> icechunk.Repository:
        """Opens the repository; errors as in `CubePlace.open`."""
        if not self.exists():  # Icechunk would make the folder
            raise self._absent()
        return super().open()

    def storage(self) -> icechunk.Storage:
        """Gives the folder as Icechunk addresses it."""
        _quiet()
        return icechunk.local_filesystem_storage(str(self.path))

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True)
class BucketPlace(CubePlace):
    """A cube below a prefix of a bucket."""

    at: Bucket
    """The address, whose last part names the tile."""

    @property
    def tile(self) -> Tile:
        """The tile."""
        return Tile.parse(self.at.prefix.rpartition("/")[2])

    def exists(self) -> bool:
        """Tells whether a cube was begun here; errors as in `CubePlace.exists`."""
        try:
            return icechunk.Repository.exists(self.storage())
        except icechunk.IcechunkError as error:
            raise refused(error, self) or error from error

    def storage(self) -> icechunk.Storage:
        """Gives the prefix as Icechunk addresses it, by the usual AWS_* variables."""
        way = _way()
        return icechunk.s3_storage(
            bucket=self.at.name,
            prefix=self.at.prefix,
            region=way["region"],
            endpoint_url=way["endpoint"],
            allow_http=way["allow_http"],
            force_path_style=way["endpoint"] is not None,
            from_env=way["signed"] or None,
            anonymous=not way["signed"] or None,
        )

    def __str__(self) -> str:
        return str(self.at)


def place_of(cubes: Root, tile: Tile) -> CubePlace:
    """Gives the place of a tile's cube below the address of all cubes."""
    return FolderPlace(cubes / tile.id) if isinstance(cubes, Path) else BucketPlace(cubes / tile.id)


def tiles_in(cubes: Root) -> list[Tile]:
    """Lists the tiles that have a cube below an address, sorted; errors as in `CubePlace.exists`."""
    if isinstance(cubes, Path):
        paths = cubes.iterdir() if cubes.is_dir() else ()
        names = [path.name for path in paths if FolderPlace(path).exists()]
    else:
        names = _names_in(cubes)
    return sorted(Tile.parse(name) for name in names if _TILE.fullmatch(name))


def object_store(bucket: Bucket) -> Any:
    """Opens an address for what Icechunk does not do: listing, and finishing what was cut off.

    Raises:
        InvalidInput: obstore, which does it, is not installed.
    """
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"listing {bucket} needs {error.name}, which is not installed: pip install 'earthfield[ingest]'"
        ) from error
    way = _way()
    given = {"region": way["region"], "endpoint": way["endpoint"]}
    return S3Store(
        bucket.name, prefix=bucket.prefix, client_options={"allow_http": way["allow_http"]},
        skip_signature=not way["signed"], **{name: value for name, value in given.items() if value},
    )  # fmt: skip


def _names_in(bucket: Bucket) -> list[str]:
    """Lists the first parts of the names below an address: one request for a thousand."""
    store = object_store(bucket)
    from obstore.exceptions import BaseError

    try:
        return [
            name.rstrip("/").rpartition("/")[2] for name in store.list_with_delimiter()["common_prefixes"]
        ]
    except BaseError as error:
        raise refused(error, bucket) or error from error


def _way() -> dict[str, Any]:
    """Reads from the environment how buckets are reached: by which server, and as whom."""
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), None)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    allowed = os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    return {
        "endpoint": endpoint,
        "region": region or ("us-east-1" if endpoint else None),
        "allow_http": allowed or (endpoint or "").startswith("http://"),
        "signed": any(os.environ.get(name) for name in _CREDENTIALS),
    }


@cache
def _quiet() -> None:
    """Silences the warning about side-by-side commits on a local disk: a tile has one writer at a time."""
    if "ICECHUNK_LOG" not in os.environ:
        icechunk.set_logs_filter("warn,icechunk::storage::object_store=error")
