"""Saved searches: a question kept with what it found, asked again later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from earthfield.catalog import Catalog
from earthfield.errors import BrokenArtefact, Conflict, InvalidInput, NotFound
from earthfield.storage import writing
from earthfield_search.asking.answer import SimilarAnswer, table_of_hits
from earthfield_search.asking.question import SimilarQuestion
from earthfield_search.files.geoparquet import GeoTable, read_geoparquet, write_geoparquet
from earthfield_search.jobs.similar import find_similar

MOST_SEARCHES = 1_000
"""Most searches of one owner."""
_FIRST_SEEN = "first_seen"


@dataclass(frozen=True)
class SavedSearch:
    """A question that is kept, with what it found last."""

    name: str
    """Its name."""
    title: str
    """What it looks for, in few words."""
    question: SimilarQuestion
    """The question."""
    period: str
    """Valid period of the examples when it was asked last."""
    saved: str
    """When it was kept, ISO 8601 in UTC."""
    asked: str
    """When it was asked last, ISO 8601 in UTC."""
    hits: GeoTable = field(repr=False)
    """What it found last: points with properties, among them `first_seen`."""

    @property
    def cells(self) -> list[str]:
        """The cells that it found last, best first; two are the same when place and period are."""
        return [str(one) for one in self.hits.columns["cell"].to_pylist()]


@dataclass(frozen=True)
class Again:
    """What a saved search finds now."""

    answer: SimilarAnswer
    """The answer."""
    since: str
    """When it had been asked last, ISO 8601 in UTC."""
    new: list[str]
    """Cells that were not found then, best first."""
    gone: list[str]
    """Cells that were found then and are not any more."""


def save_search(catalog: Catalog, name: str, answer: SimilarAnswer, *, owner: str = "") -> Path:
    """Keeps a question with the hits of its answer as GeoParquet, in place of what had the name before.

    Raises:
        InvalidInput: the name cannot stand in an address.
        Conflict: there are too many already.
    """
    path = catalog.searches(name, owner=owner)
    if not path.is_file() and len(search_names(catalog, owner=owner)) >= MOST_SEARCHES:
        raise Conflict(f"{MOST_SEARCHES} searches are kept already: remove one of them first")
    now = _now()
    return _write(path, answer, saved=now, now=now, seen={})


def load_search(catalog: Catalog, name: str, *, owner: str = "") -> SavedSearch:
    """Opens a saved search.

    Raises:
        NotFound: there is none of this name.
        BrokenArtefact: its file is not one.
    """
    path = catalog.searches(name, owner=owner)
    if not path.is_file():
        names = search_names(catalog, owner=owner)
        raise NotFound(f"there is no saved search {name!r}; there are: {', '.join(names[:20]) or 'none'}")
    table = read_geoparquet(path)
    try:
        told: Mapping[str, Any] = table.metadata["search"]
        question = SimilarQuestion.from_content(told["question"])
        if not {"cell", _FIRST_SEEN} <= set(table.columns.column_names):
            raise KeyError("cell")
        words = {key: str(told[key]) for key in ("title", "period", "saved", "asked")}
    except (KeyError, TypeError, InvalidInput) as error:
        raise BrokenArtefact(
            f"{path} is not a saved search ({error}): remove it and save it again"
        ) from error
    return SavedSearch(name=name, question=question, hits=table, **words)


def search_names(catalog: Catalog, *, owner: str = "") -> list[str]:
    """Lists the names of an owner's saved searches, sorted."""
    folder = catalog.searches("any", owner=owner).parent
    return sorted(path.stem for path in folder.glob("[!.]*.parquet")) if folder.is_dir() else []


def forget_search(catalog: Catalog, name: str, *, owner: str = "") -> None:
    """Removes a saved search.

    Raises:
        NotFound: there is none of this name.
    """
    path = catalog.searches(name, owner=owner)
    with writing(path):
        try:
            path.unlink()
        except FileNotFoundError:
            raise NotFound(f"there is no saved search {name!r}") from None


def search_again(catalog: Catalog, name: str, *, owner: str = "") -> Again:
    """Asks a saved question again, tells what is new since it was asked last, and keeps the new answer.

    Examples are read again too: what they look like in the newest field, where no period was named.

    Raises:
        NotFound: there is no such search; or as `find_similar`.
    """
    before = load_search(catalog, name, owner=owner)
    answer = find_similar(catalog, before.question, owner=owner)
    seen = dict(zip(before.cells, before.hits.columns[_FIRST_SEEN].to_pylist(), strict=True))
    now = [hit.cell for hit in answer.hits]
    _write(catalog.searches(name, owner=owner), answer, saved=before.saved, now=_now(), seen=seen)
    there = set(now)
    return Again(
        answer,
        before.asked,
        [one for one in now if one not in seen],
        [one for one in before.cells if one not in there],
    )


def _write(path: Path, answer: SimilarAnswer, *, saved: str, now: str, seen: Mapping[str, str]) -> Path:
    points, table = table_of_hits(answer.hits)
    first = pa.array([seen.get(hit.cell, now) for hit in answer.hits], pa.string())
    told = {
        "title": answer.title, "question": answer.question.content(), "period": answer.period,
        "saved": saved, "asked": now,
    }  # fmt: skip
    return write_geoparquet(
        path, np.asarray(points), table.append_column(_FIRST_SEEN, first), {"search": told}
    )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
