"""The command `earthfield simulate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

_EXAMPLES = """\
Write a simulated landscape into DIRECTORY: a static STAC catalogue with Sentinel-2, Sentinel-1, Landsat and
elevation, the truth it was made from, and short texts. The same options always give the same bytes; an
interrupted run goes on where it stopped.

Examples:

  earthfield simulate demo

  earthfield simulate tropics --size 512 --seed 7 --lon 36.8 --lat -3.6

  earthfield simulate strip --size 1024x256 --years 3 --cloudiness 0.7

  earthfield simulate training --landscapes 60 --seed 1
"""


def simulate(
    directory: Annotated[
        Path, typer.Argument(help="Folder to write into: empty, new, or an earlier run of the same.")
    ],
    size: Annotated[str, typer.Option(help="Size in 10 m pixels: one side, or WIDTHxHEIGHT.")] = "256",
    seed: Annotated[int, typer.Option(help="Draws climate, land and weather.")] = 0,
    lon: Annotated[
        float | None, typer.Option(help="Longitude of the centre, degrees east [4.9162].", show_default=False)
    ] = None,
    lat: Annotated[
        float | None,
        typer.Option(
            help="Latitude of the centre, degrees north; sets the climate [52.1707].", show_default=False
        ),
    ] = None,
    start_year: Annotated[
        int | None, typer.Option(help="First calendar year [2022].", show_default=False)
    ] = None,
    years: Annotated[int, typer.Option(help="Number of years, 2 to 12.")] = 2,
    cloudiness: Annotated[
        float | None,
        typer.Option(
            help="0 hardly a cloud, 0.5 usual for the climate, 1 overcast [0.5].", show_default=False
        ),
    ] = None,
    faults: Annotated[
        float | None,
        typer.Option(
            help="0 every scene arrives; towards 1 frames, spans, bands, orbits and sensors are missing [0].",
            show_default=False,
        ),
    ] = None,
    landscapes: Annotated[
        int,
        typer.Option(
            help="Write so many landscapes, each into a folder of its own; place, year, clouds and faults "
            "are drawn from the seed unless they are given.",
            min=0,
        ),
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON report on stdout.")] = False,
) -> None:
    """Write a simulated landscape (replaced by the examples below)."""
    from earthfield.simulate import Landscape
    from earthfield.simulate import simulate as write

    given = {
        name: value
        for name, value in (
            ("lon", lon),
            ("lat", lat),
            ("start_year", start_year),
            ("cloudiness", cloudiness),
            ("faults", faults),
        )
        if value is not None
    }
    if landscapes:
        _many(directory, landscapes, seed, size, years, given, as_json)
        return
    spec = Landscape(seed=seed, size_px=_size(size), years=years, **given)  # type: ignore[arg-type]
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


def _many(
    directory: Path, num: int, seed: int, size: str, years: int, given: dict[str, Any], as_json: bool
) -> None:
    """Write a set of landscapes and say what each is."""
    from earthfield.simulate import LandscapeSet, simulate_set
    from earthfield.simulate.many import Member

    spec = LandscapeSet(num=num, seed=seed, size_px=_size(size), years=years, **given)
    with _Bar() as bar:

        def show(done: int, total: int, member: Member) -> None:
            bar.show(done, total, f"{member.name} {member.style}")

        report = simulate_set(directory, spec, progress=show)
    if as_json:
        import json

        typer.echo(json.dumps(report.to_dict()))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("landscape", "region", "lon", "lat", "years", "land", "clouds", "faults", "scenes")
    for one in report.members:
        land = one.landscape
        last = land["start_year"] + land["years"] - 1
        numbers = (f"{land['lon']:.2f}", f"{land['lat']:.2f}", f"{land['start_year']}-{last}")
        scenes = " ".join(f"{count}" for count in one.num_scenes.values())
        table.add_row(
            one.name,
            one.region,
            *numbers,
            one.style,
            f"{land['cloudiness']:.2f}",
            f"{land['faults']:.2f}",
            scenes,
        )
    Console().print(table)
    typer.echo(
        f"{report.directory}: {len(report.members)} landscapes, {report.num_bytes / 1e6:.1f} MB, "
        f"{report.seconds:.1f} s"
    )


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
