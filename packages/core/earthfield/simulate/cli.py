"""The command `earthfield simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_EXAMPLES = """\
Write a simulated landscape into DIRECTORY: a static STAC catalogue with Sentinel-2, Sentinel-1, Landsat and
elevation, the truth it was made from, and short texts. The same options always give the same bytes; an
interrupted run goes on where it stopped.

Examples:

  earthfield simulate demo

  earthfield simulate tropics --size 512 --seed 7 --lon 36.8 --lat -3.6

  earthfield simulate strip --size 1024x256 --years 3 --cloudiness 0.7
"""


def simulate(
    directory: Annotated[
        Path, typer.Argument(help="Folder to write into: empty, new, or an earlier run of the same.")
    ],
    size: Annotated[str, typer.Option(help="Size in 10 m pixels: one side, or WIDTHxHEIGHT.")] = "256",
    seed: Annotated[int, typer.Option(help="Draws climate, land and weather.")] = 0,
    lon: Annotated[float, typer.Option(help="Longitude of the centre, degrees east.")] = 4.897,
    lat: Annotated[
        float, typer.Option(help="Latitude of the centre, degrees north; sets the climate.")
    ] = 52.1595,
    start_year: Annotated[int, typer.Option(help="First calendar year.")] = 2022,
    years: Annotated[int, typer.Option(help="Number of years, 2 to 12.")] = 2,
    cloudiness: Annotated[
        float, typer.Option(help="0 hardly a cloud, 0.5 usual for the climate, 1 overcast.")
    ] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON report on stdout.")] = False,
) -> None:
    """Write a simulated landscape (replaced by the examples below)."""
    from earthfield.simulate import Landscape
    from earthfield.simulate import simulate as write

    spec = Landscape(
        seed=seed,
        size_px=_size(size),
        lon=lon,
        lat=lat,
        start_year=start_year,
        years=years,
        cloudiness=cloudiness,
    )
    with _Bar() as bar:
        report = write(directory, spec, progress=bar.show)
    if as_json:
        import json

        typer.echo(json.dumps(report.to_dict()))
        return
    kinds = ", ".join(f"{num} {name}" for name, num in report.num_scenes.items())
    if report.num_written == 0:
        typer.echo(f"{report.directory} was finished already ({kinds}); nothing written.")
        return
    typer.echo(f"{report.directory}: {report.style}; {kinds}")
    typer.echo(f"{report.num_files} files, {report.num_bytes / 1e6:.1f} MB, {report.seconds:.1f} s")


simulate.__doc__ = _EXAMPLES


def _size(text: str) -> tuple[int, int]:
    """Width and height of `256` or `1024x256`."""
    from earthfield.errors import InvalidInput

    parts = text.lower().replace(",", "x").replace(" ", "x").split("x")
    if len(parts) not in (1, 2) or not all(part.isdigit() for part in parts):
        raise InvalidInput(
            f"--size {text!r} is not a size; write one number (256) or WIDTHxHEIGHT (1024x256)."
        )
    return int(parts[0]), int(parts[-1])


class _Bar:
    """A progress bar on stderr where that is a terminal, else silence."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task("simulating", total=None)

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int, what: str) -> None:
        """Move the bar."""
        self._progress.update(self._task, completed=done, total=total, description=what)
