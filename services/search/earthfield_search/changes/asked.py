"""What is asked of change, and what is answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from earthfield.catalog import checked_name
from earthfield.errors import InvalidInput
from earthfield.timeline import Period
from earthfield_search.changes.patches import Patch
from earthfield_search.ground.places import shape_of

ChangeRule = Literal["calibrated", "mad", "otsu"]
Season = Literal["remove", "keep"]
RULES: tuple[ChangeRule, ...] = ("calibrated", "mad", "otsu")
CAUTION = "Distances are not calibrated: the threshold says what stands out here, not how likely a change is."
CALIBRATED = (
    "Calibrated on this land's own noise: what all of it has in common between the periods is no change, and less "
    "than a fifth of it may have changed. The rate is for a single pixel."
)


@dataclass(frozen=True)
class ChangeQuestion:
    """What has changed between two periods?

    Raises:
        InvalidInput: the periods are equal or cannot be read, or a number is out of its range.
    """

    model: str
    """Name of a model."""
    before: str
    """First valid period."""
    after: str
    """Second valid period."""
    rule: ChangeRule | None = None
    """What counts as changed: `calibrated`, a false-alarm rate; `mad` and `otsu`, what stands out from the rest,
    see `earthfield_analysis.change.threshold`. None: calibrated where all fields have `agreement`, else mad."""
    num_sigmas: float = 4.0
    """For `mad`, robust standard deviations above the median."""
    threshold: float | None = None
    """A distance to use instead, 0..2."""
    min_pixels: int = 5
    """Smallest patch that is reported, pixels of 0.01 ha."""
    false_alarms: float = 0.01
    """For `calibrated`, the share of unchanged pixels that may be flagged."""
    season: Season | None = None
    """Whether what all land has in common between the periods is removed first; None: removed where calibrated."""
    area: str | None = None
    """WKT or GeoJSON of a polygon in degrees; everything where absent."""

    def __post_init__(self) -> None:
        checked_name(self.model)
        before, after = Period.parse(self.before), Period.parse(self.after)
        if before == after:
            raise InvalidInput(f"both periods are {before}: name two different ones")
        if self.rule is not None and self.rule not in RULES:
            raise InvalidInput(f"rule {self.rule!r} is unknown; take calibrated, mad or otsu")
        if self.season not in (None, "remove", "keep"):
            raise InvalidInput(f"season {self.season!r} is unknown; take remove or keep")
        if self.min_pixels < 1 or not self.num_sigmas > 0:
            raise InvalidInput("the smallest patch is 1 px, and the number of standard deviations is above 0")
        if not 0 < self.false_alarms < 1:
            raise InvalidInput(f"a false-alarm rate of {self.false_alarms} lies outside 0..1: take 0.01")
        if self.threshold is not None and not 0 <= self.threshold <= 2:
            raise InvalidInput(f"the threshold {self.threshold} lies outside 0..2, where 1 - cosine lies")
        if self.threshold is not None and self.rule == "calibrated":
            raise InvalidInput(
                "a threshold is a distance, and the calibrated rule has none: name one of them"
            )
        if self.area is not None:
            shape_of(self.area)
        object.__setattr__(self, "before", str(before))
        object.__setattr__(self, "after", str(after))


@dataclass(frozen=True)
class Calibration:
    """What the false alarms of touching tiles were calibrated with, see `earthfield_analysis.change.Null`."""

    tiles: list[str]
    """The tiles."""
    fitted_on: int
    """Pixels that it was fitted on."""
    season_removed: float
    """By how much the median distance fell when what all land has in common was removed."""
    gain: float
    """How much a pixel's own noise counts."""
    floor: float
    """1 - cosine that is expected on top."""
    dof_above: float
    """Degrees of freedom of the F distribution."""
    dof_below: float
    """Degrees of freedom below."""


@dataclass(frozen=True)
class ChangeAnswer:
    """What has changed, or stands out, between two periods."""

    model: str
    """The model."""
    before: str
    """First valid period."""
    after: str
    """Second valid period."""
    tiles: list[str]
    """Tiles that both periods have, and the area reaches."""
    left_out: list[str]
    """Tiles that only one of them has."""
    pixels: int
    """Pixels with data in both, and in the area; where calibrated, with agreement in both."""
    hectares: float
    """The same as an area."""
    unjudged_pixels: int
    """Pixels with data in both whose noise is unknown: they are in no patch."""
    median: float
    """Median of 1 - cosine, after the season was removed where it was."""
    threshold: float | None
    """Above it a pixel stands out; None where calibrated, where each pixel has its own."""
    rule: str
    """How it was decided: `calibrated`, `mad`, `otsu` or `given`."""
    season: str
    """`remove` or `keep`."""
    false_alarms: float | None
    """Share of unchanged pixels that may be flagged; None where not calibrated."""
    flagged_pixels: int
    """Pixels that the rule flags, those in patches that are too small too."""
    false_hectares: float | None
    """What the rate alone would flag if nothing had changed, at most; None where not calibrated."""
    changed_pixels: int
    """Pixels in patches."""
    changed_hectares: float
    """The same as an area."""
    share: float
    """Share of the pixels, 0..1."""
    num_patches: int
    """How many patches there are."""
    patches: list[Patch] = field(default_factory=list)
    """The largest thousand."""
    calibrations: list[Calibration] = field(default_factory=list)
    """One for each group of touching tiles."""
    caution: str = CAUTION
    """What must be kept in mind."""
    files: list[str] = field(default_factory=list)
    """What was written."""
    seconds: float = 0.0
    """Wall time."""
