"""Change between two periods, calibrated on the fields' own noise: the job, its files, the command, the route."""

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from PIL import Image
from small_fields import KINDS, TILE, WINDOW, kinds, write_small

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.codec import normalised
from earthfield.errors import InvalidInput, NotFound
from earthfield_search.api.app import create_app
from earthfield_search.changes.asked import ChangeAnswer, ChangeQuestion
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.change import detect_change

CHANGED = (slice(10, 18), slice(50, 62))
TURN = np.linalg.qr(np.random.default_rng(4).normal(size=(64, 64)))[0].astype(np.float32)
"""What a season does to all land of these tests."""


def seen(
    land: NDArray[np.int_], seed: int, *, season: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of a period and the agreement of its halves; noisier towards the east, by a factor of two."""
    rng = np.random.default_rng(seed)
    sigma = np.linspace(0.01, 0.02, land.shape[1])[None, :, None]
    truth = KINDS[land] @ TURN if season else KINDS[land]

    def noisy(factor: float) -> NDArray[np.float32]:
        return normalised(truth + factor * sigma * rng.normal(size=(*land.shape, 64)).astype(np.float32))

    return noisy(1.0), (noisy(2**0.5) * noisy(2**0.5)).sum(axis=-1).astype(np.float32)


def changed_land() -> NDArray[np.int_]:
    land = kinds()
    land[CHANGED] = 3
    return land


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """2018; 2019 with a patch and another season; 2020 like 2019 but without agreement."""
    catalog = Catalog(tmp_path_factory.mktemp("change"))
    vectors, agreed = seen(kinds(), 0)
    vectors[:2, :3] = np.nan
    agreed[30:, :10] = np.nan
    write_small(catalog, "2018", vectors, agreement=agreed)
    vectors, agreed = seen(changed_land(), 1, season=True)
    write_small(catalog, "2019", vectors, agreement=agreed)
    write_small(catalog, "2020", vectors)
    return catalog


@pytest.fixture(scope="module")
def answer(catalog: Catalog, tmp_path_factory: pytest.TempPathFactory) -> ChangeAnswer:
    return detect_change(
        catalog, ChangeQuestion("small", "2018", "2019"), folder=tmp_path_factory.mktemp("answer")
    )


def at_most(rate: float, pixels: int) -> float:
    """A rate with three standard errors."""
    return float(rate + 3 * np.sqrt(rate / pixels))


def file_of(answer: ChangeAnswer, ending: str) -> Path:
    [path] = [Path(path) for path in answer.files if path.endswith(ending)]
    return path


def test_the_patch_is_found_at_the_stated_rate_and_the_season_is_no_change(answer: ChangeAnswer) -> None:
    assert (answer.rule, answer.season, answer.false_alarms, answer.threshold) == (
        "calibrated", "remove", 0.01, None,
    )  # fmt: skip
    # Single false alarms may touch it.
    assert [one.hectares for one in answer.patches] == [pytest.approx(0.96, abs=0.06)]
    assert answer.flagged_pixels - answer.changed_pixels <= at_most(0.01, answer.pixels) * answer.pixels
    [calibration] = answer.calibrations
    assert calibration.season_removed > 0.5
    assert answer.median < 0.1
    assert answer.patches[0].false_alarm < 0.001
    assert answer.patches[0].least_false_alarm <= answer.patches[0].false_alarm
    assert answer.share == answer.changed_pixels / answer.pixels
    assert answer.changed_hectares == answer.changed_pixels / 100
    assert answer.false_hectares == pytest.approx(0.01 * answer.hectares)


def test_pixels_whose_noise_is_unknown_are_counted_and_not_judged(answer: ChangeAnswer) -> None:
    # Beyond the margin of one pixel that neighbours fill.
    assert answer.unjudged_pixels == 9 * 9
    assert answer.pixels == 40 * 80 - 6 - 9 * 9


def test_a_season_that_is_kept_hides_the_patch(catalog: Catalog, tmp_path: Path) -> None:
    kept = detect_change(catalog, ChangeQuestion("small", "2018", "2019", season="keep"), folder=tmp_path)
    assert kept.median > 0.5
    assert kept.calibrations[0].season_removed == 0
    assert not any(0.9 < one.hectares < 1.05 for one in kept.patches)


def test_the_files_say_the_same(answer: ChangeAnswer) -> None:
    with rasterio.open(file_of(answer, "_false_alarm.tif")) as data:
        chance, tags = data.read(1), data.tags()
    assert (10 ** chance[CHANGED] < 0.01).all()
    steady = np.isfinite(chance)
    steady[CHANGED] = False
    shares = [float((10 ** chance[steady] <= rate).mean()) for rate in (0.2, 0.1, 0.01)]
    for share, rate in zip(shares, (0.2, 0.1, 0.01), strict=True):
        assert share <= at_most(rate, steady.sum()), shares
    assert shares[0] > 0.05
    assert tags["false_alarms"] == "0.01"
    with rasterio.open(file_of(answer, "20200101.tif")) as data:
        distances = data.read(1)
        assert data.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
    assert np.isnan(distances[:2, :3]).all()
    assert distances[CHANGED].mean() == pytest.approx(answer.patches[0].mean_distance, abs=1e-5)
    content = json.loads(file_of(answer, ".geojson").read_text())
    [feature] = content["features"]
    assert feature["geometry"]["type"] == "Polygon"
    assert feature["properties"]["false_alarm"] == pytest.approx(answer.patches[0].false_alarm, rel=1e-3)
    assert content["earthfield"]["rule"] == "calibrated"
    with Image.open(file_of(answer, ".png")) as picture:
        assert picture.width > 800


def test_an_area_bounds_the_answer_and_not_what_it_is_calibrated_on(catalog: Catalog, tmp_path: Path) -> None:
    west, north = pixel_centre(32631, WINDOW.y0 + 9.6, WINDOW.x0 + 49.6)
    east, south = pixel_centre(32631, WINDOW.y0 + 17.4, WINDOW.x0 + 55.4)
    box = f"POLYGON(({west} {south}, {east} {south}, {east} {north}, {west} {north}, {west} {south}))"
    part = detect_change(catalog, ChangeQuestion("small", "2018", "2019", area=box), folder=tmp_path)
    assert 0 < part.pixels == part.changed_pixels <= 8 * 7
    # All of the tile that the area reaches is fitted on, and nothing of the other.
    assert part.tiles == ["32631_0048_0549"]
    assert part.calibrations[0].fitted_on > 2000
    with pytest.raises(NotFound, match="lies in the area"):
        far = "POLYGON((13 50, 13.1 50, 13.1 50.1, 13 50))"
        detect_change(catalog, ChangeQuestion("small", "2018", "2019", area=far), folder=tmp_path)


def test_fields_without_agreement_are_told_by_what_stands_out(catalog: Catalog, tmp_path: Path) -> None:
    plain = detect_change(catalog, ChangeQuestion("small", "2018", "2020"), folder=tmp_path)
    assert (plain.rule, plain.season, plain.false_alarms) == ("mad", "keep", None)
    assert plain.threshold is not None
    assert "not calibrated" in plain.caution
    assert not [path for path in plain.files if path.endswith("_false_alarm.tif")]
    with pytest.raises(InvalidInput, match=r"20200101_20210101 has no quality layer `agreement`"):
        detect_change(catalog, ChangeQuestion("small", "2018", "2020", rule="calibrated"), folder=tmp_path)


def test_fields_too_small_to_calibrate_on_are_refused_in_a_sentence(tmp_path: Path) -> None:
    catalog, window = Catalog(tmp_path), TILE.window & WINDOW
    small = type(window)(window.y0, window.y0 + 8, window.x0, window.x0 + 16)
    for seed, year in enumerate(("2018", "2019")):
        vectors, agreed = seen(np.zeros((8, 16), int), seed)
        write_small(catalog, year, vectors, window=small, agreement=agreed)
    with pytest.raises(InvalidInput, match="none of the 128 pixels can be judged"):
        detect_change(catalog, ChangeQuestion("small", "2018", "2019"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"false_alarms": 0.0}, "outside 0..1"),
        ({"false_alarms": 1.0}, "outside 0..1"),
        ({"rule": "calibrated", "threshold": 0.2}, "name one of them"),
        ({"rule": "magic"}, "is unknown"),
        ({"season": "winter"}, "is unknown"),
        ({"area": "/etc/passwd"}, "neither GeoJSON nor"),
    ],
)
def test_a_wrong_question_is_refused_in_a_sentence(given: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        ChangeQuestion("small", "2018", "2019", **given)  # type: ignore[arg-type]


def test_the_command_tells_hectares_rate_and_season(
    catalog: Catalog, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["change", "--periods", "2018", "2019", "--model", "small", "--root", str(catalog.root)]
    args += ["--out", str(tmp_path)]
    assert exit_code_of(lambda: app(args, standalone_mode=False)) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for words in (" of 31.13 ha", "false-alarm rate of 0.01", "The season took", "81 pixels were not judged"):
        assert words in shown
    assert exit_code_of(lambda: app([*args, "--rule", "magic"], standalone_mode=False)) == 2
    both = ["--bbox", "3", "50", "4", "51", "--aoi", "POLYGON((3 50, 4 50, 4 51, 3 50))"]
    assert exit_code_of(lambda: app([*args, *both], standalone_mode=False)) == 2


def test_the_route_answers_with_patches_and_links(catalog: Catalog) -> None:
    client = TestClient(create_app(catalog.folder))
    asked = {"model": "small", "before": "2018", "after": "20190101_20200101"}
    told = client.post("/change", json=asked)
    assert told.status_code == 200, told.text
    content = told.json()
    assert [one["properties"]["patch"] for one in content["features"]] == [1]
    assert 0.9 < content["features"][0]["properties"]["hectares"] < 1.05
    assert content["rule"] == "calibrated"
    for link in content["links"]:
        assert client.get(link["href"]).status_code == 200
    wrong = (
        {"false_alarms": 0},
        {"after": "2018"},
        {"area": "/etc/passwd"},
        {"root": "/tmp"},
        {"after": "1999"},
    )
    assert [client.post("/change", json={**asked, **one}).status_code for one in wrong] == [422] * 4 + [404]
