"""Files are whole or not there, and what a disk refuses is told in a sentence."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import icechunk
import pytest

from earthfield.catalog import Catalog, FieldKey, checked_name
from earthfield.errors import InvalidInput, Unavailable
from earthfield.grid import Tile
from earthfield.storage import hash_of, refused, whole_file, write_json, writing
from earthfield.timeline import Period


def test_an_error_leaves_the_old_file_and_no_rest(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"old": 1})
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.json") as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert "old" in (tmp_path / "a.json").read_text()


def test_equal_content_has_equal_bytes_and_hash(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": 2})
    write_json(tmp_path / "b.json", {"a": 2, "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert hash_of({"b": 1, "a": 2}) == hash_of({"a": 2, "b": 1}) != hash_of({"a": 2, "b": 2})


def test_a_place_that_cannot_be_written_is_told() -> None:
    with pytest.raises(InvalidInput, match="--root"):
        write_json(Path("/proc/earthfield/report.json"), {})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_told_and_leaves_nothing(small_disk: Path) -> None:
    with pytest.raises(Unavailable, match="full"), whole_file(small_disk / "big.bin") as temporary:
        temporary.write_bytes(os.urandom(2_000_000))
    assert list(small_disk.iterdir()) == []


def test_libraries_words_for_a_full_disk_are_understood(tmp_path: Path) -> None:
    with pytest.raises(Unavailable), writing(tmp_path):
        raise ValueError("error writing object: No space left on device (os error 28)")
    with pytest.raises(ValueError, match="something else"), writing(tmp_path):
        raise ValueError("something else")


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        ('Error { code: "NoSuchBucket", message: "gone" }', InvalidInput, "no such bucket"),
        ('Error { code: "AccessDenied", message: "no" }', InvalidInput, "AWS_ACCESS_KEY_ID"),
        ("Connection refused (os error 111)", Unavailable, "does not answer (Connection refused"),
        ('Error { code: "SlowDown", message: "" }', Unavailable, "again later"),
    ],
)
def test_what_a_bucket_s_server_refuses_is_told_in_a_sentence(cause: str, kind: type, words: str) -> None:
    error = icechunk.IcechunkError(f"  x error getting object\n  | \n  | context:\n  |-> a\n  `-> {cause}\n")
    told = refused(error, "s3://earth/root")
    assert isinstance(told, kind)
    assert str(told).startswith(("s3://earth/root", "the server of s3://earth/root"))
    assert words in str(told)
    assert "\n" not in str(told)
    assert isinstance(refused(ValueError(cause), "s3://earth/root"), kind)  # LanceDB has no errors of its own
    assert refused(ValueError(cause), "/data/root") is None  # not a server's word
    assert refused(icechunk.IcechunkError("object not found"), "s3://earth/root") is None


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_no_name_leaves_its_folder(name: str) -> None:
    with pytest.raises(InvalidInput):
        checked_name(name)


def test_only_finished_fields_are_listed(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path)
    keys = [FieldKey("m", Tile(32631, 48, 549), Period.parse(text)) for text in ("2018", "2019")]
    for key in keys:
        catalog.field(key).mkdir(parents=True)
    assert list(catalog.fields()) == []
    write_json(catalog.field(keys[1]) / "manifest.json", {})
    assert list(catalog.fields("m")) == [keys[1]]
    assert list(catalog.fields(period=keys[0].period)) == []
