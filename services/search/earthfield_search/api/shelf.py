"""Fields kept open: a manifest is read once, and again when its field was made again."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray
from pyproj import Transformer

from earthfield.catalog import Catalog, FieldKey
from earthfield.field import MANIFEST, Field, fields_of
from earthfield.grid import geobox_of
from earthfield.storage import hash_of
from earthfield.timeline import Period

_FRESH_S = 2.0
_Stamp = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Layer:
    """The fields of one model and period as they stood at one time; another one stands for later changes."""

    model: str
    """Name of the model."""
    period: Period
    """The valid period."""
    fields: tuple[Field, ...]
    """Its fields, sorted by tile."""

    @cached_property
    def stamp(self) -> str:
        """A text that is another one when a field is."""
        told = [[one.key.tile.id, one.fingerprint, list(one.manifest["window"])] for one in self.fields]
        return hash_of([self.model, self.period.id, told])[:16]

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) left, bottom, right, top of each field in Web Mercator, metres."""
        found = []
        for one in self.fields:
            box = geobox_of(one.key.tile.epsg, one.window).boundingbox
            found.append(_to_mercator(one.key.tile.epsg).transform_bounds(*box))
        return np.array(found, np.float64)

    def touching(self, left: float, bottom: float, right: float, top: float) -> tuple[Field, ...]:
        """Gives the fields whose boxes touch a box, Web Mercator metres."""
        boxes = self.boxes
        hits = (boxes[:, 0] < right) & (boxes[:, 2] > left) & (boxes[:, 1] < top) & (boxes[:, 3] > bottom)
        return tuple(self.fields[number] for number in np.flatnonzero(hits))


@lru_cache(maxsize=120)
def _to_mercator(epsg: int) -> Transformer:
    return Transformer.from_crs(epsg, 3857, always_xy=True)


class Shelf:
    """Opens the fields of a catalogue, and keeps them open."""

    def __init__(self, catalog: Catalog) -> None:
        """Opens nothing yet."""
        self._catalog = catalog
        self._fields: dict[FieldKey, tuple[_Stamp, Field]] = {}
        self._layers: dict[tuple[str, str], tuple[float, Layer]] = {}

    def opened(self, keys: Sequence[FieldKey]) -> list[Field]:
        """Gives finished fields, in the order of their keys; one that vanished meanwhile is left out."""
        return [found for found in map(self._open, keys) if found is not None]

    def layer(self, model: str, period: Period) -> Layer:
        """Gives the fields of a model and period; a new one is among them two seconds later.

        Raises:
            NotFound: there is none.
        """
        name = (model, period.id)
        until, known = self._layers.get(name, (0.0, None))
        now = time.monotonic()
        if known is not None and now < until and self._is_current(known.fields[:64]):
            return known
        fields = tuple(self.opened(list(self._catalog.fields(model, period=period))))
        if not fields:
            self._layers.pop(name, None)
            fields = tuple(fields_of(self._catalog, model, period.id))
        if known is None or known.fields != fields:
            known = Layer(model, period, fields)
        self._layers[name] = (now + _FRESH_S, known)
        return known

    def _is_current(self, fields: Sequence[Field]) -> bool:
        return all(self._open(one.key) is one for one in fields)

    def _open(self, key: FieldKey) -> Field | None:
        try:
            told = (self._catalog.field(key) / MANIFEST).stat()
        except OSError:
            self._fields.pop(key, None)
            return None
        stamp = (told.st_mtime_ns, told.st_ino, told.st_size)
        known = self._fields.get(key)
        if known is None or known[0] != stamp:
            known = self._fields[key] = (stamp, Field(self._catalog, key))
        return known[1]
