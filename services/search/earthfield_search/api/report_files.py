"""What trainings and evaluations left under the root: a model's card and figures, its curves, its scores."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from earthfield.catalog import Catalog, checked_name
from earthfield.errors import BrokenArtefact, InvalidInput, NotFound

_MOST_BYTES = 8 << 20
"""Of a card, of figures, of an evaluation: ours are a thousandth of it."""
_MOST_REPORTS = 1000
"""Evaluations that are looked through, newest first."""
_MOST_NAMES = 200
"""Curves of one training; more are no training of ours."""

Series = tuple[list[int], list[float]]
"""Steps and values of a curve."""


def model_files(catalog: Catalog, model: str) -> Path | None:
    """Gives the folder of a model, the root's own or one that came along; None where there are only fields of it.

    Raises:
        InvalidInput: the name cannot stand in an address.
        NotFound: there is neither such a model nor a field of it.
    """
    # Only descriptions are read here: the search service knows no torch, so it opens no model.
    for folder in (catalog.model(model), _bundled() / checked_name(model)):
        if folder.is_dir():
            return folder
    if next(catalog.fields(model), None) is None and not training_log(catalog, model).is_file():
        raise NotFound(f"there is no model {model!r} here, and no field of it: GET /models lists them")
    return None


def is_bundled(folder: Path) -> bool:
    """Tells whether a model's folder came with Earthfield."""
    return folder.parent == _bundled()


def training_log(catalog: Catalog, model: str) -> Path:
    """Gives where a training logs its steps."""
    return catalog.report("train", model).with_suffix(".jsonl")


def text_of(path: Path) -> str | None:
    """Gives a text file whole, or None where it is absent.

    Raises:
        BrokenArtefact: it is no text, or far larger than any of ours.
    """
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_BYTES:
        raise BrokenArtefact(f"{path} has more than {_MOST_BYTES >> 20} MB: it was not written by Earthfield")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BrokenArtefact(
            f"{path} cannot be read ({error}): train or import the model again, or remove the file"
        ) from error


def json_of(path: Path) -> dict[str, Any] | None:
    """Gives a JSON object with None for what is no finite number, or None where the file is absent.

    Raises:
        BrokenArtefact: it holds something else.
    """
    text = text_of(path)
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BrokenArtefact(f"{path} is no JSON ({error}): make it again, or remove it") from error
    if not isinstance(found, dict):
        raise BrokenArtefact(f"{path} holds no JSON object: make it again, or remove it")
    return {name: _finite(value) for name, value in found.items()}


def curves_of(log: Path, *, most: int) -> tuple[int, dict[str, Series]]:
    """Reads what every step of a training measured, thinned to means over equal numbers of steps.

    Args:
        log: JSON lines of `earthfield_train.journal`; nothing where it is absent.
        most: points of a curve, at most.

    Returns:
        Steps that were logged, and the curves by name in the order in which they were measured first.
    """
    held: dict[str, tuple[array[float], array[float]]] = {}
    last = -1
    for row in _rows(log):
        step = row.pop("step", None)
        # A log only goes on: what was done again after a resume was taken back.
        if not _is_number(step) or not last < step < 1e9:
            continue
        last = int(step)
        for name, value in row.items():
            if _is_number(value) and (name in held or len(held) < _MOST_NAMES):
                steps, values = held.setdefault(name, (array("d"), array("d")))
                steps.append(step)
                values.append(value)
    width = max(1, math.ceil((last + 1) / most))
    return last + 1, {name: _thinned(*one, width) for name, one in held.items()}


def evaluation_files(catalog: Catalog) -> list[Path]:
    """Lists the reports of evaluations, newest first."""
    folder = catalog.report("evaluate", "any").parent
    found = [one for one in folder.glob("*.json") if one.is_file() and _is_named(one.stem)]
    return sorted(found, key=lambda one: (-one.stat().st_mtime_ns, one.name))[:_MOST_REPORTS]


def _bundled() -> Path:
    return Path(str(files("earthfield_model") / "pretrained"))


def _is_named(text: str) -> bool:
    try:
        return bool(checked_name(text))
    except InvalidInput:
        return False


def _rows(log: Path) -> Iterator[dict[str, Any]]:
    """Yields the rows that were written whole: a run that goes on may be in the middle of the last one."""
    if not log.is_file():
        return
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                return
            if isinstance(row, dict):
                yield row


def _thinned(steps: array[float], values: array[float], width: int) -> Series:
    """Gives the mean of each stretch of `width` steps, at its last step."""
    at, what = np.asarray(steps), np.asarray(values)
    _, first, counts = np.unique(at // width, return_index=True, return_counts=True)
    means = np.add.reduceat(what, first) / counts
    ends = at[first + counts - 1]
    return [int(one) for one in ends], [float(one) for one in means]


def _is_number(value: Any) -> bool:
    # No NaN, and no integer that no float holds.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(name): _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value
