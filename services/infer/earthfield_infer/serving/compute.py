"""What the server computes: requests as frames and periods, one after the other or in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray

from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_infer.serving.wire import PERIODS, Served, Tensors, periods_of, read_frames, shape_of
from earthfield_model.batch import batch_of, packed
from earthfield_model.encoder import ModelEncoder
from earthfield_model.timecode import period_days


@dataclass(frozen=True)
class Asked:
    """A request that can be computed."""

    frames: Frames
    """Observations of one window."""
    periods: Sequence[Period]
    """Valid periods."""

    @property
    def kind(self) -> tuple[int, ...]:
        """Rows, columns and number of periods: requests alike in them may share a pass."""
        return (*next(iter(self.frames.values())).shape, len(self.periods))


def asked_of(tensors: Tensors, served: Served) -> Asked:
    """Reads a request.

    Raises:
        InvalidInput: its tensors do not fit one another, or hold nothing that the model reads.
    """
    found = {one.name: read_frames(tensors, one) for one in served.sources}
    frames = {name: one for name, one in found.items() if one is not None}
    shape_of(frames, served)
    return Asked(frames, periods_of(tensors[PERIODS]))


def vectors_of(encoder: ModelEncoder, asked: Sequence[Asked], *, together: int) -> list[NDArray[np.float32]]:
    """Computes requests, (P, H, W, D) each in their order.

    Args:
        encoder: the model.
        asked: the requests.
        together: how many of one kind may share a pass. With 1 a vector never depends on what else was asked.
    """
    if together <= 1:
        return [encoder.encode(one.frames, one.periods) for one in asked]
    order = sorted(range(len(asked)), key=lambda place: asked[place].kind)
    found: dict[int, NDArray[np.float32]] = {}
    for _, alike in groupby(order, key=lambda place: asked[place].kind):
        places = list(alike)
        for first in range(0, len(places), together):
            group = places[first : first + together]
            found |= zip(group, _pass(encoder, [asked[place] for place in group]), strict=True)
    return [found[place] for place in range(len(asked))]


@torch.inference_mode()
def _pass(encoder: ModelEncoder, asked: Sequence[Asked]) -> Float[np.ndarray, "B P H W D"]:
    """Computes requests of one kind in one pass; short ones are padded with frames that are not valid."""
    if len(asked) == 1:
        return encoder.encode(asked[0].frames, asked[0].periods)[None]
    model = encoder.model
    device = next(model.parameters()).device
    batch = packed(batch_of([one.frames for one in asked], model.config))
    observed = model.observe({name: one.to(device) for name, one in batch.items()})
    covered = torch.stack([mask.any(1) for mask in observed.near_mask.values()]).any(0).cpu().numpy()
    spans = torch.stack([period_days(one.periods) for one in asked], 1).to(device)
    fields = np.empty((len(asked), len(spans), *covered.shape[1:], encoder.dim), np.float32)
    for place, span in enumerate(spans):
        fields[:, place] = model.summary(observed, span).cpu().numpy()
        fields[:, place][~covered] = np.nan
    return fields
