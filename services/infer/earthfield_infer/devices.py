"""A model in this process on one device or several, a window at a time on each."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from queue import SimpleQueue

import numpy as np
import torch
from numpy.typing import NDArray

from earthfield.errors import InvalidInput, Unavailable
from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.encoder import ModelEncoder

PRECISIONS = ("float32", "bf16")


class DeviceEncoder:
    """Implements `earthfield.ports.Encoder` with copies of one model, one a device.

    Any number of threads may call it: each takes a device that is idle, and waits while none is. On devices of one
    kind it does not matter which.
    """

    def __init__(self, encoder: ModelEncoder, devices: Sequence[torch.device], *, precision: str) -> None:
        """Takes a model over.

        Args:
            encoder: the model, anywhere.
            devices: where to compute, at least one.
            precision: `float32`, or `bf16`: matrix products in bfloat16, norms and sums in float32.

        Raises:
            InvalidInput: an unknown precision, or no device.
            Unavailable: a device refuses the model.
        """
        if precision not in PRECISIONS or not devices:
            raise InvalidInput(f"nothing computes in {precision!r} on {len(devices)} devices")
        self.name, self.dim = encoder.name, encoder.dim
        self.sources, self.fingerprint = encoder.sources, encoder.fingerprint
        self.precision = precision
        self.num_parallel = len(devices)
        for wish in ("window_px", "halo_px"):
            if hasattr(encoder, wish):
                setattr(self, wish, getattr(encoder, wish))
        self._idle: SimpleQueue[tuple[torch.device, ModelEncoder]] = SimpleQueue()
        for device in devices:
            # The first may be the caller's own; copies share nothing with it.
            model = encoder.model if len(devices) == 1 else copy.deepcopy(encoder.model)
            self._idle.put((device, ModelEncoder(_moved(model, device))))

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives a unit vector per pixel and period; errors and arguments as in `ModelEncoder.encode`.

        Raises:
            Unavailable: the device's memory is full.
        """
        device, encoder = self._idle.get()
        try:
            with torch.autocast(device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                return encoder.encode(frames, periods)
        except torch.OutOfMemoryError as error:
            raise Unavailable(
                f"the memory of {device} is full ({error}): free some of it, or take --precision bf16"
            ) from error
        finally:
            self._idle.put((device, encoder))


def devices_named(text: str) -> list[torch.device]:
    """Reads `EARTHFIELD_DEVICES`: `cuda:0,cuda:1`, `cpu`; empty takes every GPU, or the CPU where there is none.

    Raises:
        InvalidInput: no such device on this machine.
    """
    names = [part.strip() for part in text.split(",") if part.strip()]
    if not names:
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [f"cuda:{number}" for number in range(count)] or ["cpu"]
    return [_device(name) for name in names]


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, ValueError, NotImplementedError) as error:
        first = str(error).splitlines()[0]
        raise InvalidInput(
            f"EARTHFIELD_DEVICES names {name!r}, which cannot be used ({first}): give cpu or cuda:0,cuda:1"
        ) from error
    return device


def _moved(model: AlphaEarth, device: torch.device) -> AlphaEarth:
    try:
        return model.to(device)
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise Unavailable(f"{device} does not take the model ({first}): free some of its memory") from error
