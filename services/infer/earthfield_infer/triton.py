"""The encoder behind Triton servers: shared memory on one host, gRPC elsewhere, the same seam as in process."""

from __future__ import annotations

import itertools
import logging
import threading
import time
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from earthfield.errors import Conflict, EarthfieldError, InvalidInput, NotFound, Unavailable
from earthfield.frames import Frames
from earthfield.timeline import Period
from earthfield_infer.serving.connection import Connection, Replaced, Request
from earthfield_infer.serving.regions import TensorSpec
from earthfield_infer.serving.wire import (
    PERIODS,
    Served,
    Tensors,
    periods_tensor,
    shape_of,
    showing,
    write_frames,
)

log = logging.getLogger(__name__)

TIMEOUT_S = 600.0
"""How long one window may take, waiting in the server's queue included."""
PATIENCE_S = 180.0
"""How long a request is tried again while no server answers: time enough to start one again."""
_BACKOFF = wait_random_exponential(multiplier=0.25, max=4)


class TritonEncoder:
    """Implements `earthfield.ports.Encoder` with a model that one or several Triton servers run.

    It keeps to the weights that it began with: every answer tells their fingerprint, and an answer of other weights
    is an error, never part of a field. Any number of threads may encode at once.
    """

    def __init__(
        self,
        connections: Sequence[Connection],
        served: Served,
        fingerprint: str,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """Takes servers over that were asked already; `connect` is the way in."""
        self.name, self.dim, self.sources = served.model, served.dim, served.source_names
        self.fingerprint, self.precision, self.patience_s = fingerprint, served.precision, patience_s
        self.num_parallel = len(connections) * (served.num_instances + 1)
        """How many windows may usefully be asked at once: one travels while another is computed."""
        self._served, self._connections = served, tuple(connections)
        self._turn, self._lock = itertools.count(), threading.Lock()
        self._closing = weakref.finalize(self, _close, self._connections)

    @classmethod
    def connect(
        cls,
        model: str,
        addresses: str | Sequence[str],
        *,
        fingerprint: str | None = None,
        shared_memory: bool = True,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> TritonEncoder:
        """Connects to servers and keeps to the newest weights that the first of them runs.

        Args:
            model: the model's name.
            addresses: grpc://host:port, several as a sequence or with commas between; grpcs:// is encrypted.
            fingerprint: which weights it must be, where it matters.
            shared_memory: whether tensors go through memory where a server is on this host.
            timeout_s: how long one window may take.
            patience_s: how long to try again while no server answers.

        Raises:
            InvalidInput: an address has another form, or no server runs weights of this fingerprint.
            NotFound: a server has no such model.
            BrokenArtefact: the model there is none of Earthfield's, or of another version of it.
            Unavailable: no server answers.
        """
        listed = addresses.split(",") if isinstance(addresses, str) else list(addresses)
        options = {"timeout_s": timeout_s, "shared_memory": shared_memory}
        connections = [Connection(one.strip(), model, **options) for one in listed if one.strip()]  # type: ignore[arg-type]
        if not connections:
            raise InvalidInput("no address of an encoder was given: name grpc://host:port")
        try:
            served, told = _met(connections)
            fingerprint = _chosen(model, told, fingerprint)
        except BaseException:
            _close(connections)
            raise
        return cls(connections, served, fingerprint, patience_s=patience_s)

    def encode(self, frames: Frames, periods: Sequence[Period]) -> NDArray[np.float32]:
        """Gives a unit vector per pixel and period; NaN at pixels that no valid observation covers.

        While no server answers it waits and tries again, for as long as `patience_s` says.

        Args:
            frames: observations of one window; sources that the model does not know are ignored.
            periods: valid periods, served by one pass of the trunk.

        Raises:
            InvalidInput: no known source, no period, a size that is not a multiple of 16, or values that do not fit
                the integers that travel.
            Conflict: no server runs the weights any more that this encoder began with.
            Unavailable: no server answered in all that time.
        """
        request = request_of(frames, periods, self._served)
        if request is None:
            shape = next(iter(frames.values())).shape
            return np.full((len(periods), *shape, self.dim), np.nan, np.float32)
        trying = Retrying(
            retry=retry_if_exception_type(Unavailable),
            stop=_Patience(self.patience_s),
            wait=self._wait,
            reraise=True,
        )
        return trying(self._ask, request)

    def close(self) -> None:
        """Gives shared memory back and hangs up; happens by itself at the latest when the program ends."""
        self._closing()

    def __enter__(self) -> TritonEncoder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(self, request: Request) -> NDArray[np.float32]:
        """Asks the server whose turn it is."""
        connection = self._next()
        try:
            return connection.encode(request, self.fingerprint)
        except Replaced as error:
            connection.rest()
            if all(one.is_replaced for one in self._connections):
                raise Conflict(
                    f"the job began with {self.name} of {self.fingerprint[:12]}, and {error}: run the same command "
                    "again to make its fields with those"
                ) from error
            raise Unavailable(str(error)) from error
        except Unavailable as error:
            log.warning("%s", error)
            connection.rest()
            raise

    def _next(self) -> Connection:
        with self._lock:
            start = next(self._turn)
        count = len(self._connections)
        in_order = [self._connections[(start + place) % count] for place in range(count)]
        return next((one for one in in_order if not one.rests), in_order[0])

    def _wait(self, state: RetryCallState) -> float:
        """Goes to another server at once; where all failed, waits a little longer every time."""
        return 0.0 if not all(one.rests for one in self._connections) else _BACKOFF(state)


def request_of(frames: Frames, periods: Sequence[Period], served: Served) -> Request | None:
    """Gives a window as it travels: bands in the model's order, frames that show nothing left out.

    None where no frame shows anything: there is nothing to compute.

    Raises:
        InvalidInput: the model cannot read it.
    """
    spans = periods_tensor(periods)
    height, width = shape_of(frames, served)
    which = {one.name: showing(frames[one.name]) for one in served.sources if one.name in frames}
    travelling = [one for one in served.sources if len(which.get(one.name, ()))]
    if not travelling:
        return None
    specs = [TensorSpec(PERIODS, spans.dtype, spans.shape)]
    for one in travelling:
        count = len(which[one.name])
        specs += [
            TensorSpec(one.values, np.dtype(one.dtype), (1, count, len(one.bands), height, width)),
            TensorSpec(one.valid, np.dtype(bool), (1, count, height, width)),
            TensorSpec(one.acquired, np.dtype(np.int64), (1, count)),
        ]

    def fill(tensors: Tensors) -> None:
        tensors[PERIODS][...] = spans
        for one in travelling:
            write_frames(frames[one.name], which[one.name], one, tensors)

    return Request(tuple(specs), fill, (1, len(periods), height, width, served.dim))


class _Patience:
    """Tells when to give up: so long after the first failure in a row, however long the work took before."""

    def __init__(self, patience_s: float) -> None:
        self.patience_s, self._since = patience_s, 0.0

    def __call__(self, state: RetryCallState) -> bool:
        now = time.monotonic()
        self._since = self._since or now
        return now - self._since >= self.patience_s


def _met(connections: Sequence[Connection]) -> tuple[Served, dict[str, str]]:
    """Asks all servers what they serve; gives the account and the weights of the first that answers.

    Raises:
        Unavailable: none answers.
    """
    found: tuple[Served, dict[str, str]] | None = None
    failed: list[EarthfieldError] = []
    for one in connections:
        try:
            found = found or (one.served(), one.fingerprints())
        except Unavailable as error:
            log.warning("%s", error)
            one.rest()
            failed.append(error)
    if found is None:
        raise failed[0]
    return found


def _chosen(model: str, told: dict[str, str], fingerprint: str | None) -> str:
    if not told:
        raise NotFound(f"no version of {model} is ready at the server: its log says why")
    if fingerprint is None:
        return next(iter(told))
    if fingerprint not in told:
        raise InvalidInput(
            f"the server runs {model} of {', '.join(one[:12] for one in told)}, not of {fingerprint[:12]}: export "
            "the model to its repository again, or encode with what it runs"
        )
    return fingerprint


def _close(connections: Sequence[Connection]) -> None:
    for one in connections:
        one.close()
