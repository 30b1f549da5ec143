"""Fair over owners; an owner's items come first, served first."""

from __future__ import annotations

from service.inference.fair_queue import FairQueue


def queue_of(**waiting: int) -> FairQueue[tuple[str, int]]:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for name, count in waiting.items():
        for number in range(count):
            queue.put(name, (name, number))
    return queue


def test_owners_take_turns() -> None:
    queue = queue_of(film=4, short=2, other=1)
    assert queue.take(5) == [("film", 0), ("short", 0), ("other", 0), ("film", 1), ("short", 1)]
    assert queue.take(99) == [("film", 2), ("film", 3)]
    assert (len(queue), queue.take(1)) == (0, [])


def test_a_look_ahead_is_what_is_taken_then() -> None:
    queue = queue_of(film=4, short=2, other=1)
    for count in (1, 3, 5, 99):
        assert queue_of(film=4, short=2, other=1).take(count) == queue.peek(count)
    queue.take(2)
    assert queue.peek(9) == queue.take(9)
    assert queue.peek(1) == []


def test_an_owner_that_comes_later_waits_one_turn() -> None:
    queue = queue_of(film=3)
    queue.take(1)
    queue.put("short", ("short", 0))
    assert queue.take(2) == [("film", 1), ("short", 0)]


def test_a_dropped_owner_is_gone_and_may_come_again() -> None:
    queue = queue_of(film=3, short=1)
    assert queue.drop("film") == [("film", 0), ("film", 1), ("film", 2)]
    assert queue.drop("film") == []
    queue.put("film", ("film", 9))
    assert queue.take(9) == [("short", 0), ("film", 9)]


def test_the_dead_are_discarded() -> None:
    queue = queue_of(film=3, short=1)
    queue.discard(lambda item: item in {("film", 1), ("short", 0)})
    assert len(queue) == 2
    assert queue.take(9) == [("film", 0), ("film", 2)]
