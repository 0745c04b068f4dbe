"""From rows of any origin to labels: which column tells what, and which rows cannot be used."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError

from earthfield.errors import InvalidInput
from earthfield.timeline import Period, as_utc
from earthfield_search.labels.content import KINDS, Labels

_USUAL = ("label", "class", "value")
_SHOWN = 5
_NUMBER = re.compile(r"^[+-]?(0|[1-9][0-9]*)?(\.[0-9]*)?([eE][+-]?[0-9]+)?$")
_LAT_LIMITS = (-80.0, 84.0)


@dataclass(frozen=True)
class LabelColumns:
    """Which columns tell what, and what happens to rows that cannot be used."""

    value: str | None = None
    """Column of the class or number; when absent `label`, `class` or `value`, or the only one there is."""
    lon: str = "lon"
    """Column of longitude, or of x in `crs`; of tables without shapes."""
    lat: str = "lat"
    """Column of latitude, or of y in `crs`."""
    crs: str | None = None
    """Coordinate system of tables and of files that tell none, such as EPSG:32631; degrees when absent."""
    period: str | None = None
    """Column of the period in which a label holds: 2018, 2018-03, 2018-03..2018-09, a/b, or a day."""
    start: str | None = None
    """Column of the first day instead."""
    end: str | None = None
    """Column of the last day, which still counts; the first day alone when absent."""
    skip_bad: bool = False
    """Leave out rows that cannot be used instead of refusing all; they are counted and named."""

    @property
    def in_time(self) -> tuple[str, ...]:
        """The columns that tell when."""
        return tuple(one for one in (self.period, self.start, self.end) if one is not None)


@dataclass(frozen=True)
class Rows:
    """What a file or a request holds."""

    shapes: Sequence[Any]
    """(N,) shapely shapes in degrees, None where a row has none."""
    columns: Mapping[str, Sequence[Any]]
    """(N,) values by column."""
    origin: str
    """What it is, for messages."""
    faults: Mapping[int, str] | None = None
    """Rows whose shape could not be read, with the reason."""


def labels_from_geojson(content: Mapping[str, Any], columns: LabelColumns | None = None) -> Labels:
    """Reads labels from the content of GeoJSON: features with a point or a polygon and a property.

    Raises:
        InvalidInput: it is not GeoJSON, a column is not there, or rows cannot be used.
    """
    return labels_of(geojson_rows(content, "the labels"), columns or LabelColumns())


def geojson_rows(content: Any, origin: str) -> Rows:
    """Gives the features of GeoJSON as rows.

    Raises:
        InvalidInput: it is something else.
    """
    features = content.get("features") if isinstance(content, Mapping) else None
    if not isinstance(features, list) or not all(isinstance(one, Mapping) for one in features):
        raise InvalidInput(
            f"{origin} must be a GeoJSON FeatureCollection: features with a geometry and properties"
        )
    shapes: list[Any] = []
    faults: dict[int, str] = {}
    for row, feature in enumerate(features):
        try:
            own = feature.get("geometry")
            shapes.append(None if own is None else shapely.geometry.shape(own))
        except (shapely.errors.ShapelyError, ValueError, TypeError, KeyError, AttributeError, IndexError):
            shapes.append(None)
            faults[row] = "its geometry is not readable"
    told = [one.get("properties") for one in features]
    told = [one if isinstance(one, Mapping) else {} for one in told]
    names = list(dict.fromkeys(str(name) for one in told for name in one))
    columns = {name: [one.get(name) for one in told] for name in names}
    return Rows(in_degrees(shapes, _crs_of(content)), columns, origin, faults)


def _crs_of(content: Mapping[str, Any]) -> str | None:
    own = content.get("crs")
    about = own.get("properties") if isinstance(own, Mapping) else None
    name = about.get("name") if isinstance(about, Mapping) else None
    return str(name) if name else None


def in_degrees(shapes: Sequence[Any], crs: str | None) -> list[Any]:
    """Turns shapes of a coordinate system into longitude and latitude; None is taken as degrees.

    Raises:
        InvalidInput: nobody knows the coordinate system.
    """
    held = np.asarray([*shapes, None], object)[:-1]
    held = shapely.force_2d(held)
    if not crs or crs.endswith("CRS84"):
        return list(held)
    try:
        own = CRS.from_user_input(crs)
    except CRSError as error:
        raise InvalidInput(
            f"{crs[:80]!r} is not a coordinate system that is known: write EPSG:32631"
        ) from error
    if own.to_epsg() == 4326:
        return list(held)
    turn = Transformer.from_crs(own, 4326, always_xy=True)
    return list(shapely.transform(held, lambda xy: np.stack(turn.transform(xy[:, 0], xy[:, 1]), axis=-1)))


def labels_of(rows: Rows, columns: LabelColumns) -> Labels:
    """Makes labels of rows.

    Raises:
        InvalidInput: a column is not there, or rows cannot be used and shall not be left out.
    """
    name = _value_column(rows, columns)
    values, are_numbers = _values(rows.columns[name])
    bad: dict[int, str] = dict(rows.faults or {})
    spans: list[tuple[datetime, datetime] | None] = [None] * len(values)
    for row, shape in enumerate(rows.shapes):
        why = bad.get(row) or _shape_fault(shape)
        if why is None and values[row] is None:
            why = f"no value in {name!r}"
        if why is None and columns.in_time:
            try:
                spans[row] = _span(rows, columns, row)
            except InvalidInput as error:
                why = str(error)
        if why is not None:
            bad[row] = why
    told = tuple(f"row {row + 1}: {why}" for row, why in sorted(bad.items()))
    kept = np.array([row for row in range(len(values)) if row not in bad], np.intp)
    if told and (not columns.skip_bad or not len(kept)):
        raise InvalidInput(_refusal(rows.origin, told, len(values)))
    if not len(kept):
        raise InvalidInput(f"{rows.origin} holds no row: give at least one point or polygon with a value")
    found = [values[row] for row in kept]
    start, end = _instants([spans[row] for row in kept])
    return Labels(
        np.array([*(rows.shapes[row] for row in kept), None], object)[:-1],
        np.array(found, np.float64) if are_numbers else np.array(found, object),
        start, end, name, told,
    )  # fmt: skip


def _refusal(origin: str, told: Sequence[str], count: int) -> str:
    shown = "; ".join(told[:_SHOWN]) + (f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else "")
    return (
        f"{len(told):,} of {count:,} rows of {origin} cannot be used ({shown}): mend them, or leave them out "
        "with --skip-bad (`skip_bad` in a request)"
    )


def _value_column(rows: Rows, columns: LabelColumns) -> str:
    have = ", ".join(map(repr, rows.columns)) or "none"
    for wanted in (columns.value, *columns.in_time):
        if wanted is not None and wanted not in rows.columns:
            raise InvalidInput(f"{rows.origin} has no column {wanted!r}; its columns are: {have}")
    if columns.value is not None:
        return columns.value
    left = [one for one in rows.columns if one not in columns.in_time]
    usual = [one for one in _USUAL if one in left]
    if usual or len(left) == 1:
        return (usual or left)[0]
    raise InvalidInput(
        f"{rows.origin} does not say which column holds the label: name it with --column (`column` in a "
        f"request); its columns are: {have}"
    )


def _values(column: Sequence[Any]) -> tuple[list[Any], bool]:
    """Gives numbers where all are, else text; None where there is no value."""
    told = [_plain(value) for value in column]
    try:
        numbers = [None if value is None else _number(value) for value in told]
    except (ValueError, OverflowError):
        return [None if value is None else str(value) for value in told], False
    return numbers, True


def _number(value: Any) -> float:
    # What Python takes as a number may be a name: nan, 1_000, and codes such as 0110.
    if isinstance(value, str) and not _NUMBER.match(value):
        raise ValueError(value)
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(value)
    return found


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, int | float | np.integer | np.floating):
        return float(value)
    text = str(value).strip()
    return text[:200] or None


def _shape_fault(shape: Any) -> str | None:
    if shape is None or shape.is_empty:
        return "no geometry"
    if shape.geom_type not in KINDS:
        return f"a {shape.geom_type} is neither a point nor a polygon"
    xy = shapely.get_coordinates(shape)
    inside = np.isfinite(xy).all() and np.abs(xy[:, 0]).max() <= 180
    if not inside or xy[:, 1].min() < _LAT_LIMITS[0] or xy[:, 1].max() > _LAT_LIMITS[1]:
        first = ", ".join(f"{value:.6g}" for value in xy[0])
        return f"{first} leaves longitude -180..180, latitude -80..84 (is it in another coordinate system?)"
    if not shapely.is_valid(shape):
        return f"its outline is not a polygon ({shapely.is_valid_reason(shape)})"
    return None


# ---- time ----


def _span(rows: Rows, columns: LabelColumns, row: int) -> tuple[datetime, datetime] | None:
    if columns.period is not None:
        text = _plain_day(rows.columns[columns.period][row])
        if text is None:
            return None
        if "T" not in text and "/" not in text and text.count("-") == 2:
            return _days(text, text)
        period = Period.parse(text)
        return period.start, period.end
    first = _plain_day(rows.columns[columns.start][row]) if columns.start is not None else None
    last = _plain_day(rows.columns[columns.end][row]) if columns.end is not None else None
    if first is None and last is None:
        return None
    return _days(first or last or "", last or first or "")


def _plain_day(value: Any) -> str | None:
    if isinstance(value, datetime | date):
        return value.isoformat()[:10]
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)[:10]
    plain = _plain(value)
    return str(int(plain)) if isinstance(plain, float) else plain


def _days(first: str, last: str) -> tuple[datetime, datetime]:
    try:
        start, end = (as_utc(datetime.fromisoformat(one[:10])) for one in (first, last))
        if start > end:
            raise ValueError(f"{first} is after {last}")
        return start, end + timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"{first!r} to {last!r} are not days such as 2018-06-15 ({error})") from error


def _instants(
    spans: Sequence[tuple[datetime, datetime] | None],
) -> tuple[NDArray[np.datetime64] | None, NDArray[np.datetime64] | None]:
    if not any(spans):
        return None, None
    nothing = np.datetime64("NaT", "us")
    start, end = (
        np.array(
            [
                nothing if one is None else np.datetime64(one[side].replace(tzinfo=None), "us")
                for one in spans
            ],
            "datetime64[us]",
        )
        for side in (0, 1)
    )
    return start, end
