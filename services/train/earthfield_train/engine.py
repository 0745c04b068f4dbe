"""Engine: an objective made ready to train: device, precision, recomputing, compiling, DDP or FSDP."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from earthfield_train.config import TrainConfig
from earthfield_train.dataset import TrainBatch
from earthfield_train.metrics import Look, looked_at
from earthfield_train.objective import Losses, Objective
from earthfield_train.processes import Processes


class _Guarded(nn.Module):
    """The one door to an objective: whatever is computed with weights that may lie in parts goes through it."""

    def __init__(self, objective: Objective, precision: str) -> None:
        super().__init__()
        self.objective = objective
        self.precision = precision

    def forward(self, batch: TrainBatch, seed: int | None) -> Any:
        """Gives (total, losses), or a look at the embeddings where there is no seed."""
        device = next(iter(batch.inputs.values())).days.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            if seed is None:
                return looked_at(self.objective.model, batch)
            losses = self.objective(batch, seed)
        return losses.total + 0.0 * self._touch(), losses

    def _touch(self) -> Tensor:
        """Gives a sum over weights that a batch may leave out: each has a gradient, if only zero, in every step.

        Which sources a micro-batch shows is chance. Were a stem's gradient missing in one process and there in
        another, they would wait for one another for ever; and decay would depend on how a batch is dealt out.
        """
        always = {id(one) for one in self.objective.model.trunk.parameters()}
        held = [one for one in self.parameters() if one.requires_grad and id(one) not in always]
        return torch.stack([one.sum().float() for one in held]).sum()


class Engine:
    """Runs an objective forward and backward."""

    def __init__(self, objective: Objective, config: TrainConfig, processes: Processes) -> None:
        """Moves and wraps the objective; make the optimiser afterwards, of the objective's parameters.

        Args:
            objective: what is minimised; it is changed in place.
            config: precision and how the run is carried out.
            processes: who takes part.
        """
        self.objective = objective.to(processes.device)
        self.device = processes.device
        trunk = objective.model.trunk
        # The trunk reads this attribute; where it does not know it, nothing is saved and nothing breaks.
        trunk.recompute = config.run.checkpointing  # type: ignore[assignment]
        if config.run.compile:
            for block in trunk.blocks:
                block.compile()
        self._wrapped: nn.Module = _Guarded(objective, config.precision)
        if config.run.distributed == "ddp":
            with warnings.catch_warnings():
                # Newer versions of torch have another name for the first of these, which older ones do not know.
                warnings.simplefilter("ignore", FutureWarning)
                self._wrapped = DistributedDataParallel(
                    self._wrapped, broadcast_buffers=False, gradient_as_bucket_view=True
                )
        elif config.run.distributed == "fsdp":
            mesh = init_device_mesh(processes.device.type, (processes.count,))
            for block in trunk.blocks:
                fully_shard(block, mesh=mesh)
            fully_shard(self._wrapped, mesh=mesh)

    def close(self) -> None:
        """Lets go of what keeps the processes' connections; nothing can be computed with it afterwards."""
        self._wrapped = nn.Identity()

    def backward(self, batch: TrainBatch, seed: int, *, share: float, last: bool) -> Losses:
        """Adds the gradients of one micro-batch.

        Args:
            batch: on any device.
            seed: of all noise.
            share: weight of this micro-batch in the step.
            last: gradients are averaged over the processes now.
        """
        with self._averaging(last):
            total, losses = self._wrapped(batch.to(self.device, non_blocking=True), seed)
            (total * share).backward()
        return losses

    @torch.no_grad()
    def look(self, batch: TrainBatch) -> Look:
        """Gives embeddings of a batch, for `health_from`."""
        return self._wrapped(batch.to(self.device), None)

    @contextmanager
    def _averaging(self, now: bool) -> Iterator[None]:
        module = self._wrapped
        if isinstance(module, FSDPModule):
            module.set_requires_gradient_sync(now)
        skipping = isinstance(module, DistributedDataParallel) and not now
        with module.no_sync() if skipping else nullcontext():  # type: ignore[operator]
            yield
