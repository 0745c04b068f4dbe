"""Reconstruction losses: how far a decoder's frames are from those that were taken, by the form a source declares.

Source: AlphaEarth Foundations (arXiv 2507.22291), reconstruction losses. Every measured value of a source counts
the same, whatever frame it is of: frames that show little weigh little.
"""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from earthfield.grid import PIXEL_M
from earthfield_model.config import SourceConfig

_LEAST_OVERLAP = 0.5
"""Shifts at which fewer of the measured values meet a prediction are not looked at, share."""


def l1_loss(
    predicted: Float[Tensor, "N C H W"], target: Float[Tensor, "N C H W"], seen: Bool[Tensor, "N C H W"]
) -> Float[Tensor, ""]:
    """Gives the mean absolute error over measured bands of measured pixels; 0 where there are none."""
    return ((predicted - target).abs() * seen).sum() / seen.sum().clamp(min=1)


def shifted_l1_loss(
    predicted: Float[Tensor, "N C H W"],
    target: Float[Tensor, "N C H W"],
    seen: Bool[Tensor, "N C H W"],
    *,
    reach_px: int,
) -> Float[Tensor, ""]:
    """Gives the mean absolute error, each frame's target moved by the whole pixels that make its error least.

    Pixels that no longer overlap do not count, and shifts that leave less than half of the measured values are not
    tried. Which shift is best is found without gradients, so that one image is kept for them, not one a shift.

    Args:
        predicted: decoded frames.
        target: standardised frames.
        seen: where they were measured.
        reach_px: furthest shift along rows and along columns.
    """
    if not reach_px:
        return l1_loss(predicted, target, seen)
    with torch.no_grad():
        best = _best_shifts(predicted.detach(), target, seen, reach_px)
        moved, known = _moved(target, best, reach_px), _moved(seen, best, reach_px)
    return l1_loss(predicted, moved, known)


def _best_shifts(predicted: Tensor, target: Tensor, seen: Tensor, reach: int) -> Int64[Tensor, "N 2"]:
    """Gives (dy, dx) for each frame: predicted[y, x] meets target[y + dy, x + dx]; (0, 0) where all are alike."""
    height, width = target.shape[-2:]
    # No shift comes first: it wins where nothing is better.
    shifts = sorted(
        ((dy, dx) for dy in range(-reach, reach + 1) for dx in range(-reach, reach + 1)),
        key=lambda shift: (abs(shift[0]) + abs(shift[1]), shift),
    )
    measured = seen.flatten(1).sum(1)
    errors = []
    for dy, dx in shifts:
        ys, xs = slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0))
        y0s, x0s = slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0))
        here = seen[..., ys, xs]
        total = ((predicted[..., y0s, x0s] - target[..., ys, xs]).abs() * here).flatten(1).sum(1)
        count = here.flatten(1).sum(1)
        error = total / count.clamp(min=1)
        errors.append(torch.where(count >= _LEAST_OVERLAP * measured, error, torch.inf))
    which = torch.stack(errors).argmin(0)
    return torch.tensor(shifts, device=target.device)[which]


def _moved(x: Tensor, shifts: Int64[Tensor, "N 2"], reach: int) -> Tensor:
    """Gives x[y + dy, x + dx] at [y, x] for each frame, zero or False beyond its edge."""
    num_frames, _, height, width = x.shape
    padded = F.pad(x, (reach,) * 4)
    frames = torch.arange(num_frames, device=x.device)[:, None, None]
    rows = torch.arange(height, device=x.device)[None, :, None] + reach + shifts[:, 0, None, None]
    cols = torch.arange(width, device=x.device)[None, None, :] + reach + shifts[:, 1, None, None]
    return rearrange(padded[frames, :, rows, cols], "n h w c -> n c h w")


def regridded(
    x: Float[Tensor, "N C H W"], seen: Bool[Tensor, "N C H W"], *, cell_px: int
) -> tuple[Float[Tensor, "N C h w"], Bool[Tensor, "N C h w"]]:
    """Gives means over the measured pixels of square cells, and which cells have any.

    Cells lie from the sample's first row and column on; those at the far edges may be cut short.
    """
    height, width = x.shape[-2:]
    beyond = (0, -width % cell_px, 0, -height % cell_px)

    def cells(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.pad(values, beyond), cell_px)

    share = cells(seen.float())
    return cells(x * seen) / share.clamp(min=0.5 / cell_px**2), share > 0


def cross_entropy_loss(
    logits: Float[Tensor, "N K H W"],
    classes: Int64[Tensor, "N H W"],
    seen: Bool[Tensor, "N H W"],
    *,
    cell_px: int = 1,
) -> Float[Tensor, ""]:
    """Gives the mean cross-entropy over known pixels, or over cells: of the shares of their classes and the mean of
    their pixels' probabilities.

    Args:
        logits: scores of each class.
        classes: numbers of the classes.
        seen: where they are known.
        cell_px: side of a cell, pixels.
    """
    if cell_px == 1:
        error = F.cross_entropy(logits, classes, reduction="none")
        return (error * seen).sum() / seen.sum().clamp(min=1)
    num_classes = logits.shape[1]
    truth = rearrange(F.one_hot(classes, num_classes), "n h w k -> n k h w").float()
    everywhere = seen[:, None].expand_as(truth)
    shares, known = regridded(truth, everywhere, cell_px=cell_px)
    chances, _ = regridded(logits.softmax(1), everywhere, cell_px=cell_px)
    error = -(shares * chances.clamp(min=torch.finfo(chances.dtype).tiny).log()).sum(1)
    known = known[:, 0]
    return (error * known).sum() / known.sum().clamp(min=1)


def regrid_px(config: SourceConfig) -> int:
    """Gives the side of the cells on which a source's values are compared, pixels."""
    return max(round(config.regrid_m / PIXEL_M), 1)


def coarse_mean(predicted: Float[Tensor, "N C H W"], config: SourceConfig) -> Float[Tensor, "N C 1 1"]:
    """Gives the mean over the sample's middle, as far as one cell of a coarse source reaches."""
    height, width = predicted.shape[-2:]
    side = regrid_px(config) if config.regrid_m else max(height, width)
    top, left = max((height - side) // 2, 0), max((width - side) // 2, 0)
    return predicted[..., top : top + side, left : left + side].mean((-2, -1), keepdim=True)


def source_loss(
    config: SourceConfig,
    predicted: Float[Tensor, "N C H W"],
    target: Float[Tensor, "N C h w"],
    seen: Bool[Tensor, "N C h w"],
) -> Float[Tensor, ""]:
    """Gives the L1 of a source in the form that it declares; float32 whatever the prediction is in.

    Args:
        config: its form.
        predicted: decoded frames.
        target: standardised frames, of one pixel where the source is coarse.
        seen: where they were measured.
    """
    predicted = predicted.float()
    if config.is_coarse:
        return l1_loss(coarse_mean(predicted, config), target, seen)
    if (cell_px := regrid_px(config)) > 1:
        means, known = regridded(target, seen, cell_px=cell_px)
        return l1_loss(regridded(predicted, seen, cell_px=cell_px)[0], means, known)
    return shifted_l1_loss(predicted, target, seen, reach_px=int(config.shift_m // PIXEL_M))
