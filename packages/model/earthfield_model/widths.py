"""Depth and widths of the network, and the presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from earthfield.errors import NotFound


@dataclass(frozen=True)
class Widths:
    """Depth and widths of the network."""

    num_blocks: int = 3
    """Space-time-precision blocks."""
    stem: int = 16
    """Features of a frame at full resolution."""
    precision: int = 24
    """Features at L/2."""
    time: int = 96
    """Features at L/8."""
    space: int = 128
    """Features at L/16."""
    num_heads: int = 4
    """Attention heads of the space and time operators."""
    expand: int = 2
    """Widening inside the operators' feed-forward parts."""
    num_pools: int = 6
    """Heads with which the summary pools frames."""
    decoder: int = 128
    """Hidden features of a decoder."""


PRESETS: Mapping[str, Widths] = {
    "nano": Widths(
        num_blocks=2, stem=8, precision=16, time=32, space=32, num_heads=2, num_pools=4, decoder=32
    ),
    "tiny": Widths(),
}


def widths_named(preset: str) -> Widths:
    """Gives the widths of a preset.

    Raises:
        NotFound: there is no such preset.
    """
    if preset not in PRESETS:
        raise NotFound(f"preset {preset!r} is not known; choose one of {', '.join(PRESETS)}")
    return PRESETS[preset]
