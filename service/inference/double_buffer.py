"""The memory that batches are run from. While one runs, those items of the next one that are known already are brought there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray


class HasItem(Protocol):
    """Whatever owns an item."""

    @property
    def item(self) -> NDArray[Any]:
        """Of the same shape and dtype for all."""


Job = TypeVar("Job", bound=HasItem)


class DoubleBuffer(Generic[Job]):
    """Two stacks in turn: one is run, the other one filled."""

    def __init__(self, size: int) -> None:
        self._stacks = [Stack[Job](size), Stack[Job](size)]
        self._thread = ThreadPoolExecutor(1, "assembler")

    @contextmanager
    def stacked(self, batch: Sequence[Job], coming: Sequence[Job]) -> Iterator[tuple[NDArray[Any], list[int]]]:
        """What `Stack.bring` gives of a batch. While the context lasts, those that are ``coming`` are brought to the other stack.

        They need not be in the next batch, nor it be all of them. Raises what `Stack.bring` does.
        """
        stack, other = self._stacks
        stacked = stack.bring(batch)
        bringing = [self._thread.submit(other.bring, coming)] if coming else []
        try:
            yield stacked
        finally:
            wait(bringing)  # long done; what went wrong in it goes wrong again when they are to be run
            stack.clear()
            self._stacks.reverse()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()


class Stack(Generic[Job]):
    """Memory for ``size`` items. Jobs are told apart by identity. One thread at a time."""

    def __init__(self, size: int) -> None:
        self._places: list[Job | None] = [None] * size
        self._memory: NDArray[Any] | None = None

    def bring(self, jobs: Sequence[Job]) -> tuple[NDArray[Any], list[int]]:
        """The items of 1 to ``size`` jobs as one array (n, ...), valid until the next call, and each job's place in it.

        Those that were brought before are not copied again; others give way to them. Raises ValueError where one has another
        shape than the first item ever brought.
        """
        if self._memory is None:
            self._memory = np.empty((len(self._places), *jobs[0].item.shape), jobs[0].item.dtype)
        wanted = {id(job) for job in jobs}
        places = {id(job): i for i, job in enumerate(self._places[: len(jobs)]) if id(job) in wanted}
        free = sorted(set(range(len(jobs))) - set(places.values()))  # one that was brought twice, further up, keeps one place
        for job in (job for job in jobs if id(job) not in places):
            if job.item.shape != self._memory.shape[1:]:
                raise ValueError(f"an item of shape {job.item.shape} among items of {self._memory.shape[1:]}")
            place = places[id(job)] = free.pop(0)
            self._places[place] = None  # in case the copying fails
            self._memory[place, ...] = job.item
            self._places[place] = job
        return self._memory[: len(jobs)], [places[id(job)] for job in jobs]

    def clear(self) -> None:
        """Keep no job any longer. The array that was given stays as it is."""
        self._places = [None] * len(self._places)
