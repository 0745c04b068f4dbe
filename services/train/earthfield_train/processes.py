"""Processes: who takes part in a run, on which device, and how they tell one another."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from earthfield.errors import InvalidInput
from earthfield_train.config import RunConfig

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """The processes of a run, seen from one of them. Every method must be called by all, in the same order."""

    rank: int = 0
    """Number of this process."""
    count: int = 1
    """How many there are."""
    device: torch.device = _CPU
    """Where this one computes."""

    @property
    def is_first(self) -> bool:
        """True in the one that writes files and talks."""
        return self.rank == 0

    def gathered(self, content: Any) -> list[Any]:
        """Gives what every process brought, in the order of their numbers."""
        if self.count == 1:
            return [content]
        found: list[Any] = [None] * self.count
        dist.all_gather_object(found, content)
        return found

    def from_first(self, content: Any) -> Any:
        """Gives what the first process brought."""
        if self.count == 1:
            return content
        held = [content]
        dist.broadcast_object_list(held, src=0)
        return held[0]


@contextmanager
def processes_of(run: RunConfig) -> Iterator[Processes]:
    """Joins the processes that torchrun started, or stands alone; leaves them at the end.

    Raises:
        InvalidInput: the settings do not fit how the process was started, or no GPU is there for them.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if run.distributed == "none":
        if count > 1:
            raise InvalidInput(
                f"torchrun started {count} processes and run.distributed is none: add --set run.distributed=ddp"
            )
        yield Processes(device=_device(run, 0))
        return
    if "RANK" not in os.environ:
        raise InvalidInput(
            f"run.distributed={run.distributed} needs torchrun: "
            "torchrun --nproc-per-node 2 --no-python earthfield train ..."
        )
    device = _device(run, int(os.environ.get("LOCAL_RANK", "0")))
    if device.type == "cuda":
        torch.cuda.set_device(device)
    # Objects always go by gloo: no step waits for a GPU only to tell a few figures.
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), device)
    finally:
        # What DDP leaves behind would take the group down with it later, holding the interpreter's lock that the
        # group's own threads wait for: one process in many then never ended.
        gc.collect()
        dist.destroy_process_group()


def whole(tensor: Tensor) -> Tensor:
    """Gives a tensor on the CPU, its parts from all processes put together; all must call it."""
    held = tensor.detach()
    return (held.full_tensor() if isinstance(held, DTensor) else held).cpu()


def parted_like(tensor: Tensor, example: Tensor) -> Tensor:
    """Gives this process's part of a whole tensor, laid out as the example is."""
    if not isinstance(example, DTensor):
        return tensor
    return distribute_tensor(tensor.to(example.device), example.device_mesh, example.placements)


def _device(run: RunConfig, local: int) -> torch.device:
    there = torch.cuda.is_available()
    if run.device == "cuda" and not there:
        raise InvalidInput("run.device is cuda and torch sees no GPU: use --set run.device=cpu")
    if run.device == "cpu" or not there:
        return _CPU
    return torch.device("cuda", local)
