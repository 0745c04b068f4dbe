"""Labels that are kept under a name, as GeoParquet, each owner's apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, NotFound
from earthfield_search.files.geoparquet import read_geoparquet, write_geoparquet
from earthfield_search.labels.content import Labels

_VALUE, _START, _END = "value", "start", "end"
_MOST_CLASSES_TOLD = 255


@dataclass(frozen=True)
class LabelSet:
    """What is told about labels that are kept."""

    name: str
    """Their name."""
    labels: int
    """How many."""
    points: int
    """How many of them are points."""
    dated: int
    """How many of them say when they hold."""
    column: str
    """Column that the values came from."""
    are_numbers: bool
    """Whether they are numbers, and may be regressed on."""
    classes: dict[str, int]
    """Labels of each class, at most 255 classes; empty where there are more."""
    bounds: list[float]
    """West, south, east, north, degrees."""
    smallest: float | None = None
    """Least number."""
    largest: float | None = None
    """Largest number."""


def save_labels(catalog: Catalog, name: str, labels: Labels, owner: str = "") -> LabelSet:
    """Keeps labels under a name, in place of those of the same name; whole or not at all.

    Raises:
        InvalidInput: the name cannot stand in an address.
    """
    columns: dict[str, Any] = {
        _VALUE: pa.array(
            [float(one) for one in labels.values]
            if labels.are_numbers
            else [str(one) for one in labels.values],
            pa.float64() if labels.are_numbers else pa.string(),
        )
    }
    if labels.start is not None and labels.end is not None:
        columns |= {
            _START: pa.array(labels.start, pa.timestamp("us", tz="UTC")),
            _END: pa.array(labels.end, pa.timestamp("us", tz="UTC")),
        }
    about = {"column": labels.column}
    write_geoparquet(catalog.labels(name, owner=owner), labels.geometries, columns, about)
    return described(name, labels)


def load_labels(catalog: Catalog, name: str, owner: str = "") -> Labels:
    """Reads labels that were kept.

    Raises:
        InvalidInput: the name cannot stand in an address.
        NotFound: none of this name are kept.
        BrokenArtefact: the file is not what was written.
    """
    path = catalog.labels(name, owner=owner)
    if not path.is_file():
        have = ", ".join(_names(catalog, owner)) or "none"
        raise NotFound(f"there are no labels {name!r}; there are: {have} (`earthfield labels add NAME FILE`)")
    table = read_geoparquet(path)
    own = table.columns
    try:
        values = np.asarray(own[_VALUE].to_numpy())
        start, end = (
            np.asarray(own[one].cast(pa.timestamp("us")).to_numpy(), "datetime64[us]")
            if one in own.column_names
            else None
            for one in (_START, _END)
        )
        return Labels(table.geometries, values, start, end, str(table.metadata.get("column", "")))
    except (KeyError, ValueError, pa.ArrowException) as error:
        raise BrokenArtefact(f"{path} does not hold labels ({error}): add them again") from error


def list_labels(catalog: Catalog, owner: str = "") -> list[LabelSet]:
    """Tells about every set of labels of an owner, by name."""
    return [described(name, load_labels(catalog, name, owner)) for name in _names(catalog, owner)]


def remove_labels(catalog: Catalog, name: str, owner: str = "") -> None:
    """Removes labels that were kept; errors as in `load_labels`."""
    try:
        catalog.labels(name, owner=owner).unlink()
    except FileNotFoundError as error:
        have = ", ".join(_names(catalog, owner)) or "none"
        raise NotFound(f"there are no labels {name!r} to remove; there are: {have}") from error


def described(name: str, labels: Labels) -> LabelSet:
    """Tells about labels."""
    counts = labels.counts
    numbers = labels.numbers() if labels.are_numbers else None
    return LabelSet(
        name, len(labels), sum(one.geom_type.endswith("Point") for one in labels.geometries),
        int(labels.dated.sum()), labels.column, labels.are_numbers,
        counts if len(counts) <= _MOST_CLASSES_TOLD else {}, list(labels.bounds),
        None if numbers is None else float(numbers.min()), None if numbers is None else float(numbers.max()),
    )  # fmt: skip


def feature_collection(labels: Labels) -> dict[str, Any]:
    """Gives labels as GeoJSON content: property `value`, and `start` and `end` where they are dated."""
    from shapely.geometry import mapping

    features = []
    for row, shape in enumerate(labels.geometries):
        value = labels.values[row]
        own: dict[str, Any] = {"value": float(value) if labels.are_numbers else str(value)}
        if labels.start is not None and labels.end is not None and labels.dated[row]:
            own |= {"start": f"{labels.start[row]}Z", "end": f"{labels.end[row]}Z"}
        features.append({"type": "Feature", "geometry": mapping(shape), "properties": own})
    return {"type": "FeatureCollection", "features": features}


def _names(catalog: Catalog, owner: str) -> list[str]:
    folder = catalog.labels("any", owner=owner).parent
    return sorted(path.stem for path in folder.glob("*.parquet") if not path.name.startswith("."))
