"""Commands `earthfield schedule add | list | remove | run`: areas that keep themselves up to date."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from earthfield.terminal import (
    AgreementOption,
    AoiOption,
    BboxOption,
    DtypeOption,
    EncoderOption,
    JsonOption,
    ModelOption,
    RootOption,
    bars,
    root_or_default,
    show_json,
)
from earthfield_flows.options import AllowOption, CoregisterOption, SkipUnreadableOption, SourcesOption

if TYPE_CHECKING:
    from earthfield.catalog import Catalog

schedule = typer.Typer(
    help="Keep areas up to date by themselves: look for new scenes, make again what they change.",
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
)  # fmt: skip

NameArgument = Annotated[str, typer.Argument(help="Name of the schedule.")]


@schedule.command()
def add(
    name: NameArgument,
    catalog: Annotated[
        str,
        typer.Option("--catalog", help="Folder, file or address of a STAC catalogue, or a provider's name."),
    ],
    bbox: BboxOption = None,
    aoi: AoiOption = None,
    period_of: Annotated[
        list[str] | None,
        typer.Option(
            "--period-of", help="Calendar periods that roll on: year, season, month; repeatable [year]."
        ),
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="The first period that belongs to it, such as 2024 or 2025-03.")
    ] = None,
    late_days: Annotated[
        int, typer.Option("--late-days", help="Days after its end that a period may still get late scenes.")
    ] = 30,
    cron: Annotated[str | None, typer.Option(help="When to look for what is new, UTC [0 3 */5 * *].")] = None,
    rebuild_cron: Annotated[
        str | None,
        typer.Option("--rebuild-cron", help="When to look at every period since the first, UTC [0 4 1 * *]."),
    ] = None,
    model: ModelOption = "starter",
    sources: SourcesOption = None,
    skip_unreadable: SkipUnreadableOption = False,
    allow: AllowOption = None,
    coregister: CoregisterOption = False,
    encoder: EncoderOption = None,
    agreement: AgreementOption = True,
    dtype: DtypeOption = "int8",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the schedule of this name.")
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Store what is to be kept up to date. `earthfield up` runs it; it holds at once where that is running already.

    Examples:

    earthfield schedule add polder --catalog landscape --period-of month --since 2023-04

    earthfield schedule add flanders --catalog earth-search --bbox 3.0 50.8 3.1 50.9 --period-of year
    --period-of season --cron "0 3 */5 * *"
    """
    from datetime import UTC

    from earthfield.catalog import Catalog
    from earthfield.schedules import (
        REBUILD_CRON,
        REFRESH_CRON,
        check_cron,
        checked_schedule,
        store_schedule,
    )
    from earthfield_flows.registry import register

    where = Catalog(root_or_default(root).absolute())
    made = checked_schedule(
        name=name, catalog=_lasting(catalog), area=_as_wkt(bbox, aoi), period_of=tuple(period_of or ("year",)),
        since=since, late_days=late_days, cron=check_cron(cron or REFRESH_CRON),
        rebuild_cron=check_cron(rebuild_cron or REBUILD_CRON), model=model, skip_unreadable=skip_unreadable,
        allow=tuple(map(_lasting, allow or ())), coregister=coregister, encoder=encoder, agreement=agreement,
        dtype=dtype, **({"sources": tuple(sources)} if sources else {}),
    )  # fmt: skip
    made.request(where, datetime.now(UTC), whole=True)  # what cannot be asked for is told now, not at night
    is_new = store_schedule(where, made, overwrite=overwrite)
    _say(where, name, {"is_new": is_new}, register(where), json=json)


@schedule.command("list")
def list_all(root: RootOption = None, json: JsonOption = False) -> None:
    """Show every schedule of the root, and what was last new in it."""
    from earthfield.catalog import Catalog

    catalog = Catalog(root_or_default(root).absolute())
    told = [_about(catalog, name) for name in catalog.schedule_names()]
    if json:
        show_json({"schedules": told})
        return
    if not told:
        typer.echo(f"no schedule under {catalog.root}: `earthfield schedule add --help`")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "periods now", "catalog", "model", "cron (UTC)", "last news")
    for one in told:
        news = one["news"]
        when = f"{news['at'][:10]}: {len(news['fields'])} fields" if news else "none yet"
        cron = one["cron"] if one["active"] else f"{one['cron']} (paused)"
        table.add_row(one["name"], ", ".join(one["periods"]), one["catalog"], one["model"], cron, when)
    Console().print(table)


@schedule.command()
def remove(name: NameArgument, root: RootOption = None, json: JsonOption = False) -> None:
    """Forget a schedule; what it made stays."""
    from earthfield.catalog import Catalog
    from earthfield.schedules import forget_schedule
    from earthfield_flows.registry import register

    catalog = Catalog(root_or_default(root).absolute())
    forget_schedule(catalog, name)
    _say(catalog, name, {"removed": True}, register(catalog), json=json)


@schedule.command()
def run(
    name: Annotated[str | None, typer.Argument(help="Name of the schedule; all of them if absent.")] = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Every period since the first, not only those that may still change."),
    ] = False,
    at: Annotated[
        datetime | None,
        typer.Option(help="Day that periods roll to [today].", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]),
    ] = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Do now what a schedule does: ingest, embed and index what is new. Where nothing is, nothing is written.

    Example: earthfield schedule run polder --whole
    """
    from earthfield.schedules import RefreshRequest
    from earthfield.schemas import checked_request
    from earthfield_flows.engine import engine

    request = checked_request(
        RefreshRequest, root=root_or_default(root).absolute(), name=name, at=at, whole=whole
    )
    _ = request.schedules  # a wrong name is told before anything starts
    with engine(), bars() as progress:
        from earthfield_flows.progress import telling
        from earthfield_flows.refresh import refresh_flow

        with telling(progress):
            report = refresh_flow(request.model_dump(mode="json"))
    if json:
        show_json(report)
    else:
        _show(report)


def _lasting(address: str) -> str:
    """Gives the address of a folder or file so that it holds wherever the schedule runs."""
    from pathlib import Path

    path = Path(address).expanduser()
    return str(path.absolute()) if path.exists() else address


def _as_wkt(bbox: tuple[float, float, float, float] | None, aoi: str | None) -> str | None:
    """Gives the area itself: a file or a map's relation may not be there any more when the schedule runs."""
    from earthfield.area import area_from_bbox, area_from_text
    from earthfield.errors import InvalidInput

    if bbox is not None and aoi is not None:
        raise InvalidInput("give --bbox or --aoi, not both")
    if bbox is None and aoi is None:
        return None
    area = area_from_bbox(bbox) if bbox is not None else area_from_text(str(aoi))
    return str(area.wkt)


def _about(catalog: Catalog, name: str) -> dict[str, Any]:
    from datetime import UTC

    from earthfield.schedules import news_of, schedule_named

    own, news = schedule_named(catalog, name), news_of(catalog, name)
    periods = [str(period) for period in own.periods(datetime.now(UTC))]
    return {**own.model_dump(mode="json"), "periods": periods, "news": news}


def _say(catalog: Catalog, name: str, done: dict[str, Any], is_live: bool, *, json: bool) -> None:
    if json:
        show_json({"schedule": name, **done, "path": str(catalog.schedule(name)), "is_live": is_live})
        return
    what = "removed" if "removed" in done else "stored" if done["is_new"] else "was there already"
    then = "it holds from now on" if is_live else "`earthfield up` brings it into force"
    typer.echo(f"{name} {what}; {then}; `earthfield schedule run` does at once what it does by itself")


def _show(report: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("schedule", "periods", title="What was new")
    table.add_column("acquisitions", no_wrap=True)
    for name in ("tiles", "fields", "kept", "cells", "s"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in report["schedules"]:
        new = "\n".join(f"{news['items']:>4} {name}" for name, news in one["sources"].items()) or "nothing"
        table.add_row(
            one["schedule"], "\n".join(one["periods"]), new, str(len(one["ingested"])), str(len(one["fields"])),
            str(one["kept"]), f"{one['cells']:,}", f"{one['seconds']:.1f}",
        )  # fmt: skip
    Console().print(table)
    if not report["schedules"]:
        Console().print("there is no schedule: `earthfield schedule add --help`")
