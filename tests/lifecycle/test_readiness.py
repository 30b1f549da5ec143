"""service/lifecycle/readiness.py: one answer to whether requests can be answered now."""

from __future__ import annotations

from typing import Any

import pytest

from service.errors import Draining, ServiceError, StartFailed, Warming, WeightsMissing, WorkerDown
from service.lifecycle.readiness import Readiness, Serving
from tests.support.fakes import fake_serving


class FakePipeline:
    """A pipeline that lives until told otherwise."""

    alive = True

    def is_alive(self) -> bool:
        return self.alive


def serving(pipeline: Any = None, weights: str = "sports1m") -> Serving:
    return fake_serving(pipeline or FakePipeline(), weights)


def reason(readiness: Readiness) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        readiness.serving()
    return caught.value


def test_it_begins_as_warming_and_says_how_far_it_is() -> None:
    readiness = Readiness()
    assert isinstance(reason(readiness), Warming)
    readiness.warming(0.25)
    assert "25%" in str(reason(readiness))


def test_it_hands_out_what_serves() -> None:
    readiness, expected = Readiness(), serving()
    readiness.serve(expected)
    assert readiness.serving() is expected


def test_late_news_of_the_warm_up_does_not_stop_what_serves() -> None:
    readiness, expected = Readiness(), serving()
    readiness.serve(expected)
    readiness.warming(1.0)
    assert readiness.serving() is expected


@pytest.mark.parametrize("refusal", [Draining("a"), WeightsMissing("b"), StartFailed("c")])
def test_a_refusal_stands_whatever_came_before_it(refusal: ServiceError) -> None:
    for earlier in (Readiness.warming, None):
        readiness = Readiness()
        if earlier:
            earlier(readiness, 0.5)
        else:
            readiness.serve(serving())
        readiness.refuse(refusal)
        assert reason(readiness) is refusal


def test_late_news_of_the_warm_up_does_not_hide_a_refusal() -> None:
    readiness = Readiness()
    readiness.refuse(Draining("The service is shutting down."))
    readiness.warming(1.0)
    assert isinstance(reason(readiness), Draining)


def test_a_dead_pipeline_is_worker_down() -> None:
    readiness, pipeline = Readiness(), FakePipeline()
    readiness.serve(serving(pipeline))
    pipeline.alive = False
    assert isinstance(reason(readiness), WorkerDown)


def test_a_reason_given_many_times_grows_no_traceback() -> None:
    readiness = Readiness()
    lengths = []
    for _ in range(3):
        trace, length = reason(readiness).__traceback__, 0
        while trace:
            trace, length = trace.tb_next, length + 1
        lengths.append(length)
    assert len(set(lengths)) == 1


@pytest.mark.parametrize(("weights", "codes"), [("sports1m", []), ("stand-in", ["stand_in_weights"]), ("mine", [])])
def test_only_stand_in_weights_are_warned_of(weights: str, codes: list[str]) -> None:
    assert [notice.code for notice in serving(weights=weights).warnings()] == codes
