"""Opening the table of a model, and making an empty one, in a folder or a bucket."""

from __future__ import annotations

from earthfield.catalog import Catalog
from earthfield.codec import DIM
from earthfield.errors import BrokenArtefact, NotFound
from earthfield.places import Root
from earthfield_search.cells.index import CellIndex
from earthfield_search.cells.rows import schema_of
from earthfield_search.cells.tables import committed, connected, exists, index_root, one_writer, table_at


def open_index(catalog: Catalog, model: str, *, at: str | Root | None = None) -> CellIndex:
    """Opens the table of a model, at its newest version.

    Args:
        catalog: where tables lie.
        model: the model.
        at: another folder or bucket of tables; by default EARTHFIELD_INDEX, or else the catalogue's own.

    Raises:
        NotFound: there is none.
        BrokenArtefact: what lies there is not one.
    """
    root = index_root(catalog, at)
    path = table_at(root, model)
    if not exists(path):
        raise NotFound(f"model {model!r} has no index in {root}: run `earthfield index --model {model}`")
    try:
        return CellIndex(connected(root).open_table(model), path)
    except (ValueError, OSError, RuntimeError) as error:
        raise BrokenArtefact(
            f"{path} is not a readable index ({error}): remove it and run `earthfield index --model {model}`"
        ) from error


def create_index(
    catalog: Catalog,
    model: str,
    *,
    dim: int = DIM,
    space: str = "",
    at: str | Root | None = None,
    rebuild: bool = False,
) -> CellIndex:
    """Opens the table of a model, and makes an empty one where there is none; errors as in `open_index`.

    Args:
        catalog: where tables lie.
        model: the model.
        dim: length of its vectors, for a new table.
        space: fingerprint of the model, for a new table.
        at: another folder or bucket of tables.
        rebuild: whether to begin with an empty table where there is one already.

    Raises:
        Conflict: the table that is there holds vectors of another fingerprint.
    """
    root = index_root(catalog, at)
    path = table_at(root, model)
    if rebuild or not exists(path):
        schema, mode = schema_of(model, dim=dim, space=space), "overwrite" if rebuild else "create"
        with one_writer(root):
            if rebuild or not exists(path):
                committed(path, lambda: connected(root).create_table(model, schema=schema, mode=mode))
    index = open_index(catalog, model, at=root)
    index.check_space(space)
    index.add_places()
    return index
