"""The model: frames of a place to unit vectors per pixel, for any period.

In a notebook:

    >>> from earthfield_model import load_model
    >>> model = load_model("starter")  # an AlphaEarth, ready for inference

`earthfield_model.encoder.ModelEncoder(model)` puts `encode(frames, periods)` before it: arrays in, arrays out.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from earthfield_model.alphaearth import AlphaEarth

__all__ = ["load_model"]


def load_model(name: str = "starter", *, root: str | Path | None = None) -> AlphaEarth:
    """Opens a model by name, from a root's `models/` or among those that come with Earthfield.

    Args:
        name: as `earthfield model list` shows it.
        root: folder of all artefacts; EARTHFIELD_ROOT, else ./earthfield-data, where absent.

    Raises:
        NotFound: there is no such model; the message lists those there are.
        BrokenArtefact: its files cannot be read, or do not fit one another.
    """
    # Torch takes seconds to import: only those who open a model wait for it.
    from earthfield.catalog import Catalog
    from earthfield.settings import Settings
    from earthfield_model.alphaearth import AlphaEarth
    from earthfield_model.encoder import model_folder

    catalog = Catalog(root if root is not None else Settings().root)
    return AlphaEarth.from_pretrained(model_folder(name, catalog)).eval()
