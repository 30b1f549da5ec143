"""What figures rest on: paired ratios with their 95 % intervals, medians, percentiles. No SciPy: Student's t is a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

# Student's t, two-sided 95 %, by degrees of freedom; beyond the table it has all but reached the next lower entry.
STUDENT_T = {
    1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262, 10: 2.228, 11: 2.201, 12: 2.179,
    13: 2.160, 14: 2.145, 15: 2.131, 16: 2.120, 17: 2.110, 18: 2.101, 19: 2.093, 20: 2.086, 25: 2.060, 30: 2.042, 40: 2.021,
    60: 2.000, 120: 1.980,
}  # fmt: skip


class Interval(NamedTuple):
    """An estimate and the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def mean_interval(values: Sequence[float]) -> Interval:
    """The mean and its 95 % interval by Student's t; infinite for a single value, which says nothing of its own spread."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    degrees = max(known for known in STUDENT_T if known < len(values))
    half = STUDENT_T[degrees] * statistics.stdev(values) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def paired_ratio(mine: Sequence[float], base: Sequence[float]) -> Interval:
    """How many times ``base`` ``mine`` is, round by round: the geometric mean of the ratios and its 95 % interval.

    What is common to a round, a slow minute of the machine say, cancels. Raises ValueError where the rounds do not match.
    """
    logs = mean_interval([math.log(a / b) for a, b in zip(mine, base, strict=True)])
    return Interval(*(math.exp(value) for value in logs))


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` (0..1] of them do not exceed: of few values the 99th is the largest."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float, float]:
    """Least squares: slope, intercept, and the largest distance of a point from the line as a share of the largest y."""
    slope, intercept = statistics.linear_regression(x, y)
    worst = max(abs(intercept + slope * a - b) for a, b in zip(x, y, strict=True))
    return slope, intercept, worst / max(y)
