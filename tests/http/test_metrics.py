"""service/http/metrics.py: the names, that they count right, and that no client can add a series."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from service import errors
from service.http.endpoints import PROBES
from service.http.metrics import DURATIONS_S, ENDPOINTS, GAUGES, MAX_LABEL_LENGTH, MODEL_LABELS, OUTCOMES, Metrics, outcome_of
from service.http.request_log import STAGES

MODEL = {"name": "sports1m", "weights": "sports1m", "precision": "float32", "version": "0.1.0"}
# What a name may end in: a base unit, or what is counted. An info ends in `_info`.
ENDINGS = ("_seconds", "_bytes", "_clips", "_requests", "_info", "_up", "_in_progress", "_decoders", "_fds")


def families(metrics: Metrics) -> dict[str, Metric]:
    """Every family by its name, as a Prometheus that scrapes it reads it."""
    body, content_type = metrics.exposition()
    assert content_type.startswith("text/plain; version=")
    found = {family.name: family for family in text_string_to_metric_families(body.decode())}
    assert len(found) == len(re.findall(rb"^# TYPE ", body, flags=re.MULTILINE)), "each name is there once"
    return found


def value(metrics: Metrics, name: str, **labels: str) -> float:
    """The one sample of this name and these labels."""
    lines = metrics.exposition()[0].decode().splitlines(keepends=True)
    own = "".join(line for line in lines if re.match(rf"{name}[ {{]", line))  # of them all it would take 10 ms
    samples = [sample for family in text_string_to_metric_families(own) for sample in family.samples]
    [found] = [sample.value for sample in samples if sample.name == name and sample.labels == labels]
    return found


def watch(metrics: Metrics, waiting_clips: int = 3, *, worker_up: bool = True) -> None:
    others = {name: lambda: 4 for name in GAUGES}
    metrics.watch(
        **others | {"waiting_clips": lambda: waiting_clips, "worker_up": lambda: worker_up, "decoder_restarts": lambda: 2}
    )


def busy() -> Metrics:
    """Metrics in which everything has happened once."""
    metrics = Metrics(num_keys=2)
    watch(metrics)
    metrics.model_loaded(MODEL)
    for endpoint in ENDPOINTS:
        for code in ("ok", "client_left", "other", "overloaded", "internal"):
            metrics.request_began(endpoint)
            metrics.request_ended(endpoint, code, 0.3, dict.fromkeys(STAGES, 0.1))
    metrics.refused("overloaded")
    metrics.refused("other")
    metrics.authorized(1)
    metrics.warned(["stand_in_weights"])
    metrics.batch_ran(4, 0.5)
    return metrics


def series(metrics: Metrics) -> set[tuple[str, frozenset[tuple[str, str]]]]:
    return {(sample.name, frozenset(sample.labels.items())) for family in families(metrics).values() for sample in family.samples}


def test_names_have_the_prefix_and_end_in_base_units() -> None:
    for name, family in families(busy()).items():
        assert name.startswith(("c3d_", "process_"))
        assert family.type == "counter" or name.endswith(ENDINGS), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|mib|percent|total_total)(_|$)", name), name
        assert family.documentation.endswith("."), name


def test_all_that_the_house_promises_is_there() -> None:
    kinds = {name: family.type for name, family in families(busy()).items() if name.startswith("c3d_")}
    assert kinds == {
        "c3d_requests": "counter",
        "c3d_errors": "counter",
        "c3d_refusals": "counter",
        "c3d_warnings": "counter",
        "c3d_authorized_requests": "counter",
        "c3d_requests_in_progress": "gauge",
        "c3d_request_duration_seconds": "histogram",
        "c3d_stage_duration_seconds": "histogram",
        "c3d_batch_size_clips": "histogram",
        "c3d_batch_duration_seconds": "histogram",
        "c3d_batches": "counter",
        "c3d_clips": "counter",
        "c3d_last_batch_timestamp_seconds": "gauge",
        "c3d_model_info": "gauge",
        **{f"c3d_{name}": "gauge" for name in GAUGES},
        "c3d_decoder_restarts": "counter",
    }


@pytest.mark.parametrize("code", [*errors.BY_CODE, "ok", "client_left"])
def test_every_end_of_a_request_has_an_outcome(code: str) -> None:
    status = errors.BY_CODE[code].status if code in errors.BY_CODE else None
    expected = code if status is None else "client_error" if 400 <= status < 500 else "server_error"
    assert outcome_of(code) == expected
    assert expected in OUTCOMES


def test_a_request_is_in_progress_until_it_has_ended() -> None:
    metrics = Metrics()
    metrics.request_began("/features")
    metrics.request_began("/features")
    metrics.request_ended("/features", "undecodable_video", 0.2, {})
    assert value(metrics, "c3d_requests_in_progress", endpoint="/features") == 1
    assert value(metrics, "c3d_requests_in_progress", endpoint="/classify") == 0
    assert value(metrics, "c3d_requests_total", endpoint="/features", outcome="client_error") == 1
    assert value(metrics, "c3d_errors_total", endpoint="/features", code="undecodable_video") == 1
    assert value(metrics, "c3d_requests_total", endpoint="/features", outcome="ok") == 0


def test_what_alerts_rest_on_is_there_at_zero_before_the_first_request() -> None:
    metrics = Metrics(num_keys=2)
    for endpoint in ENDPOINTS:
        assert value(metrics, "c3d_requests_in_progress", endpoint=endpoint) == 0
        for outcome in OUTCOMES:
            assert value(metrics, "c3d_requests_total", endpoint=endpoint, outcome=outcome) == 0
    assert value(metrics, "c3d_refusals_total", code="overloaded") == 0
    assert [value(metrics, "c3d_authorized_requests_total", key=key) for key in ("1", "2")] == [0, 0]
    assert value(metrics, "c3d_last_batch_timestamp_seconds") == 0


def test_few_series_are_empty() -> None:
    before = [(name, labels) for name, labels in series(Metrics()) if name.startswith("c3d_")]
    assert len(before) < 80  # of which 41 are the buckets of batches


def test_probes_are_apart_from_other_endpoints() -> None:
    metrics = Metrics()
    for path in (*PROBES, "other"):
        metrics.request_began(path)
        metrics.request_ended(path, "ok", 0.001, {})
    assert value(metrics, "c3d_requests_total", endpoint="probe", outcome="ok") == len(PROBES)
    assert value(metrics, "c3d_requests_total", endpoint="other", outcome="ok") == 1
    assert {labels for name, labels in series(metrics) if name == "c3d_request_duration_seconds_sum"} == {
        frozenset({("endpoint", "other"), ("outcome", "ok")})
    }


def test_keys_and_warnings_are_counted() -> None:
    metrics = Metrics(num_keys=2)
    for key in (1, 2, 2):
        metrics.authorized(key)
    metrics.warned(["stand_in_weights", "rotated"])
    metrics.warned(["rotated"])
    assert [value(metrics, "c3d_authorized_requests_total", key=key) for key in ("1", "2")] == [1, 2]
    assert [value(metrics, "c3d_warnings_total", code=code) for code in ("stand_in_weights", "rotated")] == [1, 2]


def test_failures_do_not_make_the_answers_look_fast() -> None:
    metrics = Metrics()
    for code, seconds in (("ok", 4.0), ("invalid_option", 0.001), ("client_left", 0.5)):
        metrics.request_began("/classify")
        metrics.request_ended("/classify", code, seconds, {})
    labels = {"endpoint": "/classify"}
    assert value(metrics, "c3d_request_duration_seconds_sum", outcome="ok", **labels) == 4
    assert value(metrics, "c3d_request_duration_seconds_count", outcome="client_error", **labels) == 1
    assert value(metrics, "c3d_request_duration_seconds_count", outcome="client_left", **labels) == 1


def buckets(metrics: Metrics, name: str, labels: Mapping[str, str] | None = None) -> dict[float, float]:
    """Cumulative counts by upper bound."""
    return {
        float(sample.labels["le"]): sample.value
        for sample in families(metrics)[name].samples
        if sample.name == f"{name}_bucket" and {**sample.labels, **(labels or {})} == sample.labels
    }


def test_durations_go_into_their_buckets() -> None:
    metrics = Metrics()
    for seconds in (0.001, 0.005, 0.0051, 599.0, 601.0):
        metrics.request_ended("/classify", "ok", seconds, {"decode": seconds})
    name, labels = "c3d_request_duration_seconds", {"endpoint": "/classify", "outcome": "ok"}
    found = buckets(metrics, name, labels)
    assert tuple(found) == (*DURATIONS_S, float("inf"))
    assert (found[0.005], found[0.01], found[300], found[600], found[float("inf")]) == (2, 3, 3, 4, 5)
    assert value(metrics, f"{name}_sum", **labels) == pytest.approx(1200.0111)
    assert buckets(metrics, "c3d_stage_duration_seconds", {"stage": "decode"}) == found


def test_the_buckets_rise_from_5_ms_to_600_s() -> None:
    assert (DURATIONS_S[0], DURATIONS_S[-1]) == (0.005, 600)
    assert list(DURATIONS_S) == sorted(set(DURATIONS_S))


def test_stages_that_a_request_never_came_to_are_not_counted() -> None:
    metrics = Metrics()
    metrics.request_ended("/classify", "no_video_stream", 0.2, {"fetch": 0.1, "decode": 0.05, "total": 0.2})
    samples = families(metrics)["c3d_stage_duration_seconds"].samples
    counts = {each.labels["stage"]: each.value for each in samples if each.name.endswith("_count")}
    assert counts == {"fetch": 1, "decode": 1}


def test_batches_and_their_clips_are_counted() -> None:
    metrics = Metrics()
    for size in (1, 4, 4, 128):
        metrics.batch_ran(size, 0.25)
    assert (value(metrics, "c3d_batches_total"), value(metrics, "c3d_clips_total")) == (4, 137)
    found = buckets(metrics, "c3d_batch_size_clips")
    assert (found[1], found[2], found[4], found[64], found[float("inf")]) == (1, 1, 3, 3, 4)
    assert value(metrics, "c3d_batch_duration_seconds_sum") == 1
    assert value(metrics, "c3d_last_batch_timestamp_seconds") > 0


def test_nothing_is_lost_between_threads() -> None:
    metrics = Metrics()

    def count() -> None:
        for _ in range(500):
            metrics.request_began("/classify")
            metrics.batch_ran(2, 0.1)
            metrics.request_ended("/classify", "ok", 0.1, {})

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "c3d_requests_in_progress", endpoint="/classify") == 0
    assert value(metrics, "c3d_requests_total", endpoint="/classify", outcome="ok") == 2000
    assert value(metrics, "c3d_clips_total") == 4000


@pytest.mark.parametrize("text", ["/etc/passwd", "/classify?key=secret", "", 'a"} 1\nforged 1', "\ud800", "x" * 10_000])
def test_no_text_of_a_client_adds_a_series(text: str) -> None:
    metrics = busy()
    before = series(metrics)
    metrics.request_began(text)
    metrics.request_ended(text, text, 1.0, {text: 1.0})
    metrics.refused(text)
    assert series(metrics) == before
    assert value(metrics, "c3d_errors_total", endpoint="other", code="other") == 2
    assert value(metrics, "c3d_requests_in_progress", endpoint="other") == 0
    assert value(metrics, "c3d_refusals_total", code="other") == 2


def test_gauges_are_asked_at_each_scrape() -> None:
    metrics, waiting = Metrics(), iter((3, 0))
    metrics.watch(waiting_clips=lambda: next(waiting), worker_up=lambda: False, decoder_restarts=lambda: 2, decoders=lambda: 4)
    first, second = families(metrics), families(metrics)
    assert [each["c3d_waiting_clips"].samples[0].value for each in (first, second)] == [3, 0]
    assert second["c3d_worker_up"].samples[0].value == 0
    assert second["c3d_decoder_restarts"].samples[0][:3] == ("c3d_decoder_restarts_total", {}, 2)
    assert second["c3d_decoders"].samples[0].value == 4


def test_an_application_that_starts_again_is_watched_again() -> None:
    metrics = Metrics()
    watch(metrics, 3)
    watch(metrics, 5, worker_up=False)
    assert (value(metrics, "c3d_waiting_clips"), value(metrics, "c3d_worker_up")) == (5, 0)


def test_unknown_state_has_no_series() -> None:
    assert not {"c3d_model_info", "c3d_worker_up", "c3d_waiting_clips"} & set(families(Metrics()))


def test_the_model_is_described_by_known_labels_of_bounded_length() -> None:
    metrics = Metrics()
    metrics.model_loaded(MODEL | {"path": "/home/me/models", "backend": 'tensorflow "2"\n' + "x" * 1000})
    [sample] = families(metrics)["c3d_model_info"].samples
    assert tuple(sorted(sample.labels)) == tuple(sorted(MODEL_LABELS))
    assert {key: sample.labels[key] for key in MODEL} == MODEL
    assert (sample.labels["mean"], sample.value) == ("", 1)
    assert sample.labels["backend"].startswith('tensorflow "2"\n')
    assert len(sample.labels["backend"]) == MAX_LABEL_LENGTH


def test_another_model_takes_the_place_of_the_first() -> None:
    metrics = busy()
    metrics.model_loaded(MODEL | {"name": "mine"})
    [sample] = families(metrics)["c3d_model_info"].samples
    assert sample.labels["name"] == "mine"


def test_two_applications_in_one_process_share_nothing() -> None:
    one, other = busy(), Metrics()
    assert value(one, "c3d_batches_total") == 1
    assert value(other, "c3d_batches_total") == 0
    assert value(other, "c3d_requests_total", endpoint="/classify", outcome="ok") == 0


def test_nothing_says_when_it_was_made() -> None:
    assert not [name for name, _ in series(busy()) if name.endswith("_created")]
