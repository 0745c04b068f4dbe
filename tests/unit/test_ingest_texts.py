"""Texts that have a place become one table, with their licences, and everything that is left out is counted."""

from __future__ import annotations

import csv
import io
import json
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import geopandas
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from earthfield.area import area_from_bbox
from earthfield.catalog import Catalog
from earthfield.cli import app
from earthfield.errors import BrokenArtefact, EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield_ingest.texts import darwincore, openstreetmap
from earthfield_ingest.texts.jobs import make_texts
from earthfield_ingest.texts.records import TextsReport

ARTICLE = {
    "pageid": 7,
    "title": "Les Bois",
    "lat": 47.1768,
    "lon": 6.9049,
    "url": "https://fr.wikipedia.org/wiki/B",
}
META = """<archive xmlns="http://rs.tdwg.org/dwc/text/">
  <core encoding="UTF-8" fieldsTerminatedBy="\\t" linesTerminatedBy="\\n" fieldsEnclosedBy="" ignoreHeaderLines="1"
        rowType="http://rs.tdwg.org/dwc/terms/Occurrence">
    <files><location>{location}</location></files>
    <id index="0"/>
    {fields}
  </core>
</archive>"""
ROW = {
    "gbifID": "1", "license": "CC_BY_4_0", "scientificName": "Quercus robur L.", "eventDate": "2018-06-01T10:00",
    "decimalLatitude": "50.8", "decimalLongitude": "3.0", "basisOfRecord": "HUMAN_OBSERVATION",
    "publisher": "Museum",
}  # fmt: skip


def archive(path: Path, *rows: dict[str, str], location: str = "occurrence.txt", meta: str = META) -> Path:
    """A made-up Darwin Core archive with a term a column."""
    terms = list(dict.fromkeys(term for row in rows or (ROW,) for term in row))
    fields = "\n".join(f'<field index="{place}" term="http://x/{term}"/>' for place, term in enumerate(terms))
    lines = ["\t".join(terms), *("\t".join(row.get(term, "") for term in terms) for row in rows)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("meta.xml", meta.format(location=location, fields=fields))
        file.writestr("occurrence.txt", "\n".join(lines) + "\n")
    return path


def saved(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def table(root: Path, *inputs: Path, **options: Any) -> tuple[TextsReport, geopandas.GeoDataFrame]:
    report = make_texts(root, "t", inputs, **options)
    return report, geopandas.read_parquet(report.path)


# Wikipedia.


def test_real_articles_are_points_with_their_licence(real_data: Path, tmp_path: Path) -> None:
    path = real_data / "text" / "wikipedia_fr" / "wiki_articles.json"
    report, rows = table(tmp_path, path)
    told = json.loads(path.read_text())
    assert report.found == report.kept == len(told) == len(rows) == 5366
    assert report.path == Catalog(tmp_path).texts("t")
    assert list(rows.columns) == [
        "place", "text", "kind", "id", "name", "licence", "attribution", "url", "language"
    ]  # fmt: skip
    assert rows.crs == "OGC:CRS84"
    assert list(rows.text) == [one["title"] for one in told]
    assert list(rows.place.x) == [one["lon"] for one in told]
    assert set(rows.licence) == {"CC-BY-SA-4.0"} and set(rows.language) == {"fr"}
    assert set(rows.attribution) == {"Wikipedia contributors, fr.wikipedia.org"}


def test_the_file_is_geoparquet_whose_box_holds_all_points(tmp_path: Path) -> None:
    far = {**ARTICLE, "pageid": 8, "lon": -120.5, "lat": -3.25}
    report, _ = table(tmp_path, saved(tmp_path / "a.json", [ARTICLE, far]))
    geo = json.loads(parquet.read_metadata(report.path).metadata[b"geo"])
    assert geo["version"] == "1.1.0" and geo["primary_column"] == "place"
    assert geo["columns"]["place"] == {
        "encoding": "WKB", "geometry_types": ["Point"], "bbox": [-120.5, -3.25, 6.9049, 47.1768]
    }  # fmt: skip


def test_articles_without_place_origin_or_twice_are_counted(tmp_path: Path) -> None:
    articles = [
        ARTICLE, ARTICLE, {**ARTICLE, "pageid": 8, "lat": None}, {**ARTICLE, "pageid": 9, "lat": 91},
        {**ARTICLE, "pageid": 10, "url": "https://example.org/wiki/B"}, {**ARTICLE, "pageid": 11, "title": ""}, 3,
    ]  # fmt: skip
    report, rows = table(tmp_path, saved(tmp_path / "a.json", articles))
    assert (report.found, report.kept, len(rows)) == (7, 1, 1)
    assert report.dropped == {
        "found twice": 1, "no usable coordinates": 2, "no id of its origin": 2, "nothing to say of it": 1
    }  # fmt: skip


# GBIF.


def test_a_real_archive_loses_its_non_commercial_rows(real_data: Path, tmp_path: Path) -> None:
    (path,) = (real_data / "text" / "gbif").glob("*.zip")
    report, rows = table(tmp_path, path)
    with zipfile.ZipFile(path) as file:
        text = io.TextIOWrapper(file.open("occurrence.txt"), "utf-8", newline="")
        told = {row["gbifID"]: row for row in csv.DictReader(text, delimiter="\t", quoting=csv.QUOTE_NONE)}
    free = {key for key, row in told.items() if "NC" not in row["license"]}
    placed = {key for key in free if told[key]["decimalLatitude"] and told[key]["decimalLongitude"]}
    assert report.found == 963 and report.dropped["licence forbids commercial use"] == 43
    assert report.dropped["no usable coordinates"] == len(free) - len(placed)
    assert set(rows.id) == placed and report.kept == len(placed) == 173
    assert report.licences == {"CC-BY-4.0": 127, "CC0-1.0": 46}
    for row in rows.itertuples():
        assert row.text.startswith(told[row.id]["scientificName"])
        assert row.place.y == float(told[row.id]["decimalLatitude"])
        assert told[row.id]["datasetKey"] in row.attribution


def test_a_sentence_says_what_the_record_says_and_no_more(tmp_path: Path) -> None:
    specimen = {
        **ROW, "gbifID": "2", "basisOfRecord": "PRESERVED_SPECIMEN", "eventDate": "", "year": "1954", "month": "4",
        "habitat": "On soil in ravine", "locality": "North  Fork", "references": "https://museum.example/2",
    }  # fmt: skip
    bare = {**ROW, "gbifID": "3", "basisOfRecord": "", "eventDate": ""}
    _, rows = table(tmp_path, archive(tmp_path / "a.zip", ROW, specimen, bare))
    assert list(rows.text) == [
        "Quercus robur L., observed 2018-06-01",
        "Quercus robur L., collected 1954-04, at: North Fork, habitat: On soil in ravine",
        "Quercus robur L., recorded",
    ]
    assert list(rows.url)[:2] == ["https://www.gbif.org/occurrence/1", "https://museum.example/2"]


@pytest.mark.parametrize(
    ("told", "licence"),
    [
        ("CC0_1_0", "CC0-1.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/legalcode", "CC0-1.0"),
        ("https://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("all rights reserved", None),
        ("", None),
    ],
)
def test_licences_are_told_in_one_spelling(told: str, licence: str | None) -> None:
    assert darwincore.licence_of(told) == licence


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"license": "CC_BY_NC_4_0"}, "licence forbids commercial use"),
        (
            {"license": "http://creativecommons.org/licenses/by-nc/4.0/legalcode"},
            "licence forbids commercial use",
        ),
        ({"license": ""}, "no known licence"),
        ({"occurrenceStatus": "ABSENT"}, "recorded as absent"),
        ({"hasGeospatialIssues": "true"}, "coordinates marked as doubtful"),
        ({"decimalLatitude": "north"}, "no usable coordinates"),
        ({"scientificName": ""}, "nothing to say of it"),
    ],
)
def test_unusable_occurrences_are_counted_by_reason(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    report, rows = table(tmp_path, archive(tmp_path / "a.zip", ROW, {**ROW, "gbifID": "2", **change}))
    assert report.dropped == {reason: 1} and list(rows.id) == ["1"]


@pytest.mark.parametrize("location", ["../occurrence.txt", "/etc/passwd", "absent.txt", "a\\b"])
def test_an_archive_cannot_name_files_outside_of_itself(tmp_path: Path, location: str) -> None:
    path = archive(tmp_path / "a.zip", ROW, location=location)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("../occurrence.txt", "gbifID\n1\n")
    with pytest.raises(BrokenArtefact, match="no file of the archive"):
        make_texts(tmp_path, "t", [path])
    assert not Catalog(tmp_path).texts("t").exists()


def test_an_archive_that_grows_beyond_measure_is_not_unpacked(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.zip", {**ROW, "habitat": " " * (64 << 20)})
    assert path.stat().st_size < 100_000
    with pytest.raises(BrokenArtefact, match="fold when unpacked"):
        make_texts(tmp_path, "t", [path])


def test_entities_in_an_archive_are_not_resolved(tmp_path: Path) -> None:
    meta = '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>' + META
    with pytest.raises(BrokenArtefact, match="declares entities"):
        make_texts(tmp_path, "t", [archive(tmp_path / "a.zip", ROW, meta=meta)])


def test_a_damaged_archive_writes_nothing_and_leaves_the_old_table(tmp_path: Path) -> None:
    rows = [{**ROW, "gbifID": str(one), "habitat": f"{one * 7919 % 10007}"} for one in range(5000)]
    path = archive(tmp_path / "a.zip", *rows)
    before, _ = table(tmp_path, path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises((BrokenArtefact, InvalidInput)):
        make_texts(tmp_path, "t", [path])
    assert len(geopandas.read_parquet(before.path)) == 5000
    assert [one.name for one in before.path.parent.iterdir()] == ["t.parquet"]


# OpenStreetMap.

OVERPASS = {
    "elements": [
        {"type": "node", "id": 1, "lat": 50.8, "lon": 3.0, "tags": {"name": "Elzenbos", "natural": "wood"}},
        {
            "type": "way",
            "id": 2,
            "center": {"lat": 50.81, "lon": 3.01},
            "tags": {"landuse": "orchard", "note": "?"},
        },
        {"type": "way", "id": 3, "tags": {"landuse": "orchard"}},
        {"type": "node", "id": 4, "lat": 50.8, "lon": 3.0, "tags": {"note": "?"}},
    ]
}


def test_features_of_overpass_tell_their_name_and_their_tags(tmp_path: Path) -> None:
    report, rows = table(tmp_path, saved(tmp_path / "o.json", OVERPASS))
    assert list(rows.text) == ["Elzenbos, natural wood", "landuse orchard"]
    assert list(rows.url) == ["https://www.openstreetmap.org/node/1", "https://www.openstreetmap.org/way/2"]
    assert set(rows.licence) == {"ODbL-1.0"} and set(rows.attribution) == {"© OpenStreetMap contributors"}
    assert report.dropped == {"no usable coordinates": 1, "nothing to say of it": 1}


def test_features_of_geojson_lie_inside_themselves(tmp_path: Path) -> None:
    horseshoe = [[0, 0], [9, 0], [9, 9], [0, 9], [0, 8], [8, 8], [8, 1], [0, 1], [0, 0]]
    features = [
        {
            "type": "Feature", "id": "way/5", "properties": {"natural": "water", "name": "Oxbow"},
            "geometry": {"type": "Polygon", "coordinates": [horseshoe]},
        },
        {
            "type": "Feature", "properties": {"@id": "node/6", "amenity": "place_of_worship"},
            "geometry": {"type": "Point", "coordinates": [1, 2]},
        },
        {"type": "Feature", "properties": {"name": "mine"}, "geometry": {"type": "Point", "coordinates": [1, 2]}},
        {"type": "Feature", "id": "node/7", "properties": {"name": "nowhere"}, "geometry": None},
    ]  # fmt: skip
    content = {"type": "FeatureCollection", "features": features}
    report, rows = table(tmp_path, saved(tmp_path / "o.geojson", content))
    assert list(rows.text) == ["Oxbow, natural water", "amenity place of worship"]
    assert list(rows.id) == ["way/5", "node/6"]
    assert rows.place[0].x > 8 or not 1 < rows.place[0].y < 8
    assert report.dropped == {"no id of its origin": 1, "no usable coordinates": 1}


def test_only_what_lies_in_the_area_is_kept(tmp_path: Path) -> None:
    path = saved(tmp_path / "o.json", OVERPASS)
    report, rows = table(tmp_path, path, area=area_from_bbox((3.005, 50.80, 3.02, 50.82)))
    assert list(rows.id) == ["way/2"] and report.dropped["outside the area"] == 1


@pytest.fixture
def overpass() -> Iterator[tuple[str, list[str], dict[str, Any]]]:
    """A server that answers like Overpass; the questions that it was asked; what it shall answer."""
    asked: list[str] = []
    answer: dict[str, Any] = {"status": 200, "content": OVERPASS}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            asked.append(parse_qs(body)["data"][0])
            self.send_response(answer["status"])
            self.end_headers()
            self.wfile.write(json.dumps(answer["content"]).encode())

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/interpreter", asked, answer
    server.shutdown()
    server.server_close()


def test_a_server_is_asked_for_the_box_of_the_area(
    overpass: tuple[str, list[str], dict[str, Any]], tmp_path: Path
) -> None:
    url, asked, _ = overpass
    report, rows = table(tmp_path, overpass=url, area=area_from_bbox((2.9, 50.7, 3.1, 50.9)))
    assert "(50.7000000,2.9000000,50.9000000,3.1000000)" in asked[0] and "[out:json]" in asked[0]
    assert report.found == 4 and len(rows) == 2


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (429, {}, Unavailable),
        (504, {}, Unavailable),
        (400, {}, InvalidInput),
        (200, {"remark": "runtime error: Query timed out", "elements": []}, Unavailable),
        (200, "hello", Unavailable),
    ],
)
def test_what_a_server_answers_badly_is_told(
    overpass: tuple[str, list[str], dict[str, Any]], status: int, content: Any, error: type[EarthfieldError]
) -> None:
    url, _, answer = overpass
    answer.update(status=status, content=content)
    with pytest.raises(error):
        openstreetmap.asked(url, (2.9, 50.7, 3.1, 50.9))


@pytest.mark.parametrize(
    ("url", "box"),
    [
        ("http://overpass.example/api", (2.9, 50.7, 3.1, 50.9)),
        ("https://overpass.example/api", (0, 40, 3, 43)),
    ],
)
def test_a_server_is_asked_by_https_and_for_little(url: str, box: tuple[float, float, float, float]) -> None:
    with pytest.raises(InvalidInput):
        openstreetmap.asked(url, box)


# Notes.

NOTE = {
    "type": "Feature",
    "geometry": {"type": "Point", "coordinates": [3.0, 50.8]},
    "properties": {"text": "Pasture with cattle", "licence": "CC0-1.0"},
}


def note(geometry: Any = NOTE["geometry"], **properties: Any) -> dict[str, Any]:
    return {**NOTE, "geometry": geometry, "properties": {**NOTE["properties"], **properties}}  # type: ignore[dict-item]


def test_notes_say_what_is_there_and_everything_left_out_is_counted(tmp_path: Path) -> None:
    features = [
        NOTE,
        NOTE,
        note(text="A pond", licence="CC BY 4.0", attribution="A. Walker", id=7, language="en"),
        note(text="A lake", licence="ODbL-1.0"),
        note(text=" "),
        note(licence="CC-BY-NC-4.0"),
        note(licence="ask me"),
        note({"type": "LineString", "coordinates": [[3, 50], [4, 50]]}),
        note({"type": "Point", "coordinates": [3, 95]}),
        note(None),
        "no feature",
    ]
    path = saved(tmp_path / "a.geojson", {"type": "FeatureCollection", "features": features})
    report, rows = table(tmp_path, path)
    assert (report.found, report.kept, report.kinds) == (11, 3, {"note": 3})
    assert report.dropped == {
        "found twice": 1,
        "nothing to say of it": 2,
        "licence forbids commercial use": 1,
        "no known licence": 1,
        "no usable coordinates": 3,
    }
    assert sorted(rows["text"]) == ["A lake", "A pond", "Pasture with cattle"]
    pond = rows[rows["text"] == "A pond"].iloc[0]
    assert (pond.id, pond.licence, pond.attribution, pond.language) == ("7", "CC-BY-4.0", "A. Walker", "en")
    assert (pond.place.x, pond.place.y) == (3.0, 50.8)


def test_notes_of_a_simulation_are_marked(tmp_path: Path) -> None:
    content = {"type": "FeatureCollection", "earthfield:simulated": True, "features": [NOTE]}
    assert table(tmp_path, saved(tmp_path / "a.json", content))[0].kinds == {"simulated": 1}


# The command and wrong inputs.


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.json", b"{", InvalidInput),
        ("a.json", b'{"type": "Feature"}', InvalidInput),
        ("a.json", b"[]", InvalidInput),
        ("a.zip", b"no zip", InvalidInput),
        ("a.zip", b"PK\x05\x06" + bytes(18), InvalidInput),
        ("absent.json", None, NotFound),
    ],
)
def test_what_is_no_input_is_refused(
    tmp_path: Path, name: str, content: bytes | None, error: type[EarthfieldError]
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=name.partition(".")[0]):
        make_texts(tmp_path, "t", [tmp_path / name])


def test_an_archive_without_rows_writes_no_table(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no text is left of 0 found"):
        make_texts(tmp_path, "t", [archive(tmp_path / "a.zip")])
    assert not Catalog(tmp_path).texts("t").exists()


def test_the_command_reports_what_it_left_out(tmp_path: Path) -> None:
    inputs = [
        saved(tmp_path / "a.json", [ARTICLE]),
        archive(tmp_path / "b.zip", ROW, {**ROW, "license": "CC-BY-NC"}),
    ]
    given = ["texts", *map(str, inputs), "--root", str(tmp_path), "--name", "both"]
    told = CliRunner().invoke(app, [*given, "--json"])
    report = json.loads(told.stdout)
    assert (report["found"], report["kept"]) == (3, 2)
    assert report["dropped"] == {"licence forbids commercial use": 1}
    assert report["kinds"] == {"wikipedia": 1, "gbif": 1}
    assert "2 of 3 texts kept" in CliRunner().invoke(app, given).stdout
