"""Having a running server load the newest version of a model, while the others go on answering."""

from __future__ import annotations

from earthfield.errors import InvalidInput, Unavailable
from earthfield_infer.serving.connection import checked_address, guard_headers
from earthfield_infer.serving.wire import KEY_VARIABLE

LOAD_S = 600.0
"""How long loading and warming up may take."""


def load_version(model: str, address: str, *, fingerprint: str, timeout_s: float = LOAD_S) -> None:
    """Has a server load the newest versions of a model, and checks that the one that is meant is among them.

    Args:
        model: its name.
        address: grpc://host:port.
        fingerprint: hash of config and weights that the server must run afterwards.
        timeout_s: how long it may take.

    Raises:
        InvalidInput: the server has another repository, lets nobody load, or cannot load it.
        Unavailable: it does not answer.
    """
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    from earthfield_infer.serving.connection import Connection

    where, is_encrypted = checked_address(address)
    with triton.InferenceServerClient(where, ssl=is_encrypted) as client:
        try:
            client.load_model(model, headers=guard_headers(), client_timeout=timeout_s)
        except InferenceServerException as error:
            status = str(error.status())
            if "UNAVAILABLE" in status and "restricted" not in str(error.message()):
                raise Unavailable(f"the server at {address} does not answer ({error.message()})") from error
            raise InvalidInput(
                f"the server at {address} did not load {model} ({error.message()}): its log says more; a server "
                f"that others can reach asks for {KEY_VARIABLE}"
            ) from error
    connection = Connection(address, model, timeout_s=timeout_s, shared_memory=False)
    try:
        runs = connection.fingerprints()
    finally:
        connection.close()
    if fingerprint not in runs:
        raise InvalidInput(
            f"the server at {address} loaded {', '.join(one[:12] for one in runs)}, not {fingerprint[:12]}: it "
            "serves another repository than the one that was written"
        )
