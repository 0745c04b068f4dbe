"""Random convolutional features: patches of the picture as filters, cut off at zero, averaged over a few pixels.

Source: MOSAIKS (Rolf et al. 2021) and Coates and Ng (2012). Theirs describe a whole picture of RGB; here it is a
pixel and its surroundings, from the standardised monthly composites.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

PATCH_PX = 3
POOL_PX = 7
NUM_FEATURES = 512
HALO_PX = PATCH_PX // 2 + POOL_PX // 2
"""Pixels around a window that its features depend on."""


def filters_from(patches: NDArray[np.float32], *, count: int) -> NDArray[np.float32]:
    """Makes the first `count` patches (N, 3, 3, C) that show anything filters of length 1, (count, C, 3, 3).

    Patches are standardised, NaN counts as 0.
    """
    patches = np.nan_to_num(patches)
    lengths = np.sqrt((patches**2).sum(axis=(1, 2, 3)))
    real = np.flatnonzero(lengths > 1e-6)[:count]
    found = patches[real] / lengths[real, None, None, None]
    return np.ascontiguousarray(found.transpose(0, 3, 1, 2), np.float32)


@torch.inference_mode()
def convolved(
    standardised: NDArray[np.float32], filters: NDArray[np.float32], *, pool_px: int = POOL_PX
) -> NDArray[np.float32]:
    """Gives what filters answer around every pixel, above and below zero apart.

    Args:
        standardised: (H, W, C) of zero mean and unit deviation; NaN where a pixel was never seen.
        filters: (K, C, 3, 3).
        pool_px: side of the window over which answers are averaged.

    Returns:
        (H, W, 2K) float32: means of max(r, 0) and max(-r, 0) over seen pixels of the window; NaN where the pixel
        itself was never seen.
    """
    seen = np.asarray(np.isfinite(standardised).all(axis=2))
    picture = torch.from_numpy(np.nan_to_num(standardised).transpose(2, 0, 1)[None].copy())
    picture = F.pad(picture, (PATCH_PX // 2,) * 4, mode="replicate")
    answer = F.conv2d(picture, torch.from_numpy(filters))[0]
    mask = torch.from_numpy(seen.astype(np.float32))[None]
    halves = torch.cat([answer.clamp(min=0), (-answer).clamp(min=0)]) * mask
    total = F.avg_pool2d(halves[None], pool_px, stride=1, padding=pool_px // 2)[0]
    share = F.avg_pool2d(mask[None], pool_px, stride=1, padding=pool_px // 2)[0]
    found = (total / share.clamp(min=1e-6)).permute(1, 2, 0).numpy()
    return np.where(seen[..., None], found, np.float32("nan"))
