"""How much the GPUs of this machine do, asked of their driver's own tool; nothing where there is none."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass

_ASK = (
    "--query-gpu=index,name,utilization.gpu,memory.used,memory.total",
    "--format=csv,noheader,nounits",
)
_TIMEOUT_S = 5.0
_MIB = 2**20


@dataclass(frozen=True)
class Gpu:
    """A GPU now."""

    index: str
    """Its number."""
    name: str
    """What it is."""
    use: float | None
    """Share of the last moments in which it computed, 0 to 1; None where the driver does not say."""
    used_bytes: float | None
    """Memory in use; None where the driver does not say."""
    total_bytes: float | None
    """All of its memory; None where the driver does not say."""


def gpus() -> list[Gpu]:
    """Lists the GPUs; none where there is no driver, or it does not answer."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        done = subprocess.run(
            [program, *_ASK], capture_output=True, text=True, timeout=_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [gpu for line in done.stdout.splitlines() if (gpu := _read(line))]


def _read(line: str) -> Gpu | None:
    parts = [one.strip() for one in line.split(",")]
    if len(parts) != 5:
        return None
    use, used, total = (_number(one) for one in parts[2:])
    return Gpu(
        index=parts[0],
        name=parts[1],
        use=None if use is None else use / 100,
        used_bytes=None if used is None else used * _MIB,
        total_bytes=None if total is None else total * _MIB,
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # [N/A] on parts of a GPU that is shared
        return None
