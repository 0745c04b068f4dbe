"""Texts alone: the text network learns beside an encoder that stays what it is."""

from __future__ import annotations

from dataclasses import replace

import torch

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import packed
from earthfield_model.config import TextConfig
from earthfield_train.dataset import TrainBatch
from earthfield_train.losses import Losses
from earthfield_train.objective import Objective
from earthfield_train.texts.contrast import text_loss


class TextsObjective(Objective):
    """Tells which text belongs to which chip; the vectors of the chips are given.

    Source: as `text_loss`. In the four losses together texts move the fields too, weigh a thousandth, and are told
    apart among the few samples of a batch; here a step costs one pass forward, so that batches can be large.
    """

    def __init__(self, model: AlphaEarth) -> None:
        """Takes a model with a text network over; everything else in it is frozen."""
        super().__init__(model)
        assert model.text is not None
        self.network = model.text
        model.requires_grad_(False)
        self.network.requires_grad_(True)

    def forward(self, batch: TrainBatch, seed: int) -> Losses:
        """Gives the loss of a batch, zero where none of its samples has a text.

        Args:
            batch: samples with texts, on the model's device.
            seed: not used: nothing is drawn.
        """
        with torch.no_grad():
            mu = self.model(packed(batch.inputs), batch.periods)
        loss = mu.new_zeros(())
        if batch.text is not None and batch.has_text is not None:
            loss = text_loss(self.network, mu, batch.text, batch.has_text)
        return Losses(loss, {"text": loss.detach()})


def with_texts(model: AlphaEarth, config: TextConfig, *, seed: int, anew: bool = False) -> AlphaEarth:
    """Gives a model a text network with random weights, unless it has one.

    Args:
        model: what encodes; its weights are kept.
        config: of the new network.
        seed: of its weights.
        anew: takes a new one also where the model has one.
    """
    if model.text is not None and not anew:
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        spoken = AlphaEarth(replace(model.config, text=config))
    known = {name: one for name, one in model.state_dict().items() if not name.startswith("text.")}
    spoken.load_state_dict({**spoken.state_dict(), **known})
    return spoken
