"""What a field is made from: the part of a manifest that decides whether it must be made again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from earthfield.cube import CubeReader, Observation
from earthfield.errors import NotFound
from earthfield.field import CONTEXT
from earthfield.grid import Tile, Window, tiles_over
from earthfield.ports import Encoder
from earthfield.storage import hash_of
from earthfield.timeline import Period
from earthfield_infer.windows import WindowPlan

Observed = dict[Tile, dict[str, list[Observation]]]


@dataclass(frozen=True)
class Choices:
    """What a request decides of a field's bytes, beside its periods."""

    dtype: str = "int8"
    """How vectors are stored."""
    agreement: bool = True
    """Whether the layer `agreement` is made."""


def observed_around(
    reader: CubeReader, tile: Tile, cores: Sequence[Window], plan: WindowPlan, support: Period
) -> Observed:
    """Lists what the windows of some cores will read, in the tile itself and in its neighbours.

    Raises:
        NotFound: the tile itself holds nothing of the support period.
    """
    tiles = {tile, *(one for core in cores for one in tiles_over(tile.epsg, plan.around(core)))}
    seen = {one: reader.observed(one, support) for one in sorted(tiles)}
    if not any(seen[tile].values()):
        raise NotFound(f"no scene of {support} in tile {tile.id}; {_holdings(reader, tile)}")
    return {one: observed for one, observed in seen.items() if any(observed.values())}


def _holdings(reader: CubeReader, tile: Tile) -> str:
    cube = reader.cube(tile)
    if cube is None:
        return "it has no cube: run `earthfield ingest` for it first"
    instants = [one.acquired for name in cube.sources for one in cube.observations(name)]
    if not instants:
        return "its cube is empty: run `earthfield ingest` for this period first"
    return f"its cube holds {min(instants):%Y-%m-%d} to {max(instants):%Y-%m-%d}: ask for a period inside"


def fingerprint(
    reader: CubeReader,
    encoder: Encoder,
    observed: Observed,
    *,
    support: Period,
    period: Period,
    choices: Choices,
) -> str:
    """Gives the hash of everything that decides a field's bytes, its area apart."""
    read = {
        tile.id: {name: [_read(reader, tile, name, one) for one in seen] for name, seen in by_source.items()}
        for tile, by_source in observed.items()
    }
    content: dict[str, Any] = {
        "model": encoder.fingerprint,
        "windows": WindowPlan.of(encoder).manifest(),
        "support": support.id,
        "period": period.id,
        "read": read,
        "agreement": choices.agreement,
        "dtype": choices.dtype,
        "precision": precision_of(encoder),
    }
    return hash_of(content)


def precision_of(encoder: Encoder) -> str:
    """Tells in what an encoder computes: float32 unless it says otherwise by its attribute `precision`."""
    return str(getattr(encoder, "precision", "float32"))


def _read(reader: CubeReader, tile: Tile, source: str, one: Observation) -> list[Any]:
    cube = reader.cube(tile)
    assert cube is not None
    ledger = cube.attributes(source).get("ledger", {})
    read = [one.step, one.acquired.isoformat(), [[item, ledger.get(item)] for item in one.items]]
    shifts = one.about.get("shifts")
    return [*read, shifts] if shifts else read  # without, a field keeps its hash


def frames_of(observed: dict[str, list[Observation]]) -> dict[str, list[dict[str, Any]]]:
    """Gives the manifest's account of every frame: its step, its instant, its STAC ids."""
    return {
        name: [
            {"step": one.step, "acquired": f"{one.acquired:%Y-%m-%dT%H:%M:%SZ}", "items": list(one.items)}
            for one in seen
        ]
        for name, seen in sorted(observed.items())
    }


def manifest_of(
    encoder: Encoder, *, tile: Tile, extent: Window, area_wkt: str, support: Period, period: Period, inputs: str,
    observed: Observed,
) -> dict[str, Any]:  # fmt: skip
    """Gives the manifest of a field, all but its number of pixels and the hashes of its files."""
    return {
        "model": {
            "name": encoder.name,
            "fingerprint": encoder.fingerprint,
            "sources": list(encoder.sources),
            "precision": precision_of(encoder),
        },
        "period": {"start": period.start.isoformat(), "end": period.end.isoformat(), "text": str(period)},
        "support": {"start": support.start.isoformat(), "end": support.end.isoformat(), "text": str(support)},
        "window": [extent.y0, extent.y1, extent.x0, extent.x1],
        "windows": WindowPlan.of(encoder).manifest(),
        "area": area_wkt,
        "inputs": inputs,
        "sources": frames_of(observed[tile]),
        CONTEXT: {one.id: frames_of(seen) for one, seen in sorted(observed.items()) if one != tile},
        "software": {name: version(name) for name in ("earthfield", "torch", "numpy")},
    }
