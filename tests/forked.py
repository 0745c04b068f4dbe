"""Processes that begin by fork where libraries are imported already: a start costs milliseconds, not seconds.

Nothing of Earthfield is imported beforehand, nor LanceDB, which starts threads then: those do not outlive a fork.
"""

from __future__ import annotations

import atexit
import gc
import multiprocessing
import os
import sys
from collections.abc import Mapping
from multiprocessing.context import ForkServerContext
from pathlib import Path
from tempfile import TemporaryDirectory

LIBRARIES = [
    "alembic.command", "distributed", "docket", "fastapi", "icechunk", "lance_namespace_urllib3_client.api",
    "matplotlib.pyplot", "numba", "pandas", "prefect.concurrency.sync", "prefect.flow_engine",
    "prefect.server.api.server", "pyarrow.compute", "pyarrow.dataset", "pystac_client", "rasterio", "redis.asyncio",
    "rich.progress", "scipy.fft", "scipy.ndimage", "scipy.spatial", "shapely", "torch", "torch._dynamo",
    "torch.distributed.fsdp", "torch.export", "typer", "uvicorn", "xarray", "zarr",
]  # fmt: skip


def forking() -> ForkServerContext:
    """Gives the context of `multiprocessing` whose processes have the libraries."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LIBRARIES)
    return context


class Command:
    """`earthfield` with arguments in a process of its own; it is asked and ended as `subprocess.Popen` is.

    Args:
        *words: the arguments.
        env: the whole environment; None for that of this process.
        cwd: the folder to begin in; None for that of this process.
    """

    def __init__(self, *words: object, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> None:
        self._folder = TemporaryDirectory(prefix="earthfield-told-")
        self._out, self._err = (Path(self._folder.name, name) for name in ("out", "err"))
        self._out.touch()
        self._err.touch()
        environment = dict(os.environ if env is None else env)
        self._process = forking().Process(
            target=_become,
            args=([str(word) for word in words], environment, str(cwd or Path.cwd()), self._out, self._err),
        )
        self._process.start()

    @property
    def returncode(self) -> int | None:
        """How it ended, minus the signal that killed it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """How it ended; None while it runs."""
        return self.returncode

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def wait(self) -> int | None:
        """Waits for its end."""
        self._process.join()
        return self.returncode

    def communicate(self) -> tuple[str, str]:
        """Waits for its end and gives what it wrote to stdout and stderr."""
        self.wait()
        return self._out.read_text(), self._err.read_text()


def _become(words: list[str], environment: dict[str, str], folder: str, out: Path, err: Path) -> None:
    """Is the command from here on."""
    gc.freeze()  # no garbage in what was there before the fork
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    for stream, path in ((sys.stdout, out), (sys.stderr, err)):
        with path.open("wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    sys.path[:0] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = ["earthfield", *words]
    try:
        from earthfield.cli import main
        from earthfield_flows.engine import read_settings

        read_settings()

        main()
    finally:
        # Processes of multiprocessing end without what others do at their end.
        atexit._run_exitfuncs()
