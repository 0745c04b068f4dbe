"""Where every artefact lies under one root; nothing else joins paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.places import CubePlace, Root, folder_of, place_of, root_of, tiles_in
from earthfield.storage import hash_of
from earthfield.timeline import Period

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$", re.IGNORECASE)
_FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,214}", re.IGNORECASE)
"""Of an answer's file, which holds names and periods; disks take 255, a temporary prefix among them."""


def checked_name(name: str) -> str:
    """Gives the name of a model or table back if it can stand in an address.

    Raises:
        InvalidInput: it could leave its folder.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            f"{name!r} is not a usable name: letters, digits, '.', '_' and '-' only, at most 64"
        )
    return name


@dataclass(frozen=True, order=True)
class FieldKey:
    """Which field: model, tile and valid period."""

    model: str
    """Name of the model."""
    tile: Tile
    """The tile."""
    period: Period
    """The valid period."""

    @property
    def id(self) -> str:
        """One text for it."""
        return f"{self.model}/{self.tile.id}/{self.period.id}"


@dataclass(frozen=True, init=False)
class Catalog:
    """Addresses under one root."""

    root: Root
    """The folder that holds everything, or the bucket that holds cubes."""

    def __init__(self, root: str | Root) -> None:
        """Args: a folder, or `s3://bucket/prefix`, where cubes alone have an address.

        Raises:
            InvalidInput: an address of another kind.
        """
        object.__setattr__(self, "root", root_of(root))

    @property
    def folder(self) -> Path:
        """The root as what it must be for everything but cubes.

        Raises:
            InvalidInput: it is a bucket.
        """
        return folder_of(self.root)

    @property
    def cubes(self) -> Root:
        """Every cube."""
        return self.root / "cubes"

    def cube(self, tile: Tile) -> CubePlace:
        """The Icechunk repository of a tile."""
        return place_of(self.cubes, tile)

    def cube_tiles(self) -> list[Tile]:
        """Tiles that have a cube, sorted; errors as in `CubePlace.exists`."""
        return tiles_in(self.cubes)

    def field(self, key: FieldKey) -> Path:
        """The folder of a field."""
        return self.folder / "fields" / checked_name(key.model) / key.tile.id / key.period.id

    def collection(self, model: str) -> Path:
        """The STAC collection of a model's fields."""
        return self.folder / "fields" / checked_name(model) / "collection.json"

    def fields(
        self, model: str | None = None, tile: Tile | None = None, period: Period | None = None
    ) -> Iterator[FieldKey]:
        """Yields the finished fields (those with a manifest), sorted."""
        parts = (
            checked_name(model) if model else "*",
            tile.id if tile else "*",
            period.id if period else "*",
        )
        for path in sorted((self.folder / "fields").glob("/".join((*parts, "manifest.json")))):
            name, tile_id, period_id, _ = path.parts[-4:]
            yield FieldKey(name, Tile.parse(tile_id), Period.from_id(period_id))

    @property
    def index(self) -> Path:
        """The LanceDB database; one table per model, `<model>.lance`."""
        return self.folder / "index"

    def model(self, name: str) -> Path:
        """The folder of a trained model."""
        return self.folder / "models" / checked_name(name)

    def report(self, kind: str, name: str) -> Path:
        """The JSON report of a job."""
        return self.folder / "reports" / checked_name(kind) / f"{checked_name(name)}.json"

    def schedule(self, name: str) -> Path:
        """What is made again by itself, and when; see `earthfield schedule`."""
        return self.folder / "refresh" / f"{checked_name(name)}.json"

    def schedule_names(self) -> list[str]:
        """Names of all schedules, sorted."""
        return sorted(path.stem for path in (self.folder / "refresh").glob("*.json"))

    @property
    def answers(self) -> Path:
        """The folder of all answers."""
        return self.folder / "answers"

    def answer(self, name: str) -> Path:
        """A file that answers a question: a map, a table, a picture."""
        if not _FILE_NAME.fullmatch(name):
            raise InvalidInput(
                f"{name!r} cannot name a file: letters, digits, '.', '_' and '-' only, at most 215"
            )
        return self.answers / name

    def texts(self, name: str) -> Path:
        """A table of texts that have a place."""
        return self.folder / "texts" / f"{checked_name(name)}.parquet"

    def text_tables(self) -> list[Path]:
        """Every table of texts, sorted; none in a bucket, where texts have no address."""
        return sorted((self.root / "texts").glob("*.parquet")) if isinstance(self.root, Path) else []

    def sentences(self, encoder: str) -> Path:
        """What a sentence model made of the texts, kept so that each text is embedded once."""
        # Names of sentence models may hold slashes; the hash tells apart what becomes alike without them.
        plain = re.sub(r"[^A-Za-z0-9._-]+", "-", encoder).lstrip(".-")[:48]
        return self.folder / "texts" / "embedded" / f"{plain}-{hash_of(encoder)[:12]}.safetensors"

    def labels(self, name: str, *, owner: str = "") -> Path:
        """A set of labels, of one owner where the service knows owners."""
        return self._owned("labels", owner) / f"{checked_name(name)}.parquet"

    def searches(self, name: str, *, owner: str = "") -> Path:
        """A saved search, of one owner where the service knows owners."""
        return self._owned("searches", owner) / f"{checked_name(name)}.parquet"

    def owned_answers(self, owner: str = "") -> Path:
        """The folder of an owner's answers, of all answers where there is no owner."""
        return self._owned("answers", owner)

    def _owned(self, kind: str, owner: str) -> Path:
        return self.folder / kind / f"by-{checked_name(owner)}" if owner else self.folder / kind
