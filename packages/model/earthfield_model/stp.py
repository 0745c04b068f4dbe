"""Space-time-precision blocks: three operators side by side, each at its own resolution, that tell one another.

Source: AlphaEarth Foundations (arXiv 2507.22291), encoder. Departures: LayerNorm over channels (see `stem`); the
time operator turns queries and keys by the time code (rotary), so it sees differences of instants, and adds the
season, so it sees no year; distances between cells take the place of position codes in the space operator, and its
attention ends some cells away, because a vector must not depend on the window that held it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Float64
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from earthfield_model.pyramid import by_runs, coarser, finer, masked_mean
from earthfield_model.timecode import NUM_HARMONICS, annual_code, phases, rotated, wavelengths
from earthfield_model.widths import Widths

FAR = -1e30
"""Added to scores that must not count. Not minus infinity: see `key_bias`."""


@dataclass(frozen=True)
class State:
    """Features of all frames at the three resolutions, zero where masked. N runs over samples and their frames."""

    precision: Float[Tensor, "N h2 w2 Fp"]
    """At L/2."""
    time: Float[Tensor, "N h8 w8 Ft"]
    """At L/8."""
    space: Float[Tensor, "N h16 w16 Fs"]
    """At L/16."""


@dataclass(frozen=True)
class Masks:
    """Valid positions at the three resolutions."""

    precision: Bool[Tensor, "N h2 w2"]
    """At L/2."""
    time: Bool[Tensor, "N h8 w8"]
    """At L/8."""
    space: Bool[Tensor, "N h16 w16"]
    """At L/16."""

    @classmethod
    def of(cls, half: Bool[Tensor, "N h2 w2"]) -> Masks:
        """Derives the coarser masks from the one at L/2."""
        return cls(half, coarser(half, 4), coarser(half, 8))


@dataclass(frozen=True)
class Clock:
    """What the time operator needs of the frames' instants, the same in every block."""

    sin: Float[Tensor, "B 1 1 N F"]
    """Sines of the angles by which heads are turned."""
    cos: Float[Tensor, "B 1 1 N F"]
    """Cosines of them."""
    season: Float[Tensor, "B N F"]
    """Annual harmonics."""

    @classmethod
    def of(cls, days: Float64[Tensor, "B N"], head_dim: int) -> Clock:
        """Computes angles in float64 and casts afterwards."""
        angles = phases(days, wavelengths(head_dim // 2).to(days.device))[:, None, None]
        return cls(angles.sin().float(), angles.cos().float(), annual_code(days))


class FeedForward(nn.Sequential):
    """Norm, widen, GELU, narrow."""

    def __init__(self, width: int, expand: int) -> None:
        """Sizes only."""
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, expand * width), nn.GELU(), nn.Linear(expand * width, width)
        )


class PrecisionOperator(nn.Module):
    """3x3 convolutions at L/2: norm, expand, GELU, contract."""

    def __init__(self, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        width = widths.precision
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Conv2d(width, widths.expand * width, 3, padding=1)
        self.contract = nn.Conv2d(widths.expand * width, width, 1)

    def forward(self, x: Float[Tensor, "N h w F"], mask: Bool[Tensor, "N h w"]) -> Float[Tensor, "N h w F"]:
        """Gives x plus the operator's change; masked positions enter the convolution as the border does."""
        inside = (self.norm(x) * mask[..., None]).permute(0, 3, 1, 2)
        change = self.contract(F.gelu(self.expand(inside)))
        return x + change.permute(0, 2, 3, 1) * mask[..., None]


class Attention(nn.Module):
    """Multi-head attention over the last but one axis, with masked keys."""

    def __init__(self, width: int, num_heads: int) -> None:
        """Sizes only."""
        super().__init__()
        self.num_heads = num_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        x: Float[Tensor, "M S F"],
        allowed: Float[Tensor, "M K_or_1 S_or_1 S"],
        turn: tuple[Tensor, Tensor] | None = None,
    ) -> Float[Tensor, "M S F"]:
        """Args: tokens; what is added to scores, a very low number at masked keys; sines and cosines per token."""
        q, k, v = rearrange(self.qkv(x), "m s (three k f) -> three m k s f", three=3, k=self.num_heads)
        if turn is not None:
            q, k = rotated(q, *turn), rotated(k, *turn)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=allowed)
        return self.out(rearrange(mixed, "m k s f -> m s (k f)"))


class SpaceLayer(nn.Module):
    """Attention and feed-forward over the tokens of a frame."""

    def __init__(self, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        self.norm = nn.LayerNorm(widths.space)
        self.attention = Attention(widths.space, widths.num_heads)
        self.feed = FeedForward(widths.space, widths.expand)

    def forward(
        self, tokens: Float[Tensor, "N S F"], allowed: Float[Tensor, "N K S S"], keys: Bool[Tensor, "N S"]
    ) -> Float[Tensor, "N S F"]:
        """Gives the tokens after both, zero where masked."""
        tokens = tokens + self.attention(self.norm(tokens), allowed)
        return (tokens + self.feed(tokens)) * keys[..., None]


class SpaceOperator(nn.Module):
    """Attention within each frame at L/16."""

    def __init__(self, widths: Widths) -> None:
        """Sizes only; heads start with reaches from near to far."""
        super().__init__()
        self.reach = widths.space_reach
        self.layers = nn.ModuleList(SpaceLayer(widths) for _ in range(widths.num_space_layers))
        self.log_slope = nn.Parameter(-torch.arange(widths.num_heads).float())

    def forward(self, x: Float[Tensor, "N h w F"], mask: Bool[Tensor, "N h w"]) -> Float[Tensor, "N h w F"]:
        """Gives the state after attention and feed-forward, zero where masked."""
        _, height, width, _ = x.shape
        tokens, keys = rearrange(x, "n h w f -> n (h w) f"), rearrange(mask, "n h w -> n (h w)")
        allowed = self._nearness(height, width) + key_bias(keys)[:, None, None]
        for layer in self.layers:
            tokens = layer(tokens, allowed, keys)
        return rearrange(tokens, "n (h w) f -> n h w f", h=height)

    def _nearness(self, height: int, width: int) -> Float[Tensor, "K S S"]:
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        place = torch.stack([y.flatten(), x.flatten()], -1).float().to(self.log_slope.device)
        steps = place[:, None] - place[None]
        nearness = -self.log_slope.exp()[:, None, None] * steps.square().sum(-1).sqrt()
        return nearness.masked_fill(steps.abs().amax(-1) > self.reach, FAR)


class TimeOperator(nn.Module):
    """Attention along the frames of a sample, at each position at L/8."""

    def __init__(self, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        self.norm = nn.LayerNorm(widths.time)
        self.season = nn.Linear(2 * NUM_HARMONICS, widths.time)
        self.attention = Attention(widths.time, widths.num_heads)
        self.feed = FeedForward(widths.time, widths.expand)

    def forward(
        self, x: Float[Tensor, "BN h w F"], mask: Bool[Tensor, "BN h w"], clock: Clock
    ) -> Float[Tensor, "BN h w F"]:
        """Gives the state after attention and feed-forward, zero where masked."""
        num_samples, num_frames, _ = clock.season.shape
        _, height, width, _ = x.shape
        tokens = rearrange(x, "(b n) h w f -> b h w n f", b=num_samples)
        keys = rearrange(mask, "(b n) h w -> (b h w) n", b=num_samples)
        # Normalised first, so that the season is as loud as the content from the first step on.
        inside = self.norm(tokens) + self.season(clock.season)[:, None, None]

        def over_positions(turn: Tensor) -> Tensor:
            wide = turn.expand(num_samples, height, width, num_frames, -1)
            return rearrange(wide, "b h w n f -> (b h w) 1 n f")

        def per_position(flat: Tensor, inside: Tensor, keys: Tensor, *turn: Tensor) -> tuple[Tensor]:
            flat = flat + self.attention(inside, key_bias(keys)[:, None, None], (turn[0], turn[1]))
            return ((flat + self.feed(flat)) * keys[..., None],)

        (flat,) = by_runs(
            per_position,
            *(rearrange(x, "b h w n f -> (b h w) n f") for x in (tokens, inside)),
            keys,
            over_positions(clock.sin),
            over_positions(clock.cos),
            held=6,
        )
        return rearrange(flat, "(b h w) n f -> (b n) h w f", b=num_samples, h=height, w=width)


class Exchange(nn.Module):
    """The pyramid exchange: each operator receives the resampled state of the other two.

    What goes up to a coarser resolution is the mean of the finer one; what comes down is interpolated and added to
    what only the finer one knows, as in a Laplacian pyramid.
    """

    def __init__(self, widths: Widths, *, last: bool) -> None:
        """Args: sizes; whether only the precision operator's state is wanted, because no block follows."""
        super().__init__()
        p, t, s = widths.precision, widths.time, widths.space
        self.last = last
        self.time_to_precision, self.space_to_precision = nn.Linear(t, p), nn.Linear(s, p)
        if not last:
            self.precision_to_time, self.space_to_time = nn.Linear(p, t), nn.Linear(s, t)
            self.precision_to_space, self.time_to_space = nn.Linear(p, s), nn.Linear(t, s)

    def forward(self, state: State, masks: Masks) -> State:
        """Projects at the coarser resolution of each pair, then resamples; masked positions stay zero."""
        p, t, s = state.precision, state.time, state.space
        down = self.time_to_precision(t) + finer(self.space_to_precision(s), 2)
        precision = (p + finer(down, 4)) * masks.precision[..., None]
        if self.last:
            return State(precision, t, s)
        p8 = masked_mean(p, masks.precision, 4)
        p16 = masked_mean(p, masks.precision, 8)
        t16 = masked_mean(t, masks.time, 2)
        return State(
            precision,
            (t + self.precision_to_time(p8) + finer(self.space_to_time(s), 2)) * masks.time[..., None],
            (s + self.precision_to_space(p16) + self.time_to_space(t16)) * masks.space[..., None],
        )


class Block(nn.Module):
    """One space-time-precision block."""

    def __init__(self, widths: Widths, *, last: bool) -> None:
        """Args: sizes; whether no block follows."""
        super().__init__()
        self.precision = PrecisionOperator(widths)
        self.time = TimeOperator(widths)
        self.space = SpaceOperator(widths)
        self.exchange = Exchange(widths, last=last)

    def forward(self, state: State, masks: Masks, clock: Clock) -> State:
        """Runs the operators side by side, then the exchange; all but the time operator know single frames only."""

        def per_frame(p: Tensor, t: Tensor, s: Tensor, *its: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            mask = Masks(*its)
            after = self.exchange(
                State(self.precision(p, mask.precision), t, self.space(s, mask.space)), mask
            )
            return after.precision, after.time, after.space

        time = self.time(state.time, masks.time, clock)
        both = (state.precision, time, state.space, masks.precision, masks.time, masks.space)
        return State(*by_runs(per_frame, *both))


class Trunk(nn.Module):
    """All blocks, over all frames of all sources together."""

    def __init__(self, widths: Widths) -> None:
        """Sizes only."""
        super().__init__()
        self.to_time = nn.Linear(widths.precision, widths.time)
        self.to_space = nn.Linear(widths.precision, widths.space)
        last = widths.num_blocks - 1
        self.blocks = nn.ModuleList(Block(widths, last=number == last) for number in range(widths.num_blocks))
        self.norm = nn.LayerNorm(widths.precision)
        self.head_dim = widths.time // widths.num_heads
        self.recompute = False
        """Whether the backward pass computes the blocks again instead of keeping what they held."""

    def forward(
        self, half: Float[Tensor, "BN h w F"], mask: Bool[Tensor, "BN h w"], days: Float64[Tensor, "B N"]
    ) -> Float[Tensor, "BN h w F"]:
        """Gives the features of every frame at L/2, zero where masked.

        Args:
            half: stems' features at L/2, frames of a sample in a row.
            mask: valid positions at L/2.
            days: true instants, days since 2000.
        """
        masks = Masks.of(mask)
        state = State(
            half,
            self.to_time(masked_mean(half, mask, 4)) * masks.time[..., None],
            self.to_space(masked_mean(half, mask, 8)) * masks.space[..., None],
        )
        clock = Clock.of(days, self.head_dim)
        for block in self.blocks:
            if self.recompute and torch.is_grad_enabled():
                state = checkpoint(block, state, masks, clock, use_reentrant=False)
            else:
                state = block(state, masks, clock)
        return self.norm(state.precision) * mask[..., None]


def key_bias(keys: Bool[Tensor, "..."]) -> Float[Tensor, "..."]:
    """Gives what is added to scores: zero at valid keys, so low at masked ones that their share is exactly zero.

    Not minus infinity: a row without any valid key would become NaN, where its result is masked anyway.
    """
    return torch.zeros(keys.shape, device=keys.device).masked_fill(~keys, FAR)
