"""Runs in plain words: their states, what they make, how long, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from earthfield_dashboard.runs import Run

OPEN = ("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED")
"""States of runs that are not over."""
BAD = ("FAILED", "CRASHED")
"""States of runs that did not do what they were asked for."""


class State(NamedTuple):
    """How a state is shown: never by colour alone."""

    word: str
    """In words."""
    colour: str
    """Colour of its badge."""
    icon: str
    """Its sign."""


STATES = {
    "SCHEDULED": State("waiting", "gray", ":material/schedule:"),
    "PENDING": State("starting", "gray", ":material/schedule:"),
    "RUNNING": State("running", "blue", ":material/autorenew:"),
    "COMPLETED": State("done", "green", ":material/check_circle:"),
    "FAILED": State("failed", "red", ":material/error:"),
    "CRASHED": State("crashed", "red", ":material/power_off:"),
    "CANCELLING": State("being cancelled", "orange", ":material/cancel:"),
    "CANCELLED": State("cancelled", "orange", ":material/cancel:"),
    "PAUSED": State("paused", "gray", ":material/pause:"),
}
FLOWS = {
    "map": "Make a map",
    "refresh": "Look for new scenes",
    "ingest": "Read scenes",
    "embed": "Encode",
    "index": "Index",
    "train": "Train a model",
    "evaluate": "Evaluate",
}


def state_of(run: Run) -> State:
    """Gives how the state of a run is shown."""
    return STATES.get(run.state, State(run.state.lower(), "gray", ":material/help:"))


def title_of(run: Run) -> str:
    """Says what a run makes, in some words."""
    request = run.request
    if run.flow == "refresh":
        which = request.get("name") or "all schedules"
        return f"{FLOWS['refresh']}: {which}{', every period' if request.get('whole') else ''}"
    periods = request.get("periods") or [request.get("period")]
    about = [request.get("name"), *periods, request.get("model")]
    told = ", ".join(str(one) for one in about if one)
    return f"{FLOWS.get(run.flow, run.flow or 'Run')}{': ' if told else ''}{told}"


def when(instant: datetime | None) -> str:
    """Says when something was or will be, to the minute."""
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if instant else "not yet"


def duration(seconds: float) -> str:
    """Says how long something took."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def reason(message: str) -> str:
    """Leaves out what Prefect puts before the sentence of our own error."""
    _, _, text = message.partition("exception: ")
    kind, colon, sentence = text.partition(": ")
    told = sentence if colon and kind.isidentifier() else message
    return f"{told[:1].upper()}{told[1:]}"
