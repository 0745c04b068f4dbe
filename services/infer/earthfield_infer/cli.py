"""Command of the infer service: `earthfield embed`; `earthfield model` has a room of its own."""

from __future__ import annotations

from typing import Annotated

import typer

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


def embed(
    period: PeriodsOption,
    model: ModelOption = "starter",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    support: Annotated[
        str | None, typer.Option(help="When the inputs were taken, if wider than the period itself.")
    ] = None,
    encoder: EncoderOption = None,
    agreement: AgreementOption = True,
    dtype: DtypeOption = "int8",
    precision: PrecisionOption = "float32",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make fields again that are there.")] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Turn cubes into embedding fields.

    Without --bbox or --aoi it takes all that was ingested. What is there already is not made again.

    Several GPUs share the work; EARTHFIELD_DEVICES names others, such as cuda:0,cuda:1 or cpu.

    Example: earthfield embed --period 2018-04 --period 2018-05 --support 2018
    """
    from earthfield.schemas import EmbedRequest, checked_request
    from earthfield_infer.jobs import embed as run

    request = checked_request(
        EmbedRequest, root=root_or_default(root), periods=tuple(period), model=model, bbox=bbox, aoi=aoi,
        support=support, encoder=encoder, agreement=agreement, dtype=dtype, precision=precision,
        overwrite=overwrite,
    )  # fmt: skip
    with bars() as progress:
        report = run(request, progress=progress)
    if json:
        show_json(report)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("tile", "period", "pixels", "frames", "written", "s", title=f"Fields of {model}")
    for one in report.fields:
        frames = " ".join(f"{name}:{count}" for name, count in one.frames.items())
        told = one.absent or ("yes" if one.written else "was there")
        table.add_row(one.tile, one.period, f"{one.pixels:,}", frames, told, f"{one.seconds:.1f}")
    if report.km2:
        table.caption = (
            f"{report.km2:.2f} km2 in {report.seconds:.1f} s: {report.seconds / report.km2:.2f} s/km2"
        )
    Console().print(table)
