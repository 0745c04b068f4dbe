"""The embedding job: what is there is left alone, what was asked otherwise is made, nothing is half-written."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
import torch
from mean_encoder import MeanEncoder
from numpy.typing import NDArray
from odc.geo.geom import Geometry
from training_land import SOURCES, TILE, Land, made_frames, one_thread, write_cube  # noqa: F401

from earthfield.catalog import Catalog, FieldKey
from earthfield.errors import InvalidInput, Unavailable
from earthfield.field import QUALITY_NODATA, Field
from earthfield.frames import Frames
from earthfield.grid import Tile, TileWindow, Window, geobox_of
from earthfield.schemas import EmbedRequest, FieldReport, checked_request
from earthfield.timeline import Period
from earthfield_infer.ahead import worked_ahead
from earthfield_infer.devices import DeviceEncoder, devices_named
from earthfield_infer.jobs import embed_tile
from earthfield_infer.local import connect_encoder
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import SourceConfig, model_config
from earthfield_model.encoder import ModelEncoder
from earthfield_model.widths import widths_named

AT, SIZE = (232, 232), 48
"""Where the land lies in its tile: its middle is where four windows meet."""
EVERY = (40, 60, 90)
YEAR = "2018"


@pytest.fixture(scope="module")
def model() -> AlphaEarth:
    torch.manual_seed(1)
    return AlphaEarth(
        model_config("nano", [SourceConfig.of(one) for one in SOURCES.values()], widths_named("nano"))
    )


@pytest.fixture
def encoder() -> MeanEncoder:
    return MeanEncoder(tuple(SOURCES))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Cubes of made-up land."""
    write_cube(tmp_path, made_frames(Land(SIZE, every=EVERY)), at=AT)
    return tmp_path


def part(window: Window | None = None, area: Any = None) -> TileWindow:
    whole = Window(AT[0], AT[0] + SIZE, AT[1], AT[1] + SIZE) if window is None else window
    extent = whole.shifted(TILE.window.y0, TILE.window.x0)
    return TileWindow(TILE, extent, area or geobox_of(TILE.epsg, extent).extent)


def embedded(root: Path, encoder: Any, where: TileWindow | None = None, **asked: Any) -> list[FieldReport]:
    request = checked_request(EmbedRequest, root=root, model=encoder.name, **{"periods": (YEAR,), **asked})
    return embed_tile(request, where or part(), encoder=encoder).fields


def field(root: Path, period: str = YEAR) -> Field:
    return Field(Catalog(root), FieldKey("mean", TILE, Period.parse(period)))


def files(root: Path) -> dict[str, bytes]:
    found = (root / "fields").rglob("*")
    return {str(path.relative_to(root)): path.read_bytes() for path in found if path.is_file()}


def test_every_pixel_is_told_of(root: Path, encoder: MeanEncoder) -> None:
    (report,) = embedded(root, encoder)
    assert (report.written, report.pixels, report.windows) == (True, SIZE * SIZE, 4)
    made, frames = field(root), made_frames(Land(SIZE, every=EVERY))
    layers = made.quality()
    assert set(layers) == {
        *(f"{kind}_{name}" for kind in ("clear", "days") for name in SOURCES), "agreement",
    }  # fmt: skip
    for name, one in frames.items():
        assert np.array_equal(layers[f"clear_{name}"], one.valid.sum(axis=0))
        assert (layers[f"days_{name}"] == QUALITY_NODATA).sum() == (~one.valid.any(axis=0)).sum()
        assert layers[f"days_{name}"].min() < 40
    assert np.nanmax(layers["agreement"]) <= 1
    assert made.manifest["windows"] == {"window_px": 320, "halo_px": 32}
    assert (made.folder / "axes.png").is_file()


def test_agreement_is_the_cosine_of_fields_from_every_other_frame(root: Path, encoder: MeanEncoder) -> None:
    embedded(root, encoder)
    whole, fields = made_frames(Land(SIZE, every=EVERY)), []
    for start in (0, 1):
        half = {name: one.take(np.arange(len(one.acquired))[start::2]) for name, one in whole.items()}
        fields.append(encoder.encode(half, [Period.parse(YEAR)])[0])
    expected = (fields[0] * fields[1]).sum(-1)
    assert 0.1 < np.nanmean(expected) < 0.9
    assert np.allclose(field(root).quality()["agreement"], expected, atol=1e-4, equal_nan=True)


def test_pixels_seen_once_have_a_vector_and_no_agreement(tmp_path: Path, encoder: MeanEncoder) -> None:
    frames = made_frames(Land(SIZE, every=EVERY))
    for name, one in frames.items():
        one.valid[:, 5, 7] = False
        one.valid[1, 5, 7] = name == "sentinel-2-l2a"
    write_cube(tmp_path, frames, at=AT)
    embedded(tmp_path, encoder)
    made = field(tmp_path)
    assert np.isfinite(made.vectors()[5, 7]).all()
    assert np.isnan(made.quality()["agreement"][5, 7])
    assert made.quality()["clear_sentinel-2-l2a"][5, 7] == 1


def test_what_is_there_is_left_alone_and_what_was_asked_otherwise_is_made(
    root: Path, encoder: MeanEncoder
) -> None:
    def asked(**options: Any) -> bool:
        return embedded(root, encoder, **options)[0].written

    assert asked(agreement=False)
    assert "agreement" not in field(root).quality_names
    assert not asked(agreement=False)
    assert asked()
    assert not asked()
    # More than was asked for serves as well.
    assert not asked(agreement=False)
    assert asked(dtype="float32")
    assert field(root).dtype == "float32"
    assert not asked(dtype="float32")
    assert asked(dtype="float32", overwrite=True)


def test_the_same_request_gives_the_same_bytes_however_many_windows_run_at_once(root: Path) -> None:
    embedded(root, MeanEncoder(tuple(SOURCES)))
    before = files(root)
    assert embedded(root, MeanEncoder(tuple(SOURCES), num_parallel=4), overwrite=True)[0].written
    assert files(root) == before


def test_copies_of_a_model_on_several_devices_give_what_one_gives(model: AlphaEarth) -> None:
    frames, cpu = made_frames(Land(32, every=EVERY)), torch.device("cpu")
    alone = ModelEncoder(model).encode(frames, [Period.parse(YEAR)])
    many = DeviceEncoder(ModelEncoder(model), [cpu, cpu, cpu], precision="float32")
    assert many.num_parallel == 3
    assert many.fingerprint == ModelEncoder(model).fingerprint
    found = worked_ahead(lambda _: many.encode(frames, [Period.parse(YEAR)]), range(5), ahead=5, threads=5)
    assert all(np.array_equal(one, alone, equal_nan=True) for one in found)


def test_a_rougher_precision_gives_nearly_the_same_and_another_field(root: Path, model: AlphaEarth) -> None:
    frames, periods = made_frames(Land(32, every=EVERY)), [Period.parse(YEAR)]
    exact = ModelEncoder(model).encode(frames, periods)
    rough = DeviceEncoder(ModelEncoder(model), [torch.device("cpu")], precision="bf16")
    found = rough.encode(frames, periods)
    assert np.nanmin((found * exact).sum(-1)) > 0.99
    assert not np.array_equal(found, exact, equal_nan=True)
    encoder = MeanEncoder(tuple(SOURCES))
    embedded(root, encoder)
    encoder.precision = "bf16"  # type: ignore[attr-defined]
    assert embedded(root, encoder)[0].written
    assert field(root).manifest["model"]["precision"] == "bf16"


def test_a_pixel_is_the_same_whatever_area_was_asked_for(
    root: Path, encoder: MeanEncoder, tmp_path: Path
) -> None:
    embedded(root, encoder)
    whole = field(root).codes()
    left, bottom, right, top = part().area.geom.bounds
    triangle = Geometry(shapely.Polygon([(left, bottom), (right, bottom), (left, top)]), f"EPSG:{TILE.epsg}")
    other = tmp_path / "other"
    write_cube(other, made_frames(Land(SIZE, every=EVERY)), at=AT)
    (report,) = embedded(other, encoder, TileWindow(TILE, part().window, triangle))
    made = field(other).codes()
    inside = made[0] != -128
    assert 0.4 < inside.mean() < 0.6
    assert report.pixels == inside.sum()
    assert np.array_equal(made[:, inside], whole[:, inside])


def test_a_second_area_joins_the_first(root: Path, encoder: MeanEncoder) -> None:
    left = Window(AT[0], AT[0] + SIZE, AT[1], AT[1] + 15)
    right = Window(AT[0], AT[0] + SIZE, AT[1] + 30, AT[1] + SIZE)
    embedded(root, encoder, part(left))
    (report,) = embedded(root, encoder, part(right))
    assert report.pixels == SIZE * (15 + 18)
    made = field(root)
    assert np.isnan(made.vectors()[:, 15:30]).all()
    assert np.isnan(made.quality()["agreement"][:, 15:30]).all()
    assert (made.quality()["clear_sentinel-1-rtc"][:, 15:30] == QUALITY_NODATA).all()
    assert not embedded(root, encoder, part(left))[0].written


def test_neighbouring_tiles_are_read_and_told_of(root: Path, encoder: MeanEncoder) -> None:
    beside = Tile(TILE.epsg, TILE.col + 1, TILE.row)
    write_cube(root, made_frames(Land(SIZE, every=EVERY, seed=3)), tile=beside, at=(200, 0))
    edge = Window(200, 296, 1000, 1024).shifted(TILE.window.y0, TILE.window.x0)
    embedded(root, encoder)
    assert field(root).manifest["context"] == {}
    frames = made_frames(Land(SIZE, every=EVERY, seed=3))
    other = root / "edge"
    write_cube(
        other, {name: one.cropped(Window(0, 96, 0, 24)) for name, one in frames.items()}, at=(200, 1000)
    )
    write_cube(other, frames, tile=beside, at=(200, 0))
    embedded(other, encoder, TileWindow(TILE, edge, geobox_of(TILE.epsg, edge).extent))
    context = field(other).manifest["context"]
    assert set(context) == {beside.id}
    assert context[beside.id]["sentinel-2-l2a"][0]["items"] == ["sentinel-2-l2a-0"]


def test_what_a_killed_writer_left_goes_when_the_field_is_made(root: Path, encoder: MeanEncoder) -> None:
    embedded(root, encoder)
    before, folder = files(root), field(root).folder
    (folder / ".writing-1-embedding.tif").write_bytes(b"half")
    (folder / ".writing-1").mkdir()
    (folder / ".writing-1" / "plain.tif").write_bytes(b"half")
    (folder / "manifest.json").unlink()
    assert embedded(root, encoder)[0].written
    assert files(root) == before
    assert not (folder / ".writing-1").exists()


def test_a_collection_that_a_killed_job_left_behind_is_mended(root: Path, encoder: MeanEncoder) -> None:
    embedded(root, encoder)
    collection = Catalog(root).collection("mean")
    told = collection.read_bytes()
    collection.unlink()
    assert not embedded(root, encoder)[0].written
    assert collection.read_bytes() == told


@pytest.mark.parametrize("megabytes", [1, 18, 22])
def test_a_full_disk_is_told_and_leaves_no_broken_field(
    root: Path, encoder: MeanEncoder, megabytes: float
) -> None:
    """The disk is full at the vectors, at their overviews, at the last of them."""
    with disk(root / "fields", megabytes) as folder:
        with pytest.raises(Unavailable, match="is full: free some space and run the same command again"):
            embedded(root, encoder)
        assert not list(folder.rglob("manifest.json"))
        assert not list(folder.rglob(".writing-*"))
        subprocess.run(["mount", "-o", "remount,size=64m", folder], check=True)
        assert embedded(root, encoder)[0].written
        assert (field(root).codes() != -128).any()


@contextmanager
def disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """A file system of so many megabytes."""
    folder.mkdir()
    size = f"size={int(megabytes * 1024)}k"
    words = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder]
    mounted = subprocess.run(words, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no right to mount a small disk: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


class Failing:
    """An encoder that fails at its third window."""

    name, fingerprint, dim, sources, num_parallel = "mean", "0", 64, tuple(SOURCES), 2

    def __init__(self) -> None:
        self.count = 0

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        self.count += 1
        if self.count == 3:
            raise Unavailable("the server does not answer")
        return np.full((len(periods), *next(iter(frames.values())).shape, 64), 0.125, np.float32)


def test_an_encoder_that_fails_ends_the_job_and_leaves_no_field(root: Path) -> None:
    with pytest.raises(Unavailable, match="does not answer"):
        embedded(root, Failing())
    assert not (root / "fields").exists()


def test_many_periods_are_one_pass_and_each_tells_its_own_days(root: Path, encoder: MeanEncoder) -> None:
    months = ("2018-03", "2018-10")
    reports = embedded(root, encoder, periods=months, support=YEAR)
    # Four windows, each whole and in two halves.
    assert encoder.asked == [2] * 12
    assert [one.period for one in reports] == list(months)
    spring, autumn = (field(root, month) for month in months)
    assert not np.array_equal(spring.codes(), autumn.codes())
    assert (spring.quality()["days_landsat-c2-l2"] != autumn.quality()["days_landsat-c2-l2"]).any()
    assert np.array_equal(spring.quality()["clear_landsat-c2-l2"], autumn.quality()["clear_landsat-c2-l2"])


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000", "somewhere"])
def test_an_address_of_another_kind_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InvalidInput, match="grpc://host:port"):
        connect_encoder(Catalog(tmp_path), "starter", address)


def test_devices_go_by_name() -> None:
    assert devices_named("cpu, cpu") == [torch.device("cpu")] * 2
    for name in ("tpu:0", "cuda:99"):
        with pytest.raises(InvalidInput, match="EARTHFIELD_DEVICES"):
            devices_named(name)


def test_the_starter_is_found_in_process_and_a_precision_of_a_server_is_its_own(tmp_path: Path) -> None:
    assert connect_encoder(Catalog(tmp_path), "starter", "local").name == "starter"
    with pytest.raises(InvalidInput, match="--precision"):
        connect_encoder(Catalog(tmp_path), "starter", "grpc://127.0.0.1:1", precision="bf16")
