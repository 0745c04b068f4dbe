"""Training in several processes on one machine, for the tests: what torchrun does, without its start of seconds."""

from __future__ import annotations

import os
import socket
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from training_land import SOURCES

from earthfield_train.jobs import TrainRequest, train_model
from earthfield_train.signals import StopRequest
from earthfield_train.trainer import Trainer


def free_port() -> int:
    """Gives a port that nobody listens on."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def train_together(request: TrainRequest, *, count: int = 2) -> list[int]:
    """Trains in `count` processes and gives their exit codes."""
    from forked import forking  # this file run as a script does not find it, nor need it

    context, port = forking(), free_port()
    running: list[BaseProcess] = [
        context.Process(target=_take_part, args=(request, rank, count, port), daemon=True)
        for rank in range(count)
    ]
    for one in running:
        one.start()
    for one in running:
        one.join(300)
    for one in running:
        one.kill()
        one.join()
    return [one.exitcode or 0 for one in running]


def _take_part(request: TrainRequest, rank: int, count: int, port: int) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
    }  # fmt: skip
    torch.set_num_threads(1)
    train_model(request, sources=SOURCES)


def signal_at(step: int, rank: int, number: int) -> None:
    """Lets this process signal itself in the middle of a step, if it is the one of that rank."""
    whole = Trainer.train_step

    def signalled(trainer: Trainer, stop: StopRequest | None = None) -> dict[str, float]:
        if trainer.step == step and trainer.processes.rank == rank:
            os.kill(os.getpid(), number)
        return whole(trainer, stop)

    Trainer.train_step = signalled  # type: ignore[method-assign]


if __name__ == "__main__":
    # The step, the rank and the signal; then a command line of `earthfield`, or root, data, steps and settings.
    import sys

    at_step, at_rank, number, *rest = sys.argv[1:]
    torch.set_num_threads(1)
    signal_at(int(at_step), int(at_rank), int(number))
    if rest[0] == "train":
        from earthfield.cli import main

        sys.argv = ["earthfield", *rest]
        main()
    root, data, steps, *settings = rest
    request = TrainRequest(
        root=Path(root),
        name="m",
        preset="nano",
        data=(Path(data),),
        steps=int(steps),
        settings=tuple(settings),
    )
    train_model(request, sources=SOURCES)
