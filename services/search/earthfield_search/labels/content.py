"""What a set of labels holds: shapes in degrees, a class or a number for each, and when it was so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from earthfield.errors import InvalidInput

KINDS = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
_MOST_CLASSES = 255


@dataclass(frozen=True)
class Labels:
    """Shapes that somebody named or measured.

    Raises:
        InvalidInput: there is none, or the arrays are of different lengths.
    """

    geometries: NDArray[Any]
    """(N,) shapely points and polygons, also multi, in longitude and latitude, degrees."""
    values: NDArray[Any]
    """(N,) names of classes (text), or numbers (float64)."""
    start: NDArray[np.datetime64] | None = None
    """(N,) first instant at which a label holds, UTC, NaT where nobody said; None where no label is dated."""
    end: NDArray[np.datetime64] | None = None
    """(N,) first instant after that."""
    column: str = ""
    """Name of the column that the values came from."""
    skipped: tuple[str, ...] = ()
    """Rows that could not be used and were left out as asked, each with its reason."""

    def __post_init__(self) -> None:
        count = len(self.geometries)
        others = [self.values] + [one for one in (self.start, self.end) if one is not None]
        if not count:
            raise InvalidInput("there is no label: give at least one point or polygon with a value")
        if any(len(one) != count for one in others) or (self.start is None) != (self.end is None):
            raise InvalidInput(f"{count} shapes need as many values, and starts with as many ends")

    def __len__(self) -> int:
        return len(self.geometries)

    @property
    def are_numbers(self) -> bool:
        """Whether every value came as a number; such labels may still be names of classes, as 11 and 13."""
        return self.values.dtype.kind == "f"

    @property
    def dated(self) -> NDArray[np.bool_]:
        """Which labels say when they hold, (N,)."""
        return np.zeros(len(self), bool) if self.start is None else ~np.isnat(self.start)

    @property
    def counts(self) -> dict[str, int]:
        """Labels of each class, by name in order."""
        return dict(sorted(Counter(self.classes(most=None)).items()))

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """West, south, east, north of all shapes, degrees."""
        west, south, east, north = (float(edge) for edge in shapely.total_bounds(self.geometries))
        return west, south, east, north

    def classes(self, *, most: int | None = _MOST_CLASSES) -> list[str]:
        """Gives the class of each label as text, (N,); 11.0 is `11`.

        Raises:
            InvalidInput: there are more classes than a raster of them can hold.
        """
        names = [number_text(value) for value in self.values] if self.are_numbers else list(self.values)
        if most is not None and len(set(names)) > most:
            raise InvalidInput(
                f"the labels have {len(set(names)):,} classes, at most {most} can be told apart: for a "
                "measured quantity ask for a regression"
            )
        return [str(name) for name in names]

    def numbers(self) -> NDArray[np.float64]:
        """Gives the number of each label, (N,).

        Raises:
            InvalidInput: they are names.
        """
        if self.are_numbers:
            return np.asarray(self.values, np.float64)
        shown = ", ".join(repr(str(one)) for one in sorted(set(self.values))[:3])
        raise InvalidInput(
            f"a regression needs numbers, and column {self.column!r} holds {shown}: name another "
            "column, or ask for a classification"
        )


def number_text(value: float) -> str:
    """Writes a number as people do: whole ones without a point."""
    return str(int(value)) if float(value).is_integer() else repr(float(value))
