"""Names that fields were imported under: no model stands behind them, so nothing can be encoded with them."""

from __future__ import annotations

import json
from typing import Any

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, Conflict


def origin_of(catalog: Catalog, name: str) -> str | None:
    """Tells what was imported under a name; None where nothing was.

    Raises:
        BrokenArtefact: a manifest cannot be read.
    """
    checked_name(name)
    for key in catalog.fields(name):
        path = catalog.field(key) / "manifest.json"
        try:
            manifest: dict[str, Any] = json.loads(path.read_text())
            found = manifest.get("imported")
            return None if found is None else str(found.get("title", "unknown"))
        except (OSError, ValueError, AttributeError) as error:
            raise BrokenArtefact(f"{path} is no manifest ({error}): make the field again") from error
    return None


def check_not_imported(catalog: Catalog, name: str) -> None:
    """Makes sure that a name is free for what a model makes.

    Raises:
        Conflict: fields of others were imported under it.
    """
    origin = origin_of(catalog, name)
    if origin is not None:
        raise Conflict(
            f"{name!r} is an import ({origin}), not a model, so nothing can be encoded with it: search, cluster "
            "and change read its fields; to encode name a model of `earthfield model list`"
        )
