"""The page *Classify*: labels by click, from files and kept ones; the map, its scores, what to label next."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from browsing import (
    Land,
    Seen,
    choose,
    choose_row,
    click_map,
    downloaded,
    draw_polygon,
    expect_tiles,
    is_narrow,
    keep,
    map_in,
)
from playwright.sync_api import Page, expect
from pyproj import Transformer
from typer.testing import CliRunner

from earthfield.cli import app

Opened = Callable[..., Page]


def ten_points_a_class(labels: Path, to: Path) -> Path:
    """Labels of land cover as GeoJSON."""
    with rasterio.open(labels) as data:
        codes, at, crs = data.read(1), data.transform, data.crs
    rng, degrees = np.random.default_rng(0), Transformer.from_crs(crs, 4326, always_xy=True)
    features = [
        {
            "type": "Feature",
            "properties": {"name": "a place", "cover": int(code)},
            "geometry": {"type": "Point", "coordinates": degrees.transform(*(at * (col + 0.5, row + 0.5)))},
        }
        for code in np.unique(codes[codes > 0])
        for row, col in rng.permutation(np.argwhere(codes == code))[:10]
    ]
    to.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return to


def by_command(land: Land, labels: Path, out: Path) -> dict[str, Any]:
    """What `earthfield classify` gives."""
    asked = ["classify", "--root", str(land.root), "--labels", str(labels), "--column", "cover"]
    done = CliRunner().invoke(
        app, [*asked, "--period", "2018", "--model", land.model, "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def band(path: Path) -> np.ndarray:
    with rasterio.open(path) as data:
        return np.asarray(data.read(1))


def made(page: Page) -> None:
    page.get_by_role("button", name="Make the map of classes").click()
    expect(page.get_by_role("heading", name="How good it is")).to_be_visible()


def test_labels_from_a_file_give_the_map_and_scores_that_the_command_gives(
    real: Land, opened: Opened, seen: Seen, pictures: Path, tmp_path: Path
) -> None:
    assert real.labels is not None
    labels = ten_points_a_class(real.labels, tmp_path / "cover.geojson")
    answer = by_command(real, labels, tmp_path / "command")
    page = opened(f"{real.url}/classify")
    frame = map_in(page)
    choose(page, "Map", "2018 ·")
    page.get_by_text("Labels from a file").click()
    page.locator("input[type=file]").set_input_files(labels)
    choose(page, "The class stands in", "cover")
    expect(page.get_by_text("40 labels of 4 classes.")).to_be_visible()
    page.get_by_role("button", name="Use these labels").click()
    expect(page.get_by_text("(10)")).to_have_count(4)
    made(page)
    expect_tiles(frame, "/service/answers/")
    score = answer["score"]
    accuracy = f"{score['balanced_accuracy']:.1%} ± {score['sem']:.1%}"
    expect(page.get_by_test_id("stMetric").first).to_contain_text(accuracy)
    hectares = page.get_by_role("region", name="Hectares and scores of each class")
    for row, one in enumerate(answer["classes"], 1):
        expect(hectares.get_by_role("row").nth(row)).to_contain_text(f"{one['hectares']:,.2f} ha")
    confusion = page.get_by_role("region", name="Labelled pixels by true and told class").get_by_role("cell")
    expect(confusion).to_have_count(16)
    assert [int(one) for one in confusion.all_inner_texts()] == np.ravel(score["confusion"]).tolist()
    keep(page, pictures, "classify-real")
    by_page = band(downloaded(page, "Map of classes (GeoTIFF)"))
    sure = band(downloaded(page, "How sure (GeoTIFF)"))
    np.testing.assert_array_equal(by_page, band(Path(answer["files"][0])))
    np.testing.assert_array_equal(sure, band(Path(answer["files"][2])))

    page.get_by_test_id("stButtonGroup").get_by_text("How sure", exact=True).click()
    expect_tiles(frame, "_probability.tif")
    is_first = page.get_by_test_id("stButton").get_by_role("button", name="1 11")
    choose_row(page, 40 + 17, is_first)
    is_first.click()
    expect(page.get_by_text("1 11 (11)")).to_be_visible()
    expect(page.get_by_text("Something was changed since")).to_be_visible()
    seen.check()


def test_clicks_and_shapes_label_classes_are_taken_back_and_kept(
    simulated: Land, opened: Opened, seen: Seen, pictures: Path
) -> None:
    page = opened(f"{simulated.url}/classify", phone=True)
    expect_tiles(map_in(page))
    expect(page.get_by_role("button", name="Make the map of classes")).to_be_disabled()
    for number, (name, x) in enumerate((("light", 0.6), ("dark", 0.35)), 1):
        page.get_by_role("textbox", name="Name of a new class").fill(name)
        page.get_by_role("button", name="Add class").click()
        expect(page.get_by_text(f"{number} {name} (0)")).to_be_visible()
        for count, y in enumerate((0.4, 0.45, 0.5, 0.55), 1):
            click_map(page, x, y)
            expect(page.get_by_text(f"{number} {name} ({count})")).to_be_visible()
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("2 dark (3)")).to_be_visible()
    draw_polygon(page, [(0.3, 0.6), (0.4, 0.6), (0.4, 0.65)])
    expect(page.get_by_text("2 dark (4)")).to_be_visible()
    made(page)
    expect_tiles(map_in(page), "/service/answers/")
    keep(page, pictures, "classify-phone")
    assert is_narrow(page)

    page.get_by_text("Kept labels", exact=True).first.click()
    page.get_by_role("textbox", name="Name of these labels").fill("two kinds")
    page.get_by_role("button", name="Keep 8 labels").click()
    expect(page.get_by_role("button", name="Use them")).to_be_visible()
    with simulated.client() as client:
        [kept] = client.labels()
        assert (kept["classes"], kept["points"]) == ({"dark": 4, "light": 4}, 7)
        page.get_by_role("button", name="Start again").click()
        expect(page.get_by_text("Begin with a class")).to_be_visible()
        page.get_by_role("button", name="Use them").click()
        expect(page.get_by_text("dark (4)")).to_be_visible()
        page.get_by_role("button", name="Remove them").click()
        expect(page.get_by_text("No labels are kept yet.")).to_be_visible()
        assert client.labels() == []
    seen.check()
