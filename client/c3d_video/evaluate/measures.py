"""How sure a count of right answers is, and whether two runs differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Z95 = 1.959963984540054  # the normal distribution's 97.5th percentile


class Share(NamedTuple):
    """So many right of all, and the 95 % interval of Wilson."""

    num_right: int
    num_all: int
    low: float
    high: float

    @property
    def value(self) -> float:
        """0 to 1; not a number where there is nothing."""
        return self.num_right / self.num_all if self.num_all else math.nan


def wilson(num_right: int, num_all: int) -> Share:
    """Wilson's score interval: unlike value +- error it stays within 0 and 1."""
    if not num_all:
        return Share(0, 0, 0.0, 1.0)
    share, square = num_right / num_all, Z95**2
    centre = (share + square / (2 * num_all)) / (1 + square / num_all)
    half = Z95 / (1 + square / num_all) * math.sqrt(share * (1 - share) / num_all + square / (4 * num_all**2))
    return Share(num_right, num_all, max(0.0, centre - half), min(1.0, centre + half))


def confusion(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> NDArray[np.int64]:
    """(n, n): how often the row's class was taken for the column's. What was not answered is in no column."""
    places = {label: place for place, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), np.int64)
    for true, found in zip(truth, predicted, strict=True):
        if found in places:
            counts[places[true], places[found]] += 1
    return counts


class McNemar(NamedTuple):
    """Two runs over the same videos: where only the first was right, where only the second was, and the exact p."""

    num_both: int
    num_first_only: int
    num_second_only: int
    num_neither: int
    p: float


def mcnemar(first: Mapping[str, bool], second: Mapping[str, bool]) -> McNemar:
    """McNemar's exact test, two-sided, over the videos of both: the chance of so uneven a number of changes if all is luck."""
    pairs = [(first[key], second[key]) for key in first.keys() & second.keys()]
    b, c = pairs.count((True, False)), pairs.count((False, True))
    tail = sum(math.comb(b + c, k) for k in range(min(b, c) + 1))
    p = min(1.0, 2 * tail / 2 ** (b + c))
    return McNemar(pairs.count((True, True)), b, c, pairs.count((False, False)), p)
