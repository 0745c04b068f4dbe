"""What a service does before the first request: whoever comes first then waits no longer than the second."""

from __future__ import annotations

import logging
import time
from threading import Thread

import numpy as np

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError
from earthfield_analysis.exact import lengths_of
from earthfield_search.api.easel import Easel, Look
from earthfield_search.api.health import rows_of
from earthfield_search.api.palette import ramp_of
from earthfield_search.api.tiling import MAX_ZOOM, middle_of
from earthfield_search.asking.sought import newest

log = logging.getLogger(__name__)
_MOST_MODELS = 4


def warm_up(catalog: Catalog, easel: Easel) -> Thread:
    """Loads what is compiled, opens the indexes, and paints a tile of the newest layers, in a thread of its own.

    Args:
        catalog: what is served.
        easel: what its tiles are painted with.

    Returns:
        The thread; it dies with the process.
    """
    thread = Thread(target=_warm_up, args=(catalog, easel), name="warming", daemon=True)
    thread.start()
    return thread


def _warm_up(catalog: Catalog, easel: Easel) -> None:
    begun = time.monotonic()
    try:
        lengths_of(np.zeros((8, 1), np.int8), threads=1)
        ramp_of()
        models = sorted({key.model for key in catalog.fields()})[:_MOST_MODELS]
        for model in models:
            layer = easel.shelf.layer(model, newest(catalog, model))
            easel.tiler.tile(layer, easel.paint(layer, Look()), *middle_of(layer.boxes[0], MAX_ZOOM))
        rows_of(catalog)
    except (EarthfieldError, OSError) as error:
        # Whoever asks for it is told the same, with what to do.
        log.info("not everything could be made ready beforehand: %s", error)
    else:
        log.info("ready for the first request after %.1f s", time.monotonic() - begun)
