"""Where models lie, found by name without loading any; nothing heavy is imported for it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import Conflict, NotFound
from earthfield.imported import check_not_imported

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
"""What a model's folder holds."""


def bundled_models() -> Path:
    """Gives the folder of the models that come with the package; it may not exist."""
    return Path(str(files("earthfield_model") / "pretrained"))


def model_names(catalog: Catalog) -> list[str]:
    """Lists the models of a root and the bundled ones, sorted."""
    places = (catalog.folder / "models", bundled_models())
    found = (path.parent for place in places for path in place.glob(f"*/{CONFIG_FILE}"))
    return sorted({path.name for path in found if (path / WEIGHTS_FILE).is_file()})


def model_folder(name: str, catalog: Catalog) -> Path:
    """Finds a model by name: in the root first, then among the bundled ones.

    Raises:
        InvalidInput: the name cannot stand in an address.
        NotFound: there is no such model; the message lists those there are.
        Conflict: the name is that of fields that were imported, or the model in that folder has another one.
    """
    check_not_imported(catalog, name)
    for folder in (catalog.model(name), bundled_models() / checked_name(name)):
        if (folder / CONFIG_FILE).is_file() and (folder / WEIGHTS_FILE).is_file():
            _check_called(folder, name)
            return folder
    have = ", ".join(model_names(catalog)) or "none"
    raise NotFound(f"there is no model {name!r} under {catalog.root}; models there are: {have}")


def _check_called(folder: Path, name: str) -> None:
    """Refuses a folder that was renamed: fields go by the name that a model gives itself, and would be mixed."""
    try:
        content = json.loads((folder / CONFIG_FILE).read_text())
    except ValueError:
        return  # Whoever opens the model tells what is broken.
    called = content.get("name", name) if isinstance(content, dict) else name
    if called != name:
        raise Conflict(
            f"{folder} holds a model that calls itself {called!r}: give the folder that name, or write "
            f"{name!r} as the name in its {CONFIG_FILE}"
        )
