"""Reports: what an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Split = Literal["parcels", "blocks"]


@dataclass
class SplitReport:
    """Scores under one way of splitting."""

    split: Split
    """`parcels`: whole connected areas of a label are held out; `blocks`: squares are."""
    classes: list[int]
    """Classes that were scored."""
    left_out: dict[str, str]
    """Classes that the split has too few pixels or groups of, with the reason."""
    scores: dict[str, dict[str, dict[str, float]]]
    """Description -> probe -> mean and sem of balanced accuracy over draws."""
    test_px: float
    """Mean number of test pixels in a draw."""
    chance: float
    """Balanced accuracy of guessing."""


@dataclass
class EvaluateReport:
    """What an evaluation found."""

    model: str
    """The model."""
    period: str
    """The valid period."""
    labels: str
    """The label raster."""
    shots: int
    """Labels per class."""
    draws: int
    """How many draws."""
    pixels: dict[str, int]
    """Pixels used, by class."""
    dropped_px: int
    """Labelled pixels left out because the field or a composite has no data there, or to keep to the limit."""
    features: dict[str, int]
    """Numbers per pixel of each description."""
    splits: list[SplitReport] = field(default_factory=list)
    """One entry per way of splitting, the strictest first."""
    impossible: dict[str, str] = field(default_factory=dict)
    """Ways of splitting that the labels do not allow, with the reason."""
    report: str = ""
    """Address of this report as JSON."""
    picture: str = ""
    """Address of the bar chart."""
    seconds: float = 0.0
    """Wall time."""
