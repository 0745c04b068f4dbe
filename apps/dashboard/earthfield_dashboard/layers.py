"""Maps that exist: the fields of one model and period are one layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from earthfield.client import Client

Bounds = tuple[float, float, float, float]
"""West, south, east, north, degrees."""


@dataclass(frozen=True)
class Layer:
    """The fields of one model and period, which is one map."""

    model: str
    """Name of the model."""
    period: str
    """The valid period as text."""
    period_id: str
    """Its id in addresses."""
    tiles: tuple[str, ...]
    """Tiles that it covers."""
    outlines: tuple[Mapping[str, Any], ...]
    """GeoJSON geometries of what it covers in each tile, degrees."""
    bounds: Bounds
    """West, south, east, north of all of it."""
    stamp: str
    """Changes when one of the fields was made again."""

    @property
    def key(self) -> str:
        """What tells it from other layers, and from itself once it was made again."""
        return f"{self.model}/{self.period_id}/{self.stamp}"

    @property
    def title(self) -> str:
        """What a person reads."""
        num = len(self.tiles)
        return f"{self.period} · {self.model} ({num} tile{'s' if num != 1 else ''})"


def layers_of(client: Client) -> list[Layer]:
    """Lists what maps a search service has, newest period first."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for one in client.areas():
        groups.setdefault((one["model"], one["period_id"]), []).append(one)
    found = [_layer(model, period_id, parts) for (model, period_id), parts in groups.items()]
    return sorted(found, key=lambda one: (one.period_id, one.model), reverse=True)


def _layer(model: str, period_id: str, parts: Sequence[Any]) -> Layer:
    west, south, east, north = zip(*(one["bounds"] for one in parts), strict=True)
    return Layer(
        model, parts[0]["period"], period_id, tuple(one["tile"] for one in parts),
        tuple(one["geometry"] for one in parts), (min(west), min(south), max(east), max(north)),
        "/".join(one["fingerprint"] for one in parts),
    )  # fmt: skip
