"""What the server computes: requests as frames and periods, one after the other or in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_infer.serving.wire import PERIODS, Served, Tensors, periods_of, read_frames, shape_of
from earthfield_model.encoder import ModelEncoder


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
            made = encoder.encode_together(
                [asked[place].frames for place in group], [asked[place].periods for place in group]
            )
            found |= zip(group, made, strict=True)
    return [found[place] for place in range(len(asked))]
