"""The memory of batches: what was brought before is not copied again, and every job's item lies in its place."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.double_buffer import DoubleBuffer, Stack


@dataclass(eq=False)
class Job:
    item: NDArray[Any]


def jobs(*numbers: int) -> list[Job]:
    return [Job(np.full((2, 3), number)) for number in numbers]


def numbers(stacked: tuple[NDArray[Any], list[int]]) -> list[int]:
    """The jobs' numbers as their places in the array have them."""
    items, places = stacked
    assert sorted(places) == list(range(len(items)))
    assert items.shape[1:] == (2, 3)
    return [int(items[place].max()) for place in places]


def test_items_lie_one_behind_the_other() -> None:
    items, places = Stack[Job](4).bring(jobs(5, 6, 7))
    assert places == [0, 1, 2]
    assert items.flags.c_contiguous
    assert (items == np.array([5, 6, 7]).reshape(3, 1, 1)).all()


def test_what_was_brought_before_stays_and_others_give_way() -> None:
    stack, (a, b, c, d, late) = Stack[Job](4), jobs(1, 2, 3, 4, 9)
    stack.bring([a, b, c, d])
    for job in (a, b, c, d):
        job.item = np.full((2, 3), 77)  # would be seen, were it copied again
    assert numbers(stack.bring([a, late, b, c])) == [1, 9, 2, 3]


def test_fewer_than_were_brought_fit_the_first_places() -> None:
    stack, (a, b, c, d) = Stack[Job](4), jobs(1, 2, 3, 4)
    stack.bring([a, b, c, d])
    assert numbers(stack.bring([c, d])) == [3, 4]


def test_two_jobs_may_have_the_same_item() -> None:
    item = np.ones((2, 3))
    assert Stack[Job](4).bring([Job(item), Job(item)])[1] == [0, 1]


def test_whatever_comes_and_goes_every_job_has_its_item() -> None:
    rng, stack, known = random.Random(1), Stack[Job](8), jobs(*range(20))
    for _ in range(500):
        batch = rng.sample(known, rng.randint(1, 8))
        assert numbers(stack.bring(batch)) == [int(job.item.max()) for job in batch]
        if rng.random() < 0.1:
            stack.clear()


def test_an_item_of_another_shape_is_refused_and_harms_no_other() -> None:
    stack, (a, b) = Stack[Job](2), jobs(1, 2)
    stack.bring([a, b])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        stack.bring([a, Job(np.zeros(3))])
    assert numbers(stack.bring([b, a])) == [2, 1]


def test_the_next_batch_does_not_touch_the_one_that_runs() -> None:
    assembly, (a, b, c, d) = DoubleBuffer[Job](2), jobs(1, 2, 3, 4)
    with assembly.stacked([a, b], [c, d]) as running:
        pass  # at its end the next one is there
    assert numbers(running) == [1, 2]
    for job in (c, d):
        job.item = np.full((2, 3), 77)
    with assembly.stacked([d, a], []) as running:
        assert numbers(running) == [4, 1]
    assembly.close()
