"""The answer to a question of likeness, as plain values, GeoJSON and columns."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import shapely
from numpy.typing import NDArray

from earthfield_search.asking.hits import Hit
from earthfield_search.asking.question import SimilarQuestion
from earthfield_search.asking.sought import AskedPlace
from earthfield_search.files.answers import point

_QUIET = ("seconds", "vector", "files")


@dataclass(frozen=True)
class SimilarAnswer:
    """The places that look alike, best first; the examples' own cells are not among them."""

    model: str
    """The model."""
    period: str
    """The valid period of the examples."""
    periods: list[str]
    """The valid periods that were searched."""
    question: SimilarQuestion
    """What was asked."""
    asked: list[AskedPlace]
    """The points that were asked with."""
    examples: int
    """Vectors that were averaged to what was looked for: pixels of polygons count one by one."""
    purity: float
    """How alike the examples are: their mean cosine to their mean."""
    num_cells: int
    """Cells that passed the filter and were compared."""
    num_found: int
    """How many places were found, on all pages."""
    is_complete: bool
    """Whether `num_found` is all there are above the threshold; always so with k alone."""
    hits: list[Hit] = field(default_factory=list)
    """The places of this page."""
    cautions: list[str] = field(default_factory=list)
    """What to bear in mind."""
    files: list[str] = field(default_factory=list)
    """Files that were written."""
    seconds: float = 0.0
    """Wall time."""
    vector: tuple[float, ...] = field(default=(), repr=False)
    """The unit vector that cells were compared with."""

    @property
    def title(self) -> str:
        """What was asked, in few words."""
        return title_of(self.question, self.asked)

    def content(self) -> dict[str, Any]:
        """Gives the answer as plain content: without what changes from run to run, and without the vector."""
        content = dataclasses.asdict(self)
        return {name: value for name, value in content.items() if name not in _QUIET}


def title_of(question: SimilarQuestion, asked: Sequence[AskedPlace]) -> str:
    """Names what is looked for: `3.05000 50.84000`, `5 places`, `"rice paddies"`, without what it is not."""
    like, parts = question.like, []
    wanted = [one for one in asked if one.wanted]
    if len(wanted) == 1:
        parts.append(f"{wanted[0].lon:.5f} {wanted[0].lat:.5f}")
    elif wanted:
        parts.append(f"{len(wanted)} places")
    parts += ["a polygon"] if like.polygon else []
    parts += [f"what is labelled {like.label}"] if like.label else []
    parts += ["a vector"] if like.vector else []
    parts += [f'"{like.text}"'] if like.text else []
    unwanted = len(asked) - len(wanted)
    but = f", but not {unwanted} {'place' if unwanted == 1 else 'places'}" if unwanted else ""
    return " and ".join(parts) + but


def features_of(answer: SimilarAnswer) -> list[dict[str, Any]]:
    """Gives the hits as GeoJSON features, at the pixel of each that fits best."""
    return [point(hit.pixel_lon, hit.pixel_lat, properties_of(hit)) for hit in answer.hits]


def properties_of(hit: Hit) -> dict[str, Any]:
    """Gives what a hit has beside its place; quality and scenes only where they were asked for."""
    found = {name: getattr(hit, name) for name in _KINDS}
    if hit.explained is not None:
        found |= dataclasses.asdict(hit.explained)
    return found


def table_of_hits(hits: Sequence[Hit]) -> tuple[NDArray[Any], pa.Table]:
    """Gives the hits as (N,) points and a table of N rows, for GeoParquet."""
    places = np.array([(hit.pixel_lon, hit.pixel_lat) for hit in hits]).reshape(-1, 2)
    points = np.asarray(shapely.points(places), object).reshape(-1)
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(hit, name) for hit in hits], kind) for name, kind in _KINDS.items()
    }
    if any(hit.explained for hit in hits):
        layers = sorted({name for hit in hits if hit.explained for name in hit.explained.quality})
        for name in layers:
            values = [hit.explained.quality.get(name) if hit.explained else None for hit in hits]
            columns[name] = pa.array([None if one is None else float(one) for one in values], pa.float32())
        scenes = [
            [one.scene for seen in hit.explained.scenes.values() for one in seen] if hit.explained else []
            for hit in hits
        ]
        columns["scenes"] = pa.array(scenes, pa.list_(pa.string()))
    return points, pa.table(columns)


_KINDS = {
    "rank": pa.int32(), "score": pa.float32(), "pixel_score": pa.float32(), "purity": pa.float32(),
    "pixels": pa.int32(), "distance_m": pa.float64(), "tile": pa.string(), "period": pa.string(),
    "lon": pa.float64(), "lat": pa.float64(), "cell": pa.string(),
}  # fmt: skip
