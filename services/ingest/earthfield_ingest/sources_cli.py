"""Command: `earthfield sources`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from earthfield.terminal import JsonOption, show_json

if TYPE_CHECKING:
    from earthfield.sources import Source


def sources(json: JsonOption = False) -> None:
    """List every declared source: its bands, what it is for, how often it comes, and what a cube stores of it.

    A package adds a source by naming it in its entry points `earthfield.sources`.

    Examples:

    earthfield sources

    earthfield sources --json
    """
    from earthfield.sources import known_sources

    found = list(known_sources().values())
    if json:
        show_json({"sources": [_told(one) for one in found]})
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=SIMPLE, show_lines=True)
    table.add_column(no_wrap=True)
    for one in found:
        bands, role = " ".join(one.band_names), ", ".join(sorted(one.roles))
        stored = f"stored as {one.dtype}: {_units(one)}{_grid(one)}"
        collections = f"collections: {' '.join(one.collections)}"
        name = f"[bold]{one.name}[/]\n[dim]{role}\n{one.cadence}[/]"
        table.add_row(name, f"{one.title}\n{bands}\n{stored}\n[dim]{collections}[/]")
    Console().print(table)


def _grid(source: Source) -> str:
    if source.lattice is None:
        return ""
    crs = source.lattice.crs if ":" in source.lattice.crs else "a projection of its own"
    return f", on its own grid of {source.lattice.pixel:g} in {crs}"


def _units(source: Source) -> str:
    """What one stored integer stands for, once for bands that share it."""
    if source.classes is not None:
        return f"{len(source.classes)} classes"
    kinds = {f"{band.scale:g} {_unit(band.unit)}" for band in source.bands}
    return " / ".join(sorted(kinds))


def _unit(unit: str) -> str:
    return "(no unit)" if unit == "1" else unit


def _told(source: Source) -> dict[str, Any]:
    bands = [
        {
            "name": band.name,
            "gsd_m": band.gsd_m,
            "scale": band.scale,
            "offset": band.offset,
            "unit": band.unit,
            "assets": list(band.assets),
        }
        for band in source.bands
    ]
    return {
        "name": source.name,
        "title": source.title,
        "bands": bands,
        "roles": sorted(source.roles),
        "cadence": source.cadence,
        "layout": source.layout,
        "dtype": source.dtype,
        "nodata": source.nodata,
        "collections": list(source.collections),
        "lattice": None
        if source.lattice is None
        else {"crs": source.lattice.crs, "pixel": source.lattice.pixel},
        "classes": {str(value): name for value, name in (source.classes or {}).items()},
    }
