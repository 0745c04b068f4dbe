"""Where it looks alike: the nearest cells to what is looked for, and the likeness of every pixel."""

from __future__ import annotations

import logging
import time

from earthfield.catalog import Catalog
from earthfield.errors import NotFound
from earthfield_search.asking.answer import SimilarAnswer
from earthfield_search.asking.hits import Hit, hits_of
from earthfield_search.asking.question import Like, SimilarQuestion, Within
from earthfield_search.asking.ranking import cell_px_of, filter_of, ranked
from earthfield_search.asking.sought import newest, sought
from earthfield_search.asking.written import similarity_map, write_similar
from earthfield_search.cells.index import CellIndex
from earthfield_search.cells.opening import open_index

__all__ = [
    "Hit",
    "Like",
    "SimilarAnswer",
    "SimilarQuestion",
    "Within",
    "find_similar",
    "similarity_map",
    "write_similar",
]

log = logging.getLogger(__name__)


def find_similar(catalog: Catalog, question: SimilarQuestion, *, owner: str = "") -> SimilarAnswer:
    """Finds the cells of a model that look most like the examples of a question; writes nothing.

    Args:
        catalog: where fields, index and labels lie.
        question: what is asked.
        owner: whose labels, where the service knows owners.

    Raises:
        NotFound: no field holds an example, there is no index, or no cell passes the filter.
        InvalidInput: a vector of another length, or a text that the model does not know.
        Conflict: fields of the model were made by different weights.
    """
    started = time.monotonic()
    index = _index(catalog, question.model)
    cell_px = cell_px_of(index)
    wanted = sought(catalog, question, cell_px=cell_px, owner=owner)
    where = filter_of(catalog, question, wanted.period, cell_px=cell_px, owner=owner)
    found = ranked(index, wanted, question, where)
    hits, cautions = hits_of(catalog, wanted, found.rows, first=question.offset + 1, explain=question.explain)
    answer = SimilarAnswer(
        model=question.model, period=str(wanted.period), periods=[str(one) for one in where.periods],
        question=question, asked=wanted.asked, examples=wanted.examples, purity=wanted.purity,
        num_cells=found.num_cells, num_found=found.num_found, is_complete=found.is_complete, hits=hits,
        cautions=[*([wanted.caution] if wanted.caution else []), *cautions], seconds=time.monotonic() - started,
        vector=tuple(float(value) for value in wanted.vector),
    )  # fmt: skip
    log.info(
        "found %d of %d cells of %s in %.2f s", len(hits), found.num_cells, question.model, answer.seconds
    )
    return answer


def _index(catalog: Catalog, model: str) -> CellIndex:
    try:
        return open_index(catalog, model)
    except NotFound:
        # A model without fields is told before one without an index.
        newest(catalog, model)
        raise
