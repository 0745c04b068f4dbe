"""Commands `earthfield up` and `earthfield down`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from earthfield.terminal import JsonOption, RootOption, bars, root_or_default, show_json


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
            max=65533,
            help="First of three ports: dashboard, search, Prefect [8800].",
        ),
    ] = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Start Prefect, the flows, the search service and the dashboard on this machine.

    They go on when the command ends; `earthfield down` ends them. Logs lie in ROOT/run.
    """
    from earthfield.settings import Settings
    from earthfield_flows.stack import Ports, start_stack

    settings = Settings()
    with bars() as progress:
        stack = start_stack(
            root_or_default(root),
            ports=Ports.of(settings) if port_base is None else Ports.from_base(port_base),
            catalog=settings.catalog if catalog is None else catalog,
            progress=progress,
        )
    services = [{"name": one.name, "address": one.address, "log": one.log} for one in stack.services]
    if json:
        show_json({"dashboard": stack.dashboard, "was_running": stack.was_running, "services": services})
    else:
        _show(stack.dashboard, stack.was_running, services)


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


def _show(dashboard: str, was_running: bool, services: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    table = Table("part", "address", "log", title="It was running already" if was_running else "Running")
    for one in services:
        table.add_row(one["name"], one["address"], one["log"])
    console.print(table)
    console.print(f"Open {dashboard} in a browser; `earthfield down` ends everything.")
