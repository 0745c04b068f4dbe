"""Depth and widths of the network, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from earthfield.errors import NotFound


@dataclass(frozen=True)
class Widths:
    """Depth and widths of the network."""

    num_blocks: int
    """Space-time-precision blocks."""
    stem: int
    """Learned features of a frame at full resolution, beside its bands as they are."""
    precision: int
    """Features at L/2."""
    time: int
    """Features at L/8."""
    space: int
    """Features at L/16."""
    num_heads: int
    """Attention heads of the space and time operators."""
    expand: int
    """Widening inside the operators' feed-forward parts."""
    num_pools: int
    """Heads with which the summary pools frames."""
    context: int
    """Features that look around a pixel once its frames are pooled."""
    decoder: int
    """Hidden features of a decoder."""
    num_space_layers: int = 1
    """Layers of attention and feed-forward inside a space operator."""
    space_reach: int = 2
    """Positions at L/16 that attention in space sees to each side, so that a window's edge is forgotten soon."""


PRESETS: Mapping[str, Widths] = {
    # For tests: every part is there and nothing is learned with it.
    "nano": Widths(
        num_blocks=2, stem=4, precision=16, time=32, space=32, num_heads=2, expand=2, num_pools=4,
        context=16, decoder=32,
    ),
    # For a laptop: the bundled starter is one.
    "tiny": Widths(
        num_blocks=3, stem=12, precision=24, time=96, space=128, num_heads=4, expand=2, num_pools=14,
        context=96, decoder=128,
    ),
    "small": Widths(
        num_blocks=6, stem=16, precision=48, time=192, space=320, num_heads=4, expand=4, num_pools=14,
        context=128, decoder=256,
    ),
    "base": Widths(
        num_blocks=10, stem=24, precision=80, time=320, space=640, num_heads=8, expand=4, num_pools=16,
        context=192, decoder=512,
    ),
    # The paper's widths and depth; two layers a space operator bring it near the 480 million that the paper counts.
    "large": Widths(
        num_blocks=15, stem=32, precision=128, time=512, space=1024, num_heads=16, expand=4, num_pools=16,
        context=256, decoder=512, num_space_layers=2,
    ),
}  # fmt: skip


def widths_named(preset: str) -> Widths:
    """Gives the widths of a preset.

    Raises:
        NotFound: there is no such preset.
    """
    if preset not in PRESETS:
        raise NotFound(f"preset {preset!r} is not known; choose one of {', '.join(PRESETS)}")
    return PRESETS[preset]
