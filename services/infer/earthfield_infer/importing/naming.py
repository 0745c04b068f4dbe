"""Names of imports: kept apart from models, and from vectors that cannot be compared."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from earthfield.catalog import Catalog
from earthfield.errors import Conflict
from earthfield.field import Field
from earthfield_infer.importing.supply import Origin


def check_name(catalog: Catalog, origin: Origin) -> None:
    """Makes sure that an import may keep its fields under its name.

    Raises:
        Conflict: a model has the name, or fields of it hold vectors that cannot be compared with these.
    """
    bundled = Path(str(files("earthfield_model"))) / "pretrained" / origin.name
    if catalog.model(origin.name).is_dir() or bundled.is_dir():
        raise Conflict(f"{origin.name!r} is the name of a model: keep the import under another with --name")
    for key in catalog.fields(origin.name):
        check_same(Field(catalog, key), origin)
        return


def check_same(before: Field, origin: Origin) -> None:
    """Makes sure that a field's vectors can be compared with those of an origin; errors as in `check_name`."""
    if "imported" not in before.manifest:
        raise Conflict(
            f"{origin.name!r} is the name of fields that a model made: keep the import under another with --name"
        )
    if before.manifest["model"]["fingerprint"] != origin.fingerprint:
        told = before.manifest["imported"].get("title", "another origin")
        raise Conflict(
            f"{origin.name!r} holds vectors of {told}, which cannot be compared with these: keep them under "
            "another name with --name"
        )
