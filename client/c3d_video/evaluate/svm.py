"""A linear SVM on descriptors of length 1, one class against the rest, as in the paper; C is chosen on training groups alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from c3d_video.answers import Float32

C_GRID = (0.01, 0.1, 1.0, 10.0, 100.0)
DEFAULT_C = 1.0  # scikit-learn's, where there are too few groups to choose one
NUM_FOLDS = 3  # of the choice of C: with more, 101 classes take hours and choose the same power of ten


@dataclass(frozen=True)
class Part:
    """Some videos: descriptors float32 (n, width), labels (n,), groups (n,)."""

    vectors: Float32
    labels: NDArray[Any]
    groups: NDArray[Any]


def machine(c: float, num_cores: int = 1) -> Any:
    """An SVM for each class; ``num_cores`` train at once."""
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.svm import LinearSVC

    return OneVsRestClassifier(LinearSVC(C=c, dual="auto", random_state=0, max_iter=10_000), n_jobs=num_cores)


def folds(train: Part) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows to train on and to test on, for the choice of C. No group is on both sides; [] where there are too few groups."""
    from sklearn.model_selection import StratifiedGroupKFold

    fewest = min(len(set(train.groups[train.labels == label])) for label in set(train.labels))
    if fewest < 2:
        return []
    splitter = StratifiedGroupKFold(min(NUM_FOLDS, fewest), shuffle=True, random_state=0)
    return list(splitter.split(train.vectors, train.labels, train.groups))


def choose_c(train: Part, num_cores: int = 1) -> float:
    """The C of the grid with the best mean accuracy over the folds; of equal ones the smallest."""
    from sklearn.model_selection import GridSearchCV

    parts = folds(train)
    if not parts:
        return DEFAULT_C
    search = GridSearchCV(machine(DEFAULT_C), {"estimator__C": list(C_GRID)}, cv=parts, n_jobs=num_cores, refit=False)
    search.fit(train.vectors, train.labels)
    return float(search.best_params_["estimator__C"])


def predict(train: Part, vectors: Float32, num_cores: int = 1) -> tuple[NDArray[Any], float]:
    """The labels of ``vectors`` (m, width), (m,), and the C that was chosen."""
    c = choose_c(train, num_cores)
    if not len(vectors):
        return np.empty(0, train.labels.dtype), c
    found: NDArray[Any] = machine(c, num_cores).fit(train.vectors, train.labels).predict(vectors)
    return found, c


def reduced(train: Part, vectors: Float32, sizes: Sequence[int]) -> dict[int, tuple[Part, Float32]]:
    """Both parts on their first principal components, made to length 1 again, for each size that the training part allows.

    The components are those of the training part.
    """
    from sklearn.decomposition import PCA

    possible = [size for size in sizes if size <= min(train.vectors.shape)]
    if not possible or not len(vectors):
        return {}
    pca = PCA(max(possible), random_state=0).fit(train.vectors)
    learnt, tested = pca.transform(train.vectors), pca.transform(vectors)
    return {size: (Part(_unit(learnt[:, :size]), train.labels, train.groups), _unit(tested[:, :size])) for size in possible}


def _unit(rows: NDArray[Any]) -> Float32:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths, lengths, 1)).astype(np.float32)
