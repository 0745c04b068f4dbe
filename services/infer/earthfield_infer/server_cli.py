"""Command: `earthfield serve encoder`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from earthfield.terminal import JsonOption, show_json

if TYPE_CHECKING:
    from earthfield_infer.server import ServerReport


def encoder(
    repository: Annotated[
        Path, typer.Argument(metavar="DIR", help="Model repository that `model export --triton DIR` wrote.")
    ],
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the encoder (gRPC).")] = 8001,
    http_port: Annotated[
        int, typer.Option("--http-port", min=1, max=65535, help="Port for health and loading.")
    ] = 8000,
    metrics_port: Annotated[
        int, typer.Option("--metrics-port", min=1, max=65535, help="Port that Prometheus asks.")
    ] = 8002,
    log: Annotated[Path | None, typer.Option("--log", help="File for everything the server says.")] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Fetch tritonserver with pip first, if it is not there yet.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Serve encoders with NVIDIA Triton until stopped; `earthfield embed --encoder` then computes there.

    Example: earthfield serve encoder triton-models --install
    """
    from earthfield_infer.server import ServerOptions, serve
    from earthfield_infer.serving.install import install_server

    if install:
        install_server()
    options = ServerOptions(host, port, http_port, metrics_port, log)
    serve(repository, options, ready=show_json_now if json else _tell)


def show_json_now(report: ServerReport) -> None:
    """Prints the report at once, for those who wait for it on a pipe."""
    import sys

    show_json(report)
    sys.stdout.flush()


def _tell(report: ServerReport) -> None:
    from rich.console import Console

    console = Console(soft_wrap=True, highlight=False)
    console.print(f"{', '.join(report.models)}: ready at --encoder {report.encoder}")
    console.print(f"health and loading {report.http}, metrics {report.metrics}, log {report.log}")
    console.print("Ctrl-C ends it")
