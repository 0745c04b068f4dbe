"""Labels on the page *Classify*: files that people have, classes that keep their colours, steps taken back."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

pytest.importorskip("streamlit")

from earthfield.errors import InvalidInput
from earthfield_dashboard.views import classify_labels
from earthfield_dashboard.views.classify_files import columns_of, labels_of, rows_of
from earthfield_dashboard.views.classify_labels import PROPERTY, WHEN, Label, Sheet, colour_of
from earthfield_dashboard.views.classify_map import ink_on
from earthfield_dashboard.words import usable_name


def geojson(*features: tuple[Any, dict[str, Any]]) -> bytes:
    told = [{"type": "Feature", "geometry": shape, "properties": own} for shape, own in features]
    return json.dumps({"type": "FeatureCollection", "features": told}).encode()


POINT = {"type": "Point", "coordinates": [3.02, 50.81]}
SQUARE = {"type": "Polygon", "coordinates": [[[3, 50], [4, 50], [4, 51], [3, 50]]]}


def test_geojson_gives_points_and_polygons_with_their_class_and_time() -> None:
    content = geojson(
        (POINT, {"area": 2, "class": "maize", "year": 2018}),
        (SQUARE, {"class": 11.0}),
        (POINT, {"class": None}),
    )
    rows = rows_of("fields.geojson", content)
    assert columns_of(rows)[0] == "class", "the usual name comes first"
    labels, left = labels_of(rows, "class", "year")
    assert [(one.name, one.when) for one in labels] == [("maize", "2018"), ("11", "")] and left == 1
    assert labels[0].feature["properties"] == {PROPERTY: "maize", WHEN: "2018"}
    assert labels[1].place is None and labels[1].feature["properties"] == {PROPERTY: "11"}


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_tables_give_points(mark: str) -> None:
    text = "\ufeff" + "\n".join(
        mark.join(one) for one in (["Longitude", "lat", "crop"], ["3.5", "50", "rye"])
    )
    [label], left = labels_of(rows_of("a.csv", text.encode()), "crop")
    assert (label.place, label.name, left) == ((3.5, 50.0), "rye", 0)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.geojson", b"{}", "is not GeoJSON"),
        ("a.geojson", b"[1, 2]", "is not GeoJSON"),
        ("a.geojson", b"\xff\xfe\x00", "UTF-8"),
        ("a.geojson", geojson(), "holds no label"),
        (
            "a.geojson",
            geojson(({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, {})),
            "neither a point",
        ),
        ("a.geojson", geojson(({"type": "Point", "coordinates": []}, {})), "no coordinates"),
        ("a.geojson", geojson(({"type": "Point", "coordinates": [500_000, 5_600_000]}, {})), "no degrees"),
        ("a.csv", b"place,crop\nhere,rye\n", "no column lon"),
        ("a.csv", b"lon,lat,crop\nhere,50,rye\n", "row 1 of a.csv has no place"),
        ("a.csv", b"lon,lat,crop\nnan,50,rye\n", "no degrees"),
    ],
)
def test_other_files_are_refused_in_a_sentence(name: str, content: bytes, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        rows_of(name, content)


def test_classes_keep_number_and_colour_and_no_two_of_24_are_the_same() -> None:
    now = Sheet(("maize", "rye"))
    later = Sheet(("maize", "rye", "barley"))
    assert (
        (now.number("rye"), now.colour("rye")) == (later.number("rye"), later.colour("rye")) == (2, "#E69F00")
    )
    colours = [colour_of(place) for place in range(24)]
    assert len(set(colours)) == 24
    assert all(contrast(one, ink_on(one)) >= 3 for one in colours), "numbers can be read on all of them"


def contrast(one: str, other: str) -> float:
    """Source: WCAG 2.2, relative luminance."""
    low, high = sorted(luminance(colour) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    even = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return math.fsum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), even, strict=True))


def test_every_step_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classify_labels.st, "session_state", {})
    classify_labels.add_class("rye")
    classify_labels.add_place((3.0, 50.0), "rye")
    classify_labels.add_labels([Label(SQUARE, "wood"), Label(POINT, "rye")])
    classify_labels.erase_near((3.02, 50.8))
    assert [one.place for one in classify_labels.sheet().labels] == [(3.0, 50.0), None], (
        "the nearest one went"
    )
    classify_labels.remove_all()
    steps = []
    while classify_labels.can_undo():
        classify_labels.undo()
        steps.append(len(classify_labels.sheet().labels))
    assert steps == [2, 3, 1, 0, 0]
    assert classify_labels.sheet() == Sheet()


def test_a_typed_name_becomes_one_that_can_stand_in_an_address() -> None:
    assert usable_name("  maize near Ypres/2018 ") == "maize-near-Ypres-2018"
    assert usable_name("../..") == usable_name("Ω") == ""
    assert len(usable_name("a" * 90)) == 64
