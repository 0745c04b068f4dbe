"""Groups that were found, with the names that a person gave them; they live as long as the session."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import streamlit as st

from earthfield_dashboard.layers import Layer

NOISE = 255
_KEY = "cluster-found"


@dataclass(frozen=True)
class Clustered:
    """An answer to *Cluster*."""

    answer: Mapping[str, Any]
    """What the search service told."""
    question: Mapping[str, Any]
    """What was asked beside map and model."""
    names: dict[int, str] = field(default_factory=dict)
    """What a person calls a group, by number; those without a name are not in it."""

    @property
    def title(self) -> str:
        """What a person reads of it in a list."""
        return f"{self.answer['period']} ({self.answer['k']} groups)"

    @property
    def is_dense(self) -> bool:
        """Whether there may be land that fits no group."""
        return bool(self.answer["method"] == "hdbscan")

    @property
    def sizes(self) -> list[dict[str, Any]]:
        """The groups, largest first, what fits none last."""
        return sorted(self.answer["clusters"], key=lambda one: (one["cluster"] == NOISE, -one["pixels"]))

    @property
    def colours(self) -> dict[int, str]:
        """Colour of each number, #RRGGBB."""
        return {one["cluster"]: one["colour"] for one in self.answer["clusters"]}

    @property
    def rasters(self) -> list[dict[str, str]]:
        """Links to the GeoTIFFs of numbers, one for each group of touching tiles."""
        return self.links(".tif")

    def links(self, ending: str) -> list[dict[str, str]]:
        """Links to the files of an ending."""
        return [one for one in self.answer["links"] if one["title"].endswith(ending)]

    def name(self, number: int) -> str:
        """What a group is called."""
        return self.names.get(number) or ("no group" if number == NOISE else f"group {number}")

    def escaped_name(self, number: int) -> str:
        """The same where it becomes part of HTML."""
        return escape(self.name(number))

    def as_like(self) -> dict[str, Any]:
        """Gives what keeps the numbers of these groups in another answer."""
        return {"centres": self.answer["centres"], "numbers": self.answer["numbers"]}

    def nearest(self, vector: Sequence[float]) -> int:
        """Gives the number of the group whose mean lies nearest to a vector, which k-means gives its pixel too."""
        away = [math.dist(vector, one) for one in self.answer["centres"]]
        return int(self.answer["numbers"][away.index(min(away))])


def keep(layer: Layer, found: Clustered) -> None:
    """Keeps an answer in place of the last one on the same map."""
    kept: dict[str, Clustered] = st.session_state.setdefault(_KEY, {})
    kept.pop(layer.key, None)
    kept[layer.key] = found


def kept_of(layer: Layer) -> Clustered | None:
    """Gives what was found last on a map."""
    kept: dict[str, Clustered] = st.session_state.get(_KEY, {})
    return kept.get(layer.key)


def answers_of(model: str, *, without: Layer) -> dict[str, Clustered]:
    """Gives what was found on other maps of a model, the newest first, by the key of its map."""
    kept: dict[str, Clustered] = st.session_state.get(_KEY, {})
    return {
        key: one for key, one in reversed(kept.items()) if one.answer["model"] == model and key != without.key
    }
