"""Where every artefact lies under one root; nothing else joins paths."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.timeline import Period

_NAME = re.compile(r"^[a-z0-9][a-z0-9._-]{0,63}$", re.IGNORECASE)


def checked_name(name: str) -> str:
    """Gives the name of a model or table back if it can stand in an address.

    Raises:
        InvalidInput: it could leave its folder.
    """
    if not _NAME.match(name):
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


@dataclass(frozen=True)
class Catalog:
    """Addresses under one root."""

    root: Path
    """The folder that holds everything."""

    @property
    def cubes(self) -> Path:
        """Every cube."""
        return self.root / "cubes"

    def cube(self, tile: Tile) -> Path:
        """The Icechunk repository of a tile."""
        return self.cubes / tile.id

    def cube_tiles(self) -> list[Tile]:
        """Tiles that have a cube, sorted."""
        return sorted(Tile.parse(path.name) for path in self.cubes.glob("32*_*_*"))

    def field(self, key: FieldKey) -> Path:
        """The folder of a field."""
        return self.root / "fields" / checked_name(key.model) / key.tile.id / key.period.id

    def fields(
        self, model: str | None = None, tile: Tile | None = None, period: Period | None = None
    ) -> Iterator[FieldKey]:
        """Yields the finished fields (those with a manifest), sorted."""
        parts = (
            checked_name(model) if model else "*",
            tile.id if tile else "*",
            period.id if period else "*",
        )
        for path in sorted((self.root / "fields").glob("/".join((*parts, "manifest.json")))):
            name, tile_id, period_id, _ = path.parts[-4:]
            yield FieldKey(name, Tile.parse(tile_id), Period.from_id(period_id))

    @property
    def index(self) -> Path:
        """The LanceDB database; one table per model, `<model>.lance`."""
        return self.root / "index"

    def model(self, name: str) -> Path:
        """The folder of a trained model."""
        return self.root / "models" / checked_name(name)

    def report(self, kind: str, name: str) -> Path:
        """The JSON report of a job."""
        return self.root / "reports" / checked_name(kind) / f"{checked_name(name)}.json"

    def answer(self, name: str) -> Path:
        """A file that answers a question: a map, a table, a picture."""
        return self.root / "answers" / checked_name(name)

    def labels(self, name: str) -> Path:
        """A set of labels."""
        return self.root / "labels" / f"{checked_name(name)}.parquet"
