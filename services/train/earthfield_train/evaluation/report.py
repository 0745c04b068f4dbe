"""Reports: what an evaluation found, and how far a field is ahead of the best classical description."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from earthfield_analysis.fewshot import PAPER_MARGINS, Score
from earthfield_analysis.probes import Probe
from earthfield_analysis.protocol import Protocol

Kind = Literal["field", "classical", "coordinates"]


@dataclass
class ClassReport:
    """One class that was told apart from the others."""

    code: int
    """Its code."""
    name: str
    """What the labels call it."""
    pixels: int
    """Labelled pixels that were used."""


@dataclass
class ShotsReport:
    """How many labels were drawn."""

    shots: str
    """As asked for: `1`, `10`, `max`."""
    labels: int
    """Labels per class that this stands for."""
    mean: float
    """Labels per class that were drawn, mean over splits: folds that hold most of a class leave fewer outside."""
    fewest: int
    """The same, the smallest of all splits."""


@dataclass
class Margin:
    """A field beside the best classical description, each with its better probe."""

    field: str
    """Name of the field."""
    shots: str
    """Labels per class."""
    accuracy: float
    """Balanced accuracy of the field's better probe."""
    rival: str
    """The best classical description."""
    rival_probe: Probe
    """Its better probe."""
    rival_accuracy: float
    """Its balanced accuracy."""
    error_reduction: float
    """1 - error of the field / error of the rival; negative where the field is worse."""
    paper: float | None
    """What AlphaEarth reports for it over its next best; None where it reports none."""


@dataclass
class EvaluateReport:
    """What an evaluation found."""

    models: list[str]
    """The models whose fields were scored."""
    period: str
    """The valid period."""
    labels: str
    """The labels' file."""
    protocol: Protocol
    """How pixels were split: `block`, `parcels` or `random`."""
    rules: dict[str, float | int | str]
    """Every number of the protocol."""
    classes: list[ClassReport]
    """Classes that were scored."""
    left_out: dict[str, str]
    """Classes that cannot be drawn and held out, with the reason."""
    shots: list[ShotsReport]
    """Labels per class."""
    splits: int
    """Draws x folds."""
    partial_splits: int
    """Splits whose test lacks a class, as it lies in fewer blocks than there are folds; the others are averaged."""
    test_px: float
    """Mean number of test pixels in a split."""
    chance: float
    """Balanced accuracy of guessing."""
    place_px: int
    """Pixels of the place, labelled or not: they set the scale of every feature."""
    dropped_px: int
    """Labelled pixels left out because some description has no data there, or to keep to the limit."""
    features: dict[str, int]
    """Numbers per pixel of each description."""
    kinds: dict[str, Kind]
    """Whether a description is a field, made from observations without a model, or coordinates alone."""
    scores: list[Score]
    """Balanced accuracy of each description, number of labels and probe."""
    margins: list[Margin]
    """Each field beside the best classical description."""
    warnings: list[str] = field(default_factory=list)
    """What must be said beside these figures."""
    report: str = ""
    """Address of this report as JSON."""
    picture: str = ""
    """Address of the picture."""
    seconds: float = 0.0
    """Wall time."""
    notes: list[str] = field(default_factory=list)
    """How probes and scaling work, for whoever reads the file alone."""


def margins_of(scores: Sequence[Score], kinds: dict[str, Kind]) -> list[Margin]:
    """Compares each field with the best classical description at each n, both with their better probe."""
    found = []
    for name in (one for one, kind in kinds.items() if kind == "field"):
        for shots in dict.fromkeys(one.shots for one in scores):
            here = [one for one in scores if one.shots == shots]
            rivals = [one for one in here if kinds[one.features] == "classical"]
            if not rivals:
                continue
            best = max(rivals, key=lambda one: one.mean)
            own = max(one.mean for one in here if one.features == name)
            reduction = 1 - (1 - own) / (1 - best.mean) if best.mean < 1 else float("nan")
            found.append(
                Margin(
                    name,
                    shots,
                    own,
                    best.features,
                    best.probe,
                    best.mean,
                    reduction,
                    PAPER_MARGINS.get(shots),
                )
            )
    return found


def places_apart(scores: Sequence[Score], kinds: dict[str, Kind]) -> str:
    """Warns where coordinates alone beat every classical description, or gives an empty text."""
    numbers = []
    for shots in dict.fromkeys(one.shots for one in scores):
        best = {
            kind: max(
                (one.mean for one in scores if one.shots == shots and kinds[one.features] == kind),
                default=0.0,
            )
            for kind in ("classical", "coordinates")
        }
        if best["coordinates"] > best["classical"] > 0:
            numbers.append(shots)
    if not numbers:
        return ""
    return (
        f"coordinates alone beat every classical description at n = {', '.join(numbers)}: the classes of this "
        "place lie apart, so its figures say little about what the land looks like"
    )
