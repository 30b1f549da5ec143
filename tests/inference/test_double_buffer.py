"""The memory of batches: what was filled in before is not copied again, and every job's item lies in its row."""

from __future__ import annotations

import random
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from service.inference.double_buffer import Buffer, DoubleBuffer, Filled, Job


def job_of(item: NDArray[Any]) -> Job:
    return Job(item, Future(), 0.0)


def jobs(*numbers: int) -> list[Job]:
    return [job_of(np.full((2, 3), number)) for number in numbers]


def numbers(filled: Filled) -> list[int]:
    """The jobs' numbers, as the rows of the array have them."""
    assert sorted(filled.rows) == list(range(len(filled.items)))
    assert filled.items.shape[1:] == (2, 3)
    return [int(filled.items[row].max()) for row in filled.rows]


def test_items_lie_one_behind_the_other() -> None:
    items, rows = Buffer(4).fill(jobs(5, 6, 7))
    assert rows == [0, 1, 2]
    assert items.flags.c_contiguous
    assert (items == np.array([5, 6, 7]).reshape(3, 1, 1)).all()


def test_what_was_filled_in_before_stays_and_others_give_way() -> None:
    buffer, (a, b, c, d, late) = Buffer(4), jobs(1, 2, 3, 4, 9)
    buffer.fill([a, b, c, d])
    for job in (a, b, c, d):
        job.item[...] = 77  # would be seen, were it copied again
    assert numbers(buffer.fill([a, late, b, c])) == [1, 9, 2, 3]


def test_fewer_than_were_filled_in_fit_the_first_rows() -> None:
    buffer, (a, b, c, d) = Buffer(4), jobs(1, 2, 3, 4)
    buffer.fill([a, b, c, d])
    assert numbers(buffer.fill([c, d])) == [3, 4]


def test_two_jobs_may_have_the_same_item() -> None:
    item = np.ones((2, 3))
    assert Buffer(4).fill([job_of(item), job_of(item)])[1] == [0, 1]


def test_whatever_comes_and_goes_every_job_has_its_item() -> None:
    rng, buffer, known = random.Random(1), Buffer(8), jobs(*range(20))
    for _ in range(500):
        batch = rng.sample(known, rng.randint(1, 8))
        assert numbers(buffer.fill(batch)) == [int(job.item.max()) for job in batch]
        if rng.random() < 0.1:
            buffer.clear()


def test_an_item_of_another_shape_is_refused_and_harms_no_other() -> None:
    buffer, (a, b) = Buffer(2), jobs(1, 2)
    buffer.fill([a, b])
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        buffer.fill([a, job_of(np.zeros(3))])
    assert numbers(buffer.fill([b, a])) == [2, 1]


def test_the_next_batch_does_not_touch_the_one_that_runs() -> None:
    double, (a, b, c, d) = DoubleBuffer(2), jobs(1, 2, 3, 4)
    with double.filled([a, b], [c, d]) as running:
        pass  # at its end the next one is there
    assert numbers(running) == [1, 2]
    for job in (c, d):
        job.item[...] = 77
    with double.filled([d, a], []) as running:
        assert numbers(running) == [4, 1]
    double.close()
