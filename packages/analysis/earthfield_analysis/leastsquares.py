"""Least squares with a penalty, and what vectors would get if they or their group were left out, in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PENALTIES: tuple[float, ...] = tuple(10.0 ** (power / 2) for power in range(-8, 7))
"""Penalties tried, as shares of the mean squared length of the centred training vectors."""


@dataclass(frozen=True)
class Fit:
    """A linear map with what is known about it."""

    weights: NDArray[np.float64]
    """(F, C) slopes."""
    offset: NDArray[np.float64]
    """(C,) values at the origin."""
    penalty: float
    """Penalty that was used, in units of squared features."""
    left_out: NDArray[np.float64]
    """(N, C) what each training vector gets from a fit on those of other groups."""
    left_out_error: float
    """Mean squared error of `left_out`; NaN where nothing could be left out."""


def fit_targets(
    values: NDArray[np.floating],
    targets: NDArray[np.floating],
    *,
    penalty: float | None = None,
    groups: NDArray[np.intp] | None = None,
    weights: NDArray[np.floating] | None = None,
    tune: bool = True,
) -> Fit:
    """Fits targets by least squares with a penalty on the slopes and a free intercept.

    Without a penalty the one of `PENALTIES` is taken whose squared error over left-out vectors is least, known
    from one decomposition. Vectors that resemble one another because they come from one polygon or one block must
    be left out together: left out one by one, each is told by its neighbours, and the penalty comes out too small.

    Args:
        values: (N, F) training vectors.
        targets: (N, C) what they should give.
        penalty: in units of squared features, as scikit-learn's `alpha`.
        groups: (N,) number of the group that each is left out with; each alone where absent.
        weights: (N,) how much each counts, above 0; all the same where absent.
        tune: whether a penalty can be chosen by leaving out; without, the share 1 is taken.

    Source: the left-out residual of a linear smoother, (I - H_GG)^-1 e_G for a group G with hat matrix H.
    """
    root = np.ones(len(values)) if weights is None else np.sqrt(weights * (len(values) / np.sum(weights)))
    share = root**2 / len(values)
    middle = share @ values if weights is not None else values.mean(axis=0, dtype=np.float64)
    level = share @ targets if weights is not None else targets.mean(axis=0)
    centred, wanted = (values - middle) * root[:, None], (targets - level) * root[:, None]
    left, power, right = _decomposed(centred)
    within = left.T @ wanted
    scale = float((centred**2).sum() / len(values)) or 1.0
    shares = PENALTIES[::-1] if tune else (1.0,)
    tried = [one * scale for one in shares] if penalty is None else [penalty]
    apart = _apart(groups)
    missed = [_left_out_error(left, power, within, wanted, root, apart, one) for one in tried]
    errors = [float((one**2).mean()) for one in missed]
    best = int(np.argmin(errors))
    slopes = right @ ((np.sqrt(power) / (power + tried[best]))[:, None] * within)
    left_out = np.asarray(targets, np.float64) - missed[best] / root[:, None]
    return Fit(slopes, level - middle @ slopes, tried[best], left_out, errors[best] if tune else float("nan"))


def _apart(groups: NDArray[np.intp] | None) -> list[NDArray[np.intp]] | None:
    """Gives the rows of each group, or None where each is alone."""
    if groups is None:
        return None
    order = np.argsort(groups, kind="stable")
    cuts = np.flatnonzero(np.diff(groups[order])) + 1
    found = np.split(order, cuts)
    return None if len(found) == len(groups) else found


def _decomposed(
    centred: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Singular vectors (N, R) and (F, R) and squared singular values (R,), from the smaller of both products."""
    count, width = centred.shape
    power, vectors = np.linalg.eigh(centred @ centred.T if count <= width else centred.T @ centred)
    real = power > max(power[-1], 1e-300) * 1e-10
    power, vectors = power[real], vectors[:, real]
    if count <= width:
        return vectors, power, (centred.T @ vectors) / np.sqrt(power)
    return (centred @ vectors) / np.sqrt(power), power, vectors


def _left_out_error(
    left: NDArray[np.float64],
    power: NDArray[np.float64],
    within: NDArray[np.float64],
    wanted: NDArray[np.float64],
    root: NDArray[np.float64],
    apart: list[NDArray[np.intp]] | None,
    penalty: float,
) -> NDArray[np.float64]:
    """Error (N, C) of each training vector when its group is left out of the fit, times the root of its weight."""
    shrunk = power / (power + penalty)
    error = wanted - left @ (shrunk[:, None] * within)
    if apart is None:
        lever = root**2 / len(left) + (left**2) @ shrunk
        return np.asarray(error / np.maximum(1 - lever, 1e-9)[:, None])
    found = np.empty_like(error)
    for rows in apart:
        # The hat matrix of a group is Z Z'; of I - Z Z' and I - Z' Z the smaller is solved. Where all else says
        # nothing about a group, a little keeps it from dividing by nothing.
        z = np.column_stack([root[rows] / np.sqrt(len(left)), left[rows] * np.sqrt(shrunk)])
        if len(rows) <= z.shape[1]:
            found[rows] = np.linalg.solve((1 + 1e-9) * np.eye(len(rows)) - z @ z.T, error[rows])
        else:
            inner = np.linalg.solve((1 + 1e-9) * np.eye(z.shape[1]) - z.T @ z, z.T @ error[rows])
            found[rows] = error[rows] + z @ inner
    return found
