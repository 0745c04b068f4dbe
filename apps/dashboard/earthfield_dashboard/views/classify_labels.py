"""Labels on the page *Classify*: classes with colours, places that somebody named, and every step taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import streamlit as st

from earthfield.client import Place

PROPERTY, WHEN = "class", "when"
"""Properties of the GeoJSON features that the service gets."""
_OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#555555")
"""Colours that people with any colour vision tell apart. Source: Okabe and Ito, 2008; black lightened."""
_OTHER = "#8FA39B"


@dataclass(frozen=True)
class Label:
    """A place with its class."""

    geometry: Mapping[str, Any]
    """GeoJSON, degrees."""
    name: str
    """The class."""
    when: str = ""
    """Period in which it holds; any when empty."""

    @property
    def place(self) -> Place | None:
        """Longitude and latitude of a point; None of a shape."""
        if self.geometry["type"] != "Point":
            return None
        lon, lat = self.geometry["coordinates"][:2]
        return lon, lat

    @property
    def feature(self) -> dict[str, Any]:
        """The label as GeoJSON."""
        told = {PROPERTY: self.name} | ({WHEN: self.when} if self.when else {})
        return {"type": "Feature", "geometry": dict(self.geometry), "properties": told}


@dataclass(frozen=True)
class Sheet:
    """All labels and classes; it lives in the session."""

    classes: tuple[str, ...] = ()
    """Names, in the order in which they came."""
    labels: tuple[Label, ...] = ()
    """In the order in which they came."""

    @property
    def counts(self) -> Counter[str]:
        """Labels of each class."""
        return Counter(one.name for one in self.labels)

    @property
    def content(self) -> dict[str, Any]:
        """The labels as GeoJSON."""
        return {"type": "FeatureCollection", "features": [one.feature for one in self.labels]}

    @property
    def has_dates(self) -> bool:
        """Whether a label tells when it holds."""
        return any(one.when for one in self.labels)

    def number(self, name: str) -> int:
        """Gives the number of a class on this page, from 1."""
        return self.classes.index(name) + 1

    def colour(self, name: str) -> str:
        """Gives the colour of a class, #RRGGBB; it stays when others come."""
        return colour_of(self.classes.index(name)) if name in self.classes else _OTHER


def colour_of(place: int) -> str:
    """Gives the colour of the class that came `place`-th, from 0; beyond 24 they repeat."""
    return _colours()[place % len(_colours())]


@cache
def _colours() -> tuple[str, ...]:
    """Eight colours, the same lighter, the same darker."""
    lighter = tuple(_mixed(one, 255, 0.55) for one in _OKABE_ITO)
    return (*_OKABE_ITO, *lighter, *(_mixed(one, 0, 0.45) for one in _OKABE_ITO))


def _mixed(colour: str, other: int, share: float) -> str:
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round((1 - share) * part + share * other):02X}" for part in parts)


def sheet() -> Sheet:
    """Gives the labels as they are now."""
    found: Sheet = st.session_state.get("classify-sheet", Sheet())
    return found


def undo() -> None:
    """Takes the last step back."""
    if past := st.session_state.get("classify-past"):
        st.session_state["classify-sheet"] = past.pop()


def can_undo() -> bool:
    """Tells whether there is a step to take back."""
    return bool(st.session_state.get("classify-past"))


def add_class(name: str) -> None:
    """Adds a class, unless it is there."""
    name = name.strip()
    if name and name not in sheet().classes:
        _turn(replace(sheet(), classes=(*sheet().classes, name)))


def add_labels(labels: Iterable[Label]) -> None:
    """Adds labels, and their classes."""
    now, new = sheet(), tuple(labels)
    classes = dict.fromkeys((*now.classes, *(one.name for one in new)))
    _turn(Sheet(tuple(classes), (*now.labels, *new)))


def add_place(place: Place, name: str) -> None:
    """Labels a place."""
    add_labels([Label({"type": "Point", "coordinates": list(place)}, name)])


def erase_near(place: Place) -> None:
    """Removes the label nearest to a place."""
    now = sheet()
    if not now.labels:
        return
    nearest = min(range(len(now.labels)), key=lambda row: _distance(now.labels[row], place))
    _turn(replace(now, labels=now.labels[:nearest] + now.labels[nearest + 1 :]))


def remove_all() -> None:
    """Removes labels and classes; `undo` brings them back."""
    _turn(Sheet())
    # Another map, on which nothing was drawn.
    st.session_state["classify-cleared"] = st.session_state.get("classify-cleared", 0) + 1


def _turn(new: Sheet) -> None:
    st.session_state.setdefault("classify-past", []).append(sheet())
    st.session_state["classify-sheet"] = new


def _distance(label: Label, place: Place) -> float:
    import shapely

    shape, point = shapely.geometry.shape(dict(label.geometry)), shapely.Point(place)
    return float(shape.distance(point))
