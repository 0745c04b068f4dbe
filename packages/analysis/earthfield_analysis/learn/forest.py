"""Random forests, as scikit-learn grows them; fitted and used at once, never kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

_TREES = 100


@dataclass(frozen=True)
class ForestClasses:
    """Mean of what a hundred trees say."""

    trees: Any
    """The forest."""
    classes: NDArray[np.integer]
    """(C,) codes."""
    calibrated: bool = False
    """Shares of leaves are not fitted to anything."""

    @classmethod
    def fit(
        cls, vectors: NDArray[np.floating], codes: NDArray[np.integer], *, seed: int = 0
    ) -> ForestClasses:
        """Grows the trees, classes weighing the same."""
        trees = RandomForestClassifier(_TREES, class_weight="balanced", random_state=seed).fit(vectors, codes)
        return cls(trees, np.asarray(trees.classes_))

    def probabilities(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """As `Classifier.probabilities`."""
        return np.asarray(self.trees.predict_proba(vectors), np.float32)


@dataclass(frozen=True)
class ForestNumbers:
    """Mean of what a hundred trees say."""

    trees: Any
    """The forest."""

    @classmethod
    def fit(
        cls, vectors: NDArray[np.floating], values: NDArray[np.floating], *, seed: int = 0
    ) -> ForestNumbers:
        """Grows the trees, each split looking at a third of the features."""
        return cls(RandomForestRegressor(_TREES, max_features=1 / 3, random_state=seed).fit(vectors, values))

    def numbers(self, vectors: NDArray[np.floating]) -> NDArray[np.float32]:
        """As `Regressor.numbers`."""
        return np.asarray(self.trees.predict(vectors), np.float32)
