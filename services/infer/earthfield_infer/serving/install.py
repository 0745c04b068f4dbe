"""Where tritonserver comes from without a container: a wheel whose files are taken, and nothing it depends on."""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from earthfield.errors import InvalidInput, NotFound, Unavailable
from earthfield.settings import Settings
from earthfield.storage import make_folder, scratch_folder, writing

log = logging.getLogger(__name__)

WHEEL = "nvidia-pytriton==0.7.0"
"""Carries tritonserver 2.51.0 with the Python backend. It asks for NumPy 1, so it is never installed beside us."""
_INSTALL_S = 900


@dataclass(frozen=True)
class ServerFiles:
    """A tritonserver that can be started."""

    program: Path
    """The program."""
    arguments: tuple[str, ...]
    """What it must be told of where its parts lie."""
    libraries: tuple[str, ...]
    """Folders of libraries that it needs besides."""


def server_files() -> ServerFiles:
    """Finds tritonserver: that of NVIDIA's image where we are in one, else the wheel's.

    Raises:
        NotFound: there is none; the message says how to get it.
        InvalidInput: this Python has no shared library, which the server's Python needs.
    """
    if found := shutil.which("tritonserver") or shutil.which("/opt/tritonserver/bin/tritonserver"):
        return ServerFiles(Path(found), (), ())
    home = install_folder() / "pytriton" / "tritonserver"
    if not (home / "bin" / "tritonserver").is_file():
        raise NotFound(
            f"there is no tritonserver on this machine: add --install, which fetches {WHEEL} into "
            f"{install_folder()}, or run the repository in NVIDIA's image"
        )
    arguments = (f"--backend-directory={home / 'backends'}", f"--cache-directory={home / 'caches'}")
    return ServerFiles(home / "bin" / "tritonserver", arguments, (_python_library(),))


def is_supported() -> bool:
    """Tells whether the wheel's server runs on a machine of this kind."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


def install_folder() -> Path:
    """Gives the folder of the wheel's files: one for each version of Python, whose stub lies among them."""
    name = f"{WHEEL.replace('==', '-')}-py{sys.version_info.major}{sys.version_info.minor}"
    return Settings().state.absolute() / "tritonserver" / name


def install_server() -> Path:
    """Fetches the wheel's files unless they are there already; another program may do so at the same time.

    Raises:
        InvalidInput: the wheel does not run on this machine, or there is neither pip nor uv.
        Unavailable: it could not be fetched.
    """
    folder = install_folder()
    if folder.is_dir():
        return folder
    if not is_supported():
        raise InvalidInput(
            f"{WHEEL} runs on Linux on x86_64 only: run the repository in NVIDIA's image instead"
        )
    with scratch_folder(make_folder(folder.parent)) as scratch:
        target = scratch / "files"
        _fetch(target)
        home = target / "pytriton" / "tritonserver"
        stub = f"{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"
        with writing(folder):
            placed = shutil.copy2(home / "python_backend_stubs" / stub, home / "backends" / "python")
            for program in (Path(placed), home / "bin" / "tritonserver"):
                program.chmod(0o755)
            try:
                target.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
    return folder


def _fetch(target: Path) -> None:
    """Has pip, or else uv, put the wheel's files into a folder, with whatever settings of theirs hold here."""
    words = ["install", "--quiet", "--no-deps", "--only-binary=:all:", f"--target={target}", WHEEL]
    told: dict[str, str] = {}
    if importlib.util.find_spec("pip"):
        command = [sys.executable, "-m", "pip", *words, "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        command = [uv, "pip", *words, f"--python={sys.executable}"]
        if links := os.environ.get("PIP_FIND_LINKS"):
            told["UV_FIND_LINKS"] = links
    else:
        raise InvalidInput(f"{WHEEL} cannot be fetched: this Python has no pip, and there is no uv")
    log.info("fetching %s", WHEEL)
    done = subprocess.run(
        command, env=os.environ | told, capture_output=True, text=True, timeout=_INSTALL_S, check=False
    )
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no word").splitlines()[-1]
        raise Unavailable(f"{WHEEL} could not be fetched ({last}): check the network and the registry")


def _python_library() -> str:
    """Gives the folder of this Python's shared library, which the server's Python loads."""
    name = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    places = (sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LIBPL"), f"{sys.base_prefix}/lib")
    multiarch = sysconfig.get_config_var("MULTIARCH")
    usual = [f"/usr/lib/{multiarch}", f"/lib/{multiarch}"] if multiarch else []
    for folder in [*filter(None, places), *usual]:
        if (Path(folder) / name).is_file():
            return str(folder)
    raise InvalidInput(
        f"{sys.executable} has no shared library {name}, which tritonserver needs: install libpython, or take a "
        "Python that was built with it"
    )
