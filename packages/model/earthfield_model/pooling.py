"""Pooling at inference: what `Summary` computes, for one window and any number of periods, laid out for speed.

The mathematics is `Summary.forward`'s, and a test holds the two to each other. Three things differ. Pixels come
first and frames next, so that all pooling is a product of small matrices at each pixel; rows are taken in blocks
that fit the processor's cache, so no score of a whole window is held at full resolution; and the two layers that
read the pooled features are one product, source by source, so that the features are never put side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from earthfield_model.config import EMBEDDING_DIM
from earthfield_model.stp import key_bias
from earthfield_model.summary import Observed, Summary, period_code

POSITIONS_PER_BLOCK = {"cpu": 256}
"""Positions at L/2 that are pooled at once: on a processor their scores stay in its cache."""
_POSITIONS_ELSEWHERE = 16_384
"""The same on a GPU, where a block's scores only have to fit the memory."""


@dataclass(frozen=True)
class _Source:
    """Frames of one source, pixels first; nothing in it depends on a period."""

    frames: slice
    """Where they stand among the frames of all sources."""
    near: Float[Tensor, "H W N F"]
    """Features at full resolution, zero where masked."""
    squares: Float[Tensor, "H W 1 N"]
    """Sums of their squares."""
    bias: Float[Tensor, "H W 1 N"]
    """What is added to scores: very low where masked."""
    seen: Bool[Tensor, "H W 1"] | None
    """Pixels that any frame shows; None where all are."""
    strictness: Float[Tensor, "K 1"]
    """How much less a frame counts per unit of squared distance from its head's mean."""
    absent: Float[Tensor, " KF"]
    """Stands for the features where no frame shows the pixel."""
    weight: Float[Tensor, "KF C"]
    """Of the layers that read the pooled features."""


class Pooling:
    """One window's frames, made ready once; `field` then costs the same for every period."""

    def __init__(
        self, summary: Summary, observed: Observed, sample: int = 0, *, kind: torch.dtype = torch.float32
    ) -> None:
        """Takes one sample over.

        Args:
            summary: whose weights are used; they are read now.
            observed: what the trunk made of the frames.
            sample: whose place in the batch.
            kind: of the features at full resolution, and of the products with them; scores, shares and vectors
                are float32.
        """
        observed = _only(observed, sample)
        self.summary, self.observed, self.kind = summary, observed, kind
        self.half = rearrange(observed.half, "1 n h w f -> h w n f").float().contiguous()
        self.half_bias = key_bias(rearrange(observed.half_mask, "1 n h w -> h w 1 n"))
        self.half_seen = rearrange(observed.half_mask.any(1), "1 h w -> h w 1")
        narrow = summary.narrow[0]
        assert isinstance(narrow, nn.Linear)
        self.num_narrow = narrow.out_features
        self.weight = torch.cat([narrow.weight, summary.direct.weight[:, : narrow.in_features]]).T
        self.offset = torch.cat([narrow.bias, summary.direct.bias])
        self.sources = tuple(self._sources())
        positions = POSITIONS_PER_BLOCK.get(self.half.device.type, _POSITIONS_ELSEWHERE)
        self.rows_per_block = max(positions // self.half.shape[1], 1)

    def field(self, period: Float64[Tensor, " 2"]) -> Float[Tensor, "H W D"]:
        """Gives the unit vectors of one period, [start, end) in days since 2000."""
        # In which type products are computed is said by `kind`, not by who calls.
        with torch.autocast(self.half.device.type, enabled=False):
            return self._field(period)

    def _field(self, period: Float64[Tensor, " 2"]) -> Float[Tensor, "H W D"]:
        code = period_code(period[None])
        scores, coarse = self._at_half(period, code)
        height, width, _, _ = self.half.shape
        narrowed = self.half.new_empty(2 * height, 2 * width, self.num_narrow)
        direct = self.half.new_empty(2 * height, 2 * width, EMBEDDING_DIM)
        for rows in self._blocks():
            read = self._read(rows, scores, coarse)
            full = slice(2 * rows.start, 2 * rows.stop)
            narrowed[full] = self.summary.narrow[1:](read[..., : self.num_narrow])
            direct[full] = read[..., self.num_narrow :]
        around = self.summary.around(rearrange(narrowed, "h w f -> 1 f h w"))
        beside = rearrange(around, "1 f h w -> h w f") @ self.summary.direct.weight[:, -self.num_narrow :].T
        return F.normalize((direct + beside).float(), dim=-1)

    def _sources(self) -> Iterator[_Source]:
        """Lists the sources that there are; what absent ones give, the same everywhere, goes into the offset."""
        summary, last, first = self.summary, EMBEDDING_DIM, 0
        for name, log_strictness in zip(summary.sources, summary.log_strictness, strict=True):
            absent = summary.absent[name]
            weight = self.weight[last : last + len(absent)]
            last += len(absent)
            if name not in self.observed.near:
                self.offset = self.offset + absent @ weight
                continue
            near = rearrange(self.observed.near[name], "1 n h w f -> h w n f").to(self.kind).contiguous()
            mask = rearrange(self.observed.near_mask[name], "1 n h w -> h w 1 n")
            seen = mask.any(-1)
            yield _Source(
                slice(first, first + near.shape[2]),
                near,
                # Row by row: squares of a whole window would take as much memory again.
                torch.stack([row.float().square().sum(-1) for row in near])[:, :, None],
                key_bias(mask),
                None if bool(seen.all()) else seen,
                log_strictness.exp()[:, None] / near.shape[-1],
                absent.to(self.kind),
                weight.to(self.kind).contiguous(),
            )
            first += near.shape[2]

    def _blocks(self) -> Iterator[slice]:
        height = len(self.half)
        for first in range(0, height, self.rows_per_block):
            yield slice(first, min(first + self.rows_per_block, height))

    def _at_half(
        self, period: Float64[Tensor, " 2"], code: Float[Tensor, "1 F"]
    ) -> tuple[Float[Tensor, "h w K N"], Float[Tensor, "h w C"]]:
        """Gives the scores, and what the features pooled at L/2 add to the layers that read them."""
        timely = rearrange(self.summary.timely(self.observed, period[None]), "1 n k -> k n")
        query = self.summary.queries(code)[0]
        height, width, num_frames, _ = self.half.shape
        scores = self.half.new_empty(height, width, len(query), num_frames)
        pooled = self.half.new_empty(height, width, query.numel())
        for rows in self._blocks():
            half = self.half[rows].flatten(0, 1)
            part = torch.baddbmm(timely, query.expand(len(half), -1, -1), half.mT)
            scores[rows] = part.view_as(scores[rows])
            shares = part.add_(self.half_bias[rows].flatten(0, 1)).softmax(-1)
            pooled[rows] = torch.bmm(shares, half).view_as(pooled[rows])
        # Where every frame is masked the shares mean nothing.
        coarse = self.summary.coarse(pooled * self.half_seen) + self.summary.period(code)[0]
        return scores, coarse @ self.weight[:EMBEDDING_DIM] + self.offset

    def _read(
        self, rows: slice, scores: Float[Tensor, "h w K N"], coarse: Float[Tensor, "h w C"]
    ) -> Float[Tensor, "H W C"]:
        """Gives what the layers that read the pooled features make of a block of rows."""
        around = torch.arange(rows.start - 1, rows.stop + 1, device=scores.device).clamp(0, len(scores) - 1)
        fine = doubled(scores[around].flatten(2)).unflatten(2, scores.shape[2:]).flatten(0, 1)
        read = doubled(coarse[around])
        flat = read.flatten(0, 1)
        full = slice(2 * rows.start, 2 * rows.stop)
        for one in self.sources:
            near, bias, squares = (x[full].flatten(0, 1) for x in (one.near, one.bias, one.squares))
            own = _pooled_twice(near, fine[..., one.frames] + bias, squares, one.strictness).flatten(1)
            if one.seen is not None:
                own = torch.where(one.seen[full].flatten(0, 1), own, one.absent)
            _add_product(flat, own, one.weight)
        return read


def _only(observed: Observed, sample: int) -> Observed:
    one = slice(sample, sample + 1)
    near, mask = ({name: x[one] for name, x in of.items()} for of in (observed.near, observed.near_mask))
    return Observed(
        near, mask, observed.half[one], observed.half_mask[one], observed.days[one], observed.source
    )


def _pooled_twice(
    near: Float[Tensor, "M N F"],
    scores: Float[Tensor, "M K N"],
    squares: Float[Tensor, "M 1 N"],
    strictness: Float[Tensor, "K 1"],
) -> Float[Tensor, "M K F"]:
    """Pools, then pools again with less of what lies far from the first result, as `Summary` does.

    The square of the first result is left out of the distances: it is the same for all frames of a head, and a
    softmax does not change when all its scores are moved together.
    """
    first = torch.bmm(scores.softmax(-1).to(near.dtype), near)
    again = torch.addcmul(scores, squares, strictness, value=-1)
    _add_product(again, (first * (2 * strictness)).to(near.dtype), near.mT)
    return torch.bmm(again.softmax(-1).to(near.dtype), near)


def _add_product(total: Tensor, a: Tensor, b: Tensor) -> None:
    """Adds a matrix product, or one for each entry of the first axis, in place."""
    if total.dtype != a.dtype:
        total += a @ b
    elif total.ndim == 3:
        total.baddbmm_(a, b)
    else:
        total.addmm_(a, b)


def doubled(x: Float[Tensor, "h w F"]) -> Float[Tensor, "H W F"]:
    """Interpolates bilinearly to twice the resolution; the first and last row are neighbours only.

    What `torch.nn.functional.interpolate` gives, at a tenth of the time where features come last.

    Args:
        x: rows and one more on either side; at the border the outermost row again.

    Returns:
        Twice as many rows as those between the two, twice as many columns.
    """
    rows = x.new_empty(len(x) - 2, 2, *x.shape[1:])
    torch.lerp(x[1:-1], x[:-2], 0.25, out=rows[:, 0])
    torch.lerp(x[1:-1], x[2:], 0.25, out=rows[:, 1])
    rows = rows.flatten(0, 1)
    both = x.new_empty(len(rows), x.shape[1], 2, x.shape[2])
    torch.lerp(rows[:, 1:], rows[:, :-1], 0.25, out=both[:, 1:, 0])
    torch.lerp(rows[:, :-1], rows[:, 1:], 0.25, out=both[:, :-1, 1])
    both[:, 0, 0], both[:, -1, 1] = rows[:, 0], rows[:, -1]
    return both.flatten(1, 2)
