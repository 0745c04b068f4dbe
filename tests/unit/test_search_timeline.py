"""Timelines: a place through every period, against its past, other places and classes of labels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from small_fields import WINDOW, kinds, write_small
from test_search_change import CHANGED, changed_land, seen

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import InvalidInput, NotFound
from earthfield.timeline import Period
from earthfield_analysis.timeline import likeness, own_references, predecessors
from earthfield_search.api.app import create_app
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.temporal import timeline_of
from earthfield_search.labels import Labels, save_labels
from earthfield_search.timelines.asked import Reference, TimelineQuestion


def place(row: int, col: int) -> tuple[float, float]:
    return pixel_centre(32631, WINDOW.y0 + row, WINDOW.x0 + col)


LON, LAT = place(14, 56)
"""A pixel of kind 0 that becomes kind 3 in 2020."""
STEADY = place(30, 56)


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """Three years, the last with a change and another season; the middle one's first half, without agreement."""
    catalog = Catalog(tmp_path_factory.mktemp("timeline"))
    for seed, (year, land) in enumerate((("2018", kinds()), ("2019", kinds()), ("2020", changed_land()))):
        vectors, agreed = seen(land, seed, season=year == "2020")
        if year == "2019":
            vectors[:8, :8] = np.nan
        write_small(catalog, year, vectors, agreement=agreed)
    write_small(catalog, "2019-01..2019-06", seen(kinds(), 7)[0])
    corners = [place(row, col) for row, col in ((20, 5), (20, 30), (14, 56))]
    kept = Labels(
        np.array([shapely.Point(one) for one in corners], object), np.array(["zero", "one", "field"])
    )
    save_labels(catalog, "kinds", kept)
    return catalog


def test_the_year_of_the_change_is_told_from_steady_years(catalog: Catalog) -> None:
    answer = timeline_of(catalog, TimelineQuestion("small", LON, LAT, periods=("2018", "2019", "2020")))
    assert [one.period for one in answer.moments] == ["2018", "2019", "2020"]
    assert answer.changed == ["2020"]
    first, second, third = answer.moments
    assert (first.before, first.distance, first.false_alarm) == (None, None, None)
    assert second.before == "2018"
    assert second.false_alarm > 0.05
    assert third.false_alarm < 0.01
    assert first.similarity["first"] == pytest.approx(1, abs=1e-4)
    assert third.similarity["first"] < 0.5 < second.similarity["first"]
    assert second.clear == {"sentinel-2-l2a": 9}
    assert 0.5 < second.agreement < 1


def test_a_steady_place_is_steady_through_another_season(catalog: Catalog) -> None:
    question = TimelineQuestion(
        "small", *STEADY, (Reference("twin", *place(20, 5)),), periods=("2018", "2020")
    )
    answer = timeline_of(catalog, question)
    assert answer.changed == []
    # Its own past looks another way in that season; a place of its kind does not.
    assert answer.moments[1].similarity["first"] < 0.5
    assert answer.moments[1].similarity["twin"] > 0.9


def test_classes_of_labels_are_references_in_every_period(catalog: Catalog) -> None:
    answer = timeline_of(catalog, TimelineQuestion("small", *STEADY, labels="kinds", calibrate=False))
    assert answer.references == ["first", "mean", "field", "one", "zero"]
    for one in answer.moments:
        assert one.similarity["zero"] > 0.9 > one.similarity["one"]
        assert one.false_alarm is None
    assert answer.moments[-1].similarity["field"] < 0.5
    with pytest.raises(NotFound, match="there are no labels 'roads'"):
        timeline_of(catalog, TimelineQuestion("small", *STEADY, labels="roads"))
    with pytest.raises(InvalidInput, match="'zero' names a reference and a class"):
        timeline_of(
            catalog, TimelineQuestion("small", *STEADY, (Reference("zero", *STEADY),), labels="kinds")
        )


def test_a_period_that_overlaps_is_not_compared_with(catalog: Catalog) -> None:
    moments = timeline_of(catalog, TimelineQuestion("small", *STEADY)).moments
    assert [(one.period, one.before) for one in moments] == [
        ("2018", None), ("2019-01..2019-06", "2018"), ("2019", "2018"), ("2020", "2019"),
    ]  # fmt: skip
    half = moments[1]
    assert half.distance is not None
    assert half.false_alarm is None
    assert "not calibrated" in half.note


def test_a_gap_is_told_and_stepped_over(catalog: Catalog) -> None:
    question = TimelineQuestion("small", *place(3, 3), periods=("2018", "2019", "2020"))
    middle, last = timeline_of(catalog, question).moments[1:]
    assert (middle.tile, middle.note) == (None, "no vector near the place")
    assert middle.similarity == {"first": None, "mean": None}
    assert last.before == "2018"


def test_predecessors_are_the_last_ones_that_were_over() -> None:
    names = ["2018", "2018-01..2018-06", "2018-07..2018-10", "2019"]
    found = predecessors([Period.parse(name) for name in names])
    assert found == [None, None, 1, 0]


def test_likeness_takes_references_of_each_period() -> None:
    vectors = np.eye(2, dtype=np.float32)[[0, 1, 0]]
    vectors[2] = np.nan
    found = likeness(vectors, {**own_references(vectors), "same": vectors})
    assert found["first"][:2].tolist() == [1, 0]
    assert found["same"][:2].tolist() == [1, 1]
    assert np.isnan(found["same"][2])
    with pytest.raises(InvalidInput, match="has shape"):
        likeness(vectors, {"long": np.zeros(3)})


@pytest.mark.parametrize(
    "make",
    [
        lambda: Reference.parse("forest"),
        lambda: Reference.parse("=3,50"),
        lambda: Reference.parse("forest=50"),
        lambda: Reference.parse("forest=3,95"),
        lambda: Reference("first", 3, 50),
        lambda: TimelineQuestion("small", 3, 50, (Reference("a", 3, 50), Reference("a", 4, 50))),
        lambda: TimelineQuestion("small", 3, 50, false_alarms=0),
        lambda: TimelineQuestion("../x", 3, 50),
        lambda: TimelineQuestion("small", 3, 50, labels="../x"),
    ],
)
def test_a_wrong_question_is_refused(make) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidInput):
        make()


def test_the_command_writes_table_and_picture(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["timeline", "--at", str(LON), str(LAT), "--model", "small", "--root", str(catalog.root)]
    args += ["--out", str(tmp_path), "--reference", f"twin={STEADY[0]},{STEADY[1]}"]
    assert exit_code_of(lambda: app([*args, "--json"], standalone_mode=False)) == 0
    report = json.loads(capsys.readouterr().out)
    table, picture = (Path(path) for path in report["files"])
    with table.open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["period"] for row in rows] == [one["period"] for one in report["moments"]]
    assert float(rows[-1]["like_twin"]) < 0.5 < float(rows[0]["like_twin"])
    assert float(rows[-1]["false_alarm"]) < 0.01
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert exit_code_of(lambda: app([*args, "--period", "2018"], standalone_mode=False)) == 0
    assert "No distance could be calibrated" in capsys.readouterr().out
    assert exit_code_of(lambda: app([*args, "--period", "1999"], standalone_mode=False)) == 3


def test_the_route_answers_and_refuses(catalog: Catalog) -> None:
    client = TestClient(create_app(catalog.folder))
    asked = {
        "model": "small",
        "lon": LON,
        "lat": LAT,
        "reference": f"twin={STEADY[0]},{STEADY[1]}",
        "labels": "kinds",
    }
    told = client.get("/temporal", params=asked)
    assert told.status_code == 200, told.text
    assert told.json()["changed"] == ["2020"]
    assert set(told.json()["references"]) == {"first", "mean", "twin", "zero", "one", "field"}
    assert client.get("/temporal", params={**asked, "reference": "nowhere"}).status_code == 422
    assert client.get("/temporal", params={**asked, "lon": 13}).status_code == 404
    assert client.get("/temporal", params={**asked, "labels": "../kinds"}).status_code == 422


def test_the_changed_patch_holds_the_place() -> None:
    assert CHANGED[0].start <= 14 < CHANGED[0].stop
    assert CHANGED[1].start <= 56 < CHANGED[1].stop
