"""Which encoder: chosen by name or address through one door."""

from __future__ import annotations

import os

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput
from earthfield.ports import Encoder
from earthfield.settings import Settings


def connect_encoder(catalog: Catalog, model: str, address: str | None = None) -> Encoder:
    """Gives the encoder of a model, in process.

    Args:
        catalog: where trained models lie; bundled ones are found everywhere.
        model: the model's name.
        address: None for in process; servers are not connected yet.

    Raises:
        NotFound: no such model.
        BrokenArtefact: its files break the schema.
        InvalidInput: the address is of a kind that is not served.
    """
    if address is not None:
        raise InvalidInput(f"encoder {address!r}: this version encodes in process only; leave --encoder out")
    import torch

    from earthfield_model.encoder import load_encoder, model_folder

    torch.set_num_threads(Settings().threads or os.cpu_count() or 1)
    return load_encoder(model_folder(model, catalog))
