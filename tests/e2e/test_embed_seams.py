"""Fields have no seams: on real land, on simulated land, with trained and with random weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command import Run
from kept import SPRING
from numpy.typing import NDArray

from earthfield.catalog import Catalog
from earthfield.cube import CubeReader
from earthfield.field import Field
from earthfield.grid import Window
from earthfield.ports import Encoder
from earthfield.simulate import Landscape, simulate
from earthfield.timeline import Period
from earthfield_infer.local import connect_encoder
from earthfield_infer.passes import Sheet, Wish, pieces
from earthfield_infer.windows import WindowPlan
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.config import model_config
from earthfield_model.encoder import ModelEncoder, load_encoder, model_folder
from earthfield_model.widths import widths_named

AWAY = 128
"""The lattice moved by this leaves both places inside one core; where it lies, four cores meet in them."""


@pytest.fixture(scope="module", params=["real", "simulated"])
def land(
    request: pytest.FixtureRequest, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Period]:
    """A root with cubes over a month or two."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "real":
        spring = request.getfixturevalue("spring")
        return Path(shutil.copytree(spring, folder / "root")), Period.parse(SPRING)
    simulate(folder / "land", Landscape(size_px=(192, 192), lon=4.897, lat=52.1595, cloudiness=0.3))
    told = run("ingest", "--catalog", folder / "land", "--period", "2022-06", "--root", folder / "root")
    assert told.code == 0, told.err
    return folder / "root", Period.parse("2022-06")


def encoder_of(weights: str, root: Path) -> Encoder:
    starter = load_encoder(model_folder("starter", Catalog(root)))
    if weights == "starter":
        return starter
    torch.manual_seed(3)
    config = starter.model.config
    return ModelEncoder(AlphaEarth(model_config(weights, config.sources, widths_named(weights))))


def vectors_on(
    lattice: int, encoder: Encoder, root: Path, extent: Window, epsg: int, period: Period
) -> NDArray[np.float32]:
    """Encodes an extent with the lattice moved by some pixels."""
    plan, wish = WindowPlan.of(encoder), Wish(period, (period,), "float32", agreement=False)
    cores = [one.shifted(lattice, lattice) for one in plan.cores(extent.shifted(-lattice, -lattice))]
    sheet, reader = Sheet(encoder, extent, wish), CubeReader(Catalog(root), encoder.sources)
    for piece in pieces(encoder, reader, epsg, cores, extent, wish):
        if piece is not None:
            sheet.put(piece)
    return np.moveaxis(sheet.take()[0], 0, -1)


def steps_over(borders: tuple[int, int], extent: Window, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Lengths of the steps from one pixel to the next over a row and a column of the grid."""
    y, x = borders[0] - extent.y0, borders[1] - extent.x0
    down = np.linalg.norm(vectors[y] - vectors[y - 1], axis=-1)
    right = np.linalg.norm(vectors[:, x] - vectors[:, x - 1], axis=-1)
    return np.concatenate([down, right])


def extent_of(root: Path) -> tuple[int, Window]:
    catalog = Catalog(root)
    reader, hull = CubeReader(catalog, ()), None
    for tile in catalog.cube_tiles():
        cube = reader.cube(tile)
        assert cube is not None
        for source in cube.sources:
            for entry in cube.attributes(source)["ledger"].values():
                one = Window(*entry["window"]).shifted(tile.window.y0, tile.window.x0)
                hull = one if hull is None else hull | one
    assert hull is not None
    return catalog.cube_tiles()[0].epsg, hull


@pytest.mark.parametrize("weights", ["starter", "tiny", "nano"])
def test_a_vector_does_not_depend_on_the_window_that_held_it(land: tuple[Path, Period], weights: str) -> None:
    torch.set_num_threads(1)
    root, period = land
    epsg, extent = extent_of(root)
    encoder = encoder_of(weights, root)
    core = WindowPlan.of(encoder).core_px
    borders = (-(-extent.y0 // core) * core, -(-extent.x0 // core) * core)
    inner = extent.padded(-16)
    assert inner.y0 < borders[0] < inner.y1
    assert inner.x0 < borders[1] < inner.x1
    cut = vectors_on(0, encoder, root, extent, epsg, period)
    whole = vectors_on(AWAY, encoder, root, extent, epsg, period)
    cosine = (cut * whole).sum(-1)
    assert (np.isnan(cut[..., 0]) == np.isnan(whole[..., 0])).all()
    assert np.nanquantile(cosine, 0.01) >= 0.9999
    # The same pairs of pixels, once with a border between them and once without: land has edges of its own.
    over, beside = (np.nanmean(steps_over(borders, extent, one)) for one in (cut, whole))
    assert over / beside <= 1.02


@pytest.mark.parametrize("land", ["real"], indirect=True)
def test_the_command_gives_these_vectors(run: Run, land: tuple[Path, Period]) -> None:
    root, period = land
    told = run(
        "embed", "--period", str(period), "--root", root, "--dtype", "float32", "--no-agreement", "--json"
    )
    assert told.code == 0, told.err
    epsg, extent = extent_of(root)
    vectors = vectors_on(0, connect_encoder(Catalog(root), "starter"), root, extent, epsg, period)
    catalog = Catalog(root)
    for key in catalog.fields("starter"):
        field = Field(catalog, key)
        ys, xs = field.window.shifted(-extent.y0, -extent.x0).slices
        assert np.allclose(field.vectors(), vectors[ys, xs], atol=1e-5, equal_nan=True)
    assert json.loads(told.out)["fields"]
