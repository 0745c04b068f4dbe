"""The encoder in process keeps the contract of encoders."""

from __future__ import annotations

from pathlib import Path

import pytest
from encoder_contract import EncoderContract, made_model
from training_land import one_thread  # noqa: F401

from earthfield_model.encoder import ModelEncoder, load_encoder


class TestInProcess(EncoderContract):
    """A model of a folder, in this process."""

    @pytest.fixture(scope="class")
    def reference(self, tmp_path_factory: pytest.TempPathFactory) -> ModelEncoder:
        return made_model(tmp_path_factory.mktemp("models") / "contract")

    @pytest.fixture(scope="class")
    def encoder(self, tmp_path_factory: pytest.TempPathFactory) -> ModelEncoder:
        folder: Path = tmp_path_factory.mktemp("loaded") / "contract"
        made_model(folder)
        return load_encoder(folder)
