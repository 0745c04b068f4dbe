"""Commands of the flows: `earthfield map`, `earthfield up`, `earthfield down`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from earthfield.schemas import INPUT_SOURCES
from earthfield.terminal import (
    AgreementOption,
    AoiOption,
    BboxOption,
    DtypeOption,
    EncoderOption,
    JsonOption,
    ModelOption,
    PeriodsOption,
    PrecisionOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)
from earthfield_flows.options import AllowOption, CoregisterOption, SkipUnreadableOption, SourcesOption
from earthfield_flows.stack_cli import down, up

__all__ = ["down", "map_area", "up"]


def map_area(
    catalog: Annotated[
        str,
        typer.Option("--catalog", help="Static STAC catalogue (folder or file) or address of a STAC API."),
    ],
    period: PeriodsOption,
    model: ModelOption = "starter",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    support: Annotated[
        str | None, typer.Option(help="When the inputs were taken, if wider than the period itself.")
    ] = None,
    sources: SourcesOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    allow: AllowOption = None,
    coregister: CoregisterOption = False,
    encoder: EncoderOption = None,
    agreement: AgreementOption = True,
    dtype: DtypeOption = "int8",
    precision: PrecisionOption = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make fields again that are there.")] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Turn scenes into a searchable map: ingest, embed and index, in one go.

    Without --bbox or --aoi it takes all that a static catalogue covers. Running it again does only what is
    missing, so a stopped run goes on where it was.

    Examples:

    earthfield map --catalog landscape --period 2023

    earthfield map --catalog https://planetarycomputer.microsoft.com/api/stac/v1
    --bbox 3.0 50.8 3.1 50.9 --period 2023-04..2023-09
    """
    from earthfield.schemas import MapRequest, checked_request

    request = checked_request(
        MapRequest, root=root_or_default(root).absolute(), catalog=catalog, periods=tuple(period), model=model,
        bbox=bbox, aoi=aoi, support=support, sources=tuple(sources or INPUT_SOURCES),
        skip_unreadable=skip_unreadable, allow=tuple(allow or ()), coregister=coregister,
        encoder=encoder, agreement=agreement, dtype=dtype, precision=precision, overwrite=overwrite,
    )  # fmt: skip
    from earthfield_flows.checking import check, planned
    from earthfield_flows.engine import engine

    with bars() as progress:
        plan = check(request, progress=progress)
    with engine(), bars() as progress:
        from earthfield_flows.map import map_flow
        from earthfield_flows.progress import telling

        with telling(progress), planned(plan):
            report = map_flow(request.model_dump(mode="json"))
    if json:
        show_json(report)
    else:
        _show(report)


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    scenes = Table("source", "found", "used", "dropped", "read now", "5-day steps", "clear", title="Scenes")
    for name, one in report["ingest"]["sources"].items():
        dropped = "\n".join(f"{count} {reason}" for reason, count in one["dropped"].items()) or "0"
        scenes.add_row(
            name, str(one["found"]), str(one["used"]), dropped, str(one["read"]), str(one["steps"]),
            f"{one['clear_share']:.0%}",
        )  # fmt: skip
    fields = Table("tile", "period", "pixels", "frames", "", "folder", title="Fields")
    for one in report["embed"]["fields"]:
        told = one["absent"] or ("written" if one["written"] else "was there")
        frames = str(sum(one["frames"].values()))
        fields.add_row(one["tile"], one["period"], f"{one['pixels']:,}", frames, told, one["path"])
    console.print(scenes, fields)
    for line in report["ingest"]["unreadable"]:
        console.print(f"left out: {line}", markup=False)
    index = report["index"]
    console.print(f"{index['cells']:,} cells in {index['table']}, {index['written']:,} written now")
    console.print(f"done in {report['seconds']:.1f} s")
