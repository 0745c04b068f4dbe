"""A wrong request for a map is told before anything is started, and a right one is not looked up twice."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ingest_catalogue import PLACE, TinyCatalogue, area_text

from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.schemas import MapRequest, checked_request
from earthfield_flows.checking import check, plan_for, planned


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> TinyCatalogue:
    made = TinyCatalogue(tmp_path_factory.mktemp("catalogue"))
    made.add("S2_ONE", "2018-03-02T10:50:00")
    return made


def request(catalogue: TinyCatalogue, root: Path, **more: Any) -> MapRequest:
    wanted = {"root": root, "catalog": str(catalogue.folder), "periods": ("2018",), "model": "starter"}
    return checked_request(MapRequest, **{**wanted, **more})


def test_a_good_request_gives_the_plan_that_its_run_takes_over(
    catalogue: TinyCatalogue, tmp_path: Path
) -> None:
    wanted = request(catalogue, tmp_path, aoi=area_text(PLACE))
    plan = check(wanted)
    assert plan is not None and [one.id for one in plan.items["sentinel-2-l2a"]] == ["S2_ONE"]
    # A run makes its request again from JSON.
    same = MapRequest.model_validate(wanted.model_dump(mode="json")).ingest()
    other = request(catalogue, tmp_path, periods=("2019",)).ingest()
    assert plan_for(same) is None
    with planned(plan):
        assert plan_for(same) is plan and plan_for(other) is None
    assert plan_for(same) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        ({"model": "nonesuch"}, NotFound, "nonesuch"),
        ({"periods": ("2015",)}, NotFound, "2015"),
        ({"bbox": (10.0, 50.0, 11.0, 51.0)}, InvalidInput, "outside"),
        ({"catalog": "/no/such/place"}, NotFound, "/no/such/place"),
        ({"encoder": "ftp://somewhere:1"}, InvalidInput, "ftp://somewhere:1"),
        ({"sources": ("landsat-9",)}, NotFound, "landsat-9"),
        ({"root": Path("/proc/earthfield")}, InvalidInput, "--root"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    catalogue: TinyCatalogue, tmp_path: Path, wrong: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        check(request(catalogue, **{"root": tmp_path, **wrong}))


def test_a_catalogue_that_does_not_answer_is_left_to_the_run(
    catalogue: TinyCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise Unavailable("not now")

    monkeypatch.setattr("earthfield_ingest.plan.plan", away)
    assert check(request(catalogue, tmp_path)) is None
    with planned(None):
        assert plan_for(request(catalogue, tmp_path).ingest()) is None


def test_the_command_starts_no_engine_for_a_wrong_request(
    catalogue: TinyCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from earthfield_flows import engine
    from earthfield_flows.cli import map_area

    @contextmanager
    def started() -> Any:
        raise AssertionError("the engine was started")
        yield

    monkeypatch.setattr(engine, "engine", started)
    with pytest.raises(NotFound, match="nonesuch"):
        map_area(catalog=str(catalogue.folder), period=["2018"], model="nonesuch", root=tmp_path)
    with pytest.raises(AssertionError, match="was started"):
        map_area(catalog=str(catalogue.folder), period=["2018"], root=tmp_path)
