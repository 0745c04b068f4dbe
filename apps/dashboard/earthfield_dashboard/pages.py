"""The pages by name: where they stand and what they are called."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PageName:
    """What is known of a page before it is drawn."""

    path: str
    """Its address below the dashboard's, and the name of its module in `views`."""
    title: str
    """What links to it are called."""
    icon: str
    """A Material symbol."""


PAGES = (
    PageName("area", "Area", ":material/crop_free:"),
    PageName("explore", "Explore", ":material/travel_explore:"),
    PageName("similar", "Similar", ":material/join_inner:"),
    PageName("classify", "Classify", ":material/category:"),
    PageName("cluster", "Cluster", ":material/workspaces:"),
    PageName("change", "Change", ":material/compare:"),
    PageName("runs", "Runs and schedules", ":material/schedule:"),
    PageName("evaluation", "Evaluation", ":material/monitoring:"),
    PageName("health", "Health", ":material/health_and_safety:"),
)
"""All of them, in the order of the links; the first is shown where none is asked for."""
