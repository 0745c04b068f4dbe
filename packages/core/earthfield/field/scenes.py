"""Which scenes a manifest tells of: those of the field's own tile, and those its windows read beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

CONTEXT = "context"
"""Section of a manifest: by neighbouring tile and source, the frames that windows over the border read."""


def frames_read(manifest: Mapping[str, Any]) -> Iterator[tuple[str | None, str, Mapping[str, Any]]]:
    """Yields (tile, source, frame) of every frame behind a field; the tile is None for the field's own.

    A frame has `step`, `acquired` and `items`, the ids of its scenes.
    """
    for source, frames in sorted(manifest["sources"].items()):
        for frame in frames:
            yield None, source, frame
    for tile, by_source in sorted(manifest.get(CONTEXT, {}).items()):
        for source, frames in sorted(by_source.items()):
            for frame in frames:
                yield tile, source, frame


def scenes_read(manifest: Mapping[str, Any]) -> dict[str, list[str]]:
    """Gives by source the ids of every scene that touched a field, neighbours' included, sorted."""
    found: dict[str, set[str]] = {}
    for _, source, frame in frames_read(manifest):
        found.setdefault(source, set()).update(frame["items"])
    return {source: sorted(items) for source, items in sorted(found.items())}
