"""Keeping a table quick: which indexes it gets at which size, and when they are made again."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

from earthfield.places import Root
from earthfield_search.cells.tables import committed, one_writer

ANN_ROWS = 200_000
"""Rows from which indexes pay: below, reading every row takes some tens of milliseconds."""
PROBES = 16
"""Parts that are looked into for the nearest of all rows."""
_SAMPLE_RATE, _ITERATIONS = 64, 20
"""How the parts are found: as good as LanceDB's 256 and 50 on clustered vectors, and several times as fast."""
_GROWN = 2
"""How much the wanted number of parts may grow before they are found anew: with four times as many rows."""
_SCALAR = {"tile": "Bitmap", "period": "Bitmap", "place": "BTree"}
_MOST_FILES = 16
"""Small files from which they are put together, in a table that is too small for indexes."""
_KEPT = timedelta(days=1)
"""How long versions are kept that somebody may still be reading."""
_NAME = re.compile(r"^vector_(\d+)$")


@dataclass(frozen=True)
class Shape:
    """What decides how a table is asked."""

    rows: int
    """How many."""
    columns: tuple[str, ...]
    """Names of all."""
    parts: int
    """Parts of the vector index; 0 where there is none."""

    @classmethod
    def of(cls, table: Any) -> Shape:
        """Asks an open table."""
        return cls(int(table.count_rows()), tuple(table.schema.names), _parts(table))

    def probes(self, matched: int, *, k: int, exact: bool) -> int:
        """Gives how many parts to look into for k of the rows that a filter leaves; 0: read those rows instead.

        Reading a row costs some three times what it costs to compare it in its part, but a part is looked into
        whether or not its rows pass the filter. Where rows that pass lie together among the vectors, an index finds
        few of them unless it looks into many parts: their number grows as the filter gets narrower, until reading
        what passes, which is exact, takes no longer: at 126,000 of a million rows, 710,000 of ten million.
        """
        if not self.parts:
            return 0
        if exact:
            return 0 if 3 * matched <= self.rows else self.parts
        if matched <= 4 * self.rows**0.75:
            return 0
        wanted = PROBES * self.rows / matched * max(1.0, k / 500)
        return min(self.parts, math.ceil(wanted))


def wanted_parts(rows: int) -> int:
    """Gives into how many parts so many rows are divided.

    Finding the parts takes as long as rows times parts, a question as long as the rows of some parts: with the root
    of the rows a hundred million are still divided in an hour.
    """
    return max(16, round(math.sqrt(rows) / 3))


def tune(table: Any, place: Root) -> None:
    """Puts small files together and keeps the indexes of a large table; a small one is left as it is.

    Errors as in `committed`.
    """
    rows = int(table.count_rows())
    if rows < ANN_ROWS:
        if table.stats()["fragment_stats"]["num_small_fragments"] > _MOST_FILES:
            _put_together(table, place)
        return
    # Not at the top: whoever only asks needs none of it, and it takes seconds to load.
    import lancedb.index

    have = {column for one in table.list_indices() for column in one.columns}
    for column, kind in _SCALAR.items():
        if column not in have and column in table.schema.names:
            committed(place, partial(table.create_index, column, config=getattr(lancedb.index, kind)()))
    _put_together(table, place)
    wanted = wanted_parts(rows)
    if not wanted / _GROWN <= _parts(table) <= wanted * _GROWN:
        _divide(table, place, wanted)


def _divide(table: Any, place: Root, parts: int) -> None:
    """Makes the vector index; the old one answers until then."""
    from lancedb.index import IvfFlat

    config = IvfFlat(
        distance_type="cosine", num_partitions=parts, sample_rate=_SAMPLE_RATE, max_iterations=_ITERATIONS
    )
    committed(place, lambda: table.create_index("vector", config=config, name=f"vector_{parts}"))
    for one in table.list_indices():
        if one.columns == ["vector"] and one.name != f"vector_{parts}":
            committed(place, partial(table.drop_index, one.name))


def _put_together(table: Any, place: Root) -> None:
    with one_writer(place):
        table.checkout_latest()
        committed(place, lambda: table.optimize(cleanup_older_than=_KEPT))


def _parts(table: Any) -> int:
    names = [one.name for one in table.list_indices() if one.columns == ["vector"]]
    told = [int(found[1]) for name in names if (found := _NAME.match(name))]
    # One that was made by other hands works too; it is replaced when the table is tuned.
    return max(told, default=1 if names else 0)
