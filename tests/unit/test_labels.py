"""Labels: read from what people have, refused where they cannot be used, kept as GeoParquet."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import shapely
from fastapi.testclient import TestClient
from pyproj import Transformer

from earthfield.catalog import Catalog
from earthfield.cli import app, exit_code_of
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound
from earthfield_search.api.app import create_app
from earthfield_search.files.geoparquet import write_geoparquet
from earthfield_search.labels import (
    LabelColumns,
    Labels,
    labels_from_geojson,
    list_labels,
    load_labels,
    read_labels,
    remove_labels,
    save_labels,
)

LON, LAT = [3.01, 3.02, 3.03], [50.81, 50.82, 50.83]
CROPS = ["wheat", "maize", "wheat"]
CROP = LabelColumns("crop")


def features(**columns: list[object]) -> dict[str, object]:
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Point", "coordinates": [lon, lat]},
                "properties": {name: values[row] for name, values in columns.items()},
            }
            for row, (lon, lat) in enumerate(zip(LON, LAT, strict=True))
        ],
    }


def table(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def utm() -> tuple[list[float], list[float]]:
    east, north = Transformer.from_crs(4326, 32631, always_xy=True).transform(LON, LAT)
    return list(east), list(north)


def test_every_form_of_file_gives_the_same_labels(tmp_path: Path) -> None:
    import pyogrio

    points = np.array([shapely.Point(*one) for one in zip(LON, LAT, strict=True)], object)
    files = [tmp_path / name for name in ("a.geojson", "b.csv", "c.parquet", "d.gpkg", "e.csv", "f.geojson")]
    files[0].write_text(json.dumps(features(crop=CROPS)))
    rows = "".join(f"{x};{y};{crop}\n" for x, y, crop in zip(LON, LAT, CROPS, strict=True))
    table(files[1], "Longitude;Latitude;crop\n" + rows)
    write_geoparquet(files[2], points, {"crop": CROPS})
    east, north = utm()
    moved = np.array([shapely.Point(*one) for one in zip(east, north, strict=True)], object)
    pyogrio.raw.write(
        files[3],
        shapely.to_wkb(moved),
        [np.array(CROPS, object)],
        ["crop"],
        geometry_type="Point",
        crs="EPSG:32631",
    )
    rows = "".join(f"{x!r},{y!r},{crop}\n" for x, y, crop in zip(east, north, CROPS, strict=True))
    table(files[4], "x,y,crop\n" + rows)
    content = features(crop=CROPS) | {
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32631"}}
    }
    for one, x, y in zip(content["features"], east, north, strict=True):  # type: ignore[call-overload]
        one["geometry"]["coordinates"] = [x, y]
    files[5].write_text(json.dumps(content))
    for path in files:
        columns = LabelColumns("crop", crs="EPSG:32631") if path == files[4] else CROP
        found = read_labels(path, columns)
        assert found.classes() == CROPS, path
        assert np.allclose(shapely.get_coordinates(found.geometries), np.stack([LON, LAT], 1), atol=1e-7), (
            path
        )


def test_numbers_stay_numbers_and_read_as_classes_too(tmp_path: Path) -> None:
    found = labels_from_geojson(features(value=[11, 13.0, 60]))
    assert found.numbers().tolist() == [11, 13, 60]
    assert found.classes() == ["11", "13", "60"]
    codes = read_labels(table(tmp_path / "a.csv", "lon,lat,code\n3,50,0110\n3,51,0120\n"))
    assert codes.classes() == ["0110", "0120"]
    with pytest.raises(
        InvalidInput, match="a regression needs numbers, and column 'crop' holds 'maize', 'wheat'"
    ):
        labels_from_geojson(features(crop=CROPS)).numbers()


def test_rows_that_cannot_be_used_are_named_and_refused(tmp_path: Path) -> None:
    path = table(tmp_path / "a.csv", "lon,lat,crop\n3,50,a\nx,50,a\n3,51,\n3,95,b\n4,50,b\n")
    with pytest.raises(InvalidInput, match=r"3 of 5 rows .*row 2: 'x'.*row 3: no value.*row 4: 3, 95 leaves"):
        read_labels(path)
    found = read_labels(path, LabelColumns(skip_bad=True))
    assert found.classes() == ["a", "b"]
    assert [one.split(":")[0] for one in found.skipped] == ["row 2", "row 3", "row 4"]
    bad = features(crop=CROPS)
    bad["features"][1]["geometry"] = {
        "type": "Polygon",
        "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]],
    }  # type: ignore[index]
    bad["features"][2]["geometry"] = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}  # type: ignore[index]
    with pytest.raises(InvalidInput, match=r"row 2: its outline is not a polygon.*row 3: a LineString"):
        labels_from_geojson(bad)


def test_periods_and_days_tell_when_a_label_holds() -> None:
    when = ["2018", "2018-06-15", None]
    found = labels_from_geojson(features(crop=CROPS, when=when), LabelColumns("crop", period="when"))
    assert found.dated.tolist() == [True, True, False]
    assert found.start is not None and found.end is not None
    assert [str(one)[:10] for one in found.start[:2]] == ["2018-01-01", "2018-06-15"]
    assert [str(one)[:10] for one in found.end[:2]] == ["2019-01-01", "2018-06-16"]
    spans = features(crop=CROPS, a=["2018-03-01"] * 3, b=["2018-03-31"] * 3)
    last = labels_from_geojson(spans, LabelColumns("crop", start="a", end="b")).end
    assert last is not None and str(last[0])[:10] == "2018-04-01"
    with pytest.raises(InvalidInput, match=r"row 1: .*neither a year nor a month"):
        labels_from_geojson(
            features(crop=CROPS, when=["soon", *when[1:]]), LabelColumns("crop", period="when")
        )


@pytest.mark.parametrize(
    ("text", "columns", "words"),
    [
        ("lon,lat,a,b\n3,50,1,2\n", LabelColumns(), "which column holds the label.*'a', 'b'"),
        ("lon,lat,a\n3,50,1\n", LabelColumns("crop"), "no column 'crop'; its columns are: 'a'"),
        ("east,north,a\n3,50,1\n", LabelColumns(), "no column 'lon'.*--lon"),
        ("lon,lat,a\n3,50,1\n", LabelColumns(crs="EPSG:nowhere"), "not a coordinate system"),
        ("lon,lat,a\n", LabelColumns(), "no row"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_read_is_refused_in_a_sentence(
    tmp_path: Path, text: str, columns: LabelColumns, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        read_labels(table(tmp_path / "a.csv", text), columns)


def test_files_of_other_kinds_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for name in ("a.geojson", "a.parquet", "a.gpkg"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_labels(table(tmp_path / name, "nonsense"))
    with pytest.raises(NotFound, match="no file of labels"):
        read_labels(tmp_path / "absent.csv")
    with pytest.raises(InvalidInput, match="FeatureCollection"):
        labels_from_geojson({"type": "Point", "coordinates": [3, 50]})


def test_kept_labels_come_back_as_they_were_and_stay_their_owner_s(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    held = labels_from_geojson(
        features(crop=CROPS, when=["2018", None, "2019"]), LabelColumns("crop", period="when")
    )
    numbers = labels_from_geojson(features(height=[1.5, 2, 3]))
    save_labels(catalog, "crops", held)
    save_labels(catalog, "heights", numbers, owner="ann")
    back = load_labels(catalog, "crops")
    assert back.classes() == CROPS and back.column == "crop"
    assert back.start is not None and held.start is not None
    assert np.array_equal(back.start, held.start, equal_nan=True)
    assert shapely.equals(back.geometries, held.geometries).all()
    assert load_labels(catalog, "heights", "ann").numbers().tolist() == [1.5, 2, 3]
    assert [one.name for one in list_labels(catalog)] == ["crops"]
    assert [one.name for one in list_labels(catalog, "ann")] == ["heights"]
    with pytest.raises(NotFound, match="no labels 'heights'; there are: crops"):
        load_labels(catalog, "heights")
    with pytest.raises(NotFound):
        remove_labels(catalog, "crops", "ann")
    with pytest.raises(InvalidInput, match="not a usable name"):
        load_labels(catalog, "../crops")
    remove_labels(catalog, "crops")
    assert list_labels(catalog) == []
    write_geoparquet(catalog.labels("odd"), np.array([shapely.Point(0, 0)], object), {"x": [1]})
    with pytest.raises(BrokenArtefact, match="does not hold labels"):
        load_labels(catalog, "odd")


def test_the_commands_keep_list_show_and_remove(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "crops.geojson"
    path.write_text(json.dumps(features(crop=CROPS)))
    root = ["--root", str(tmp_path / "root"), "--json"]

    def told(*words: str) -> tuple[int, str]:
        code = exit_code_of(lambda: app(["labels", *words, *root], standalone_mode=False))
        return code, capsys.readouterr().out

    code, out = told("add", "crops", str(path), "--column", "crop")
    assert (code, json.loads(out)["classes"]) == (0, {"maize": 1, "wheat": 2})
    assert told("add", "crops", str(path))[0] == 2
    assert told("add", "crops", str(path), "--replace")[0] == 0
    assert [one["name"] for one in json.loads(told("list")[1])["labels"]] == ["crops"]
    assert json.loads(told("show", "crops")[1])["labels"] == 3
    assert told("remove", "crops")[0] == 0
    assert told("show", "crops")[0] == 3


def test_the_service_keeps_labels_and_takes_no_path_for_a_name(tmp_path: Path) -> None:
    client = TestClient(create_app(tmp_path))
    sent = {"labels": features(crop=CROPS), "column": "crop"}
    assert client.put("/labels/crops", json=sent).json()["classes"] == {"maize": 1, "wheat": 2}
    assert [one["name"] for one in client.get("/labels").json()["labels"]] == ["crops"]
    back = client.get("/labels/crops").json()
    assert [one["properties"]["value"] for one in back["features"]] == CROPS
    assert client.put("/labels/crops", json={"labels": "/etc/passwd"}).status_code == 422
    assert client.put("/labels/..%2Fx", json=sent).status_code in (404, 422)
    assert client.put("/labels/.x", json=sent).status_code == 422
    sent["labels"]["features"][0]["geometry"] = {"type": "Point", "coordinates": ["x", None]}  # type: ignore[index]
    refused = client.put("/labels/crops", json=sent)
    assert refused.status_code == 422 and "row 1" in refused.json()["message"]
    assert client.delete("/labels/crops").status_code == 204
    assert client.get("/labels/crops").status_code == 404


def test_labels_need_a_shape_for_each_value() -> None:
    with pytest.raises(InvalidInput, match="there is no label"):
        Labels(np.array([], object), np.array([], object))
    with pytest.raises(InvalidInput, match="2 shapes"):
        Labels(np.array([shapely.Point(0, 0)] * 2, object), np.array(["a"], object))
