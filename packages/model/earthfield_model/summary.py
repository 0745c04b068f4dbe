"""Summary: a query made from the valid period pools the frames at every pixel, at L/2 and at full resolution.

Source: AlphaEarth Foundations (arXiv 2507.22291), temporal summary. Departures: the query knows the season and the
length of the period and where each frame lies relative to it, never the year itself, so that unchanged land keeps
its vector from one year to the next; and the same scores also pool features at full resolution, apart for each
source, because fields made from L/2 alone were found blurred.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F

from earthfield_model.config import EMBEDDING_DIM, ModelConfig
from earthfield_model.pyramid import finer
from earthfield_model.stp import key_bias
from earthfield_model.timecode import NUM_HARMONICS, YEAR_DAYS, annual_code

_NEAR_DAYS = 15.0
"""Distances from the period are told apart logarithmically, from about this many days on."""


@dataclass(frozen=True)
class Observed:
    """What the trunk made of a batch; any number of periods is summarised from it."""

    near: Mapping[str, Float[Tensor, "B T H W Fn"]]
    """Full-resolution features by source, zero where masked."""
    near_mask: Mapping[str, Bool[Tensor, "B T H W"]]
    """Valid pixels by source."""
    half: Float[Tensor, "B N h w F"]
    """Features of all frames at L/2, sources in a row."""
    half_mask: Bool[Tensor, "B N h w"]
    """Valid positions at L/2."""
    days: Float64[Tensor, "B N"]
    """True instants, days since 2000."""
    source: Float[Tensor, "N S"]
    """Which source a frame is of, one hot."""


def period_code(periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B F"]:
    """Describes valid periods: season of start, middle and end, and the length."""
    start, end = periods.double().unbind(-1)
    length = (end - start) / YEAR_DAYS
    sizes = torch.stack([length, (length * 12).log()], -1).float()
    return torch.cat([annual_code(start), annual_code((start + end) / 2), annual_code(end), sizes], -1)


PERIOD_CODE = 3 * 2 * NUM_HARMONICS + 2
RELATIVE_CODE = 4 + 2 * NUM_HARMONICS


def relative_code(days: Float64[Tensor, "B N"], periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B N F"]:
    """Describes where frames lie to the period: place in it, inside or not, how far out; and their season."""
    days, start, end = days.double(), periods[:, :1].double(), periods[:, 1:].double()
    place = ((days - start) / (end - start) * 2 - 1).clamp(-2, 2)
    outside = distance_outside(days, periods)
    features = torch.stack([place, place.square(), (outside == 0).double(), outside], -1).float()
    return torch.cat([features, annual_code(days)], -1)


def distance_outside(days: Float64[Tensor, "B N"], periods: Float64[Tensor, "B 2"]) -> Float64[Tensor, "B N"]:
    """Gives log(1 + days outside / 15): zero inside the period, at a month 1.1, at a year 3.2."""
    start, end = periods[:, :1].double(), periods[:, 1:].double()
    outside = torch.maximum(start - days.double(), days.double() - end).clamp(min=0)
    return torch.log1p(outside / _NEAR_DAYS)


class Summary(nn.Module):
    """Observed frames and valid periods to unit vectors at full resolution."""

    def __init__(self, config: ModelConfig) -> None:
        """Sizes come from the config."""
        super().__init__()
        widths, num_sources = config.widths, len(config.sources)
        self.sources = config.source_names
        self.num_pools = widths.num_pools
        self.query = nn.Sequential(
            nn.Linear(PERIOD_CODE, 64), nn.GELU(), nn.Linear(64, widths.num_pools * widths.precision)
        )
        self.relative = nn.Sequential(
            nn.Linear(RELATIVE_CODE + num_sources, 32), nn.GELU(), nn.Linear(32, widths.num_pools)
        )
        # Frames inside or near the period are favoured from the start; how much is learned per head.
        self.log_reach = nn.Parameter(torch.linspace(0.0, 1.5, widths.num_pools))
        self.absent = nn.Parameter(torch.zeros(num_sources, widths.num_pools * widths.stem))
        self.period = nn.Linear(PERIOD_CODE, EMBEDDING_DIM)
        self.coarse = nn.Linear(widths.num_pools * widths.precision, EMBEDDING_DIM)
        wide = num_sources * widths.num_pools * widths.stem + EMBEDDING_DIM
        self.fuse = nn.Sequential(
            nn.Linear(wide, 128), nn.LayerNorm(128), nn.GELU(), nn.Linear(128, EMBEDDING_DIM)
        )
        self.direct = nn.Linear(wide, EMBEDDING_DIM)

    def forward(self, observed: Observed, periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B H W D"]:
        """Gives the unit vectors of one period per sample.

        Args:
            observed: what the trunk made of the frames.
            periods: [start, end) in days since 2000.
        """
        code = period_code(periods)
        scores = self._scores(observed, periods, code)
        coarse = self._pooled_half(observed, scores) + self.period(code)[:, None, None]
        fine = [finer(coarse, 2), *self._pooled_near(observed, scores)]
        x = torch.cat(fine, -1)
        return F.normalize((self.direct(x) + self.fuse(x)).float(), dim=-1)

    def _scores(
        self, observed: Observed, periods: Float64[Tensor, "B 2"], code: Float[Tensor, "B F"]
    ) -> Float[Tensor, "B K N h w"]:
        query = rearrange(self.query(code), "b (k f) -> b k f", k=self.num_pools)
        content = einsum(observed.half, query * query.shape[-1] ** -0.5, "b n h w f, b k f -> b k n h w")
        num_samples, num_frames = observed.days.shape
        which = observed.source.expand(num_samples, num_frames, -1)
        relative = self.relative(torch.cat([relative_code(observed.days, periods), which], -1))
        outside = distance_outside(observed.days, periods).float()
        timely = relative - outside[..., None] * self.log_reach.exp()
        return content + rearrange(timely, "b n k -> b k n 1 1")

    def _pooled_half(
        self, observed: Observed, scores: Float[Tensor, "B K N h w"]
    ) -> Float[Tensor, "B h w D"]:
        shares = _shares(scores, observed.half_mask)
        pooled = einsum(shares, observed.half, "b k n h w, b n h w f -> b h w k f")
        return self.coarse(rearrange(pooled, "b h w k f -> b h w (k f)"))

    def _pooled_near(
        self, observed: Observed, scores: Float[Tensor, "B K N h w"]
    ) -> list[Float[Tensor, "B H W F"]]:
        """Pools full-resolution features source by source: shares sum to one over a source's own valid frames."""
        pooled, first = [], 0
        for index, name in enumerate(self.sources):
            absent = self.absent[index]
            if name not in observed.near:
                some = next(iter(observed.near.values()))
                pooled.append(absent.expand(len(some), *some.shape[2:4], -1))
                continue
            near, mask = observed.near[name], observed.near_mask[name]
            part = scores[:, :, first : first + near.shape[1]]
            first += near.shape[1]
            shares = _shares(_twice(part), mask)
            own = einsum(shares, near, "b k n h w, b n h w f -> b h w k f")
            own = rearrange(own, "b h w k f -> b h w (k f)")
            pooled.append(torch.where(mask.any(1)[..., None], own, absent))
        return pooled


def _shares(scores: Float[Tensor, "B K N H W"], mask: Bool[Tensor, "B N H W"]) -> Float[Tensor, "B K N H W"]:
    """Gives the softmax over frames; masked ones get nothing, also where every frame is masked."""
    return (scores + key_bias(mask)[:, None]).softmax(2) * mask[:, None]


def _twice(scores: Float[Tensor, "B K N h w"]) -> Float[Tensor, "B K N H W"]:
    up = F.interpolate(rearrange(scores, "b k n h w -> (b k) n h w"), scale_factor=2, mode="bilinear")
    return rearrange(up, "(b k) n h w -> b k n h w", k=scores.shape[1])
