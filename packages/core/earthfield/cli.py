"""The `earthfield` command: subcommands found by entry points, errors told in one sentence."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperCommand, TyperGroup

from earthfield.errors import EarthfieldError
from earthfield.log import set_up

GROUPS = {
    "Main job": ("map",),
    "Use the result": (
        "search",
        "cluster",
        "classify",
        "regress",
        "change",
        "timeline",
        "labels",
        "evaluate",
    ),
    "Step by step": (
        "simulate",
        "sources",
        "ingest",
        "cube",
        "texts",
        "train",
        "model",
        "embed",
        "field",
        "index",
    ),
    "Run as a service": ("serve", "keys", "schedule", "up", "down"),
}
"""Headings of `earthfield --help`; the order is that of a newcomer's questions."""

EXTRAS = {
    "earthfield_ingest": "ingest",
    "earthfield_train": "train",
    "earthfield_infer": "infer",
    "earthfield_search": "search",
    "earthfield_flows": "all",
}
"""Which extra of the distribution carries a package."""

_HELP = """Embedding fields from satellite archives, on your own machine.

Scenes become 5-day aligned cubes, a trained encoder turns them into a 64-number unit vector for every
10 m pixel and any period, and those vectors answer what looks alike, what belongs together, what changed.

\b
  earthfield simulate landscape                      a simulated landscape to try things on
  earthfield map --catalog landscape --period 2023   scenes to a searchable map, in one go
  earthfield search --at 4.90 52.10 -k 20            what looks like this place?
  earthfield cluster -k 5                            what belongs together?
  earthfield change --periods 2022 2023              what has changed?

Artefacts lie under ./earthfield-data, or where --root or EARTHFIELD_ROOT says.
"""


class _Commands(TyperGroup):
    """Loads a subcommand only when it is called or its help is shown."""

    points = "earthfield.commands"
    """Group of the entry points that declare them."""

    def list_commands(self, ctx: Any) -> list[str]:
        known = [name for names in GROUPS.values() for name in names]
        there = _points(self.points)
        return [name for name in known if name in there] + sorted(set(there) - set(known))

    def get_command(self, ctx: Any, cmd_name: str) -> TyperCommand | TyperGroup | None:
        point = _points(self.points).get(cmd_name)
        if point is None:
            return None
        try:
            found = point.load()
        except ModuleNotFoundError as error:
            found = _missing(cmd_name, point, str(error.name))
        command = _as_command(cmd_name, found)
        command.rich_help_panel = next(
            (title for title, names in GROUPS.items() if cmd_name in names), "More"
        )
        return command


class _Services(_Commands):
    """The same for what `earthfield serve` runs."""

    points = "earthfield.services"


def _points(group: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=group)}


def _as_command(name: str, found: Any) -> TyperCommand | TyperGroup:
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False, rich_markup_mode="rich")
        settings = getattr(found, "context_settings", None)
        alone.command(name=name, context_settings=settings)(found)
        found = alone
    command = typer.main.get_command(found)
    command.name = name
    return command  # type: ignore[return-value]


def _missing(name: str, point: EntryPoint, module: str) -> Callable[..., None]:
    """Stands in for a command whose extra is not installed."""
    extra = EXTRAS.get(point.module.partition(".")[0], "all")

    def tell() -> None:
        raise EarthfieldError(
            f"`earthfield {name}` needs {module}, which is not installed: pip install 'earthfield[{extra}]'"
        )

    tell.__doc__ = f"Needs pip install 'earthfield[{extra}]'."
    tell.context_settings = {"ignore_unknown_options": True, "allow_extra_args": True}  # type: ignore[attr-defined]
    return tell


app = typer.Typer(
    cls=_Commands, help=_HELP, no_args_is_help=True, add_completion=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]}, pretty_exceptions_enable=False,
)  # fmt: skip


serve = typer.Typer(
    cls=_Services, help="Run a service until it is stopped.", no_args_is_help=True, add_completion=False,
    rich_markup_mode="rich", pretty_exceptions_enable=False,
)  # fmt: skip


@serve.callback()
def _serve() -> None:
    pass


def _show_version(asked: bool) -> None:
    if asked:
        print(f"earthfield {version('earthfield')}")
        raise typer.Exit


@app.callback()
def _edge(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each job on stderr.")] = False,
    shown_version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    set_up(verbose=verbose)


def main() -> None:
    """Runs the command and exits: 0 done, 2 wrong input, 3 not found, 4 unavailable, 1 our fault."""
    # What a command imports stays to its end: by default a tenth of its time goes into looking for garbage there.
    gc.set_threshold(10_000, 10, 10)
    sys.exit(exit_code_of(lambda: app(standalone_mode=False)))


def exit_code_of(command: Callable[[], Any]) -> int:
    """Runs a command and turns its errors into one sentence on stderr and an exit code."""
    try:
        given = command()
        return given if isinstance(given, int) else 0
    except EarthfieldError as error:
        _tell(str(error))
        return error.exit_code
    except typer.TyperException as error:
        error.show()  # type: ignore[attr-defined]
        return 2
    except (KeyboardInterrupt, typer.Abort):
        _tell("stopped; run the same command again to go on from here")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _tell(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True).print(
        f"[bold red]earthfield:[/] {escape(sentence)}", highlight=False
    )
