"""Carrying models from one machine to another: a folder with checksums, taken over whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, Conflict, NotFound
from earthfield.storage import hash_of_file, make_folder, scratch_folder, writing
from earthfield_model.alphaearth import CONFIG_FILE, WEIGHTS_FILE, AlphaEarth
from earthfield_model.encoder import fingerprint_of, model_folder

SUMS_FILE = "SHA256SUMS"
"""Checksums in the form that `sha256sum -c` reads."""
_CARRIED = (".json", ".md", ".png", ".safetensors")
"""Kinds of files that belong to a model; a checkpoint, from which training goes on, stays where it is."""
_LEFT = "checkpoint"
_LINE = re.compile(r"(?P<hash>[0-9a-f]{64}) [ *](?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)")


@dataclass(frozen=True)
class TransferReport:
    """What an export or import wrote."""

    model: str
    """Name of the model."""
    path: str
    """The folder that was written."""
    files: Mapping[str, str]
    """SHA-256 by file name."""
    bytes: int
    """All files together."""
    fingerprint: str
    """Hash of config and weights: the same on both sides."""


def export_model(name: str, catalog: Catalog, folder: Path, *, overwrite: bool = False) -> TransferReport:
    """Copies a model with its card and metrics into a folder, with checksums; without training's checkpoint.

    Args:
        name: the model's name.
        catalog: where it lies, if it is not a bundled one.
        folder: what to write; made where it is absent.
        overwrite: whether an earlier export may be replaced; a folder that is none is never touched.

    Raises:
        NotFound: there is no such model.
        BrokenArtefact: its files cannot be read.
        Conflict: the folder holds something.
    """
    source = model_folder(name, catalog)
    model = AlphaEarth.from_pretrained(source)
    _check_target(folder, overwrite=overwrite)
    with scratch_folder(make_folder(folder.absolute().parent)) as scratch:
        copy = make_folder(scratch / "model")
        sums = {}
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix in _CARRIED and not path.name.startswith((_LEFT, ".")):
                sums[path.name] = _copied(path, copy)
        text = "".join(f"{digest}  {file}\n" for file, digest in sums.items())
        with writing(folder):
            (copy / SUMS_FILE).write_text(text)
        _put(copy, folder, scratch)
    return _report(model, folder, sums)


def import_model(folder: Path, catalog: Catalog, *, overwrite: bool = False) -> TransferReport:
    """Takes an exported model over into `models/` under its own name, once everything in it was checked.

    Args:
        folder: what `export_model` wrote.
        catalog: where to put it.
        overwrite: whether a model of this name may be replaced, with all that its folder holds.

    Raises:
        NotFound: there is no such folder, or it is no exported model.
        BrokenArtefact: a file is missing, altered or cannot be read; nothing was written.
        Conflict: there is a model of this name.
        InvalidInput: its name cannot stand in an address.
    """
    sums = _sums(folder)
    models = make_folder(catalog.folder / "models")
    # One deeper than where models are looked for: a crash leaves nothing that looks like a model.
    with scratch_folder(models) as scratch:
        copy = make_folder(scratch / "model")
        for name, expected in sums.items():
            # The copy is what is checked, so what was checked is what is used.
            if not (folder / name).is_file() or _copied(folder / name, copy) != expected:
                raise BrokenArtefact(
                    f"{folder / name} is not the file that was exported (its checksum differs, or it is gone): "
                    "copy the folder again"
                )
        model = AlphaEarth.from_pretrained(copy)
        target = catalog.model(checked_name(model.config.name))
        if (target.is_symlink() or target.exists()) and not overwrite:
            raise Conflict(
                f"there is a model {model.config.name!r} under {models} already: add --overwrite to replace it"
            )
        _put(copy, target, scratch)
    return _report(model, target, sums)


def _check_target(folder: Path, *, overwrite: bool) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise Conflict(f"{folder} is no folder: name another one")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not (folder / SUMS_FILE).is_file():
        raise Conflict(f"{folder} holds other things than an exported model: name a new folder")
    if not overwrite:
        raise Conflict(f"{folder} holds an exported model already: add --overwrite or name another folder")


def _sums(folder: Path) -> dict[str, str]:
    """Reads the checksums; names can only be those of files in the folder itself."""
    path = folder / SUMS_FILE
    if not path.is_file():
        raise NotFound(
            f"{folder} is no exported model, it holds no {SUMS_FILE}: make one with `earthfield model export`"
        )
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenArtefact(f"{path} cannot be read ({error}): copy the folder again") from error
    matches = [_LINE.fullmatch(line) for line in lines]
    sums = {match["name"]: match["hash"] for match in matches if match is not None}
    known = all(Path(name).suffix in _CARRIED and not name.startswith(_LEFT) for name in sums)
    if len(sums) != len(lines) or not known or not {CONFIG_FILE, WEIGHTS_FILE} <= set(sums):
        raise BrokenArtefact(
            f"{path} does not list the files of a model, {CONFIG_FILE} and {WEIGHTS_FILE} among them: "
            "export the model again"
        )
    return sums


def _copied(path: Path, folder: Path) -> str:
    """Copies a file's bytes, not its owner or rights, and gives their hash."""
    with writing(folder):
        shutil.copyfile(path, folder / path.name)
    return hash_of_file(folder / path.name)


def _put(copy: Path, target: Path, scratch: Path) -> None:
    """Moves a finished folder to its place; what was there goes to the scratch folder and away with it."""
    with writing(target):
        if target.is_symlink():
            # The link goes, never what it points to.
            target.unlink()
        elif target.exists():
            target.rename(scratch / "before")
        copy.rename(target)


def _report(model: AlphaEarth, folder: Path, sums: Mapping[str, str]) -> TransferReport:
    size = sum((folder / name).stat().st_size for name in sums)
    return TransferReport(model.config.name, str(folder), dict(sums), size, fingerprint_of(model))
