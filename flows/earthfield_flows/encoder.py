"""The encoder of the stack: a Triton server that runs ask, and how a run comes by its encoder.

Run as `python -m earthfield_flows.encoder GRPC HTTP METRICS`, with three ports and EARTHFIELD_ROOT set.
"""

from __future__ import annotations

import logging
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from earthfield.catalog import Catalog
from earthfield.errors import EarthfieldError, NotFound
from earthfield.settings import Settings

if TYPE_CHECKING:
    from earthfield.ports import Encoder
    from earthfield.schemas import EmbedRequest, MapRequest

log = logging.getLogger(__name__)

FIRST = "starter"
"""The model that is served from the start; others are loaded when a run asks for them."""


def repository_of(catalog: Catalog) -> Path:
    """Gives the folder of what the encoder serves."""
    return catalog.folder.absolute() / "run" / "encoder"


def model_to_serve(root: Path) -> str | None:
    """Names the model that is served from the start: the bundled one, or the first there is; None without any."""
    # As `earthfield_model.encoder` does, without importing torch: this is asked before anything is started.
    places = (root.absolute() / "models", Path(str(files("earthfield_model"))) / "pretrained")
    found = sorted(path.parent.name for place in places for path in place.glob("*/model.safetensors"))
    return FIRST if FIRST in found else next(iter(found), None)


def encoder_of(request: MapRequest | EmbedRequest) -> Encoder:
    """Gives the encoder of a run: the one that it names, else the stack's, else one in this process.

    A model that the stack's encoder does not serve yet is loaded there. What it cannot serve (another package's
    encoder, another precision), or when it does not answer, is encoded in this process; vectors are the same.

    Raises:
        NotFound: no such model.
        InvalidInput: the address is of a kind that is not served, or the precision is not known.
        Unavailable: the encoder that the request names does not answer.
    """
    from earthfield_infer.local import connect_encoder

    address, catalog = Settings().encoder_url, request.catalog_root
    if request.encoder is None and address and request.precision == "float32":
        try:
            return _served(request.model, catalog, address)
        except EarthfieldError as error:
            log.info("%s is encoded in this process: %s", request.model, error)
    return connect_encoder(catalog, request.model, request.encoder, precision=request.precision)


def _served(model: str, catalog: Catalog, address: str) -> Encoder:
    """Connects to the stack's encoder, and has it load the model where it has not, or not as it is now."""
    from earthfield_infer.loading import load_version
    from earthfield_infer.repository import export_repository
    from earthfield_infer.triton import TritonEncoder

    # Writes nothing where the newest version is just this.
    exported = export_repository(model, catalog, repository_of(Catalog(Settings().root)))
    try:
        return TritonEncoder.connect(model, address, fingerprint=exported.fingerprint)
    except EarthfieldError:
        load_version(model, address, fingerprint=exported.fingerprint)
    return TritonEncoder.connect(model, address, fingerprint=exported.fingerprint)


def main() -> None:
    """Serves until it is ended."""
    from earthfield_infer.repository import export_repository
    from earthfield_infer.server import ServerOptions, serve

    catalog = Catalog(Settings().folder.absolute())
    model = model_to_serve(catalog.folder)
    if model is None:
        raise NotFound(f"there is no model under {catalog.root}: `earthfield up --no-encoder`")
    repository = repository_of(catalog)
    export_repository(model, catalog, repository)
    grpc, http, metrics = map(int, sys.argv[1:])
    options = ServerOptions(
        grpc_port=grpc, http_port=http, metrics_port=metrics, log=repository.parent / "triton.log"
    )
    serve(repository, options, ready=lambda report: log.info("serving %s", ", ".join(report.models)))


if __name__ == "__main__":
    try:
        main()
    except EarthfieldError as told:
        sys.exit(str(told))
