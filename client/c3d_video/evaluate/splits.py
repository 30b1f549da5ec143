"""One split of a data set after the other: train, test, count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from c3d_video.answers import Float32
from c3d_video.commandline import UsageError
from c3d_video.evaluate import svm
from c3d_video.evaluate.datasets import Item, Split
from c3d_video.evaluate.measures import Share, wilson
from c3d_video.evaluate.vectors import Extracted

PCA_SIZES = (10, 50, 100, 500)


@dataclass(frozen=True)
class SplitResult:
    """``predicted``: a label for each item of ``test``, "" where the video has no descriptor: that counts as wrong.

    ``by_size``: accuracy on so many principal components. ``num_train``: videos that were trained on.
    """

    name: str
    test: tuple[Item, ...]
    predicted: tuple[str, ...]
    c: float
    num_train: int
    num_train_missing: int
    by_size: dict[int, Share]

    @property
    def accuracy(self) -> Share:
        """Of all videos of the test list."""
        return _share(self.test, self.predicted)


def evaluate(
    splits: Sequence[Split],
    extracted: Extracted,
    num_cores: int,
    say: Callable[[str], None],
    sizes: Sequence[int] = PCA_SIZES,
) -> list[SplitResult]:
    """All splits. Raises UsageError where a split has nothing to train on."""
    items = {item.key for split in splits for item in split.items()}
    vectors = {key: extracted.descriptor(key) for key in items & extracted.outputs.keys()}
    results = []
    for split in splits:
        result = _one(split, vectors, num_cores, sizes)
        say(f"split {split.name}: {result.accuracy.value:.1%} of {len(split.test)} videos, C = {result.c:g}")
        results.append(result)
    return results


def _one(split: Split, vectors: dict[str, Float32], num_cores: int, sizes: Sequence[int]) -> SplitResult:
    learnt = [item for item in split.train if item.key in vectors]
    tested = [item for item in split.test if item.key in vectors]
    if len({item.label for item in learnt}) < 2:
        raise UsageError(
            f"Split {split.name} has descriptors of fewer than two classes to train on. Are the videos in the folder?"
        )
    train = svm.Part(
        np.stack([vectors[item.key] for item in learnt]),
        np.array([item.label for item in learnt]),
        np.array([item.group for item in learnt]),
    )
    rows = np.stack([vectors[item.key] for item in tested]) if tested else np.empty((0, train.vectors.shape[1]), np.float32)
    found, c = svm.predict(train, rows, num_cores)
    by_size = {}
    for size, (part, reduced) in svm.reduced(train, rows, sizes).items():
        labels, _ = svm.predict(part, reduced, num_cores)
        by_size[size] = _share(split.test, _filled(split.test, tested, labels.tolist()))
    predicted = _filled(split.test, tested, found.tolist())
    return SplitResult(split.name, split.test, predicted, c, len(learnt), len(split.train) - len(learnt), by_size)


def _filled(test: Iterable[Item], tested: Sequence[Item], labels: Sequence[str]) -> tuple[str, ...]:
    by_key = {item.key: label for item, label in zip(tested, labels, strict=True)}
    return tuple(by_key.get(item.key, "") for item in test)


def _share(test: Sequence[Item], predicted: Sequence[str]) -> Share:
    return wilson(sum(item.label == label for item, label in zip(test, predicted, strict=True)), len(test))
