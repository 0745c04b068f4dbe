"""Class maps: what sources of land cover have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from earthfield.sources import Band, Source
from earthfield_ingest.masks import known_classes


def class_map(
    name: str,
    title: str,
    band: Band,
    *,
    classes: Mapping[int, str],
    collections: tuple[str, ...],
    **more: Any,
) -> Source:
    """Declares a map of classes that stands for a time: a target, stored as its codes, nearest neighbours only.

    Args:
        name: the source's name.
        title: what a person calls it.
        band: its one band.
        classes: names of the codes, 0..255; a code without a name is stored as nodata.
        collections: STAC collection ids that carry it.
        more: other fields of `Source`; `nodata` is 0 unless it is among them.
    """
    nodata = more.pop("nodata", 0)

    def to_stored(item: Mapping[str, Any], band: Band, raw: NDArray[Any]) -> NDArray[Any]:
        return known_classes(raw, classes, nodata=nodata)

    return Source(
        name=name,
        title=title,
        bands=(band,),
        dtype="uint8",
        nodata=nodata,
        collections=collections,
        to_stored=to_stored,
        resampling="nearest",
        cadence="interval",
        classes=classes,
        roles=frozenset({"target"}),
        loss="cross_entropy",
        # What the paper gives to its one map of classes.
        loss_weight=0.5,
        **more,
    )
