"""Commands of the infer service: `earthfield embed` and `earthfield model`."""

from __future__ import annotations

from typing import Annotated

import typer

from earthfield.terminal import (
    AoiOption,
    BboxOption,
    JsonOption,
    ModelOption,
    PeriodsOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)

model = typer.Typer(help="List the models at hand, or show one.", no_args_is_help=True)


def embed(
    period: PeriodsOption,
    model: ModelOption = "starter",
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    support: Annotated[
        str | None, typer.Option(help="When the inputs were taken, if wider than the period itself.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="Address of an encoder [in process].")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make fields again that are there.")] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Turn cubes into embedding fields.

    Without --bbox or --aoi it takes all that was ingested. What is there already is not made again.

    Example: earthfield embed --period 2018-04 --period 2018-05 --support 2018
    """
    from earthfield.schemas import EmbedRequest, checked_request
    from earthfield_infer.jobs import embed as run

    request = checked_request(
        EmbedRequest, root=root_or_default(root), periods=tuple(period), model=model, bbox=bbox, aoi=aoi,
        support=support, encoder=encoder, overwrite=overwrite,
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
    Console().print(table)


@model.command("list")
def list_models(root: RootOption = None, json: JsonOption = False) -> None:
    """List the models under the root and the ones that come with Earthfield."""
    from earthfield.catalog import Catalog
    from earthfield_model.encoder import model_folder, model_names

    catalog = Catalog(root_or_default(root))
    found = {name: str(model_folder(name, catalog)) for name in model_names(catalog)}
    if json:
        show_json(found)
        return
    for name, path in found.items():
        print(f"{name:20s} {path}")


@model.command("show")
def show_model(name: str, root: RootOption = None) -> None:
    """Print a model's card."""
    from earthfield.catalog import Catalog
    from earthfield_model.encoder import model_folder

    print((model_folder(name, Catalog(root_or_default(root))) / "card.md").read_text())
