"""Texts on the field's sphere: the frozen sentence model, the text network behind it, and a model's folder."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from training_land import OPTICAL, one_thread  # noqa: F401

from earthfield.errors import BrokenArtefact, InvalidInput, Unavailable
from earthfield_model.alphaearth import CONFIG_FILE, AlphaEarth
from earthfield_model.config import ModelConfig, SourceConfig, TextConfig, model_config
from earthfield_model.encoder import ModelEncoder, load_encoder
from earthfield_model.sentences.encoder import SentenceEncoder, sentence_encoder
from earthfield_model.sentences.words import LandscapeWords, words_of
from earthfield_model.text import MAX_SCALE, TextNetwork, text_config
from earthfield_model.widths import widths_named

WORDS = ("wheat field", "Forêt de Haguenau", "a lake", "2018", "Quercus robur L., observed 2018-06-01")


def config_with(text: TextConfig | None) -> ModelConfig:
    return replace(model_config("t", [SourceConfig.of(OPTICAL)], widths_named("nano")), text=text)


@pytest.fixture(scope="module")
def model() -> AlphaEarth:
    torch.manual_seed(1)
    return AlphaEarth(config_with(text_config(sentence_encoder(), hidden=32)))


# The frozen sentence model.


def test_the_default_embeds_with_no_network(monkeypatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    encoder = sentence_encoder()
    vectors = encoder.embed(WORDS)
    assert isinstance(encoder, SentenceEncoder)
    assert vectors.shape == (len(WORDS), encoder.dim)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_vectors_are_the_same_in_every_process_and_in_any_company() -> None:
    encoder = sentence_encoder()
    together = encoder.embed(WORDS)
    alone = np.concatenate([encoder.embed([one]) for one in reversed(WORDS)])[::-1]
    np.testing.assert_array_equal(together, alone)
    program = (
        "import hashlib; from earthfield_model.sentences.encoder import sentence_encoder;"
        f"print(hashlib.sha256(sentence_encoder().embed({WORDS!r}).tobytes()).hexdigest())"
    )
    there = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": "77"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert there.stdout.strip() == hashlib.sha256(together.tobytes()).hexdigest()


def test_accents_case_and_plurals_change_nothing() -> None:
    vectors = sentence_encoder().embed(["Forêts", "forets", "FORET", "The foret"])
    np.testing.assert_allclose(vectors, vectors[:1].repeat(4, 0), atol=1e-6)


@pytest.mark.parametrize(
    ("asked", "near", "far"),
    [
        ("wheat field", "cereal crops", "open water"),
        ("cropland", "arable land", "woodland"),
        ("forest", "Wald", "farmland"),
        ("river", "Ruisseau", "railway station"),
        ("airport", "runway and terminal", "city centre"),
        ("city", "Stadt", "village church"),
        # Not in the list: known by their parts.
        ("lakeside", "open water", "a road"),
        ("Fichtenwald", "forest", "houses"),
    ],
)
def test_words_of_one_meaning_are_nearer_than_others(asked: str, near: str, far: str) -> None:
    query, one, other = sentence_encoder().embed([asked, near, far])
    assert query @ one > query @ other + 0.2


def test_a_text_without_words_is_zeros_and_a_long_one_is_read_from_its_beginning() -> None:
    encoder = sentence_encoder()
    assert not encoder.embed(["", "  ,.;", "the of"]).any()
    assert encoder.embed([]).shape == (0, encoder.dim)
    assert len(words_of("wheat " * 100_000)) < 1000


def test_another_model_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InvalidInput, match=r"pip install sentence-transformers.*landscape-words-1"):
        sentence_encoder("all-MiniLM-L6-v2")


def stand_in(monkeypatch, fault: Exception | None = None) -> list[dict[str, Any]]:
    """Puts something in the place of sentence-transformers that notes how it is asked."""
    asked: list[dict[str, Any]] = []

    def opened(name: str, **options: Any) -> SimpleNamespace:
        asked.append({"name": name, **options})
        if fault is not None:
            raise fault

        def encode(texts: list[str], **_: Any) -> np.ndarray:
            return np.eye(5)[[len(one) % 5 for one in texts]]

        return SimpleNamespace(encode=encode, get_sentence_embedding_dimension=lambda: 5)

    module = ModuleType("sentence_transformers")
    module.SentenceTransformer = opened  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    return asked


def test_another_model_is_loaded_without_pickles_and_without_its_code(monkeypatch) -> None:
    asked = stand_in(monkeypatch)
    encoder = sentence_encoder("some/model")
    assert (encoder.name, encoder.dim) == ("some/model", 5)
    assert encoder.embed(["ab", "c"]).dtype == np.float32
    assert encoder.embed([]).shape == (0, 5)
    assert asked[0]["trust_remote_code"] is False
    assert asked[0]["model_kwargs"] == {"use_safetensors": True}


@pytest.mark.parametrize(
    ("fault", "kind"), [(OSError("no such host"), Unavailable), (ValueError("not a model"), InvalidInput)]
)
def test_another_model_that_cannot_be_had_is_told(monkeypatch, fault, kind) -> None:
    stand_in(monkeypatch, fault)
    with pytest.raises(kind, match="some/model"):
        sentence_encoder("some/model")


# The text network.


def test_the_network_gives_unit_vectors_and_no_gradient_to_what_is_frozen(model) -> None:
    embedded = torch.from_numpy(sentence_encoder().embed(WORDS)).requires_grad_()
    vectors = model.text(embedded)
    assert vectors.shape == (len(WORDS), 64)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(len(WORDS)))
    vectors.sum().backward()
    assert embedded.grad is None
    assert all(one.grad is not None for one in model.text.layers.parameters())
    model.zero_grad()


def test_the_scale_is_learned_between_one_and_a_hundred() -> None:
    network = TextNetwork(TextConfig(dim=4))
    assert network.scale.item() == pytest.approx(1 / 0.07, rel=1e-5)
    with torch.no_grad():
        network.log_scale.fill_(50.0)
    assert network.scale.item() == pytest.approx(MAX_SCALE, rel=1e-5)
    with torch.no_grad():
        network.log_scale.fill_(-50.0)
    assert network.scale.item() == 1


def test_a_text_network_changes_no_other_weight() -> None:
    torch.manual_seed(1)
    without = AlphaEarth(config_with(None)).state_dict()
    torch.manual_seed(1)
    with_texts = AlphaEarth(config_with(TextConfig())).state_dict()
    assert {name for name in with_texts if name not in without} == {
        name for name in with_texts if name.startswith("text.")
    }
    assert all(torch.equal(with_texts[name], tensor) for name, tensor in without.items())


# A model's folder, and search.


def test_a_folder_gives_the_text_network_back(model, tmp_path) -> None:
    model.save_pretrained(tmp_path)
    again = load_encoder(tmp_path)
    assert again.model.config == model.config
    vectors = again.encode_text(WORDS)
    np.testing.assert_array_equal(vectors, ModelEncoder(model).encode_text(WORDS))
    assert vectors.shape == (len(WORDS), 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_a_model_without_texts_is_saved_read_and_says_so(tmp_path) -> None:
    AlphaEarth(config_with(None)).save_pretrained(tmp_path)
    content = json.loads((tmp_path / CONFIG_FILE).read_text())
    assert content.pop("text") is None
    # As it was written before there were texts.
    (tmp_path / CONFIG_FILE).write_text(json.dumps(content))
    with pytest.raises(InvalidInput, match="was trained without texts"):
        load_encoder(tmp_path).encode_text(["forest"])


def test_a_text_that_says_nothing_is_refused(model) -> None:
    with pytest.raises(InvalidInput, match="says nothing"):
        ModelEncoder(model).encode_text(["forest", "..."])


def test_sentence_vectors_of_another_length_are_refused(monkeypatch) -> None:
    monkeypatch.setattr(LandscapeWords, "dim", 256)
    with pytest.raises(BrokenArtefact, match=r"256 figures.*384"):
        TextNetwork(TextConfig()).sentence_encoder()


def test_a_config_with_an_unknown_entry_for_texts_is_refused() -> None:
    content = json.loads(config_with(TextConfig()).to_json())
    content["text"]["layers"] = 3
    with pytest.raises(BrokenArtefact, match="layers"):
        ModelConfig.from_json(json.dumps(content))
