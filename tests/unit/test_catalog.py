"""Addresses under a root: a folder holds everything, a bucket holds cubes and says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import InvalidInput
from earthfield.grid import Tile
from earthfield.places import Bucket, BucketPlace, FolderPlace, root_of
from earthfield.schemas import EmbedRequest, IngestRequest, MapRequest, checked_request
from earthfield.settings import Settings
from earthfield.terminal import cube_root_or_default, root_or_default
from earthfield.timeline import Period

TILE = Tile.parse("32631_0048_0549")
BUCKET = "s3://earth/maps/north"
INGEST = {"catalog": "anywhere", "periods": ("2020",)}


@pytest.mark.parametrize(
    ("text", "root"),
    [
        ("data", Path("data")),
        ("/data/s3", Path("/data/s3")),
        (Path("data"), Path("data")),
        ("s3://earth", Bucket("earth")),
        ("s3://earth/", Bucket("earth")),
        ("s3://earth/maps/north/", Bucket("earth", "maps/north")),
        (Path("s3://earth/maps"), Bucket("earth", "maps")),  # pathlib takes one of the slashes
        (Bucket("earth", "maps"), Bucket("earth", "maps")),
    ],
)
def test_a_root_is_a_folder_or_a_bucket(text: Any, root: Path | Bucket) -> None:
    assert root_of(text) == root == Catalog(text).root
    assert root_of(str(root)) == root


@pytest.mark.parametrize("text", ["gs://earth/maps", "https://host/maps", "s3://", "file:///data"])
def test_an_address_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="s3://bucket/prefix"):
        Catalog(text)


def test_cubes_have_an_address_on_both() -> None:
    folder, bucket = Catalog("data").cube(TILE), Catalog(BUCKET).cube(TILE)
    assert folder == FolderPlace(Path("data/cubes") / TILE.id)
    assert bucket == BucketPlace(Bucket("earth", f"maps/north/cubes/{TILE.id}"))
    assert folder.tile == bucket.tile == TILE
    assert str(bucket) == f"{BUCKET}/cubes/{TILE.id}"
    assert str(Catalog("s3://earth").cube(TILE)) == f"s3://earth/cubes/{TILE.id}"


@pytest.mark.parametrize(
    "address",
    [
        lambda catalog: catalog.index,
        lambda catalog: catalog.model("m"),
        lambda catalog: catalog.report("map", "a"),
        lambda catalog: catalog.answer("a"),
        lambda catalog: catalog.labels("a"),
        lambda catalog: catalog.field(FieldKey("m", TILE, Period.parse("2020"))),
        lambda catalog: list(catalog.fields()),
    ],
)
def test_nothing_but_cubes_has_an_address_in_a_bucket(address: Callable[[Catalog], Any]) -> None:
    address(Catalog("data"))
    with pytest.raises(InvalidInput, match=r"cubes only.*choose a folder"):
        address(Catalog(BUCKET))


def test_only_folders_named_after_tiles_are_cubes(tmp_path: Path) -> None:
    assert Catalog(tmp_path).cube_tiles() == []
    cubes = tmp_path / "cubes"
    for name in ("32631_0049_0549", TILE.id, f".{TILE.id}.new", f"{TILE.id}.bak", "32_a_b"):
        (cubes / name / "refs").mkdir(parents=True)
    (cubes / "32631_0051_0549").mkdir()  # empty
    (cubes / f".{TILE.id}.lock").touch()
    (cubes / "32631_0050_0549").touch()  # a file
    assert Catalog(tmp_path).cube_tiles() == [TILE, Tile.parse("32631_0049_0549")]
    assert not Catalog(tmp_path).cube(Tile.parse("32631_0050_0549")).exists()


def test_a_request_carries_its_root_as_text(tmp_path: Path) -> None:
    for root in (str(tmp_path), BUCKET):
        request = checked_request(IngestRequest, root=root, **INGEST)
        content = request.model_dump(mode="json")
        assert content["root"] == root
        assert IngestRequest.model_validate(content) == request
        assert request.catalog_root == Catalog(root)
    assert IngestRequest.model_json_schema()["properties"]["root"]["type"] == "string"


def test_jobs_that_make_fields_refuse_a_bucket_before_they_begin() -> None:
    for kind, content in ((EmbedRequest, {"periods": ("2020",)}), (MapRequest, INGEST)):
        with pytest.raises(InvalidInput, match="cubes only"):
            checked_request(kind, root=BUCKET, **content)


def test_the_environment_names_a_root_of_either_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EARTHFIELD_ROOT", BUCKET)
    assert cube_root_or_default(None) == Settings().root == Bucket("earth", "maps/north")
    assert cube_root_or_default(str(tmp_path)) == tmp_path
    for refused in (lambda: root_or_default(None), lambda: Settings().folder):
        with pytest.raises(InvalidInput, match="cubes only"):
            refused()
    monkeypatch.setenv("EARTHFIELD_ROOT", str(tmp_path))
    assert root_or_default(None) == cube_root_or_default(None) == Settings().folder == tmp_path


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 216, "a b", "a\n"])
def test_no_file_of_an_answer_leaves_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        Catalog(tmp_path).answer(name)
