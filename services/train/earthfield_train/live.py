"""What a person sees while a model trains: a live table on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from earthfield.progress import Progress
from earthfield_train.journal import Row, Watch
from earthfield_train.pictures import LOSSES

_LINE_EVERY_S = 60.0
"""Seconds between lines where there is no terminal."""
_MEMORY = 0.95
"""Of the running means: about the last twenty steps."""


class Screen:
    """Running figures of a run."""

    def __init__(self, steps: int) -> None:
        """Args: steps of the whole run."""
        self._steps, self._done = steps, 0
        self._first: Row = {}
        self._mean: Row = {}
        self._health: Row = {}

    def take(self, step: int, row: Row) -> None:
        """Takes the figures of a step in."""
        self._done = step
        self._health |= {name[7:]: value for name, value in row.items() if name.startswith("health/")}
        for name, value in row.items():
            if not name.startswith("health/"):
                self._first.setdefault(name, value)
                self._mean[name] = _MEMORY * self._mean.get(name, value) + (1 - _MEMORY) * value

    def line(self) -> str:
        """Gives it all on one line."""
        losses = "  ".join(f"{name} {self._mean[name]:.4f}" for name in LOSSES if name in self._mean)
        health = "  ".join(f"{name} {value:.3f}" for name, value in self._health.items())
        speed = f"{self._mean.get('samples_per_second', 0):.1f} samples/s, {self._left()} left"
        return f"step {self._done}/{self._steps}  {losses}  {speed}" + (f"  | {health}" if health else "")

    def table(self) -> Table:
        """Gives it all as a table."""
        table = Table(
            "figure", "first", "now", title=f"step {self._done} of {self._steps}", title_justify="left"
        )
        shown = [name for name in (*LOSSES, *self._mean) if name in self._mean]
        for name in dict.fromkeys(
            name for name in shown if name in LOSSES or name.startswith(("l1/", "ce/"))
        ):
            table.add_row(name, f"{self._first[name]:.4f}", f"{self._mean[name]:.4f}")
        table.add_section()
        for name, value in self._health.items():
            table.add_row(name.replace("_", " "), "", f"{value:.3f}")
        table.add_section()
        for name, text in (("gradient", "{:.2f}"), ("rate", "{:.1e}"), ("samples_per_second", "{:.1f}")):
            if name in self._mean:
                table.add_row(name.replace("_per_", "/"), "", text.format(self._mean[name]))
        table.add_row("time left", "", self._left())
        table.add_row("", "", ProgressBar(total=self._steps, completed=self._done, width=20))
        return table

    def _left(self) -> str:
        seconds = round((self._steps - self._done) * self._mean.get("seconds", 0.0))
        hours, rest = divmod(seconds, 3600)
        days, hours = divmod(hours, 24)
        return (f"{days} d " if days else "") + f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


@contextmanager
def watching(steps: int, console: Console | None = None) -> Iterator[tuple[Watch, Progress]]:
    """Gives what shows the steps, and what comes before them: live on a terminal, as lines elsewhere.

    Args:
        steps: steps of the whole run.
        console: where to show; stderr when absent.
    """
    console = console or Console(stderr=True)
    screen = Screen(steps)
    shown = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
    told_s = time.monotonic()

    def watch(step: int, row: Row) -> None:
        nonlocal told_s
        screen.take(step, row)
        if shown is not None:
            shown.update(screen.table())
        has_health = any(name.startswith("health/") for name in row)
        if has_health or (shown is None and time.monotonic() - told_s > _LINE_EVERY_S):
            told_s = time.monotonic()
            console.print(screen.line(), soft_wrap=True, highlight=False)

    def progress(task: str, done: int, total: int) -> None:
        nonlocal told_s
        if shown is not None:
            table = Table.grid(padding=(0, 1))
            table.add_row(
                f"{task}, batch {done} of {total}", ProgressBar(total=total, completed=done, width=20)
            )
            shown.update(table)
        elif time.monotonic() - told_s > _LINE_EVERY_S:
            told_s = time.monotonic()
            console.print(f"{task}: {done} of {total} batches", highlight=False)

    with shown or nullcontext():
        yield watch, progress
