"""Learning from labels: a few labelled vectors to a class or a number for every other, and how well that goes."""

from __future__ import annotations

from earthfield_analysis.learn.blocks import Blocks, lay_blocks
from earthfield_analysis.learn.estimators import (
    METHODS,
    Classifier,
    Method,
    Regressor,
    fit_classes,
    fit_numbers,
)
from earthfield_analysis.learn.scores import (
    ClassScore,
    NumberScore,
    score_classes,
    score_numbers,
)

__all__ = [
    "METHODS",
    "Blocks",
    "ClassScore",
    "Classifier",
    "Method",
    "NumberScore",
    "Regressor",
    "fit_classes",
    "fit_numbers",
    "lay_blocks",
    "score_classes",
    "score_numbers",
]
