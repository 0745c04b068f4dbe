"""Which encoder: chosen by name or address through one door."""

from __future__ import annotations

import os

from earthfield.catalog import Catalog
from earthfield.errors import InvalidInput
from earthfield.imported import check_not_imported
from earthfield.ports import Encoder
from earthfield.settings import Settings

LOCAL = "local"
"""Address that stands for this process, as none does."""


def connect_encoder(
    catalog: Catalog, model: str, address: str | None = None, *, precision: str = "float32"
) -> Encoder:
    """Gives the encoder of a model: in process, on servers, or another package's.

    Args:
        catalog: where trained models lie; bundled ones are found everywhere.
        model: the model's name.
        address: None or `local` for in process; `grpc://host:port`, several with commas, for Triton servers.
        precision: `float32`, or `bf16` in process.

    Raises:
        NotFound: no such model.
        BrokenArtefact: its files break the schema.
        Conflict: fields of others were imported under the name.
        InvalidInput: the address is of a kind that is not served, or the precision is not this process's choice.
        Unavailable: no server answers, or a device has no room.
    """
    check_not_imported(catalog, model)
    if address is not None and address != LOCAL:
        _check_own(precision, f"the server {address}")
        if not address.startswith(("grpc://", "grpcs://")):
            raise InvalidInput(
                f"encoder {address!r} is no address that is known: give grpc://host:port, or leave --encoder out"
            )
        from earthfield_infer.triton import TritonEncoder

        return TritonEncoder.connect(model, address)
    from earthfield_infer.adapters import encoder_by_name

    offered = encoder_by_name(catalog, model)
    if offered is not None:
        _check_own(precision, f"the encoder {model}")
        return offered
    return _in_process(catalog, model, precision)


def _in_process(catalog: Catalog, model: str, precision: str) -> Encoder:
    from earthfield_model.folders import model_folder

    folder = model_folder(model, catalog)  # whether there is one is known before torch is loaded
    import torch

    from earthfield_infer.devices import DeviceEncoder, devices_named
    from earthfield_model.encoder import load_encoder

    settings = Settings()
    torch.set_num_threads(settings.threads or os.cpu_count() or 1)
    encoder = load_encoder(folder)
    return DeviceEncoder(encoder, devices_named(settings.devices), precision=precision)


def _check_own(precision: str, who: str) -> None:
    if precision != "float32":
        raise InvalidInput(f"{who} computes as it was set up: leave --precision {precision} out")
