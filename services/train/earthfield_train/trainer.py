"""Trainer: the loop, from a batch to a step to a checkpoint, and on from any of them."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import torch

from earthfield.errors import InvalidInput
from earthfield_train.checkpoint import Facts, load_checkpoint, save_checkpoint
from earthfield_train.config import TrainConfig
from earthfield_train.dataset import TrainBatch
from earthfield_train.engine import Engine
from earthfield_train.journal import Journal, Row, Watch
from earthfield_train.metrics import Health, health_from
from earthfield_train.objective import Objective
from earthfield_train.optim import learning_rate, make_optimizer
from earthfield_train.prefetch import prefetched
from earthfield_train.processes import Processes
from earthfield_train.samples import Samples
from earthfield_train.signals import StopRequest, stop_requests

logger = logging.getLogger(__name__)

_HEALTH_BATCH = 2**40
"""Number of the batch that health is measured on: no training step ever reaches it."""
_ALONE = Processes()


class Trainer:
    """Trains one model with one configuration.

    A step is dealt out to `processes x accumulate` parts; part k of step i draws batch number `i x parts + k`. So
    step i depends on the weights before it, the seed and i, and hardly on who computes which part: a run that was
    killed and resumed gives the same losses, bit for bit on the same machine, and two processes give what one
    process with two micro-batches gives, to float error.
    """

    def __init__(
        self,
        objective: Objective,
        samples: Samples,
        config: TrainConfig,
        *,
        processes: Processes = _ALONE,
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Takes an objective over.

        Args:
            objective: what is minimised.
            samples: where batches come from.
            config: how to train.
            processes: who takes part.
            data: what tells the data apart.

        Raises:
            InvalidInput: the batch cannot be dealt out evenly.
        """
        self.objective, self.samples, self.config, self.processes = objective, samples, config, processes
        self.parts = processes.count * config.accumulate
        self.part_size = config.part_size(self.parts)
        self.engine = Engine(objective, config, processes)
        self.optimizer = make_optimizer(objective, config.optim)
        self.step = 0
        """Steps done."""
        self._data = dict(data or {})
        self._batches: Generator[TrainBatch] | None = None
        self._health_batch: TrainBatch | None = None

    def train_step(self, stop: StopRequest | None = None) -> Row:
        """Does one step and gives its figures, means over all parts of it.

        Args:
            stop: asked when the gradients are there; the row's `stop` tells of a signal to any process.

        Raises:
            InvalidInput: a loss or a gradient is not finite; weights are as they were before the step.
        """
        started, config, step = time.perf_counter(), self.config, self.step
        self.optimizer.zero_grad(set_to_none=True)
        seen: list[tuple[int, str]] = []
        losses = []
        for part in self._own_parts(step):
            batch = self._next_batch()
            last = len(seen) == config.accumulate - 1
            seen.append((part, ", ".join(batch.inputs)))
            losses.append(
                self.engine.backward(batch, self._seed(part), share=1 / config.accumulate, last=last)
            )
        norm = self._clipped()
        figures = [{"loss": float(one.total.detach()), **one.figures()} for one in losses]
        number = stop.number if stop else 0
        told = self.processes.gathered((figures, number, self._fault(figures, norm, seen)))
        if faults := [fault for _, _, fault in told if fault]:
            raise InvalidInput(self._not_finite(faults))
        rate = self._stepped(step)
        row = _means([one for figures, _, _ in told for one in figures])
        seconds = time.perf_counter() - started
        row = {"step": step, **row, "gradient": norm, "rate": rate, "seconds": seconds}
        row["samples_per_second"] = config.batch / seconds
        return row | ({"stop": max(one for _, one, _ in told)} if any(one for _, one, _ in told) else {})

    def health(self) -> Health:
        """Looks at the embeddings of a fixed batch."""
        return health_from(self.engine.look(self._for_health()))

    def run(self, folder: Path, journal: Journal | None, watch: Watch) -> int:
        """Trains to the last step, with a row a step and a checkpoint every so often.

        SIGTERM and SIGINT are heeded when the step is done: a checkpoint is written first.

        Args:
            folder: the model's; checkpoints go below it.
            journal: takes the rows; None in all processes but the first.
            watch: told after every step.

        Returns:
            The signal that stopped it, 0 where the last step was reached.
        """
        run = self.config.run
        self._for_health()
        with journal.open(self.step) if journal else nullcontext(), stop_requests() as request:
            while self.step < self.config.steps:
                row = self.train_step(request)
                stopped = int(row.pop("stop", 0))
                last = self.step == self.config.steps
                if last or self.step % run.health_every == 0:
                    row |= {f"health/{name}": value for name, value in asdict(self.health()).items()}
                if journal:
                    journal.write(row)
                if last or stopped or self.step % run.checkpoint_every == 0:
                    self.save(folder)
                watch(self.step, row)
                if stopped and not last:
                    return stopped
        return 0

    def save(self, folder: Path) -> Path:
        """Writes a checkpoint; all processes must call it."""
        facts = Facts(self.step, self.objective.model.config.to_json(), self._decisive(), self._data)
        keep = self.config.run.keep
        return save_checkpoint(
            folder, self.objective, self.optimizer, facts, keep=keep, processes=self.processes
        )

    def resume(self, checkpoint: Path) -> None:
        """Goes on from a checkpoint; errors as in `load_checkpoint`."""
        facts = load_checkpoint(checkpoint, self.objective, self.optimizer, run=self._decisive())
        self._end_batches()
        self.step = facts.step
        logger.info("resumed %s at step %d", checkpoint, self.step)
        if facts.data != self._data:
            logger.warning(
                "the cubes have changed since %s (%s, now %s): the run goes on, but not as it would have",
                checkpoint.name, facts.data, self._data,
            )  # fmt: skip

    def _decisive(self) -> dict[str, Any]:
        return {**self.config.decisive(), "parts of a step": self.parts}

    def _own_parts(self, step: int) -> range:
        first = step * self.parts + self.processes.rank * self.config.accumulate
        return range(first, first + self.config.accumulate)

    def batches(self, numbers: Iterable[int]) -> Generator[TrainBatch]:
        """Yields the batches of parts, prepared ahead by the configured threads; close it to end them."""

        def one(number: int) -> TrainBatch:
            batch = self.samples.batch(number, self.part_size, self.objective.model.config)
            return batch.pinned() if self.engine.device.type == "cuda" else batch

        return prefetched(one, numbers, workers=self.config.run.workers)

    def close(self) -> None:
        """Ends the threads that prepare batches, and the engine: no step can be done afterwards."""
        self._end_batches()
        self.engine.close()

    def _end_batches(self) -> None:
        if self._batches is not None:
            self._batches.close()
            self._batches = None

    def _next_batch(self) -> TrainBatch:
        if self._batches is None:
            self._batches = self.batches(part for step in count(self.step) for part in self._own_parts(step))
        return next(self._batches)

    def _for_health(self) -> TrainBatch:
        if self._health_batch is None:
            size = min(max(self.part_size, 4), 16)
            self._health_batch = self.samples.batch(_HEALTH_BATCH, size, self.objective.model.config)
        return self._health_batch

    def _seed(self, part: int) -> int:
        return self.config.seed * 1_000_003 + part

    def _clipped(self) -> float:
        norm = torch.nn.utils.clip_grad_norm_(self.objective.parameters(), self.config.optim.clip_norm)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def _stepped(self, step: int) -> float:
        rate = learning_rate(step, self.config.steps, self.config.optim)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["share"]
        self.optimizer.step()
        self.step += 1
        return rate

    def _fault(
        self, figures: Sequence[Row], norm: float, seen: Sequence[tuple[int, str]]
    ) -> tuple[bool, str] | None:
        """Says what is not finite in this process and what was in its batch; whether it was a loss comes first."""
        for one, (part, sources) in zip(figures, seen, strict=True):
            if bad := [f"{name} is {value}" for name, value in one.items() if not math.isfinite(value)]:
                return True, f"{', '.join(bad)} over {self._contents(part, sources)}"
        if math.isfinite(norm):
            return None
        return False, f"the gradient is {norm} over {self._contents(*seen[0])}"

    def _contents(self, part: int, sources: str) -> str:
        plots = ", ".join(map(str, self.samples.plots_of(part, self.part_size)))
        return f"{sources} of {plots}"

    def _not_finite(self, faults: Sequence[tuple[bool, str]]) -> str:
        # A loss explains the gradient that follows it in every process.
        of_losses = [text for is_loss, text in faults if is_loss] or [faults[0][1]]
        return (
            f"training stopped at step {self.step}, nothing of it was kept: {'; '.join(of_losses)}. The last good "
            f"checkpoint stays. If the loss rose before, the rate is too high: lower optim.learning_rate (now "
            f"{self.config.optim.learning_rate}); if it came at once, look at these plots. Go on from the last "
            f"weights with --name NEW --from {self.objective.model.config.name} --set optim.learning_rate=..."
        )


def _means(rows: Sequence[Row]) -> Row:
    """Averages each figure over the parts that have it, in a fixed order."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    held = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: sum(values) / len(values) for name, values in held.items()}
