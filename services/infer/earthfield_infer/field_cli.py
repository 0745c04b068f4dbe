"""Commands: `earthfield field import`, `info`, `preview`, `convert`, `mosaic`, `provenance`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    ModelOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)
from earthfield_infer.importing.cli import import_fields

if TYPE_CHECKING:
    from rich.console import Console

    from earthfield_infer.fields.choose import Part
    from earthfield_infer.fields.info import FieldFacts
    from earthfield_infer.fields.provenance import Provenance

field = typer.Typer(no_args_is_help=True, add_completion=False)
field.command("import")(import_fields)

SomePeriodsOption = Annotated[
    list[str] | None, typer.Option("--period", help="Only this valid period; repeatable [all].")
]
TilesOption = Annotated[
    list[str] | None,
    typer.Option("--tile", help="Only this tile, such as 32631_0048_0549; repeatable [all]."),
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Where to write [answers/ under the root].")
]


@field.callback()
def _field() -> None:
    """Embedding fields: look into them, paint them, turn them into other formats, trace them to scenes."""


@field.command("info")
def info(
    model: ModelOption = "starter",
    period: SomePeriodsOption = None,
    tile: TilesOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Show what lies in fields: period, model, scenes, size, norms, quality.

    Example: earthfield field info --model starter --period 2018
    """
    from dataclasses import asdict

    from rich.console import Console

    from earthfield_infer.fields.info import facts_of

    parts, found = _parts(root, model, period, tile, bbox, aoi), []
    with bars() as progress:
        for done, part in enumerate(parts):
            progress("info", done, len(parts))
            found.append(facts_of(part))
        progress("info", len(parts), len(parts))
    if json:
        show_json({"fields": [asdict(one) for one in found]})
    elif len(found) == 1:
        _show_one(Console(), found[0])
    else:
        _show_many(Console(), found)


@field.command("preview")
def preview(
    model: ModelOption = "starter",
    period: SomePeriodsOption = None,
    tile: TilesOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    axes: Annotated[
        str | None,
        typer.Option(help="Three axes as red, green, blue, such as A01,A16,A09 [the first principal axes]."),
    ] = None,
    low: Annotated[float, typer.Option(help="Value of an axis that becomes black; with --axes.")] = -0.3,
    high: Annotated[float, typer.Option(help="Value of an axis in full colour; with --axes.")] = 0.3,
    size: Annotated[int, typer.Option(help="Longest side of a picture in pixels.")] = 1024,
    out: OutOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Paint fields as PNG, tiles joined, a picture for each zone and period, all in the same colours.

    Examples:

    earthfield field preview --period 2018-04 --period 2018-09

    earthfield field preview --axes A01,A16,A09 --size 512 --out pictures
    """
    from dataclasses import asdict

    from earthfield_infer.fields.pictures import PictureRequest, paint

    names = tuple(name.strip() for name in axes.split(",")) if axes is not None else ()
    request = PictureRequest(names, low, high, size)
    parts = _parts(root, model, period, tile, bbox, aoi)
    with bars() as progress:
        found = paint(parts, request, _folder(root, out), progress=progress)
    if json:
        show_json({"pictures": [asdict(one) for one in found]})
        return
    for one in found:
        _told(
            f"{one.path}: {one.width} x {one.height} px of {one.pixel_m:g} m, {one.period}, {one.tiles} tiles"
        )


@field.command("convert")
def convert(
    to: Annotated[
        str, typer.Option("--to", help="float32, float16 or int8 (GeoTIFF), zarr, or cells (GeoParquet).")
    ],
    model: ModelOption = "starter",
    period: SomePeriodsOption = None,
    tile: TilesOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    dtype: Annotated[str, typer.Option(help="With --to zarr: int8, float16 or float32.")] = "int8",
    cell_px: Annotated[int, typer.Option(help="With --to cells: side of a cell in pixels.")] = 8,
    out: OutOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Turn fields into other formats: GeoTIFF in another type, one Zarr store, or cells as GeoParquet.

    Examples:

    earthfield field convert --to float32 --period 2018 --out tiffs

    earthfield field convert --to zarr --dtype float16 --out flanders.zarr

    earthfield field convert --to cells --cell-px 16 --out flanders.parquet
    """
    from earthfield_infer.fields.convert import ConvertRequest, run_convert

    request = ConvertRequest(to, dtype, cell_px, out)
    parts = _parts(root, model, period, tile, bbox, aoi)
    with bars() as progress:
        report = run_convert(parts, request, _folder(root, None), progress=progress)
    if json:
        show_json(report)
        return
    cells = f", {report.cells:,} cells" if report.cells else ""
    for path in report.paths:
        _told(path)
    _told(f"{report.fields} fields{cells}, {report.bytes / 1e6:.1f} MB")


@field.command("mosaic")
def mosaic(
    model: ModelOption = "starter",
    period: SomePeriodsOption = None,
    tile: TilesOption = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    side: Annotated[int, typer.Option("--side-px", help="Side of a sheet: 1024, 2048, 4096 or 8192.")] = 8192,
    out: OutOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Join tiles into sheets of 8,192 px, aligned as the published files are: a GeoTIFF for each sheet and period.

    Example: earthfield field mosaic --period 2018 --aoi county.geojson --out sheets
    """
    from dataclasses import asdict

    from earthfield_infer.fields.mosaic import mosaic as run

    parts = _parts(root, model, period, tile, bbox, aoi)
    with bars() as progress:
        found = run(parts, _folder(root, out), side=side, progress=progress)
    if json:
        show_json({"sheets": [asdict(one) for one in found]})
        return
    for one in found:
        _told(f"{one.path}: {one.period}, {one.tiles} tiles, {one.pixels:,} px, {one.bytes / 1e6:.1f} MB")


@field.command("provenance", context_settings={"ignore_unknown_options": True})
def provenance(
    at: Annotated[tuple[float, float], typer.Option("--at", metavar="LON LAT", help="Place in degrees.")],
    model: ModelOption = "starter",
    period: SomePeriodsOption = None,
    scenes: Annotated[bool, typer.Option("--scenes", help="List every scene, not only how many.")] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Tell which scenes lie behind one pixel: those that saw it clear, and those that only entered as context.

    Example: earthfield field provenance --at 2.987 50.777 --period 2018-04 --scenes
    """
    from dataclasses import asdict

    from rich.console import Console

    from earthfield.catalog import Catalog
    from earthfield_infer.fields.provenance import provenance as run

    found = run(Catalog(root_or_default(root)), model, *at, periods=tuple(period or ()))
    if json:
        show_json({"fields": [asdict(one) for one in found]})
        return
    for one in found:
        _show_provenance(Console(), one, scenes=scenes)


def _parts(
    root: str | None,
    model: str,
    periods: list[str] | None,
    tiles: list[str] | None,
    bbox: Any,
    aoi: str | None,
) -> list[Part]:
    from earthfield.area import area_from_bbox, area_from_text
    from earthfield.catalog import Catalog
    from earthfield.errors import InvalidInput
    from earthfield_infer.fields.choose import chosen

    if bbox is not None and aoi is not None:
        raise InvalidInput("give --bbox or --aoi, not both")
    area = area_from_bbox(bbox) if bbox is not None else None if aoi is None else area_from_text(aoi)
    catalog = Catalog(root_or_default(root))
    return chosen(catalog, model, periods=periods or (), tiles=tiles or (), area=area)


def _folder(root: str | None, out: Path | None) -> Path:
    from earthfield.catalog import Catalog

    return out if out is not None else Catalog(root_or_default(root)).answers


def _show_one(console: Console, one: FieldFacts) -> None:
    from rich.table import Table

    counts = ", ".join(
        f"{source}: {num} frames, {one.scenes.get(source, 0)} scenes" for source, num in one.frames.items()
    )
    rows = {
        "model": f"{one.model} ({one.fingerprint[:12]})",
        "tile": one.tile,
        "period": one.period + (f", from inputs of {one.support}" if one.support else ""),
        "vectors": f"{one.dimensions} x {one.dtype}, length {_span(one.norm_low, one.norm_high)}",
        "pixels": f"{one.pixels:,} ({one.share:.1%} of what is covered, {one.km2:.2f} km2)",
        "sources": counts or (f"imported from {one.origin}" if one.origin else "none"),
        "files": f"{', '.join(one.files)} ({one.bytes / 1e6:.2f} MB)",
        "folder": one.path,
    }
    if one.agreement_median is not None:
        rows["agreement"] = f"median {one.agreement_median:.3f}, 10 % below {one.agreement_low:.3f}"
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", value)
    console.print(table)
    layers = Table("quality layer", "lowest", "mean", "highest", "unit")
    for name, layer in one.quality.items():
        layers.add_row(name, *map(_figure, (layer.low, layer.mean, layer.high)), layer.unit)
    console.print(layers)


def _show_many(console: Console, found: list[FieldFacts]) -> None:
    from rich.table import Table

    table = Table("tile", "period", "km2", "vectors", "scenes", "agree", "MB")
    for one in found:
        table.add_row(
            one.tile, one.period, f"{one.km2:.2f}", f"{one.dimensions} {one.dtype}",
            str(sum(one.scenes.values())), _figure(one.agreement_median), f"{one.bytes / 1e6:.2f}",
        )  # fmt: skip
    total = sum(one.km2 for one in found)
    console.print(table)
    console.print(f"{len(found)} fields of {found[0].model}, {total:.2f} km2")


def _show_provenance(console: Console, one: Provenance, *, scenes: bool) -> None:
    from rich.table import Table

    seen = "has a vector" if one.has_vector else "has no vector"
    console.print(
        f"[bold]{one.period}[/], model {one.model}, tile {one.tile}, row {one.row}, column {one.col}: {seen}"
    )
    if one.imported:
        console.print(f"imported from {one.imported.get('origin', 'elsewhere')}: it names no scenes")
        return
    table = Table("source", "clear here", "context only", "masked frames")
    for source, held in one.sources.items():
        table.add_row(source, str(len(held.clear)), str(len(held.context)), str(held.masked))
    console.print(table)
    if scenes:
        for held in one.sources.values():
            for word, group in (("clear  ", held.clear), ("context", held.context)):
                for scene in group:
                    beside = f" (tile {scene.tile})" if scene.tile != one.tile else ""
                    _told(f"{word} {scene.acquired} {scene.scene}{beside}")
    for sentence in one.changed:
        console.print(f"[yellow]changed since the field was made:[/] {sentence}")


def _span(low: float | None, high: float | None) -> str:
    return "none" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")


def _told(sentence: str) -> None:
    from rich.console import Console

    Console(soft_wrap=True).print(sentence, highlight=False)
