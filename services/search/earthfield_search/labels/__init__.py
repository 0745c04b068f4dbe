"""Labels: what people know about places, as points and polygons with a class or a number."""

from __future__ import annotations

from earthfield_search.labels.content import Labels
from earthfield_search.labels.files import read_labels
from earthfield_search.labels.kept import LabelSet, list_labels, load_labels, remove_labels, save_labels
from earthfield_search.labels.rows import LabelColumns, labels_from_geojson

__all__ = [
    "LabelColumns",
    "LabelSet",
    "Labels",
    "labels_from_geojson",
    "list_labels",
    "load_labels",
    "read_labels",
    "remove_labels",
    "save_labels",
]
