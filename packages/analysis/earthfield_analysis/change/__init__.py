"""What has changed between two periods: distances, what the season did to all land, false alarms, patches."""

from earthfield_analysis.change.distances import ThresholdRule, distance, patches, threshold
from earthfield_analysis.change.null import FEWEST, Null, fit_null, split_half_noise
from earthfield_analysis.change.season import Shift, fit_shift

__all__ = [
    "FEWEST",
    "Null",
    "Shift",
    "ThresholdRule",
    "distance",
    "fit_null",
    "fit_shift",
    "patches",
    "split_half_noise",
    "threshold",
]
