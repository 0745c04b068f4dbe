"""Commands `earthfield up` and `earthfield down`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, RootOption, bars, root_or_default, show_json

if TYPE_CHECKING:
    from earthfield_flows.stack import Stack
    from earthfield_flows.status import Status


def up(
    catalog: Annotated[
        str | None,
        typer.Option(
            "--catalog", help="STAC catalogue that the dashboard offers first [EARTHFIELD_CATALOG]."
        ),
    ] = None,
    port_base: Annotated[
        int | None,
        typer.Option(
            "--port-base",
            min=1024,
            max=65530,
            help="First of six ports: dashboard, search, Prefect, and three of the encoder [8800].",
        ),
    ] = None,
    encoder: Annotated[
        bool | None,
        typer.Option(
            "--encoder/--no-encoder",
            help="Run an encoder (Triton) that all runs ask, or have each run encode in its own process "
            "[where `earthfield serve encoder --install` has put one].",
        ),
    ] = None,
    status: Annotated[
        bool,
        typer.Option("--status", help="Start nothing: tell which parts answer. Status 4 if one does not."),
    ] = False,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Start Prefect, the flows, the search service, the encoder and the dashboard on this machine.

    They go on when the command ends; `earthfield down` ends them. Logs lie in ROOT/run. Where a part has died the
    same command starts it again, and the runs that were lost with it.
    """
    folder = root_or_default(root)
    if status:
        _tell_status(folder, json=json)
        return
    from earthfield.settings import Settings
    from earthfield_flows.stack import Ports, has_encoder, start_stack

    settings = Settings()
    with bars() as progress:
        stack = start_stack(
            folder,
            ports=None if port_base is None else Ports.from_base(port_base),
            catalog=settings.catalog if catalog is None else catalog,
            encoder=has_encoder(folder) if encoder is None else encoder,
            progress=progress,
        )
    _show(stack, json=json)


def down(root: RootOption = None, json: JsonOption = False) -> None:
    """End what `earthfield up` started, and nothing else."""
    from earthfield_flows.stack import stop_stack

    folder = root_or_default(root)
    ended = stop_stack(folder)
    if json:
        show_json({"ended": ended})
    else:
        told = f"ended: {', '.join(ended)}" if ended else f"nothing was running under {Path(folder)}"
        typer.echo(told)


def _show(stack: Stack, *, json: bool) -> None:
    names = {one.name for one in stack.services}
    if json:
        services = [{"name": one.name, "address": one.address, "log": one.log} for one in stack.services]
        told = {
            "was_running": stack.was_running,
            "started": stack.started,
            "seconds": round(stack.seconds, 1),
        }
        show_json({"dashboard": stack.dashboard, **told, "services": services})
        return
    from rich.console import Console
    from rich.table import Table

    console = Console()
    is_mended = 0 < len(stack.started) < len(stack.services)
    title = (
        "It was running already" if stack.was_running
        else f"Started again: {', '.join(stack.started)}" if is_mended
        else f"Running, after {stack.seconds:.0f} s"
    )  # fmt: skip
    table = Table("part", "address", "log", title=title)
    for one in stack.services:
        table.add_row(one.name, one.address, one.log)
    console.print(table)
    if "encoder" not in names:
        console.print(
            "Runs encode in their own process; `earthfield serve encoder --help` tells of the other way."
        )
    console.print(f"Open {stack.dashboard} in a browser; `earthfield down` ends everything.")


def _tell_status(folder: Path, *, json: bool) -> None:
    from dataclasses import asdict

    from earthfield.errors import Unavailable
    from earthfield_flows.status import status_of

    found = status_of(folder)
    if json:
        show_json({**asdict(found), "is_well": found.is_well})
    else:
        _show_status(found)
    if not found.is_well:
        raise typer.Exit(Unavailable.exit_code)


def _show_status(found: Status) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("part", "state", "address", "for", "memory", "log")
    for one in found.parts:
        since = f"{one.seconds / 3600:.1f} h" if one.seconds >= 3600 else f"{one.seconds / 60:.0f} min"
        figures = ("", "") if one.pid is None else (since, f"{one.memory_mb:,.0f} MB")
        table.add_row(one.name, one.state, one.address, *figures, one.log)
    if found.parts:
        console.print(table)
    console.print(found.advice)
