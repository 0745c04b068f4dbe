"""Summary: a query made from the valid period pools the frames at every pixel, at L/2 and at full resolution.

Source: AlphaEarth Foundations (arXiv 2507.22291), temporal summary. Departures: the query knows the season and the
length of the period and where each frame lies relative to it, never the year itself, so that unchanged land keeps
its vector from one year to the next; the same scores also pool features at full resolution, apart for each
source, because fields made from L/2 alone were found blurred; the heads start as windows along the period, since
heads that start alike took most of a training to tell spring from autumn; and a frame that disagrees with its
head's first mean counts less in the second, so that a missed cloud or shadow does not colour a pixel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from earthfield_model.config import EMBEDDING_DIM, ModelConfig
from earthfield_model.pyramid import finer
from earthfield_model.stem import near_features
from earthfield_model.stp import key_bias
from earthfield_model.timecode import NUM_HARMONICS, YEAR_DAYS, annual_code

_NEAR_DAYS = 15.0
"""Distances from the period are told apart logarithmically, from about this many days on."""
_WIDE_POOLS = 2
"""Heads that start by looking at the whole period; the others share it out."""
_REACH_PX = 7
"""Side of the neighbourhood that is looked at once frames are pooled."""
_FIRST_STRICTNESS = 3.0
"""How much less a frame counts at first per unit of mean squared distance from its head's mean."""


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
    place, outside = place_in(days, periods), distance_outside(days, periods)
    features = torch.stack([place, place.square(), (outside == 0).double(), outside], -1).float()
    return torch.cat([features, annual_code(days)], -1)


def place_in(days: Float64[Tensor, "B N"], periods: Float64[Tensor, "B 2"]) -> Float64[Tensor, "B N"]:
    """Gives where instants lie in the period: -1 at its start, 1 at its end, at most 2 beyond."""
    start, end = periods[:, :1].double(), periods[:, 1:].double()
    return ((days.double() - start) / (end - start) * 2 - 1).clamp(-2, 2)


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
        widths, num_sources = config.widths, len(config.inputs)
        self.sources = config.source_names
        self.num_pools = widths.num_pools
        self.query = nn.Sequential(
            nn.Linear(PERIOD_CODE, 64), nn.GELU(), nn.Linear(64, widths.num_pools * widths.precision)
        )
        last = nn.Linear(32, widths.num_pools)
        self.relative = nn.Sequential(nn.Linear(RELATIVE_CODE + num_sources, 32), nn.GELU(), last)
        centre, width = first_windows(widths.num_pools)
        self.centre, self.log_width = nn.Parameter(centre), nn.Parameter(width.log())
        self.log_strictness = nn.Parameter(
            torch.full((num_sources, widths.num_pools), math.log(_FIRST_STRICTNESS))
        )
        # Frames inside or near the period are favoured from the start; how much is learned per head.
        self.log_reach = nn.Parameter(torch.linspace(0.0, 1.5, widths.num_pools))
        pooled = {one.name: widths.num_pools * near_features(one, widths) for one in config.inputs}
        self.absent = nn.ParameterDict({name: nn.Parameter(torch.zeros(n)) for name, n in pooled.items()})
        self.period = nn.Linear(PERIOD_CODE, EMBEDDING_DIM)
        self.coarse = nn.Linear(widths.num_pools * widths.precision, EMBEDDING_DIM)
        num_pooled, num_around = sum(pooled.values()) + EMBEDDING_DIM, widths.context
        self.narrow = nn.Sequential(nn.Linear(num_pooled, num_around), nn.LayerNorm(num_around), nn.GELU())
        self.around = nn.Conv2d(
            num_around, num_around, _REACH_PX, padding="same", padding_mode="replicate", groups=num_around
        )
        bell = first_bell(_REACH_PX)
        nn.init.zeros_(self.around.bias)  # type: ignore[arg-type]
        self.around.weight.data.copy_(bell.expand_as(self.around.weight))
        self.direct = nn.Linear(num_pooled + num_around, EMBEDDING_DIM)
        # Corrections of what they are added to, so they start from nothing.
        for layer in (last, self.period):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, observed: Observed, periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B H W D"]:
        """Gives the unit vectors of one period per sample.

        Args:
            observed: what the trunk made of the frames.
            periods: [start, end) in days since 2000.
        """
        return F.normalize(self.direct(self.pooled(observed, periods)).float(), dim=-1)

    def pooled(self, observed: Observed, periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B H W F"]:
        """Gives what the vectors are made of; arguments as in `forward`.

        Returns:
            Features: 64 from L/2, those of each source at full resolution, head by head, and what lies around.
        """
        code = period_code(periods)
        scores = self._scores(observed, periods, code)
        coarse = self._pooled_half(observed, scores) + self.period(code)[:, None, None]
        here = torch.cat([finer(coarse, 2), *self._pooled_near(observed, scores)], -1)
        around = self.around(rearrange(self.narrow(here), "b h w f -> b f h w"))
        return torch.cat([here, rearrange(around, "b f h w -> b h w f")], -1)

    def band_columns(self, config: ModelConfig) -> dict[str, Int64[Tensor, " C"]]:
        """Tells where `pooled` holds a source's bands as they are: its composites, head by head."""
        columns, first = {}, EMBEDDING_DIM
        for source in config.inputs:
            width = near_features(source, config.widths)
            heads = first + torch.arange(self.num_pools) * width
            columns[source.name] = (heads[:, None] + torch.arange(len(source.bands))).flatten()
            first += self.num_pools * width
        return columns

    def _scores(
        self, observed: Observed, periods: Float64[Tensor, "B 2"], code: Float[Tensor, "B F"]
    ) -> Float[Tensor, "B K N h w"]:
        content = einsum(observed.half, self.queries(code), "b n h w f, b k f -> b k n h w")
        return content + rearrange(self.timely(observed, periods), "b n k -> b k n 1 1")

    def queries(self, code: Float[Tensor, "B F"]) -> Float[Tensor, "B K F"]:
        """Gives what each head looks for, scaled, so that its product with features is their score."""
        query = rearrange(self.query(code), "b (k f) -> b k f", k=self.num_pools)
        return query * query.shape[-1] ** -0.5

    def timely(self, observed: Observed, periods: Float64[Tensor, "B 2"]) -> Float[Tensor, "B N K"]:
        """Gives what a frame's instant and source add to its scores, the same at every pixel."""
        num_samples, num_frames = observed.days.shape
        which = observed.source.expand(num_samples, num_frames, -1)
        relative = self.relative(torch.cat([relative_code(observed.days, periods), which], -1))
        outside = distance_outside(observed.days, periods).float()[..., None]
        place = place_in(observed.days, periods).float()[..., None]
        early = ((place - self.centre) / self.log_width.exp()).square() / 2
        return relative - early - outside * self.log_reach.exp()

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
        for name, strictness in zip(self.sources, self.log_strictness.exp(), strict=True):
            absent = self.absent[name]
            if name not in observed.near:
                some = next(iter(observed.near.values()))
                pooled.append(absent.expand(len(some), *some.shape[2:4], -1))
                continue
            near, mask = observed.near[name], observed.near_mask[name]
            part = scores[:, :, first : first + near.shape[1]]
            first += near.shape[1]
            own = rearrange(_pooled_twice(near, mask, _twice(part), strictness), "b h w k f -> b h w (k f)")
            pooled.append(torch.where(mask.any(1)[..., None], own, absent))
        return pooled


def first_windows(num_pools: int) -> tuple[Float[Tensor, " K"], Float[Tensor, " K"]]:
    """Gives the centre and width with which heads start, where the period reaches from -1 to 1."""
    num_windows = max(num_pools - _WIDE_POOLS, 1)
    apart = 2 / num_windows
    whole = num_pools - num_windows
    centre = torch.cat([torch.zeros(whole), (torch.arange(num_windows) + 0.5) * apart - 1])
    # Windows overlap a little; with no frame in one, the softmax takes the nearest.
    return centre, torch.cat([torch.full((whole,), 10.0), torch.full((num_windows,), 0.6 * apart)])


def first_bell(side: int) -> Float[Tensor, "S S"]:
    """Gives the bell-shaped mean with which every feature's neighbourhood starts."""
    apart = torch.arange(side) - (side - 1) / 2
    bell = torch.exp(-(apart[:, None].square() + apart.square()) / (side / 2))
    return bell / bell.sum()


def _pooled_twice(
    near: Float[Tensor, "B N H W F"],
    mask: Bool[Tensor, "B N H W"],
    scores: Float[Tensor, "B K N H W"],
    strictness: Float[Tensor, " K"],
) -> Float[Tensor, "B H W K F"]:
    """Pools, then pools again with less of what lies far from the first result.

    Source: one step of iteratively reweighted least squares, as robust means are found.
    """
    first = einsum(_shares(scores, mask), near, "b k n h w, b n h w f -> b h w k f")
    squares = rearrange(near.square().sum(-1), "b n h w -> b 1 n h w")
    middle = rearrange(first.square().sum(-1), "b h w k -> b k 1 h w")
    apart = squares - 2 * einsum(near, first, "b n h w f, b h w k f -> b k n h w") + middle
    away = apart.clamp(min=0) / near.shape[-1] * rearrange(strictness, "k -> k 1 1 1")
    return einsum(_shares(scores - away, mask), near, "b k n h w, b n h w f -> b h w k f")


def _shares(scores: Float[Tensor, "B K N H W"], mask: Bool[Tensor, "B N H W"]) -> Float[Tensor, "B K N H W"]:
    """Gives the softmax over frames; masked ones get nothing, also where every frame is masked."""
    return (scores + key_bias(mask)[:, None]).softmax(2) * mask[:, None]


def _twice(scores: Float[Tensor, "B K N h w"]) -> Float[Tensor, "B K N H W"]:
    up = F.interpolate(rearrange(scores, "b k n h w -> (b k) n h w"), scale_factor=2, mode="bilinear")
    return rearrange(up, "(b k) n h w -> b k n h w", k=scores.shape[1])
