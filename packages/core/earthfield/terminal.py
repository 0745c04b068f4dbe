"""What commands show: progress on a terminal's stderr, one JSON report on stdout."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from earthfield.progress import Progress, silent

if TYPE_CHECKING:
    from earthfield.places import Root

RootOption = Annotated[
    str | None,
    typer.Option(
        "--root",
        help="Folder of all artefacts, or s3://bucket/prefix for cubes [EARTHFIELD_ROOT, else ./earthfield-data].",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON report on stdout, nothing else.")]
PeriodsOption = Annotated[
    list[str],
    typer.Option("--period", help="2018, 2018-03, 2018-03..2018-09 or 2018-03-01/2018-09-15; repeatable."),
]
BboxOption = Annotated[
    tuple[float, float, float, float] | None,
    typer.Option("--bbox", metavar="W S E N", help="Area as west, south, east, north in degrees."),
]
AoiOption = Annotated[
    str | None,
    typer.Option(
        "--aoi",
        help="Area as a file (GeoJSON, Shapefile, GeoPackage or path.gpkg:layer), as WKT, "
        "or of OpenStreetMap: osm:relation/54413.",
    ),
]
ModelOption = Annotated[str, typer.Option("--model", help="Name of a model (`earthfield model list`).")]
EncoderOption = Annotated[
    str | None,
    typer.Option(
        "--encoder", help="Address of a server, grpc://host:port; several with commas [in process]."
    ),
]
AgreementOption = Annotated[
    bool,
    typer.Option(
        "--agreement/--no-agreement",
        help="Encode two halves of the frames as well, and tell for each pixel how well they agree.",
    ),
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="How vectors are stored: int8 (as published), float16 or float32.")
]
PrecisionOption = Annotated[
    str,
    typer.Option(
        "--precision", help="In what an encoder in this process computes: float32, or bf16 for GPUs."
    ),
]


def root_or_default(root: str | None) -> Path:
    """Gives the root that was named, or the settings', for commands that need a folder.

    Raises:
        InvalidInput: it is a bucket, or no address that is known.
    """
    from earthfield.places import folder_of

    return folder_of(cube_root_or_default(root))


def cube_root_or_default(root: str | None) -> Root:
    """Gives the root that was named, or the settings', for commands that need cubes only: a bucket will do.

    Raises:
        InvalidInput: no address that is known.
    """
    from earthfield.places import root_of
    from earthfield.settings import Settings

    return root_of(root) if root is not None else Settings().root


@contextmanager
def bars() -> Iterator[Progress]:
    """Gives a progress callable: bars on stderr where that is a terminal, silence elsewhere."""
    if not sys.stderr.isatty():
        yield silent
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as shown:
        known: dict[str, Any] = {}

        def tell(task: str, done: int, total: int) -> None:
            if task not in known:
                known[task] = shown.add_task(task, total=total)
            shown.update(known[task], completed=done, total=total)

        yield tell


def show_json(report: Any) -> None:
    """Prints a report (dataclass or plain content) as one JSON object on stdout."""
    content = report if isinstance(report, dict) else dataclasses.asdict(report)
    sys.stdout.write(json.dumps(content, default=_plain, ensure_ascii=False, indent=1) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | Path):
        return str(value)
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no JSON form")
