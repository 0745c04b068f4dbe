"""Imported fields are fields: index, search, change and cluster read them, of any length and type."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from numpy.typing import NDArray
from published_fields import (
    TILE,
    WIDE,
    WINDOW,
    bbox_of,
    publish,
    random_codes,
    real_codes,
    write_index,
    write_raster,
)
from small_fields import write_small

from earthfield.catalog import Catalog
from earthfield.codec import normalised
from earthfield.errors import Conflict, NotFound
from earthfield.field import fields_of
from earthfield.grid import Window
from earthfield.imported import origin_of
from earthfield.schemas import IndexRequest
from earthfield.timeline import Period
from earthfield_infer.importing.jobs import import_fields
from earthfield_infer.importing.request import ImportRequest
from earthfield_infer.local import connect_encoder
from earthfield_search.api.app import create_app
from earthfield_search.ground.places import pixel_centre
from earthfield_search.jobs.change import ChangeQuestion, detect_change
from earthfield_search.jobs.cluster import ClusterQuestion, cluster_fields
from earthfield_search.jobs.index import index_fields
from earthfield_search.jobs.similar import SimilarQuestion, find_similar, similarity_map, write_similar
from earthfield_train.evaluation.descriptions import Place as Kept
from earthfield_train.evaluation.descriptions import describe_fields

PLANTED = (WINDOW.y0 + 9, WINDOW.x0 + 10)
TWIN = (WINDOW.y0 + 33, WINDOW.x0 + 42)


def take(root: Path, path: Path, *, name: str, **more: object) -> None:
    import_fields(
        ImportRequest(root=root, kind="raster", origins=(str(path),), name=name, periods=("2023",), **more)
    )


def values_with_a_twin(dim: int) -> NDArray[np.float32]:
    """Random unit vectors (D, h, w); two cells far apart hold the same one."""
    values = np.moveaxis(normalised(np.random.default_rng(5).normal(size=(*WINDOW.shape, dim))), -1, 0).copy()
    for row, col in (PLANTED, TWIN):
        y, x = (row - WINDOW.y0) // 8 * 8, (col - WINDOW.x0) // 8 * 8
        values[:, y : y + 8, x : x + 8] = values[:, :1, :1]
    return values


@pytest.mark.parametrize("dtype", ["int8", "float16", "float32"])
@pytest.mark.parametrize("dim", [64, 7])
def test_search_finds_the_planted_place(tmp_path: Path, dim: int, dtype: str) -> None:
    root = tmp_path / "root"
    path = write_raster(tmp_path / "a.tif", values_with_a_twin(dim), WINDOW, nodata=float("nan"), bands=None)
    take(root, path, name="other-v1", dtype=dtype)
    report = index_fields(IndexRequest(root=root, model="other-v1"))
    assert report.cells == report.written == 30
    lon, lat = pixel_centre(TILE.epsg, *PLANTED)
    answer = find_similar(Catalog(root), SimilarQuestion.at("other-v1", lon, lat, k=3))
    best = answer.hits[0]
    assert best.score > 0.999 and best.score > answer.hits[1].score + 0.1
    assert best.lon == pytest.approx(pixel_centre(TILE.epsg, *TWIN)[0], abs=6e-4)
    [(_, scores)] = similarity_map(Catalog(root), answer)
    assert (scores > 0.999).sum() == 129  # both cells, and the pixel that they were taken from
    assert index_fields(IndexRequest(root=root, model="other-v1")).written == 0
    clusters = cluster_fields(Catalog(root), ClusterQuestion("other-v1", "2023", k=2))
    assert sum(one.pixels for one in clusters.clusters) == 40 * 48


def test_change_between_two_imported_years_finds_what_changed(tmp_path: Path) -> None:
    before = random_codes(WINDOW.shape, gap=False)
    after = before.copy()
    after[:, 8:16, 8:24] = random_codes((8, 16), seed=9, gap=False)
    files = [publish(tmp_path, before, WINDOW, year=2022), publish(tmp_path, after, WINDOW, south_up=False)]
    index = write_index(tmp_path / "aef_index.csv", files)
    import_fields(
        ImportRequest(
            root=tmp_path / "root",
            kind="aef",
            origins=(str(index),),
            periods=("2022", "2023"),
            bbox=bbox_of(WINDOW),
        )
    )
    question = ChangeQuestion("aef-v1", "2022", "2023", threshold=0.5)
    answer = detect_change(Catalog(tmp_path / "root"), question)
    assert answer.changed_pixels == 128 and answer.num_patches == 1


def test_search_on_real_vectors_finds_the_planted_one(tmp_path: Path, real_data: Path) -> None:
    """Each of 15 cells holds one real vector; a sixteenth holds the first one again."""
    real = real_codes(real_data)[:, ::90]
    codes = real[:, [*range(15), 0]].reshape(64, 4, 4).repeat(8, axis=1).repeat(8, axis=2)
    window = Window(WINDOW.y0, WINDOW.y0 + 32, WINDOW.x0, WINDOW.x0 + 32)
    index = write_index(tmp_path / "aef_index.parquet", [publish(tmp_path, codes, window)])
    root = tmp_path / "root"
    import_fields(
        ImportRequest(root=root, kind="aef", origins=(str(index),), periods=("2023",), bbox=bbox_of(window))
    )
    index_fields(IndexRequest(root=root, model="aef-v1"))
    lon, lat = pixel_centre(TILE.epsg, window.y0 + 4, window.x0 + 4)
    answer = find_similar(Catalog(root), SimilarQuestion.at("aef-v1", lon, lat, k=2))
    wanted = pixel_centre(TILE.epsg, window.y0 + 28, window.x0 + 28)
    assert answer.hits[0].lon == pytest.approx(wanted[0], abs=1e-4)
    assert answer.hits[0].score > 0.999 > answer.hits[1].score


def test_the_service_shows_imported_fields(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = write_raster(tmp_path / "a.tif", values_with_a_twin(7), WINDOW, nodata=float("nan"), bands=None)
    take(root, path, name="other-v1", dtype="float32", licence="CC0, somebody")
    client = TestClient(create_app(root))
    lon, lat = pixel_centre(TILE.epsg, *PLANTED)
    told = client.get(
        "/embeddings", params={"model": "other-v1", "period": "2023", "lon": lon, "lat": lat}
    ).json()
    assert len(told["embedding"]) == 7 and told["quality"] == {} and told["scenes"] == {}
    assert client.get("/fields/other-v1/2023/picture.png").status_code == 200
    refused = client.get("/fields/other-v1/2023/picture.png", params={"style": "axes"})
    assert refused.status_code == 422 and "style pca" in refused.json()["message"]
    heat = {"model": "other-v1", "period": "2023", "lon": lon, "lat": lat}
    assert client.get("/similarity/map.png", params=heat).status_code == 200


def test_labels_read_vectors_of_any_length(tmp_path: Path) -> None:
    root = tmp_path / "root"
    values = values_with_a_twin(7)
    path = write_raster(tmp_path / "a.tif", values, WINDOW, nodata=float("nan"), bands=None)
    take(root, path, name="other-v1", dtype="float32")
    rows, cols = np.array([0, 5]), np.array([3, 4])
    place = Kept(TILE.epsg, WINDOW, rows, cols, Period.parse("2023"))
    features = describe_fields(place, fields_of(Catalog(root), "other-v1"))
    assert np.allclose(features.values, values[:, rows, cols].T, atol=1e-6)


def test_vectors_of_two_models_are_never_compared(tmp_path: Path) -> None:
    """Two models under one name can only come about by hand, or by training again; the answer would be nonsense."""
    catalog = Catalog(tmp_path)
    land = np.moveaxis(values_with_a_twin(64), 0, -1)
    write_small(catalog, "2022", land, window=WINDOW)
    [key] = write_small(catalog, "2023", land, window=WINDOW)
    manifest = catalog.field(key) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "f"', '"fingerprint": "g"'))
    with pytest.raises(Conflict, match="cannot be compared"):
        detect_change(catalog, ChangeQuestion("small", "2022", "2023"))


def test_a_search_over_tiles_of_two_models_is_refused(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    vectors = normalised(np.random.default_rng(1).normal(size=(*WIDE.shape, 64)))
    keys = write_small(catalog, "2023", vectors, window=WIDE)
    index_fields(IndexRequest(root=tmp_path, model="small"))
    manifest = catalog.field(keys[1]) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"fingerprint": "f"', '"fingerprint": "g"'))
    lon, lat = pixel_centre(TILE.epsg, WIDE.y0 + 9, WIDE.x0 + 9)
    with pytest.raises(Conflict, match="cannot be compared"):
        find_similar(catalog, SimilarQuestion.at("small", lon, lat))
    with pytest.raises(Conflict, match="cannot be compared"):
        cluster_fields(catalog, ClusterQuestion("small", "2023", k=2))


def test_nothing_is_encoded_with_an_imported_name(tmp_path: Path) -> None:
    root = tmp_path / "root"
    take(root, write_raster(tmp_path / "a.tif", random_codes(WINDOW.shape), WINDOW), name="other-v1")
    assert origin_of(Catalog(root), "other-v1") == "other-v1"
    with pytest.raises(Conflict, match=r"is an import .*not a model"):
        connect_encoder(Catalog(root), "other-v1")
    with pytest.raises(NotFound, match="there is no model"):
        connect_encoder(Catalog(root), "nothing")


def test_an_import_takes_no_name_of_fields_that_a_model_made(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_small(Catalog(root), "2023", np.moveaxis(values_with_a_twin(64), 0, -1), window=WINDOW)
    path = write_raster(tmp_path / "a.tif", random_codes(WINDOW.shape), WINDOW)
    with pytest.raises(Conflict, match="that a model made"):
        take(root, path, name="small")


def test_answers_of_an_imported_name_are_written(tmp_path: Path) -> None:
    root = tmp_path / "root"
    take(root, write_raster(tmp_path / "a.tif", random_codes(WINDOW.shape), WINDOW), name="other-v1")
    index_fields(IndexRequest(root=root, model="other-v1"))
    lon, lat = pixel_centre(TILE.epsg, *PLANTED)
    answer = find_similar(Catalog(root), SimilarQuestion.at("other-v1", lon, lat, k=3))
    assert all(path.is_file() for path in write_similar(Catalog(root), answer))
