"""Texts in training: which lie near a sample, their vectors on disk, the contrastive loss, and that it teaches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from pyproj import Transformer
from torch.nn import functional as F
from training_land import one_thread  # noqa: F401

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact
from earthfield.grid import Window, geobox_of, pixel_at, zone_of
from earthfield.simulate import Landscape
from earthfield.simulate.texts import texts_of
from earthfield.simulate.world import world_of
from earthfield_ingest.texts.jobs import make_texts
from earthfield_ingest.texts.records import Record
from earthfield_ingest.texts.table import write_table
from earthfield_model.config import TextConfig
from earthfield_model.sentences.encoder import sentence_encoder
from earthfield_model.text import TextNetwork, text_config
from earthfield_train.texts.cache import embedded
from earthfield_train.texts.contrast import clip_loss, mean_direction, text_loss
from earthfield_train.texts.draw import TextAt, prepared_texts

EPSG = 32631
WINDOW = Window(-562_304, -562_272, 49_352, 49_384)
"""32 x 32 px."""


@dataclass(frozen=True)
class Spot:
    """What is asked of a plot or a chip of one."""

    epsg: int
    window: Window


PLOT = Spot(EPSG, WINDOW)


class Counting:
    """A sentence model that counts what it is asked."""

    def __init__(self, name: str = "counting", dim: int = 3) -> None:
        self.name, self.dim = name, dim
        self.asked: list[str] = []

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return np.array([[len(one), ord(one[0]), sum(map(ord, one))] for one in texts], np.float32).reshape(
            -1, 3
        )[:, : self.dim]


def lonlat(row: float, col: float) -> tuple[float, float]:
    """The place of a pixel's middle, counted from the window's first."""
    x, y = geobox_of(EPSG, WINDOW).affine * (col + 0.5, row + 0.5)
    return Transformer.from_crs(EPSG, 4326, always_xy=True).transform(x, y)


def write_texts(root: Path, texts: dict[str, tuple[float, float]], name: str = "t") -> Path:
    """Writes a table as `earthfield texts` does; places are (row, column) of the window."""
    path = Catalog(root).texts(name)
    write_table(
        path,
        [
            Record(*lonlat(*at), text, "note", str(place), "", "CC0-1.0", "", "", "en")
            for place, (text, at) in enumerate(texts.items())
        ],
    )
    return path


def drawn_at(root: Path, plots: Sequence[Spot] = (PLOT,), **options: float) -> TextAt:
    return prepared_texts([root], plots, sentence_encoder(), cache=root, **options)[0]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


# Which text.


def test_texts_within_are_drawn_alike_and_one_outside_only_where_none_is_within(tmp_path) -> None:
    write_texts(tmp_path, {"a forest": (3, 3), "a lake": (30, 31), "a road": (-5, 10), "a city": (-2, 10)})
    text_at = drawn_at(tmp_path, reach_m=100)
    found = [text_at.text(PLOT, rng(seed)) for seed in range(60)]
    assert set(found) == {"a forest", "a lake"}
    assert 15 < found.count("a lake") < 45
    above = Spot(EPSG, Window(WINDOW.y0, WINDOW.y0 + 2, WINDOW.x0 + 8, WINDOW.x0 + 12))
    assert {text_at.text(above, rng(seed)) for seed in range(20)} == {"a city"}
    far = Spot(EPSG, WINDOW.shifted(300, 300))
    assert text_at(far, rng()) is None


def test_reach_is_measured_from_the_edge_in_metres(tmp_path) -> None:
    # The middle of the row ten rows above the window lies 95 m from its edge.
    write_texts(tmp_path, {"a forest": (-10, 16)})
    assert drawn_at(tmp_path, reach_m=96)(PLOT, rng()) is not None
    assert drawn_at(tmp_path, reach_m=94)(PLOT, rng()) is None


def test_the_draw_is_a_function_of_the_generator_and_takes_one_figure_from_it(tmp_path) -> None:
    write_texts(tmp_path, {f"a forest of {kind}": (kind, kind) for kind in range(20)})
    text_at = drawn_at(tmp_path)
    nowhere = Spot(EPSG, WINDOW.shifted(9_000, 9_000))
    for plot in (PLOT, nowhere):
        first, second, other = rng(4), rng(4), rng(4)
        np.testing.assert_equal(text_at(plot, first), text_at(plot, second))
        other.random()
        assert first.random() == other.random()


def test_the_vector_is_the_sentence_models(tmp_path) -> None:
    write_texts(tmp_path, {"a forest": (3, 3)})
    np.testing.assert_array_equal(drawn_at(tmp_path)(PLOT, rng()), sentence_encoder().embed(["a forest"])[0])


def test_all_tables_of_all_roots_are_read_and_the_found_are_counted(tmp_path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    write_texts(first, {"a forest": (3, 3), "a forest far away": (5_000, 0)}, "one")
    write_texts(first, {"a lake": (4, 4), "...": (5, 5)}, "two")
    write_texts(second, {"a forest": (6, 6)})
    encoder = sentence_encoder()
    text_at, found = prepared_texts([first, second], [PLOT], encoder, cache=tmp_path, reach_m=0)
    # The same text at two places is embedded once; one that says nothing is never drawn.
    assert (found.texts, found.near, found.new, found.plots) == (5, 4, 3, 1)
    assert {text_at.text(PLOT, rng(seed)) for seed in range(40)} == {"a forest", "a lake"}


def test_no_texts_at_all_is_no_error(tmp_path) -> None:
    text_at, found = prepared_texts([tmp_path], [PLOT], sentence_encoder(), cache=tmp_path)
    assert text_at(PLOT, rng()) is None
    assert (found.texts, found.plots) == (0, 0)
    assert not Catalog(tmp_path).sentences("landscape-words-1").exists()


def test_places_of_the_other_side_of_the_earth_and_the_poles_are_no_trouble(tmp_path) -> None:
    path = Catalog(tmp_path).texts("t")
    places = [(180.0, 0.0), (-177.0, 50.0), (93.0, 50.8), (0.0, 90.0), lonlat(3, 3)]
    write_table(
        path,
        [
            Record(*at, f"a forest {n}", "note", str(n), "", "CC0-1.0", "", "", "en")
            for n, at in enumerate(places)
        ],
    )
    assert {drawn_at(tmp_path).text(PLOT, rng(seed)) for seed in range(9)} == {"a forest 4"}


def test_a_broken_table_is_told(tmp_path) -> None:
    path = Catalog(tmp_path).texts("t")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(BrokenArtefact, match=r"t\.parquet.*earthfield texts"):
        drawn_at(tmp_path)


# Vectors on disk.


def test_each_text_is_embedded_once(tmp_path) -> None:
    first = Counting()
    one = embedded(["aa", "b", "aa"], first, tmp_path)
    assert (first.asked, one.num_new) == (["aa", "b"], 2)
    second = Counting()
    other = embedded(["ccc", "aa"], second, tmp_path)
    assert (second.asked, other.num_new) == (["ccc"], 1)
    np.testing.assert_array_equal(other.vectors, Counting().embed(["ccc", "aa"]))
    third = Counting()
    embedded(["b", "aa", "ccc"], third, tmp_path)
    assert third.asked == []


def test_models_do_not_share_vectors(tmp_path) -> None:
    embedded(["aa"], Counting("some/model"), tmp_path)
    # Another name, one that looks the same in an address, and the same name with another length.
    for other in (Counting("other"), Counting("some-model"), Counting("some/model", dim=2)):
        found = embedded(["aa"], other, tmp_path)
        assert found.num_new == 1
        assert found.vectors.shape == (1, other.dim)


def test_vectors_of_another_model_in_this_ones_place_are_not_taken(tmp_path) -> None:
    embedded(["aa"], Counting("one"), tmp_path)
    catalog = Catalog(tmp_path)
    shutil.copy(catalog.sentences("one"), catalog.sentences("two"))
    assert embedded(["aa"], Counting("two"), tmp_path).num_new == 1


def test_a_damaged_file_is_made_anew(tmp_path, caplog) -> None:
    embedded(["aa"], Counting(), tmp_path)
    path = Catalog(tmp_path).sentences("counting")
    path.write_bytes(path.read_bytes()[:-7])
    assert embedded(["aa"], Counting(), tmp_path).num_new == 1
    assert "embedded again" in caplog.text
    assert embedded(["aa"], Counting(), tmp_path).num_new == 0


def test_what_another_run_adds_meanwhile_is_kept(tmp_path) -> None:
    class Slow(Counting):
        def embed(self, texts: Sequence[str]) -> np.ndarray:
            embedded(["from elsewhere"], Counting(), tmp_path)
            return super().embed(texts)

    embedded(["aa"], Slow(), tmp_path)
    assert embedded(["aa", "from elsewhere"], Counting(), tmp_path).num_new == 0


def test_nothing_is_left_of_a_writing_that_fails(tmp_path, monkeypatch) -> None:
    embedded(["aa"], Counting(), tmp_path)
    path = Catalog(tmp_path).sentences("counting")
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(Exception, match="full"):
        embedded(["b"], Counting(), tmp_path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == [path.name]


# The loss.


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def reference(
    u: torch.Tensor, text: torch.Tensor, has_text: Sequence[bool], scale: float, seen: np.ndarray, same: np.ndarray
) -> float:  # fmt: skip
    """The loss by hand, in float64, a pair at a time."""
    chips = []
    for one, mask in zip(u.double().numpy(), seen, strict=True):
        total = one[mask].sum(0)
        chips.append(total / np.linalg.norm(total) if mask.any() else total)
    texts = text.double().numpy()
    taking_part = [i for i in range(len(chips)) if has_text[i] and seen[i].any()]
    if len(taking_part) < 2:
        return 0.0
    losses = []
    for i in taking_part:
        others = [j for j in taking_part if j == i or not same[i, j]]
        own = np.exp(scale * chips[i] @ texts[i])
        losses.append(-np.log(own / sum(np.exp(scale * chips[i] @ texts[j]) for j in others)))
        losses.append(-np.log(own / sum(np.exp(scale * chips[j] @ texts[i]) for j in others)))
    return float(np.mean(losses))


@pytest.mark.parametrize("has_text", [(1, 1, 1, 1, 1), (1, 0, 1, 1, 0), (0, 1, 0, 1, 0)])
def test_the_loss_equals_a_hand_written_one(has_text) -> None:
    u, text = unit(5, 4, 4, 64), unit(5, 64, seed=1)
    seen = np.random.default_rng(0).random((5, 4, 4)) < 0.6
    seen[2] = False
    same = np.eye(5, dtype=bool)
    same[0, 3] = same[3, 0] = True
    found = clip_loss(
        u, text, torch.tensor(has_text).bool(), 14.0, seen=torch.from_numpy(seen), same=torch.from_numpy(same)
    )
    expected = reference(u, text, has_text, 14.0, seen, same)
    assert float(found) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("has_text", [(0, 0, 0), (0, 1, 0)])
def test_fewer_than_two_texts_cost_nothing_and_the_graph_stays_whole(has_text) -> None:
    u = unit(3, 2, 2, 64).requires_grad_()
    network = TextNetwork(TextConfig(dim=8))
    loss = text_loss(network, u, torch.zeros(3, 8), torch.tensor(has_text).bool())
    assert float(loss.detach()) == 0
    loss.backward()
    for one in (u, *network.parameters()):
        assert one.grad is not None
        assert torch.isfinite(one.grad).all()
        assert not one.grad.any()


def test_the_same_text_twice_is_no_negative() -> None:
    network = TextNetwork(TextConfig(dim=8))
    u = unit(4, 2, 2, 64)
    distinct, shared = unit(4, 8, seed=2), unit(1, 8, seed=3).repeat(4, 1)
    every = torch.ones(4, dtype=torch.bool)
    assert float(text_loss(network, u, distinct, every).detach()) > 0.1
    assert float(text_loss(network, u, shared, every).detach()) == 0
    # Found from the vectors alone, too.
    assert float(clip_loss(u, network(shared)[:1].expand(4, -1).detach(), every, 14.0)) == 0


def test_gradients_reach_the_field_and_the_network_and_nothing_frozen() -> None:
    network = TextNetwork(TextConfig(dim=8))
    u, frozen = unit(4, 2, 2, 64).requires_grad_(), unit(4, 8, seed=2).requires_grad_()
    text_loss(network, u, frozen, torch.tensor([True, True, True, False])).backward()
    assert frozen.grad is None
    assert all(one.grad is not None and one.grad.any() for one in network.parameters())
    assert u.grad is not None
    assert u.grad[:3].flatten(1).any(1).all()
    # A sample without a text is neither drawn nor pushed.
    assert not u.grad[3].any()


def test_pixels_that_are_not_seen_do_not_count() -> None:
    u = unit(2, 3, 3, 64)
    seen = torch.zeros(2, 3, 3, dtype=torch.bool)
    seen[0, 1, 1] = True
    u[0, 0, 0] = torch.nan
    directions = mean_direction(u, seen)
    torch.testing.assert_close(directions[0], u[0, 1, 1])
    assert not directions[1].any()


def test_the_loss_is_exact_under_bfloat16() -> None:
    u, text = unit(4, 4, 4, 64), unit(4, 64, seed=1)
    every = torch.ones(4, dtype=torch.bool)
    plain = clip_loss(u, text, every, 50.0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(clip_loss(u, text, every, 50.0), plain)


# The whole way, and that it teaches.


def test_texts_of_a_simulated_landscape_reach_its_samples(tmp_path) -> None:
    world = world_of(Landscape(seed=3, size_px=(96, 96)))
    path = tmp_path / "texts.geojson"
    path.write_text(json.dumps(texts_of(world)))
    report = make_texts(tmp_path, "made", [path])
    assert report.kinds == {"simulated": report.kept}
    assert report.licences == {"CC0-1.0": report.kept}
    assert report.kept == len(texts_of(world)["features"])
    lon, lat = texts_of(world)["features"][0]["geometry"]["coordinates"]
    epsg = zone_of(lon, lat)
    row, col = pixel_at(epsg, lon, lat)
    chip = Spot(epsg, Window(row - 4, row + 12, col - 4, col + 12))
    text_at, found = prepared_texts([tmp_path], [chip], sentence_encoder(), cache=tmp_path, reach_m=0)
    assert found.plots == 1
    first = texts_of(world)["features"][0]["properties"]["text"]
    assert first in {text_at.text(chip, rng(seed)) for seed in range(20)}


LANDS = {
    "cropland": (["arable fields", "cultivated farmland", "crops of wheat"], ["barley and rye", "ploughed land"]),
    "forest": (["a dark wood", "pine forest", "trees all around"], ["beech woodland", "a stand of spruce"]),
    "water": (["a lake", "open water", "the river"], ["a pond", "a reservoir behind a dam"]),
    "city": (["streets of the town", "a large city", "the urban centre"], ["downtown", "la ville"]),
    "grass": (["meadows", "pasture", "grassland"], ["grazing cattle", "steppe"]),
    "marsh": (["a marsh", "wetland", "boggy ground"], ["reeds and a swamp", "peatland"]),
    "airport": (["an airport", "the runway"], ["a terminal", "Flughafen"]),
    "quarry": (["a quarry", "a mine"], ["an open pit", "Steinbruch"]),
}  # fmt: skip
"""Words to learn from, and words that are not seen in training."""


def test_retrieval_of_words_never_trained_on_is_far_above_chance() -> None:
    torch.manual_seed(0)
    encoder = sentence_encoder()
    network = TextNetwork(text_config(encoder, hidden=64))
    directions = unit(len(LANDS), 64, seed=9)
    taught = [(land, text) for land, (texts, _) in enumerate(LANDS.values()) for text in texts]
    held_out = [(land, text) for land, (_, texts) in enumerate(LANDS.values()) for text in texts]
    vectors = torch.from_numpy(encoder.embed([text for _, text in taught]))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(5)
    losses = []
    for _ in range(150):
        # One of each land: within a batch every other text is another land's.
        rows = [
            int(torch.tensor([land == one for land, _ in taught]).float().multinomial(1, generator=generator))
            for one in range(len(LANDS))
        ]
        noise = 0.1 * torch.randn(len(LANDS), 4, 4, 64, generator=generator)
        u = F.normalize(directions[:, None, None] + noise, dim=-1)
        loss = text_loss(network, u, vectors[rows], torch.ones(len(LANDS), dtype=torch.bool))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-10:]) < 0.2 * losses[0]
    with torch.no_grad():
        told = network(torch.from_numpy(encoder.embed([text for _, text in held_out]))) @ directions.T
    right = (told.argmax(1) == torch.tensor([land for land, _ in held_out])).float().mean()
    # Chance is 1 of 8.
    assert right >= 0.8
