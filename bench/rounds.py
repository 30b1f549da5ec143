"""Interleaved rounds: everything that is compared runs once in each, one at a time, in an order that changes."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import reduce
from operator import add
from typing import Any, TypeVar

from bench.stats import Interval, paired_ratio, percentile


@dataclass(frozen=True)
class Sample:
    """What one thing did in one round. ``cpu_s``: seconds of processor, of all that took part."""

    clips: int
    seconds: float
    cpu_s: float
    latencies_s: list[float] = field(default_factory=list)
    batches: int = 0
    busy_s: float = 0.0  # that batches ran
    stages_ms: list[dict[str, float]] = field(default_factory=list)  # of each answer

    def __add__(self, other: Sample) -> Sample:
        """Both, as if it had been one turn."""
        return Sample(*(getattr(self, each.name) + getattr(other, each.name) for each in fields(self)))


Result = TypeVar("Result")


def rotated(names: Sequence[str], by: int) -> list[str]:
    """The same in another order, so that nobody always runs first or behind the same one."""
    turned = [*names[by % len(names) :], *names[: by % len(names)]]
    return turned[::-1] if by % 2 else turned


def interleaved(things: Mapping[str, Callable[[], Result]], rounds: int) -> dict[str, list[Result]]:
    """What each gave, round by round."""
    found: dict[str, list[Result]] = {name: [] for name in things}
    for number in range(rounds):
        for name in rotated(list(things), number):
            found[name].append(things[name]())
    return found


def between(base: str, things: Mapping[str, Callable[[], Sample]], rounds: int) -> dict[str, list[Sample]]:
    """What each gave, round by round. ``base`` runs before, between and behind the others, and its sample is all of that.

    So what the others are held against knows the whole round, and a slow moment of the machine does not make it.
    """
    others = [name for name in things if name != base]
    found: dict[str, list[Sample]] = {name: [] for name in things}
    for number in range(rounds):
        parts = [things[base]()]
        for name in rotated(others, number):
            found[name].append(things[name]())
            parts.append(things[base]())
        found[base].append(reduce(add, parts))
    return found


@dataclass(frozen=True)
class Summary:
    """All rounds of one thing. ``ratio``: of its clips/s to those of what it is compared with, paired by round."""

    clips_per_s: float
    clips_per_s_by_round: list[float]
    ratio: Interval
    cpu_s_per_clip: float
    latencies_s: list[float]
    clips_per_batch: float | None
    busy: float | None  # share of the time that a batch ran

    def latency(self, share: float) -> str:
        """A percentile in seconds, for a table; empty where there are none."""
        return f"{percentile(self.latencies_s, share):.2f}" if self.latencies_s else ""

    def figures(self) -> dict[str, Any]:
        """For the JSON."""
        return vars(self)


def summary(samples: Sequence[Sample], base: Sequence[Sample]) -> Summary:
    """Of the samples of one thing, held against those of another one in the same rounds."""
    rates, others = ([each.clips / each.seconds for each in some] for some in (samples, base))
    clips, batches = sum(each.clips for each in samples), sum(each.batches for each in samples)
    return Summary(
        clips_per_s=statistics.median(rates),
        clips_per_s_by_round=rates,
        ratio=paired_ratio(rates, others),
        cpu_s_per_clip=sum(each.cpu_s for each in samples) / clips,
        latencies_s=[latency for each in samples for latency in each.latencies_s],
        clips_per_batch=clips / batches if batches else None,
        busy=sum(each.busy_s for each in samples) / sum(each.seconds for each in samples) if batches else None,
    )
