"""How well labels are told by labels that lie elsewhere: cross-validated in spatial blocks, or no number at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from earthfield_analysis.learn.blocks import Blocks, deal_blocks
from earthfield_analysis.learn.estimators import Method, fit_classes, fit_numbers

RIM_M = 40.0
"""Width of the rim around a test block from which nothing is learnt, metres."""
_FEWEST = 4
_FEWEST_NUMBERS = 10
_RESAMPLES = 200


@dataclass(frozen=True)
class ClassScore:
    """How well classes are told; every number is None where there are too few labels for one."""

    why_not: str = ""
    """Why there is no score; empty where there is one."""
    balanced_accuracy: float | None = None
    """Mean over the classes of the share that was found, 0..1."""
    sem: float | None = None
    """Its standard error, from drawing whole blocks anew."""
    accuracy: float | None = None
    """Share of pixels that was found, 0..1; leans towards classes with many labels."""
    log_loss: float | None = None
    """Mean of -ln of the probability that the true class was given, classes weighing the same."""
    recall: list[float] = field(default_factory=list)
    """(C,) share of each class that was found."""
    precision: list[float | None] = field(default_factory=list)
    """(C,) share of what was called a class that is one; None where nothing was."""
    confusion: list[list[int]] = field(default_factory=list)
    """(C, C) labelled pixels by true class (rows) and told class (columns)."""
    pixels: int = 0
    """Labelled pixels that were scored, each by a fit without its block."""
    folds: int = 0
    """Parts that the blocks were dealt into."""
    blocks: int = 0
    """Blocks with a label."""
    block_m: float = 0.0
    """Side of a block, metres."""
    rim_m: float = RIM_M
    """Width of the rim around each test, metres."""


@dataclass(frozen=True)
class NumberScore:
    """How well numbers are told; every number is None where there are too few labels for one."""

    why_not: str = ""
    """Why there is no score; empty where there is one."""
    r2: float | None = None
    """1 - squared error / variance; below 0 where the mean would have told more."""
    rmse: float | None = None
    """Root of the mean squared error, in the labels' unit."""
    rmse_sem: float | None = None
    """Its standard error, from drawing whole blocks anew."""
    mae: float | None = None
    """Mean absolute error, in the labels' unit."""
    bias: float | None = None
    """Mean of told minus true, in the labels' unit."""
    pixels: int = 0
    """Labelled pixels that were scored, each by a fit without its block."""
    folds: int = 0
    """Parts that the blocks were dealt into."""
    blocks: int = 0
    """Blocks with a label."""
    block_m: float = 0.0
    """Side of a block, metres."""
    rim_m: float = RIM_M
    """Width of the rim around each test, metres."""


def score_classes(
    vectors: NDArray[np.floating],
    codes: NDArray[np.integer],
    blocks: Blocks,
    *,
    method: Method = "linear",
    names: Sequence[str] = (),
    rim_m: float = RIM_M,
    seed: int = 0,
) -> ClassScore:
    """Scores an estimator of classes: each label is told by a fit on labels of other blocks.

    Args:
        vectors: (N, F) unit vectors.
        codes: (N,) their classes.
        blocks: where they lie.
        method: the estimator.
        names: what classes are called, in the order of their codes, for the reason where there is no score.
        rim_m: width of the rim around a test from which nothing is learnt.
        seed: of deals and of the forest.
    """
    classes = np.unique(codes)
    called = list(names) or [str(code) for code in classes]
    laid: dict[str, Any] = {"blocks": blocks.count, "block_m": blocks.side_m, "rim_m": rim_m}
    why = _too_few(codes, classes, called, blocks)
    if why:
        return ClassScore(why, **laid)
    number = np.searchsorted(classes, codes)
    told = np.full((len(codes), len(classes)), np.nan, np.float32)
    tests = deal_blocks(blocks, codes, seed=seed)
    for test in tests:
        train = blocks.outside(test, rim_m)
        if len(np.unique(codes[train])) < len(classes):
            lost = sorted(called[one] for one in range(len(classes)) if classes[one] not in codes[train])
            return ClassScore(
                f"with a block and {rim_m:g} m around it left out, no label of {', '.join(map(repr, lost))} is "
                "left to learn from: label it in more places",
                **laid,
            )
        fitted = fit_classes(
            vectors[train], codes[train], method=method, groups=blocks.number[train], seed=seed
        )
        told[test] = fitted.probabilities(vectors[test])
    return _class_score(told, number, blocks, len(tests), rim_m)


def score_numbers(
    vectors: NDArray[np.floating],
    values: NDArray[np.floating],
    blocks: Blocks,
    *,
    method: Method = "linear",
    rim_m: float = RIM_M,
    seed: int = 0,
) -> NumberScore:
    """Scores an estimator of numbers; arguments as in `score_classes`, with (N,) values."""
    laid: dict[str, Any] = {"blocks": blocks.count, "block_m": blocks.side_m, "rim_m": rim_m}
    units = len(np.unique(blocks.unit))
    if units < _FEWEST_NUMBERS or blocks.count < _FEWEST:
        return NumberScore(
            f"{units} labels in {blocks.count} blocks of {blocks.side_m:,.0f} m are too few for a score: at least "
            f"{_FEWEST_NUMBERS} labels in {_FEWEST} places",
            **laid,
        )
    told = np.full(len(values), np.nan)
    tests = deal_blocks(blocks, np.zeros(len(values), int), seed=seed)
    for test in tests:
        train = blocks.outside(test, rim_m)
        if len(np.unique(values[train])) < 2:
            return NumberScore(
                f"with a block and {rim_m:g} m around it left out, too few labels are left to learn from",
                **laid,
            )
        fitted = fit_numbers(
            vectors[train], values[train], method=method, groups=blocks.number[train], seed=seed
        )
        told[test] = fitted.numbers(vectors[test])
    error = told - values
    spread = float(np.mean((values - values.mean()) ** 2))
    resampled = [float(np.sqrt(np.mean(error[rows] ** 2))) for rows in _resampled(blocks)]
    return NumberScore(
        r2=1 - float(np.mean(error**2)) / spread, rmse=float(np.sqrt(np.mean(error**2))),
        rmse_sem=float(np.std(resampled, ddof=1)), mae=float(np.abs(error).mean()), bias=float(error.mean()),
        pixels=len(values), folds=len(tests), **laid,
    )  # fmt: skip


def _too_few(
    codes: NDArray[np.integer], classes: NDArray[np.integer], names: Sequence[str], blocks: Blocks
) -> str:
    """Says which classes have too few labels, or labels in too few places, for a score that means something."""
    told = []
    for code, name in zip(classes, names, strict=True):
        own = codes == code
        labels, held = len(np.unique(blocks.unit[own])), len(np.unique(blocks.number[own]))
        if labels < _FEWEST:
            told.append(f"{name!r} has {labels} {'label' if labels == 1 else 'labels'}")
        elif held < 2:
            told.append(f"all {labels} labels of {name!r} lie within {blocks.side_m:,.0f} m")
    if not told:
        return ""
    more = f" and {len(told) - 5} more classes" if len(told) > 5 else ""
    return (
        f"too few labels for a score: {'; '.join(told[:5])}{more}. At least {_FEWEST} points or polygons of each "
        "class in two places are needed"
    )


def _class_score(
    told: NDArray[np.float32], number: NDArray[np.intp], blocks: Blocks, folds: int, rim_m: float
) -> ClassScore:
    classes = told.shape[1]
    guess = told.argmax(axis=1)
    confusion = np.zeros((classes, classes), int)
    np.add.at(confusion, (number, guess), 1)
    truths, calls = confusion.sum(axis=1), confusion.sum(axis=0)
    recall = confusion.diagonal() / truths
    given = np.maximum(told[np.arange(len(told)), number], 1e-6)
    losses = np.bincount(number, weights=-np.log(given)) / truths
    found = guess == number
    resampled = [_balanced(found[rows], number[rows]) for rows in _resampled(blocks)]
    return ClassScore(
        balanced_accuracy=float(recall.mean()), sem=float(np.std(resampled, ddof=1)), accuracy=float(found.mean()),
        log_loss=float(losses.mean()), recall=[float(one) for one in recall],
        precision=[
            float(hits / of) if of else None for hits, of in zip(confusion.diagonal(), calls, strict=True)
        ],
        confusion=confusion.tolist(), pixels=len(number), folds=folds, blocks=blocks.count, block_m=blocks.side_m,
        rim_m=rim_m,
    )  # fmt: skip


def _balanced(found: NDArray[np.bool_], number: NDArray[np.intp]) -> float:
    counts = np.bincount(number)
    hits = np.bincount(number, weights=found)
    return float((hits[counts > 0] / counts[counts > 0]).mean())


def _resampled(blocks: Blocks) -> list[NDArray[np.intp]]:
    """Rows of as many blocks as there are, drawn with replacement, several times over."""
    rng = np.random.default_rng(0)
    _, number = np.unique(blocks.number, return_inverse=True)
    order = np.argsort(number, kind="stable")
    rows = np.split(order, np.flatnonzero(np.diff(number[order])) + 1)
    draws = rng.integers(0, len(rows), (_RESAMPLES, len(rows)))
    return [np.concatenate([rows[one] for one in draw]) for draw in draws]
