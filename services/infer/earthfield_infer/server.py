"""Running tritonserver: started with what it needs, waited for, and ended with everything it started."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

import httpx

from earthfield.errors import Conflict, InvalidInput, NotFound, Unavailable
from earthfield.hosts import certificates
from earthfield.settings import Settings
from earthfield.storage import make_folder, writing
from earthfield_infer.serving.install import ServerFiles, server_files
from earthfield_infer.serving.leftovers import Sweeper, backend_prefix, remove_leftovers
from earthfield_infer.serving.wire import CONFIG_PBTXT, GUARD, KEY_VARIABLE

log = logging.getLogger(__name__)

READY_S = 300.0
"""How long loading and warming up may take."""
_EXIT_S = 20
"""How long requests that are being computed may take when the server is ended."""
_SWEEP_S = 60.0
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_PR_SET_PDEATHSIG = 1
_GUARDED = "model-repository,shared-memory,logging,trace"
_GUARDS = (("grpc", "protocol"), ("http", "api"))


@dataclass(frozen=True)
class ServerOptions:
    """Where a server listens and what it writes."""

    host: str = "127.0.0.1"
    """Address to listen on."""
    grpc_port: int = 8001
    """Port of the encoder."""
    http_port: int = 8000
    """Port for health and loading."""
    metrics_port: int = 8002
    """Port that Prometheus asks."""
    log: Path | None = None
    """File with everything it says; below the state folder when absent."""

    @property
    def ports(self) -> dict[str, int]:
        """Ports by what they are for."""
        return {"gRPC": self.grpc_port, "HTTP": self.http_port, "metrics": self.metrics_port}

    @property
    def log_file(self) -> Path:
        """The log."""
        return self.log or Settings().state.absolute() / "run" / f"encoder-{self.grpc_port}.log"

    def url(self, port: int, path: str = "", *, scheme: str = "http") -> str:
        """Gives an address at which this machine reaches the server."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)
        return f"{scheme}://[{host}]:{port}{path}" if ":" in host else f"{scheme}://{host}:{port}{path}"


@dataclass(frozen=True)
class ServerReport:
    """A server that is ready."""

    encoder: str
    """Address for `--encoder`."""
    http: str
    """Address for health and loading."""
    metrics: str
    """What Prometheus asks."""
    models: tuple[str, ...]
    """Names of the models it serves."""
    pid: int
    """Id of tritonserver."""
    log: str
    """File with everything it says."""


@dataclass
class RunningServer:
    """A tritonserver that was started here; it ends with the thread that started it."""

    process: subprocess.Popen[bytes]
    """The process; it leads a session of its own."""
    options: ServerOptions
    """Where it listens."""
    models: tuple[str, ...]
    """Models in its repository."""
    prefix: str
    """How its backend names its shared memory."""
    key: str = field(default="", repr=False)
    """What guards loading and shared memory where others can reach it; empty where they cannot."""

    @property
    def report(self) -> ServerReport:
        """What is worth telling of it."""
        options = self.options
        return ServerReport(
            encoder=options.url(options.grpc_port, scheme="grpc"),
            http=options.url(options.http_port),
            metrics=options.url(options.metrics_port, "/metrics"),
            models=self.models,
            pid=self.process.pid,
            log=str(options.log_file),
        )

    def wait_ready(self, *, timeout_s: float = READY_S) -> None:
        """Waits until every model is loaded and warm.

        Raises:
            Unavailable: it ended, or took too long; the message has its last words.
        """
        until = time.monotonic() + timeout_s
        address = self.options.url(self.options.http_port, "/v2/health/ready")
        while not _answers(address):
            if self.process.poll() is not None:
                raise Unavailable(
                    f"tritonserver ended while starting ({self._last_words()}): see {self.options.log_file}"
                )
            if time.monotonic() > until:
                raise Unavailable(
                    f"tritonserver was not ready after {timeout_s:.0f} s: see {self.options.log_file}"
                )
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it: asks first, lets it finish what it computes, then insists."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_EXIT_S + 5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        remove_leftovers(self.prefix)

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            lines = self.options.log_file.read_text(errors="replace").splitlines()
            errors = [line for line in lines if line.startswith("E")] or lines
            return errors[-1].strip() if errors else "without a word"
        return "without a word"


def serve(
    repository: Path,
    options: ServerOptions,
    *,
    ready: Callable[[ServerReport], None],
    timeout_s: float = READY_S,
) -> None:
    """Serves a repository until this process is told to end; signals are passed on.

    Raises:
        NotFound: no model in the repository, or no server on this machine.
        Conflict: a port is taken.
        Unavailable: the server did not start, or ended on its own.
    """
    with _ended_by_signals():
        try:
            with started(repository, options) as server:
                server.wait_ready(timeout_s=timeout_s)
                ready(server.report)
                status = _watched(server)
        except _Ended:
            return
    raise Unavailable(f"tritonserver ended on its own with status {status}: see {options.log_file}")


def _watched(server: RunningServer) -> int:
    """Waits until a server ends, and has it let memory of dead clients go meanwhile; gives its status."""
    headers = {GUARD: server.key} if server.key else {}
    sweeper = Sweeper(server.report.http, headers=headers)
    while True:
        try:
            return server.process.wait(_SWEEP_S)
        except subprocess.TimeoutExpired:
            sweeper.sweep()


@contextlib.contextmanager
def started(repository: Path, options: ServerOptions) -> Iterator[RunningServer]:
    """Starts a server and ends it with the block; errors as in `start`."""
    server = start(repository, options)
    try:
        yield server
    finally:
        server.stop()


def start(repository: Path, options: ServerOptions) -> RunningServer:
    """Starts a server; it ends when the thread that calls this does, whatever ends that.

    Raises:
        NotFound: no model in the repository, or no server on this machine.
        InvalidInput: the log cannot be written.
        Conflict: a port is taken.
    """
    models = models_in(repository)
    files = server_files()
    _check_ports(options)
    remove_leftovers()
    prefix = backend_prefix()
    key = "" if options.host in _LOOPBACK else os.environ.get(KEY_VARIABLE) or secrets.token_urlsafe(24)
    make_folder(options.log_file.parent)
    with writing(options.log_file), options.log_file.open("ab") as output:
        process = subprocess.Popen(
            _command(repository, options, files, key, prefix), stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, env=_environment(files), start_new_session=True,
            preexec_fn=_die_with(os.getpid()),
        )  # fmt: skip
    return RunningServer(process, options, models, prefix, key)


def models_in(repository: Path) -> tuple[str, ...]:
    """Lists the models of a repository.

    Raises:
        NotFound: there is none.
    """
    found = tuple(sorted(path.parent.name for path in repository.glob(f"*/{CONFIG_PBTXT}")))
    if not found:
        raise NotFound(
            f"{repository} holds no model: write one with `earthfield model export NAME --triton {repository}`"
        )
    return found


def _command(
    repository: Path, options: ServerOptions, files: ServerFiles, key: str, prefix: str
) -> list[str]:
    guard = [f"--{kind}-restricted-{what}={_GUARDED}:{GUARD}={key}" for kind, what in _GUARDS] if key else []
    return [
        str(files.program), *files.arguments, *guard,
        f"--model-repository={repository.absolute()}",
        # A version is loaded when somebody asks for it, never while its files are being copied.
        "--model-control-mode=explicit", *(f"--load-model={name}" for name in models_in(repository)),
        f"--backend-config=python,shm-region-prefix-name={prefix}",
        f"--exit-timeout-secs={_EXIT_S}",
        f"--http-address={options.host}", f"--http-port={options.http_port}",
        f"--grpc-address={options.host}", f"--grpc-port={options.grpc_port}",
        f"--metrics-address={options.host}", f"--metrics-port={options.metrics_port}",
        "--metrics-config=summary_latencies=true",
    ]  # fmt: skip


def _environment(files: ServerFiles) -> Mapping[str, str]:
    """Gives the server's environment: the backend takes the first python3 on PATH, which must be ours."""
    old = os.environ.get("LD_LIBRARY_PATH")
    libraries = [*files.libraries, *([old] if old else [])]
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONDONTWRITEBYTECODE": "1",
        **({"LD_LIBRARY_PATH": os.pathsep.join(libraries)} if libraries else {}),
    }


def _die_with(parent: int) -> Callable[[], None]:
    """Gives what a child runs first: the kernel then ends it when its parent ends, even by `kill -9`."""
    libc = ctypes.CDLL(None, use_errno=True)

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return ask


def _check_ports(options: ServerOptions) -> None:
    if len(set(options.ports.values())) != len(options.ports):
        raise InvalidInput(f"gRPC, HTTP and metrics need ports of their own, not {options.ports}")
    switches = {"gRPC": "--port", "HTTP": "--http-port", "metrics": "--metrics-port"}
    for name, port in options.ports.items():
        try:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((options.host, port))
        except socket.gaierror as error:
            raise InvalidInput(f"{options.host!r} is no address of this machine ({error})") from error
        except OSError as error:
            raise Conflict(
                f"port {port} for {name} at {options.host} is taken ({error.strerror}): choose another with "
                f"{switches[name]}"
            ) from error


def _answers(address: str) -> bool:
    try:
        return httpx.get(address, verify=certificates(), timeout=2.0).is_success
    except httpx.TransportError:
        return False


class _Ended(BaseException):
    """Raised in the main thread by a signal that asks this process to end."""


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Turns SIGTERM, SIGINT and SIGHUP into the end of the block, once."""
    asked: list[int] = []

    def end(number: int, _: FrameType | None) -> None:
        asked.append(number)
        if len(asked) == 1:
            raise _Ended

    before = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
