"""Where to label next: doubtful places, apart from one another and from labels; and colours that a person gave."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from fastapi.testclient import TestClient
from small_fields import KINDS, TILE, WINDOW, kinds, vectors_of, write_small

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import InvalidInput
from earthfield_search.api.app import create_app
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.classify import ClassifyAnswer, ClassifyQuestion, classify_fields
from earthfield_search.labels import Labels
from earthfield_search.learning.doubt import Suggestion, doubt_of

LAND = kinds()
NAMES = np.array(["field", "wood", "water"], object)
MIXED = slice(28, 36)
"""Columns that lie between two kinds; they belong to the second strip, which is wood."""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    catalog = Catalog(tmp_path_factory.mktemp("doubt"))
    vectors = vectors_of(LAND)
    rng = np.random.default_rng(5)
    noise = 0.02 * rng.normal(size=(*LAND[:, MIXED].shape, 64)).astype(np.float32)
    vectors[:, MIXED] = normalised(KINDS[0] + KINDS[1] + noise)
    write_small(catalog, "2018", vectors)
    return catalog


def labels() -> Labels:
    """Four points of each kind, none where kinds are mixed."""
    rng = np.random.default_rng(0)
    rows, cols = rng.integers(1, WINDOW.shape[0], 900), rng.integers(0, WINDOW.shape[1], 900)
    of = np.where((cols >= MIXED.start - 2) & (cols < MIXED.stop + 2), -1, LAND[rows, cols])
    picks = np.concatenate([np.flatnonzero(of == kind)[:4] for kind in range(3)])
    places = [pixel_centre(TILE.epsg, WINDOW.y0 + rows[one], WINDOW.x0 + cols[one]) for one in picks]
    return Labels(shapely.points(places), NAMES[of[picks]], column="cover")


def asked(catalog: Catalog, folder: Path, **question: object) -> ClassifyAnswer:
    return classify_fields(
        catalog, ClassifyQuestion("small", "2018", **question), labels=labels(), folder=folder
    )  # type: ignore[arg-type]


def column_of(place: Suggestion) -> float:
    """Column of the window that a place lies in, from the distance to its western edge."""
    west = pixel_centre(TILE.epsg, WINDOW.y0, WINDOW.x0)[0]
    east = pixel_centre(TILE.epsg, WINDOW.y0, WINDOW.x1)[0]
    return (place.lon - west) / (east - west) * WINDOW.shape[1]


def metres(one: tuple[float, float], other: tuple[float, float]) -> float:
    return float(np.hypot((one[0] - other[0]) * np.cos(np.radians(one[1])), one[1] - other[1]) * 111_320)


@pytest.mark.parametrize(("doubt", "num_mixed"), [("margin", 5), ("entropy", 1)])
def test_places_to_label_lie_where_classes_mix_and_apart(
    catalog: Catalog, tmp_path: Path, doubt: str, num_mixed: int
) -> None:
    answer = asked(catalog, tmp_path, suggest=5, doubt=doubt)
    found = answer.suggestions
    assert len(found) == 5
    assert all(MIXED.start - 1 <= column_of(one) <= MIXED.stop for one in found[:num_mixed])
    assert [one.doubt for one in found] == sorted((one.doubt for one in found), reverse=True)
    assert all(set(one.likely) == {"field", "wood"} for one in found[:num_mixed])
    assert all(one.probability[0] >= one.probability[1] > 0 for one in found)
    places = [(one.lon, one.lat) for one in found]
    assert min(metres(*pair) for pair in combinations(places, 2)) >= 20
    held = [(point.x, point.y) for point in labels().geometries]
    assert min(metres(place, point) for place in places for point in held) >= 20


def test_few_places_lie_further_apart_than_many(catalog: Catalog, tmp_path: Path) -> None:
    nearest = [
        min(metres((a.lon, a.lat), (b.lon, b.lat)) for a, b in combinations(found, 2))
        for found in (asked(catalog, tmp_path, suggest=count).suggestions for count in (2, 10))
    ]
    assert nearest[0] > nearest[1]


def test_no_place_is_named_unasked_and_the_map_stays_the_same(catalog: Catalog, tmp_path: Path) -> None:
    plain, more = asked(catalog, tmp_path / "a"), asked(catalog, tmp_path / "b", suggest=3)
    assert plain.suggestions == []
    for one, other in zip(plain.files, more.files, strict=True):
        assert one.endswith(".json") or Path(one).read_bytes() == Path(other).read_bytes()


def test_doubt_is_nothing_where_one_class_is_sure_and_all_where_classes_are_even() -> None:
    shares = np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32)
    np.testing.assert_allclose(doubt_of(shares, "margin"), [0, 1, 1], atol=1e-6)
    np.testing.assert_allclose(doubt_of(shares, "entropy"), [0, np.log(2) / np.log(3), 1], atol=1e-6)


def test_classes_have_the_colours_that_were_asked_for(catalog: Catalog, tmp_path: Path) -> None:
    answer = asked(catalog, tmp_path, colours={"wood": "#123456", "never seen": "#000000"})
    [wood] = [one for one in answer.classes if one.name == "wood"]
    assert wood.colour == "#123456"
    [classes] = [one for one in answer.files if one.endswith(".tif") and "probability" not in one]
    with rasterio.open(classes) as data:
        assert data.colormap(1)[wood.value][:3] == (0x12, 0x34, 0x56)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"suggest": 201}, "0..200"),
        ({"doubt": "luck"}, "margin, entropy"),
        ({"colours": {"wood": "green"}}, "#RRGGBB"),
    ],
)
def test_a_wrong_wish_is_refused_in_a_sentence(question: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ClassifyQuestion("small", "2018", **question)  # type: ignore[arg-type]


def test_the_service_names_places_and_takes_colours(catalog: Catalog) -> None:
    told = [
        {
            "type": "Feature",
            "geometry": {"type": "Point", "coordinates": [one.x, one.y]},
            "properties": {"class": name},
        }
        for one, name in zip(labels().geometries, labels().values, strict=True)
    ]
    body = {
        "model": "small", "period": "2018", "labels": {"type": "FeatureCollection", "features": told},
        "suggest": 2, "doubt": "entropy", "colours": {"water": "#0072B2"},
    }  # fmt: skip
    with TestClient(create_app(catalog.root)) as client:
        answer = client.post("/classify", json=body).json()
        assert len(answer["suggestions"]) == 2
        assert {one["name"]: one["colour"] for one in answer["classes"]}["water"] == "#0072B2"
        assert client.post("/classify", json=body | {"colours": {"water": "blue"}}).status_code == 422


def test_models_say_whether_they_can_be_asked_in_words(catalog: Catalog) -> None:
    folder = catalog.model("talking")
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"dim": 64, "text": {"dim": 384}}')
    with TestClient(create_app(catalog.root)) as client:
        found = {one["name"]: one["texts"] for one in client.get("/models").json()["models"]}
    assert found["talking"] and not found["small"]
