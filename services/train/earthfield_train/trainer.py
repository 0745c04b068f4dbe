"""Trainer: the loop, from a batch to a step to a checkpoint, and on from any of them."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from earthfield.errors import Internal
from earthfield.storage import make_folder, whole_file, writing
from earthfield_model.alphaearth import AlphaEarth
from earthfield_train.checkpoint import load_checkpoint, save_checkpoint
from earthfield_train.config import TrainConfig
from earthfield_train.dataset import Sampler
from earthfield_train.losses import step_losses
from earthfield_train.metrics import Health, health_of
from earthfield_train.optim import learning_rate, make_optimizer

logger = logging.getLogger(__name__)

Row = dict[str, float]
Watch = Callable[[int, Row], None]
"""Told the number of steps done and the figures of the last one."""

_HEALTH_BATCH = 2**40
"""Number of the batch that health is measured on: no training step ever reaches it."""


class Trainer:
    """Trains one model with one configuration.

    Step i depends on the weights before it, the seed and i: a run that was killed and resumed gives the same
    losses, bit for bit on the same machine.
    """

    def __init__(self, model: AlphaEarth, sampler: Sampler, config: TrainConfig) -> None:
        """Args: the network, where samples come from, how to train."""
        self.model, self.sampler, self.config = model, sampler, config
        self.optimizer = make_optimizer(model, config.optim)
        self.step = 0
        """Steps done."""

    def train_step(self) -> Row:
        """Does one step and gives its figures.

        Raises:
            Internal: the loss is not finite; weights are as they were before the step.
        """
        started, config, step = time.perf_counter(), self.config, self.step
        batch = self.sampler.batch(step, config.batch, self.model.config)
        losses = step_losses(self.model, batch, config.loss, self._generator(step))
        total = losses.total(config.loss)
        if not math.isfinite(value := float(total.detach())):
            raise Internal(
                f"the loss is {value} at step {step}: train again with a lower optim.learning_rate"
            )
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.optim.clip_norm)
        rate = learning_rate(step, config.steps, config.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.step += 1
        figures = {"loss": value, **losses.figures(), "gradient": float(norm), "rate": rate}
        return {"step": step, **figures, "seconds": time.perf_counter() - started}

    def health(self) -> Health:
        """Looks at the embeddings of a fixed batch."""
        batch = self.sampler.batch(_HEALTH_BATCH, max(self.config.batch, 4), self.model.config)
        return health_of(self.model, batch)

    def run(self, checkpoint: Path, log: Path, watch: Watch) -> None:
        """Trains to the last step, with a line of the log a step and a checkpoint every so often.

        Args:
            checkpoint: file to write and, where `resume` was called, to go on from.
            log: JSON lines, one per step; those beyond the step to go on from are taken back.
            watch: told after every step.
        """
        _cut_log(log, self.step)
        with writing(log), log.open("a") as lines:
            while self.step < self.config.steps:
                row = self.train_step()
                last = self.step == self.config.steps
                if last or self.step % self.config.health_every == 0:
                    row |= {f"health/{name}": value for name, value in asdict(self.health()).items()}
                lines.write(json.dumps(row) + "\n")
                if last or self.step % self.config.checkpoint_every == 0:
                    lines.flush()
                    save_checkpoint(
                        checkpoint, self.model, self.optimizer, step=self.step, config=self.config
                    )
                watch(self.step, row)

    def resume(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint; errors as in `load_checkpoint`."""
        self.step = load_checkpoint(checkpoint, self.model, self.optimizer, config=self.config)
        logger.info("resumed %s at step %d", checkpoint, self.step)

    def _generator(self, step: int) -> torch.Generator:
        return torch.Generator().manual_seed(self.config.seed * 1_000_003 + step)


def read_log(log: Path) -> list[Row]:
    """Gives the figures of every step that was logged whole."""
    if not log.is_file():
        return []
    rows = []
    for line in log.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            # A killed run may leave half a line; that step is done again.
            break
    return rows


def _cut_log(log: Path, step: int) -> None:
    kept = [row for row in read_log(log) if row["step"] < step]
    make_folder(log.parent)
    with whole_file(log) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in kept))
