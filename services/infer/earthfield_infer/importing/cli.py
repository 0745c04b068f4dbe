"""Command: `earthfield field import`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)

if TYPE_CHECKING:
    from earthfield_infer.importing.request import ImportReport

_SHOWN = 10


def import_fields(
    kind: Annotated[str, typer.Argument(help="What it is: aef, betaearth or raster.", metavar="KIND")],
    origins: Annotated[
        list[str],
        typer.Argument(
            metavar="ORIGIN...",
            help="aef: the index (aef_index.parquet or .csv). betaearth, raster: GeoTIFFs, or a folder of them. "
            "Paths or https addresses.",
        ),
    ],
    period: Annotated[
        list[str] | None,
        typer.Option(
            "--period", help="What the vectors summarise, such as 2023; repeatable for aef, betaearth."
        ),
    ] = None,
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    name: Annotated[
        str | None,
        typer.Option(
            "--name",
            help="Name to keep the fields under; aef-v1, betaearth-files when absent.",
        ),
    ] = None,
    base: Annotated[
        str | None,
        typer.Option(
            help="aef: folder or https address that holds <year>/<zone>/<name>, if not where the index lies."
        ),
    ] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="Host that an index may lead to beside its own; repeatable."),
    ] = None,
    dtype: Annotated[
        str | None,
        typer.Option(
            help="How vectors are kept: int8 (the published code), float16 or float32; int8 when absent."
        ),
    ] = None,
    dequantise: Annotated[
        str | None,
        typer.Option(help="raster: what integers mean: power (AlphaEarth's code), linear or none."),
    ] = None,
    nodata: Annotated[
        str | None,
        typer.Option(
            help="raster: a number, nan, or none where every pixel has data; as the file declares when absent."
        ),
    ] = None,
    normalise: Annotated[
        bool, typer.Option("--normalise", help="raster: vectors of any length are made of length 1.")
    ] = False,
    resample: Annotated[
        str, typer.Option(help="Where pixels are not ours: nearest, or mean of smaller pixels.")
    ] = "nearest",
    licence: Annotated[
        str | None, typer.Option(help="raster: licence and attribution in one line, kept with every field.")
    ] = None,
    skip_unreadable: Annotated[
        bool, typer.Option("--skip-unreadable", help="Make tiles without files that cannot be read.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what is there instead of adding to it.")
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Keep embeddings that others published as fields, so that index, search, cluster and change work on them.

    Pixels are copied unchanged where their grid is ours (10 m, UTM). Names are kept apart: vectors of different
    models cannot be compared. What is there already is not read again, so the same command goes on after a stop.

    Examples:

    earthfield field import aef aef_index.parquet --base https://data.source.coop/tge-labs/aef/v1/annual
    --period 2023 --period 2024 --bbox 4.85 52.05 4.95 52.15

    earthfield field import betaearth outputs/bavarian_forest --dtype float32

    earthfield field import raster tessera/*.tif --name tessera-v1 --period 2024 --normalise --nodata nan

    Then: earthfield index --model aef-v1; earthfield search --model aef-v1 --at 4.90 52.10
    """
    from earthfield.errors import InvalidInput
    from earthfield.schemas import checked_request
    from earthfield_infer.importing.jobs import import_fields as run
    from earthfield_infer.importing.request import KINDS, ImportRequest

    if kind not in KINDS:
        raise InvalidInput(f"{kind!r} is not a kind of import: name {', '.join(KINDS)} first, then the files")
    request = checked_request(
        ImportRequest, root=root_or_default(root), kind=kind, origins=tuple(origins), periods=tuple(period or ()),
        bbox=bbox, aoi=aoi, name=name, base=base, allow=tuple(allow or ()), dtype=dtype, dequantise=dequantise,
        nodata=nodata, normalise=normalise, resample=resample, licence=licence, skip_unreadable=skip_unreadable,
        overwrite=overwrite,
    )  # fmt: skip
    with bars() as progress:
        report = run(request, progress=progress)
    if json:
        show_json(report)
    else:
        _show(report)
    report.check_complete(skipped=skip_unreadable)


def _show(report: ImportReport) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("tile", "period", "pixels", "written", "s", title=f"Fields of {report.model}")
    for one in report.fields:
        told = one.absent or ("yes" if one.written else "was there")
        table.add_row(one.tile, one.period, f"{one.pixels:,}", told, f"{one.seconds:.1f}")
    console.print(table)
    rows = f", from an index of {report.rows:,} rows" if report.rows else ""
    console.print(
        f"{report.found} files found{rows}; {report.used} gave vectors, {len(report.left_out)} did not, "
        f"{len({one.file for one in report.failed})} could not be read; {report.bytes / 1e6:.1f} MB in "
        f"{report.seconds:.1f} s",
        soft_wrap=True, highlight=False,
    )  # fmt: skip
    for left in [*report.failed, *report.left_out][:_SHOWN]:
        console.print(f"left out: {left.file}: {left.why}", markup=False, soft_wrap=True, highlight=False)
    if len(report.failed) + len(report.left_out) > _SHOWN:
        console.print(f"and {len(report.failed) + len(report.left_out) - _SHOWN} more (--json names all)")
    if report.licence:
        console.print(report.licence, markup=False, soft_wrap=True, highlight=False)
