"""How much is let in, and what those hear who are not."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from service.errors import Overloaded
from service.http.admission import MAX_RETRY_AFTER_S, Admission, Queue


def test_lets_in_as_many_as_it_may_and_one_more_when_one_has_left() -> None:
    admission = Admission(2, lambda: Queue(0, 0.0), 10)
    with admission.place():
        with admission.place(), pytest.raises(Overloaded), admission.place():
            pass
        with admission.place():
            assert admission.num_requests == 2
    assert admission.num_requests == 0


def test_one_that_fails_has_left_too() -> None:
    admission = Admission(1, lambda: Queue(0, 0.0), 10)
    with pytest.raises(RuntimeError), admission.place():
        raise RuntimeError
    with admission.place():
        assert admission.num_requests == 1


@pytest.mark.parametrize(("waiting", "admitted"), [(9, True), (10, False), (500, False)])
def test_waiting_clips_count_too(waiting: int, *, admitted: bool) -> None:
    with ExitStack() as stack:
        if not admitted:
            stack.enter_context(pytest.raises(Overloaded))
        with Admission(5, lambda: Queue(waiting, 1.0), 10).place():
            assert admitted


@pytest.mark.parametrize(
    ("queue", "seconds"),
    [(Queue(60, 6.0), 10), (Queue(61, 6.0), 11), (Queue(10, 5000.0), 1), (Queue(10, 0.0), 5), (Queue(10**9, 1.0), 120)],
)
def test_retry_after_is_how_long_the_queue_takes(queue: Queue, seconds: int) -> None:
    with pytest.raises(Overloaded) as caught, Admission(5, lambda: queue, 1).place():
        pass
    assert caught.value.headers["Retry-After"] == str(seconds)
    assert seconds <= MAX_RETRY_AFTER_S
    assert f"{seconds} s" in str(caught.value)


def test_one_client_has_so_many_requests_and_others_have_theirs() -> None:
    admission = Admission(10, lambda: Queue(0, 0.0), max_per_client=2)
    with admission.of_client("192.0.2.1"), admission.of_client("192.0.2.1"):
        with pytest.raises(Overloaded) as caught, admission.of_client("192.0.2.1"):
            pass
        assert "2 requests" in str(caught.value)
        assert "Retry-After" in caught.value.headers
        with admission.of_client("192.0.2.2"), admission.of_client(None), admission.of_client(None), admission.of_client(None):
            pass
    with admission.of_client("192.0.2.1"):
        pass


def test_a_client_may_be_unbounded() -> None:
    admission = Admission(10, lambda: Queue(0, 0.0))
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(admission.of_client("192.0.2.1"))
