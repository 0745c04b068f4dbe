"""What a field held is not lost where an import that adds to it is killed.

The files of an earlier import may be gone when another adds to the same tile, so its pixels cannot be made again.
The raster is replaced in one step and holds them before and after; the manifest, which is taken away first, is
kept beside it until the new one stands.
"""

from __future__ import annotations

from pathlib import Path

from earthfield.storage import whole_file, writing

_MANIFEST = "manifest.json"
_BEFORE = ".before-import.json"


def keep_before(folder: Path) -> None:
    """Keeps the manifest of a field that is about to be written again with more in it."""
    with whole_file(folder / _BEFORE) as path:
        path.write_bytes((folder / _MANIFEST).read_bytes())


def restored(folder: Path) -> None:
    """Puts the manifest back of a field whose writing was killed, so that its pixels are found."""
    kept = folder / _BEFORE
    if kept.is_file() and not (folder / _MANIFEST).is_file() and (folder / "embedding.tif").is_file():
        with whole_file(folder / _MANIFEST) as path:
            path.write_bytes(kept.read_bytes())


def settled(folder: Path) -> None:
    """Forgets what was kept: the field stands."""
    with writing(folder):
        (folder / _BEFORE).unlink(missing_ok=True)
