"""BetaEarth's own network with random weights behind the seam: read safely, complete, the same every time."""

from __future__ import annotations

import pickle
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound, Unavailable
from earthfield.frames import SourceFrames
from earthfield.ports import Encoder
from earthfield.timeline import Period
from earthfield_infer.adapters import betaearth_weights as weights
from earthfield_infer.adapters.betaearth_inputs import DEM, S1, S2
from earthfield_infer.local import connect_encoder

needs_package = pytest.mark.skipif(
    find_spec("betaearth") is None,
    reason="the package betaearth is not installed: pip install 'earthfield[betaearth]'",
)
YEAR = Period.parse("2018")
BANDS = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")


@pytest.fixture(scope="module")
def package() -> Any:
    return weights.betaearth_package()


def small(package: Any, kind: str = "SegFormerEncoder") -> dict[str, torch.Tensor]:
    """Weights of a small network of the package, random everywhere."""
    torch.manual_seed(5)
    with weights._without_download(package):
        network = getattr(package, kind)(encoder_name="mit_b0", fusion_dim=16, time_embed_dim=8)
    # FiLM starts as zeros, which would hide a day of the year that does nothing.
    return {
        name: one + 0.1 * torch.randn_like(one) if one.is_floating_point() else one
        for name, one in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def state(package) -> dict[str, torch.Tensor]:
    return small(package)


@pytest.fixture(scope="module")
def catalog(state, tmp_path_factory) -> Catalog:
    catalog = Catalog(str(tmp_path_factory.mktemp("root")))
    catalog.model("betaearth").mkdir(parents=True)
    save_file(state, catalog.model("betaearth") / "model.safetensors")
    return catalog


@pytest.fixture(scope="module")
def encoder(catalog) -> Encoder:
    return connect_encoder(catalog, "betaearth")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keeps tests off the hub, whatever else this machine may reach."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("EARTHFIELD_BETAEARTH_WEIGHTS", raising=False)
    if "huggingface_hub.constants" in sys.modules:
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


def scene(size: int = 32) -> dict[str, SourceFrames]:
    draw = np.random.default_rng(3)
    when = np.array(["2018-05-01T10:30:00", "2018-09-01T10:30:00"], "datetime64[us]")

    def source(name: str, bands: tuple[str, ...], low: int, high: int, kind: type) -> SourceFrames:
        values = draw.integers(low, high, (2, len(bands), size, size)).astype(kind)
        return SourceFrames(
            name, bands, values, np.ones((2, size, size), bool), when, int(np.iinfo(kind).min)
        )

    return {
        S2: source(S2, BANDS, 100, 4000, np.int16),
        S1: source(S1, ("vv", "vh"), -2400, -400, np.int16),
        DEM: source(DEM, ("elevation",), 0, 90_000, np.int32),
    }


@needs_package
def test_random_weights_give_unit_vectors_the_same_every_time(catalog, encoder) -> None:
    frames = scene()
    frames[S2].valid[:, :, :4], frames[S1].valid[:, :, :4] = False, False
    field = encoder.encode(frames, [YEAR])
    assert field.shape == (1, 32, 32, 64)
    assert field.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(field[:, :, 4:], axis=-1), 1, rtol=1e-5)
    assert np.isnan(field[:, :, :4]).all()
    np.testing.assert_array_equal(field, encoder.encode(frames, [YEAR]))
    again = connect_encoder(catalog, "betaearth")
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(field, again.encode(frames, [YEAR]))


@needs_package
def test_every_sensor_and_the_day_of_the_year_move_the_vectors(encoder) -> None:
    frames = scene()
    whole = encoder.encode({S2: frames[S2], DEM: frames[DEM]}, [YEAR])
    without_dem = encoder.encode({S2: frames[S2]}, [YEAR])
    radar = encoder.encode({S1: frames[S1]}, [YEAR])
    months = encoder.encode({S2: frames[S2]}, [Period.parse("2018-05"), Period.parse("2018-09")])
    for one, other in ((whole, without_dem), (radar, without_dem), (months[:1], months[1:])):
        assert np.abs(one - other).max() > 1e-3


@needs_package
def test_it_gives_what_the_package_itself_gives_for_the_same_image(encoder, package, state) -> None:
    frames = {S2: scene(224)[S2].take(np.array([0]))}
    field = encoder.encode(frames, [YEAR])
    with weights._without_download(package):
        network = package.SegFormerEncoder(encoder_name="mit_b0", fusion_dim=16, time_embed_dim=8)
    network.load_state_dict(state)
    order = [BANDS.index(band) for band in package.S2_BANDS]
    image = frames[S2].values[0, order].astype(np.uint16)
    expected = package.BetaEarth(network, device="cpu").predict(s2_l2a=image, doy=121, overlap=0)
    np.testing.assert_allclose(field[0], expected, atol=1e-5)


@needs_package
def test_the_variant_of_three_bands_reads_sentinel_2_alone(package, tmp_path) -> None:
    catalog = Catalog(str(tmp_path))
    catalog.model("betaearth-rgb-only").mkdir(parents=True)
    torch.save(small(package, "RGBOnlySegFormerEncoder"), catalog.model("betaearth-rgb-only") / "model.pt")
    encoder = connect_encoder(catalog, "betaearth-rgb-only")
    assert encoder.name == "betaearth-rgb-only"
    assert encoder.sources == (S2,)
    assert not np.isnan(encoder.encode({S2: scene()[S2]}, [YEAR])).any()
    with pytest.raises(InvalidInput, match="reads sentinel-2-l2a over"):
        encoder.encode({S1: scene()[S1]}, [YEAR])


@needs_package
def test_the_fingerprint_is_that_of_the_weights_whatever_their_format_and_place(
    encoder, state, tmp_path, monkeypatch
) -> None:
    torch.save(state, tmp_path / "model.pt")
    (tmp_path / "other").mkdir()
    changed = state | {"fusion.0.bias": state["fusion.0.bias"] + 1e-6}
    save_file(changed, tmp_path / "other" / "model.safetensors")
    elsewhere = Catalog(str(tmp_path / "root"))
    for place, is_same in ((tmp_path / "model.pt", True), (tmp_path / "other", False)):
        monkeypatch.setenv("EARTHFIELD_BETAEARTH_WEIGHTS", str(place))
        made = connect_encoder(elsewhere, "betaearth")
        assert (made.fingerprint == encoder.fingerprint) is is_same


class Bomb:
    """Runs a command where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


def test_a_pickle_that_holds_code_is_refused_and_never_runs(tmp_path) -> None:
    torch.save({"fusion.0.weight": Bomb(tmp_path / "ran")}, tmp_path / "model.pt")
    (tmp_path / "bare.pt").write_bytes(pickle.dumps(Bomb(tmp_path / "ran")))
    for name in ("model.pt", "bare.pt"):
        with pytest.raises(InvalidInput, match=r"can run code: take model\.safetensors"):
            weights.read_weights(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_told(tmp_path) -> None:
    torch.save({"a": torch.ones(3)}, tmp_path / "whole.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "whole.pt").read_bytes()[:200])
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    torch.save([torch.ones(3)], tmp_path / "list.pt")
    torch.save({"state_dict": {"a": torch.ones(3)}}, tmp_path / "nested.pt")
    for name in ("cut.pt", "cut.safetensors", "empty.safetensors"):
        with pytest.raises((BrokenArtefact, InvalidInput), match=name):
            weights.read_weights(tmp_path / name)
    for name in ("list.pt", "nested.pt"):
        with pytest.raises(BrokenArtefact, match="no tensors by name"):
            weights.read_weights(tmp_path / name)


@needs_package
def test_weights_that_do_not_fill_the_network_are_refused(package, state) -> None:
    lacking = {name: one for name, one in state.items() if "s1_encoder.decoder.p5" not in name}
    with pytest.raises(BrokenArtefact, match=r"lack 2 of .* s1_encoder\.decoder\.p5"):
        weights.network_of(package, lacking, Path("x.pt"))
    misshapen = state | {"fusion.0.bias": torch.zeros(17)}
    with pytest.raises(BrokenArtefact, match="fit no network of BetaEarth"):
        weights.network_of(package, misshapen, Path("x.pt"))
    with pytest.raises(BrokenArtefact, match="fit no network of BetaEarth"):
        weights.network_of(package, {"a": torch.zeros(1)}, Path("x.pt"))
    with pytest.raises(InvalidInput, match="DINOv3 variant"):
        weights.network_of(package, {"dpt_head.fuse.0.weight": torch.zeros(1)}, Path("x.pt"))


@needs_package
def test_a_variant_without_the_day_of_the_year_is_whole(package, state) -> None:
    timeless = {name: one for name, one in state.items() if not name.startswith("time_cond")}
    network = weights.network_of(package, timeless, Path("x.pt"))
    features, day = torch.randn(1, 16, 4, 4), torch.tensor([100])
    torch.testing.assert_close(network.time_cond(features, day), features)


@needs_package
def test_weights_that_are_not_there_are_told_with_what_to_do(tmp_path, monkeypatch) -> None:
    catalog = Catalog(str(tmp_path))
    with pytest.raises(
        Unavailable, match=r"does not answer: put model\.safetensors.*into .*models/betaearth, or"
    ):
        connect_encoder(catalog, "betaearth")
    with pytest.raises(InvalidInput, match="DINOv3 variant"):
        connect_encoder(catalog, "betaearth-dinov3-vits16")
    catalog.model("betaearth").mkdir(parents=True)
    with pytest.raises(NotFound, match=r"it holds neither model\.safetensors nor model\.pt"):
        connect_encoder(catalog, "betaearth")
    monkeypatch.setenv("EARTHFIELD_BETAEARTH_WEIGHTS", str(tmp_path / "nowhere"))
    with pytest.raises(
        NotFound, match=r"EARTHFIELD_BETAEARTH_WEIGHTS .*nowhere was named, and there is no such"
    ):
        connect_encoder(catalog, "betaearth")


def test_without_the_package_the_command_to_install_it_is_told(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"not installed: run `pip install 'earthfield\[betaearth\]'`"):
        connect_encoder(Catalog(str(tmp_path)), "betaearth")
