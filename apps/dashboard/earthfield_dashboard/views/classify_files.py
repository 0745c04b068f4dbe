"""Labels from files and from the service, for the page *Classify*: uploaded, kept ones taken, kept for later."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from earthfield.errors import InvalidInput
from earthfield_dashboard.session import search, told
from earthfield_dashboard.views.classify_labels import PROPERTY, WHEN, Label, Sheet, add_labels
from earthfield_dashboard.words import usable_name

_LON_NAMES = ("lon", "longitude", "lng", "x")
_LAT_NAMES = ("lat", "latitude", "y")
_USUAL = ("label", "class", "value")
_SHAPES = ("Point", "MultiPoint", "Polygon", "MultiPolygon")
_NEVER = "they hold at any time"
_MOST_LABELS = 50_000

Rows = list[tuple[Mapping[str, Any], dict[str, Any]]]
"""GeoJSON geometry and properties of each row."""


def rows_of(name: str, content: bytes) -> Rows:
    """Reads an uploaded file: GeoJSON, or a table with a column each for longitude and latitude.

    Raises:
        InvalidInput: it is neither, or its places are not in degrees.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name} is not text in UTF-8: save it so, as GeoJSON or CSV") from error
    found = _table(name, text) if name.lower().endswith((".csv", ".tsv", ".txt")) else _geojson(name, text)
    if not found:
        raise InvalidInput(f"{name} holds no label: it needs at least one point or polygon with a class")
    if len(found) > _MOST_LABELS:
        raise InvalidInput(
            f"{name} holds {len(found):,} labels, at most {_MOST_LABELS:,} can be used: take a part"
        )
    for row, (geometry, _) in enumerate(found, 1):
        _check_degrees(name, row, geometry)
    return found


def _geojson(name: str, text: str) -> Rows:
    try:
        content = json.loads(text)
        features = content["features"] if content["type"] == "FeatureCollection" else [content]
        found = [(one["geometry"], dict(one.get("properties") or {})) for one in features]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInput(f"{name} is not GeoJSON with features: save it as GeoJSON or CSV") from error
    for row, (geometry, _) in enumerate(found, 1):
        if not isinstance(geometry, dict) or geometry.get("type") not in _SHAPES:
            raise InvalidInput(f"feature {row} of {name} is neither a point nor a polygon: leave it out")
    return found


def _table(name: str, text: str) -> Rows:
    head = text.partition("\n")[0]
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=head.count))
    names = [str(one) for one in lines.fieldnames or ()]
    lon, lat = _column(name, names, _LON_NAMES), _column(name, names, _LAT_NAMES)
    found: Rows = []
    for row, line in enumerate(lines, 1):
        try:
            place = [float(line[lon] or ""), float(line[lat] or "")]
        except ValueError as error:
            raise InvalidInput(
                f"row {row} of {name} has no place: {lon} and {lat} must be numbers"
            ) from error
        told_of = {key: value for key, value in line.items() if key not in (lon, lat, None)}
        found.append(({"type": "Point", "coordinates": place}, told_of))
    return found


def _column(name: str, names: Sequence[str], usual: Sequence[str]) -> str:
    for one in names:
        if one.strip().lower() in usual:
            return one
    told_names = ", ".join(names) or "none"
    raise InvalidInput(
        f"{name} has no column {usual[0]}: its columns are {told_names}; call the place's lon and lat"
    )


def _check_degrees(name: str, row: int, geometry: Mapping[str, Any]) -> None:
    lon, lat = _first_place(name, row, geometry.get("coordinates"))
    if not (math.isfinite(lon) and math.isfinite(lat) and -180 <= lon <= 180 and -90 <= lat <= 90):
        raise InvalidInput(
            f"row {row} of {name} lies at {lon:g}, {lat:g}, which are no degrees: save the file with longitude and "
            "latitude (EPSG:4326)"
        )


def _first_place(name: str, row: int, coordinates: Any) -> tuple[float, float]:
    while isinstance(coordinates, list) and coordinates and isinstance(coordinates[0], list):
        coordinates = coordinates[0]
    try:
        lon, lat = coordinates[:2]
        return float(lon), float(lat)
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"row {row} of {name} has no coordinates: leave it out") from error


def columns_of(rows: Rows) -> list[str]:
    """Lists the properties that could be the class, the usual names first."""
    names = dict.fromkeys(name for _, told_of in rows for name in told_of)
    return sorted(names, key=lambda one: one.lower() not in _USUAL)


def labels_of(rows: Rows, column: str, when: str | None = None) -> tuple[list[Label], int]:
    """Makes labels of rows.

    Args:
        rows: of a file.
        column: the property that is the class.
        when: the property that tells in which period a label holds.

    Returns:
        The labels, and how many rows have no class.
    """
    found = []
    for geometry, told_of in rows:
        value = told_of.get(column)
        if value is None or str(value).strip() == "":
            continue
        name = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
        found.append(Label(geometry, name, str(told_of.get(when) or "").strip() if when else ""))
    return found, len(rows) - len(found)


def show_upload() -> None:
    """Takes labels from a file."""
    number = st.session_state.get("classify-uploads", 0)
    file = st.file_uploader(
        "GeoJSON, or a table with columns lon, lat and a class", type=["geojson", "json", "csv", "tsv", "txt"],
        key=f"classify-file-{number}", max_upload_size=50,
    )  # fmt: skip
    if file is None:
        return
    with told():
        rows = rows_of(file.name, file.getvalue())
        names = columns_of(rows)
        if not names:
            raise InvalidInput(
                f"{file.name} has places but nothing that names their class: add such a column"
            )
        column = st.selectbox("The class stands in", names, key=f"classify-column-{number}")
        others = [_NEVER, *(one for one in names if one != column)]
        when = st.selectbox(
            "When they hold stands in",
            others,
            key=f"classify-when-{number}",
            help="Such as 2018, 2018-06 or 2018-06-15.",
        )
        labels, left = labels_of(rows, column, None if when == _NEVER else when)
        num_classes = len({one.name for one in labels})
        st.caption(
            f"{len(labels):,} labels of {num_classes} classes"
            + (f", {left:,} rows without one" if left else ".")
        )
        if labels and st.button("Use these labels", icon=":material/done:", type="primary"):
            add_labels(labels)
            st.session_state["classify-uploads"] = number + 1
            st.rerun()


def show_kept(now: Sheet) -> None:
    """Takes labels that are kept, and keeps those of the page."""
    with told():
        kept = {one["name"]: one for one in search().labels()}
        if kept:
            name = st.selectbox("Kept labels", list(kept), format_func=lambda one: _words(kept[one]))
            use_at, remove_at = st.columns(2)
            if use_at.button("Use them", icon=":material/download_done:", width="stretch"):
                add_labels(_labels_kept(search().label_set(name)))
                st.rerun()
            if remove_at.button("Remove them", icon=":material/delete:", width="stretch"):
                search().remove_labels(name)
                st.rerun()
        else:
            st.caption("No labels are kept yet.")
        _keep(now)


def _words(one: Mapping[str, Any]) -> str:
    return f"{one['name']}: {one['labels']:,} labels of {len(one['classes'])} classes"


def _labels_kept(content: Mapping[str, Any]) -> list[Label]:
    found: Rows = []
    for one in content["features"]:
        own = one["properties"]
        span = f"{own['start'][:10]}/{own['end'][:10]}" if own.get("start") and own.get("end") else ""
        found.append((one["geometry"], {"value": own["value"], WHEN: span}))
    return labels_of(found, "value", WHEN)[0]


def _keep(now: Sheet) -> None:
    if not now.labels:
        st.caption("Label something; then it can be kept here.")
        return
    with st.form("classify-keep", border=False):
        typed = st.text_input("Name of these labels", max_chars=64, placeholder="crops-2018")
        if not st.form_submit_button(f"Keep {len(now.labels):,} labels", icon=":material/bookmark_add:"):
            return
    name = usable_name(typed)
    if not name:
        raise InvalidInput("Give the labels a name of letters or digits.")
    dates = {"period_column": WHEN} if now.has_dates else {}
    search().save_labels(name, now.content, column=PROPERTY, **dates)
    st.toast(f"Kept as {name}.", icon=":material/bookmark_added:")
    st.rerun()
