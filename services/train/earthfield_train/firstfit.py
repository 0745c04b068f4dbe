"""First fit: the embedding layer of a new model, computed instead of learned.

A random last layer takes most of a short training to become useful, and on the way the vectors collapse to few
directions. So it is computed from what the pooled features of two parts of the frames say of the same pixels.
Where maps of classes lie beside the frames, it is the map to 64 numbers that tells classes best (`discriminant`).
Else it is a reduced-rank regression: of all linear maps to 64 numbers, the one that best tells the composites of
one part of the frames from the features of the other. What two disjoint sets of frames do not agree on (speckle,
missed clouds) has no part in it, and directions are scaled towards equal variance, which is what the uniformity
loss asks for.

Source: Izenman 1975 (reduced-rank regression); splitting the frames and scaling by variance are ours.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from earthfield_model.alphaearth import AlphaEarth
from earthfield_model.batch import Batch, packed
from earthfield_model.config import EMBEDDING_DIM
from earthfield_train.dataset import TrainBatch
from earthfield_train.discriminant import Scatter, class_directions

_PIXELS_PER_BATCH = 4_800
_RIDGE = 0.3
"""Added to the features' variances, in units of their mean: keeps directions out that hardly vary, and those that
lean on what fewer frames do not show."""
_SCALING = 0.3
"""0 leaves the directions their variance, 0.5 makes all equal."""
_LEAST_SAMPLES = 8
"""Fewer samples with two known classes say too little of what tells classes apart."""


@torch.no_grad()
def fit_embedding(
    model: AlphaEarth, batches: Iterable[TrainBatch], *, seed: int, again: bool = False
) -> float:
    """Sets the embedding layer of a model.

    Args:
        model: changed in place; the same weights, batches and seed give the same layer.
        batches: samples to fit on, at least one.
        seed: decides which pixels are taken, and how frames are split.
        again: the model is trained: vectors are turned towards what they were, for the sake of decoders and texts.

    Returns:
        Share that the 64 numbers tell on the same pixels, at most 1: of the composites' variance, or, where there
        are maps of classes, of the variance within samples that lies between classes.
    """
    generator = torch.Generator().manual_seed(seed)
    columns, device = model.summary.band_columns(model.config), model.summary.centre.device
    composites = torch.cat(list(columns.values())).to(device)
    moments, scatter = Moments(), Scatter()
    for batch in batches:
        one, other, chosen = _seen_twice(model, batch, generator)
        moments.add(one, other)
        moments.add(other, one)
        for groups, num_classes in _groups(model, batch):
            scatter.add(torch.cat([one, other]), groups[chosen].repeat(2), num_classes)
    if scatter.num_samples >= _LEAST_SAMPLES:
        fine = [columns[one.name] for one in model.config.inputs if not one.regrid_m]
        trusted = torch.cat(fine or [composites[:0]]).to(device)
        weight, told = class_directions(scatter, moments.cross, rank=EMBEDDING_DIM, trusted=trusted)
    else:
        weight, told = reduced_rank(moments.about(composites), rank=EMBEDDING_DIM)
    # Vectors of a mean square of 1, so that a rate means the same for every fit.
    weight = weight / (weight * (moments.covariance @ weight)).sum().sqrt()
    direct = model.summary.direct
    if again:
        weight = weight @ turn_towards(weight, direct.weight.T.double(), moments.covariance)
    direct.weight.copy_(weight.T)
    direct.bias.copy_(-moments.mean_x @ weight)
    return told


class Moments:
    """Means and covariances of features x and what they are to tell, y, added up batch by batch in float64."""

    def __init__(self) -> None:
        """Starts with nothing added."""
        self._count, self._sums = 0, [torch.zeros(())] * 5

    def add(self, x: Float[Tensor, "M F"], y: Float[Tensor, "M C"]) -> None:
        """Adds the pixels of a batch."""
        x, y = x.double(), y.double()
        new = (x.sum(0), y.sum(0), x.T @ x, x.T @ y, y.square().sum(0))
        self._sums = [before.to(one.device) + one for before, one in zip(self._sums, new, strict=True)]
        self._count += len(x)

    def about(self, columns: Int64[Tensor, " C"]) -> Moments:
        """Gives the moments of the same features and only some of what they are to tell."""
        part, (x, y, xx, xy, yy) = Moments(), self._sums
        part._count, part._sums = self._count, [x, y[columns], xx, xy[:, columns], yy[columns]]
        return part

    @property
    def mean_x(self) -> Float64[Tensor, " F"]:
        """Means of the features."""
        return self._sums[0] / self._count

    @property
    def covariance(self) -> Float64[Tensor, "F F"]:
        """Covariance of the features."""
        return self._sums[2] / self._count - torch.outer(self.mean_x, self.mean_x)

    @property
    def cross(self) -> Float64[Tensor, "F C"]:
        """Covariance of the features with what they are to tell."""
        return self._sums[3] / self._count - torch.outer(self.mean_x, self._sums[1] / self._count)

    @property
    def variance_y(self) -> float:
        """Variance of what is to be told, all columns together."""
        return float((self._sums[4] / self._count - (self._sums[1] / self._count).square()).sum())


def reduced_rank(
    moments: Moments, *, rank: int, ridge: float = _RIDGE
) -> tuple[Float64[Tensor, "F R"], float]:
    """Gives the map of centred features to the `rank` numbers that tell most of y, and the share that they tell.

    Where fewer directions than `rank` say anything, the rest is zero.

    Args:
        moments: of all pixels.
        rank: how many numbers.
        ridge: added to the features' variances, in units of their mean.
    """
    covariance, cross = moments.covariance, moments.cross
    penalty = ridge * covariance.diagonal().mean() * torch.eye(len(covariance)).to(covariance)
    full = torch.linalg.solve(covariance + penalty, cross)
    variance, direction = torch.linalg.eigh(full.T @ covariance @ full)
    variance, direction = variance.flip(0)[:rank], direction.flip(1)[:, :rank]
    scale = torch.where(
        variance > variance[0] * 1e-9, variance.clamp(min=variance[0] * 1e-6) ** -_SCALING, 0.0
    )
    weight = torch.zeros(len(cross), rank).to(cross)
    weight[:, : direction.shape[1]] = full @ direction * scale
    best = full @ direction @ direction.T
    told = 2 * (best * cross).sum() - (best * (covariance @ best)).sum()
    return weight, float(told) / moments.variance_y


def turn_towards(
    weight: Float64[Tensor, "F R"], before: Float64[Tensor, "F R"], covariance: Float64[Tensor, "F F"]
) -> Float64[Tensor, "R R"]:
    """Gives the rotation of one map's numbers that brings them nearest to another's.

    Source: Schoenemann 1966 (orthogonal Procrustes problem).
    """
    left, _, right = torch.linalg.svd(weight.T @ covariance @ before)
    return left @ right


def _seen_twice(
    model: AlphaEarth, batch: TrainBatch, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Gives the pooled features of some pixels from either half of the frames, (M, F) each, and which they are."""
    # From hardly any frame of a source to nearly all: people have few, or none of it.
    kept = {
        name: torch.rand(one.days.shape, generator=generator)
        < torch.rand(len(one.days), 1, generator=generator)
        for name, one in batch.inputs.items()
    }
    halves: list[Batch] = [
        {name: one.masked((kept[name] == side).to(one.valid.device)) for name, one in batch.inputs.items()}
        for side in (True, False)
    ]
    seen = [model.summary.pooled(model.observe(packed(half)), batch.periods).flatten(0, 2) for half in halves]
    chosen = torch.randperm(len(seen[0]), generator=generator)[:_PIXELS_PER_BATCH]
    chosen = chosen.to(seen[0].device)
    return seen[0][chosen], seen[1][chosen], chosen


def _groups(model: AlphaEarth, batch: TrainBatch) -> Iterator[tuple[Int64[Tensor, " BHW"], int]]:
    """Yields, for every map of classes, sample x number of classes + class of all pixels, -1 where not known."""
    for source in model.config.targets:
        if not source.classes or source.is_coarse or source.name not in batch.targets:
            continue
        target, num_classes = batch.targets[source.name], len(source.classes)
        for frame in range(target.stored.shape[1]):
            codes, known = model.classes_of(source.name, target.stored[:, frame], target.valid[:, frame])
            sample = torch.arange(len(codes), device=codes.device)[:, None, None]
            yield torch.where(known, sample * num_classes + codes, -1).flatten(), num_classes
