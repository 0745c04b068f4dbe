"""One server: what it serves, a request by shared memory or as a message, and its errors in our words."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import grpc
import numpy as np
import tritonclient.grpc as triton
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from earthfield import traces
from earthfield.errors import BrokenArtefact, EarthfieldError, Internal, InvalidInput, NotFound, Unavailable
from earthfield_infer.serving.regions import Region, RegionPool, TensorSpec, places_of
from earthfield_infer.serving.wire import (
    ACCOUNT,
    FINGERPRINT,
    GUARD,
    KEY_VARIABLE,
    PERIODS,
    VECTORS,
    Served,
    Tensors,
)

log = logging.getLogger(__name__)

_ASK_S = 10.0
"""How long a server may take to tell of itself."""
_LET_GO_S = 2.0
_AGAIN_S = 0.02
_CHANNEL = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # A server that was started again is found again within a second, not within two minutes.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_AWAY = ("UNAVAILABLE", "DEADLINE_EXCEEDED", "CANCELLED", "RESOURCE_EXHAUSTED")
_REGION, _STUB, _RESTRICTED = "shared memory region", "Stub process", "restricted"
_IN_USE = "in use"
_EPOCH_DAY = np.array([[[0, 86_400_000_000]]], np.int64)


class Replaced(EarthfieldError):
    """The server runs other weights than those that were asked for."""


@dataclass(frozen=True)
class Request:
    """A window to be encoded, as it travels."""

    specs: tuple[TensorSpec, ...]
    """Its tensors."""
    fill: Callable[[Tensors], None]
    """Writes their contents."""
    shape: tuple[int, ...]
    """Shape of the answer, (1, P, H, W, D)."""


def checked_address(text: str) -> tuple[str, bool]:
    """Gives host and port of an address, and whether the connection is encrypted.

    Raises:
        InvalidInput: it has another form.
    """
    text = text.strip()
    parts = urlsplit(text if "://" in text else f"grpc://{text}")
    try:
        port = 8001 if parts.port is None else parts.port
    except ValueError:
        port = 0
    if parts.scheme not in ("grpc", "grpcs") or not parts.hostname or not port or parts.path.strip("/"):
        raise InvalidInput(
            f"{text!r} is no address of an encoder: give grpc://host:port, several with commas between"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{port}", parts.scheme == "grpcs"


def guard_headers() -> dict[str, str] | None:
    """Gives what opens a guarded server, where the environment holds the key."""
    key = os.environ.get(KEY_VARIABLE)
    return {f"triton-grpc-protocol-{GUARD}": key} if key else None


class Connection:
    """One server of a model; safe to share between threads."""

    def __init__(self, address: str, model: str, *, timeout_s: float, shared_memory: bool) -> None:
        """Prepares to ask; nothing is sent yet."""
        self.address, self.model, self.timeout_s = address, model, timeout_s
        self._ask_s = min(_ASK_S, timeout_s)
        where, is_encrypted = checked_address(address)
        self._client = triton.InferenceServerClient(where, ssl=is_encrypted, channel_args=list(_CHANNEL))
        self._pool = RegionPool(self._register, self._unregister)
        self.shares_memory = shared_memory
        self._versions: dict[str, str] = {}
        self._lock = threading.Lock()
        self._failures, self._rests_until = 0, 0.0
        self.is_replaced = False

    @property
    def rests(self) -> bool:
        """Whether it failed lately and is left out for a while."""
        return time.monotonic() < self._rests_until

    def rest(self) -> None:
        """Leaves it out for a while, longer with every failure in a row, and takes nothing for known."""
        with self._lock:
            self._failures += 1
            self._rests_until = time.monotonic() + min(2.0 ** min(self._failures, 5), 30.0)
            self._versions.clear()
        self._pool.clear()

    def close(self) -> None:
        """Gives shared memory back and hangs up."""
        self._pool.close()
        self._client.close()

    def served(self) -> Served:
        """Asks what the model reads.

        Raises:
            NotFound: the server has no such model; the message lists those it has.
            BrokenArtefact: it is no model of Earthfield's.
            Unavailable: the server does not answer.
        """
        with self._told():
            config = self._client.get_model_config(self.model, client_timeout=self._ask_s).config
        if ACCOUNT not in config.parameters:
            raise BrokenArtefact(
                f"the model {self.model} at {self.address} was not exported by Earthfield: write its repository "
                "with `earthfield model export --triton`"
            )
        return Served.from_json(config.parameters[ACCOUNT].string_value)

    def fingerprints(self) -> dict[str, str]:
        """Asks which weights it runs: versions by fingerprint, the newest first.

        Raises:
            NotFound: the server has no such model.
            Unavailable: the server does not answer.
        """
        with self._told():
            versions = self._client.get_model_metadata(self.model, client_timeout=self._ask_s).versions
        found: dict[str, str] = {}
        for version in sorted(versions, key=int, reverse=True):
            with self._told():
                given = self._infer(version, [self._input(PERIODS, _EPOCH_DAY)], [FINGERPRINT], self._ask_s)
            found.setdefault(_fingerprint(given), version)
        return found

    def encode(self, request: Request, fingerprint: str) -> NDArray[np.float32]:
        """Has a window encoded by given weights, (P, H, W, D).

        Raises:
            Replaced: the server no longer runs these weights.
            InvalidInput: the server cannot read the request.
            Unavailable: it does not answer, or not in time.
        """
        try:
            version = self._version(fingerprint)
            with self._told():
                vectors, told = self._sent(request, version)
        except NotFound as error:
            # A server that is starting may answer before it has its models; one that was upgraded tells next time.
            raise Unavailable(str(error)) from error
        if told != fingerprint:
            raise Replaced(f"version {version} of {self.model} at {self.address} was replaced in its place")
        self._failures, self.is_replaced = 0, False
        return vectors

    def _version(self, fingerprint: str) -> str:
        version = self._versions.get(fingerprint)
        if version is None:
            found = self.fingerprints()
            if fingerprint not in found:
                self.is_replaced = True
                raise Replaced(f"{self.address} runs {self.model} of " + ", ".join(one[:12] for one in found))
            self._versions = found
            version = found[fingerprint]
        return version

    def _sent(self, request: Request, version: str) -> tuple[NDArray[np.float32], str]:
        given = self._by_memory(request, version) if self.shares_memory else None
        return given or self._by_message(request, version)

    def _by_memory(self, request: Request, version: str) -> tuple[NDArray[np.float32], str] | None:
        """Sends a request through shared memory; None where that cannot be, now or ever."""
        answer = TensorSpec(VECTORS, np.dtype(np.float32), request.shape)
        specs = (*request.specs, answer)
        places, size = places_of(specs)
        for _ in range(2):
            try:
                with self._pool.region(size) as region:
                    return self._through(region, specs, places, request, version)
            except OSError as error:
                log.warning("no shared memory with %s (%s): sending messages", self.address, error)
                break
            except InferenceServerException as error:
                if _REGION not in str(error.message()):
                    raise
                log.info("%s does not know a region of shared memory: %s", self.address, error.message())
                # Nor any other that waits to be used again: the server was started anew.
                self._pool.clear()
        self.shares_memory = False
        self._pool.clear()
        return None

    def _through(
        self,
        region: Region,
        specs: Sequence[TensorSpec],
        places: Mapping[str, int],
        request: Request,
        version: str,
    ) -> tuple[NDArray[np.float32], str]:
        arrays = region.arrays(specs, places)
        request.fill(arrays)
        inputs = []
        for one in request.specs:
            told = triton.InferInput(one.name, list(one.shape), np_to_triton_dtype(one.dtype))
            told.set_shared_memory(region.name, one.num_bytes, places[one.name])
            inputs.append(told)
        wanted = triton.InferRequestedOutput(VECTORS)
        wanted.set_shared_memory(region.name, specs[-1].num_bytes, places[VECTORS])
        given = self._infer(version, inputs, [wanted, FINGERPRINT], self.timeout_s)
        shape = tuple(given.get_output(VECTORS).shape)
        if shape != request.shape:
            raise Internal(f"{self.address} gave vectors of {shape} where {request.shape} were asked for")
        return arrays[VECTORS][0].copy(), _fingerprint(given)

    def _by_message(self, request: Request, version: str) -> tuple[NDArray[np.float32], str]:
        arrays = {one.name: np.empty(one.shape, one.dtype) for one in request.specs}
        request.fill(arrays)
        inputs = [self._input(name, content) for name, content in arrays.items()]
        given = self._infer(version, inputs, [VECTORS, FINGERPRINT], self.timeout_s)
        vectors = given.as_numpy(VECTORS)
        if vectors is None or vectors.shape != request.shape:
            raise Internal(f"{self.address} gave no vectors of {request.shape}")
        return vectors[0], _fingerprint(given)

    def _input(self, name: str, content: NDArray[Any]) -> triton.InferInput:
        told = triton.InferInput(name, list(content.shape), np_to_triton_dtype(content.dtype))
        told.set_data_from_numpy(content)
        return told

    def _infer(
        self, version: str, inputs: list[triton.InferInput], outputs: Sequence[Any], timeout_s: float
    ) -> triton.InferResult:
        wanted = [triton.InferRequestedOutput(one) if isinstance(one, str) else one for one in outputs]
        # The server drops a request that nobody waits for any more.
        with traces.span("encode", kind="client", server__address=self.address, earthfield__model=self.model):
            return self._client.infer(
                self.model, inputs, version, wanted, client_timeout=timeout_s, timeout=int(timeout_s * 1e6),
                headers=traces.carried() or None,
            )  # fmt: skip

    def _register(self, region: Region) -> None:
        """Has the server open a region.

        Raises:
            OSError: it is on another host, or lets nobody share memory with it.
        """
        try:
            self._client.register_system_shared_memory(
                region.name, region.key, region.size, headers=guard_headers(), client_timeout=self._ask_s
            )
        except InferenceServerException as error:
            if _status(error) in _AWAY and _RESTRICTED not in str(error.message()):
                raise
            raise OSError(str(error.message())) from error

    def _unregister(self, name: str) -> None:
        until = time.monotonic() + _LET_GO_S
        while True:
            try:
                return self._client.unregister_system_shared_memory(
                    name, headers=guard_headers(), client_timeout=_LET_GO_S
                )
            except (InferenceServerException, ValueError, grpc.RpcError) as error:
                # The server counts a request's end a moment after it has answered.
                if _IN_USE in str(error) and time.monotonic() < until:
                    time.sleep(_AGAIN_S)
                    continue
                # A server that is gone has let it go.
                return log.debug("%s was not told to let %s go: %s", self.address, name, error)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tells what a server refuses in our words."""
        try:
            yield
        except InferenceServerException as error:
            raise self._in_our_words(error) from error

    def _in_our_words(self, error: InferenceServerException) -> EarthfieldError:
        status, message = _status(error), str(error.message())
        if _STUB in message or status in _AWAY:
            return Unavailable(
                f"the encoder at {self.address} does not answer ({status}: {message}): start it with `earthfield "
                "serve encoder`, or wait until it is back"
            )
        if status == "NOT_FOUND" or "unknown model" in message:
            return NotFound(
                f"{self.address} does not serve the model {self.model} ({message}){self._models_told()}"
            )
        if status == "INVALID_ARGUMENT":
            return InvalidInput(f"the encoder at {self.address} cannot read the request: {message}")
        return Internal(f"the encoder at {self.address} failed: {message}; its log says more")

    def _models_told(self) -> str:
        try:
            models = self._client.get_model_repository_index(client_timeout=self._ask_s).models
        except InferenceServerException:
            return ""
        return f"; it serves: {', '.join(sorted({one.name for one in models})) or 'none'}"


def _status(error: InferenceServerException) -> str:
    return str(error.status() or "").rpartition(".")[2]


def _fingerprint(given: triton.InferResult) -> str:
    told = given.as_numpy(FINGERPRINT)
    if told is None:
        raise Internal("a server told no fingerprint with its answer")
    return bytes(told.ravel()).hex()
