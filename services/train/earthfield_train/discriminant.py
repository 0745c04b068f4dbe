"""Directions that tell the classes of a place apart, where maps of classes lie beside the frames.

A few labels of a place are enough where its classes lie far apart and each of them close together. Both are
measured within samples, so that what tells the desert from the tundra does not outshine what tells wheat from
barley; what one part of the frames shows and the other does not (speckle, missed clouds) counts as spread within
a class.

Source: Rao 1948 (linear discriminant analysis of several classes); measuring it within samples and on parts of
the frames is ours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

_LEAST_PIXELS = 15
"""Classes of fewer pixels in a sample say nothing."""
_RIDGE = 0.2
"""Added to the spread within classes, in units of its mean: keeps directions out that hardly vary, and those that
told the classes of the few places which were looked at by chance."""
_TRUSTED_RIDGE = 0.0125
"""The same for features that are trusted."""
_ELSE = 0.1
"""What two parts of the frames agree on besides classes counts so much: it tells places and times apart."""
_SCALING = 1.0
"""0 gives every direction the same spread within classes; the more, the louder are those that tell classes best,
and the steadier is a vector where frames lack."""


class Scatter:
    """How far classes lie apart within samples, and how wide each is, added up batch by batch in float64."""

    def __init__(self) -> None:
        """Starts with nothing added."""
        self.num_samples = 0
        self._between = self._within = torch.zeros(())

    def add(self, features: Float[Tensor, "M F"], groups: Int64[Tensor, " M"], num_classes: int) -> None:
        """Adds the pixels of a batch.

        Args:
            features: of each pixel.
            groups: sample x num_classes + class; below zero where the class is not known.
            num_classes: how many classes there are.
        """
        features, known = features.double(), groups[groups >= 0]
        for sample in (known // num_classes).unique():
            members = [groups == group for group in known[known // num_classes == sample].unique()]
            classes = [features[one] for one in members if one.sum() >= _LEAST_PIXELS]
            if len(classes) < 2:
                continue
            # Large classes count for more, but not so much that small ones are not heard.
            weights = torch.tensor([len(one) for one in classes], dtype=torch.float64).sqrt()
            weights = (weights / weights.sum()).to(features.device)
            means = torch.stack([one.mean(0) for one in classes])
            apart = (means - weights @ means) * weights[:, None].sqrt()
            self._between = self._between.to(apart.device) + apart.T @ apart
            for weight, one, mean in zip(weights, classes, means, strict=True):
                away = one - mean
                self._within = self._within.to(away.device) + weight * away.T @ away / len(away)
            self.num_samples += 1

    @property
    def between(self) -> Float64[Tensor, "F F"]:
        """Mean covariance of the means of classes within a sample."""
        return self._between / self.num_samples

    @property
    def within(self) -> Float64[Tensor, "F F"]:
        """Mean covariance of pixels within a class of a sample."""
        return self._within / self.num_samples


def class_directions(
    scatter: Scatter, agreed: Float64[Tensor, "F F"], *, rank: int, trusted: Int64[Tensor, " C"]
) -> tuple[Float64[Tensor, "F R"], float]:
    """Gives the map of features to the `rank` numbers that tell classes best, and how much they tell.

    Args:
        scatter: of all pixels, from one sample with two classes on.
        agreed: covariance of the features from two parts of the frames.
        rank: how many numbers.
        trusted: features that are known to say something, as opposed to those which random weights made.

    Returns:
        The map, and the share of the variance within samples that lies between classes, mean over the numbers.
    """
    between, within = scatter.between, scatter.within
    agreed = (agreed + agreed.T) / 2
    signal = between / between.trace() + _ELSE * agreed / agreed.trace()
    ridge = torch.full_like(within[0], _RIDGE).index_fill(0, trusted, _TRUSTED_RIDGE)
    spread = within + within.diagonal().mean() * ridge.diag()
    whitening = torch.linalg.inv(torch.linalg.cholesky(spread))
    ratio, direction = torch.linalg.eigh(whitening @ signal @ whitening.T)
    ratio, direction = ratio.flip(0)[:rank], direction.flip(1)[:, :rank]
    weight = whitening.T @ direction
    apart, wide = (torch.einsum("fr,fg,gr->r", weight, one, weight) for one in (between, within))
    return weight * ratio.clamp(min=ratio[0] * 1e-9) ** _SCALING, float((apart / (apart + wide)).mean())
