"""Land cover of real land from ten labels a class: as good as `earthfield evaluate` finds on the same draws."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from command import Run, Told

from earthfield.catalog import Catalog
from earthfield.field import fields_of
from earthfield.grid import Window
from earthfield.timeline import Period
from earthfield_analysis.fewshot import Features, compare
from earthfield_analysis.probes import balanced_accuracy
from earthfield_analysis.protocol import Rules, deal, sites_of
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.classify import ClassifyQuestion, classify_fields
from earthfield_search.labels import Labels

FLANDERS = "places/flanders_a"
EPSG = 32631
DRAWS = 2


@pytest.fixture(scope="module")
def root(mapped: tuple[Path, Told]) -> Path:
    return mapped[0]


def test_ten_labels_a_class_score_as_the_evaluation_does(root: Path, real_data: Path, tmp_path: Path) -> None:
    with rasterio.open(real_data / FLANDERS / "labels" / "LC.tif") as data:
        codes = data.read(1)
        top, left = round(-data.transform.f / 10), round(data.transform.c / 10)
    catalog = Catalog(root)
    vectors = np.full((*codes.shape, 64), np.nan, np.float32)
    for field in fields_of(catalog, "starter", Period.parse("2018").id):
        window = field.window & Window(top, top + codes.shape[0], left, left + codes.shape[1])
        vectors[window.shifted(-top, -left).slices] = field.vectors(window)
    dealt = deal(sites_of(codes), Rules(draws=DRAWS), shots=10)
    rows, cols, truth = dealt.sites.rows, dealt.sites.cols, dealt.sites.labels
    whole = vectors.reshape(-1, 64).astype(np.float64)
    described = Features(vectors[rows, cols], whole.mean(axis=0), whole.std(axis=0))
    [evaluated] = compare({"field": described}, dealt, shots=(10,), probes=("ridge",))
    scores = []
    for split in dealt.splits:
        train = split.train(10)
        places = [
            pixel_centre(EPSG, top + row, left + col)
            for row, col in zip(rows[train], cols[train], strict=True)
        ]
        labels = Labels(shapely.points(places), truth[train].astype(float))
        answer = classify_fields(catalog, ClassifyQuestion("starter", "2018"), labels=labels, folder=tmp_path)
        with rasterio.open(answer.files[0]) as data:
            told = data.read(1)[rows[split.test], cols[split.test]]
        scores.append(balanced_accuracy(truth[split.test], told))
    assert np.mean(scores) > evaluated.mean - evaluated.sem, (np.mean(scores), evaluated)


def test_the_command_s_score_stands_beside_its_map(
    root: Path, real_data: Path, run: Run, tmp_path: Path
) -> None:
    with rasterio.open(real_data / FLANDERS / "labels" / "LC.tif") as data:
        codes = data.read(1)
        top, left = round(-data.transform.f / 10), round(data.transform.c / 10)
    rng = np.random.default_rng(0)
    features = []
    for code in np.unique(codes[codes > 0]):
        for row, col in rng.permutation(np.argwhere(codes == code))[:50]:
            place = {"type": "Point", "coordinates": pixel_centre(EPSG, top + row, left + col)}
            features.append({"type": "Feature", "geometry": place, "properties": {"cover": int(code)}})
    path = tmp_path / "cover.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    told = run("classify", "--labels", path, "--root", root, "--out", tmp_path, "--json")
    assert told.code == 0, told.err
    report = told.report
    assert report["score"]["balanced_accuracy"] > 0.6
    assert abs(sum(one["hectares"] for one in report["classes"]) - codes.size / 100) < 1e-6
    with rasterio.open(report["files"][0]) as data:
        assert np.unique(data.read(1)).tolist() == [11, 13, 60, 99]
