"""Prometheus names, in one place. Base units (seconds, bytes), prefix ``c3d_``, and no label ever holds a client's text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from service.errors import BY_CODE
from service.http.endpoints import INFERENCE, OTHER
from service.http.log_writer import num_dropped
from service.http.request_log import STAGES

OK, CLIENT_LEFT = "ok", "client_left"  # beside the codes of errors
ENDPOINTS = (*INFERENCE, OTHER)
CODES = (OK, *sorted(BY_CODE), CLIENT_LEFT, OTHER)
MODEL_LABELS = ("name", "weights", "weights_sha256", "preprocessing", "mean", "precision", "backend", "version")
MAX_LABEL_LENGTH = 128

# Seconds: from an immediate refusal to the longest request; three a decade where requests are, fewer above.
DURATIONS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
BATCH_CLIPS = (1, 2, 4, 8, 16, 32, 64)

disable_created_metrics()  # type: ignore[no-untyped-call]  # when each counter was made: Prometheus has no use for it


class Tally:
    """How often something happened, and how many seconds it took in all."""

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0

    def add(self, seconds: float) -> None:
        """Once more."""
        self.count += 1
        self.seconds += seconds


class Totals:
    """What has been run since the start: requests that ended well or not, the stages of those that did, and batches by size."""

    def __init__(self) -> None:
        self.ok, self.failed = Tally(), Tally()
        self.stages: dict[str, Tally] = {stage: Tally() for stage in STAGES}
        self.batches: dict[int, Tally] = {}
        self.last_batch = 0.0  # in Unix time

    def request_ended(self, code: str, seconds: float, stages: Mapping[str, float]) -> None:
        """A request for an inference ended."""
        (self.ok if code == OK else self.failed).add(seconds)
        for name in stages.keys() & self.stages.keys() if code == OK else ():
            self.stages[name].add(stages[name])

    def batch_ran(self, size: int, seconds: float) -> None:
        """A batch ran and has just ended."""
        self.batches.setdefault(size, Tally()).add(seconds)
        self.last_batch = time.time()


class Metrics:
    """What one application counts. The methods may be called from any thread, take microseconds and raise nothing."""

    def __init__(self) -> None:
        self.totals = Totals()
        self._registry = registry = CollectorRegistry()  # its own, so that several applications fit into one process
        requests = Counter("c3d_requests_total", "Requests that ended, by how.", ("endpoint", "code"), registry=registry)
        refusals = Counter(
            "c3d_refusals_total", "Requests turned away before their body was read; they ended too.", ("code",), registry=registry
        )
        inside = Gauge("c3d_requests_in_progress", "Requests that have begun and not ended.", ("endpoint",), registry=registry)
        duration = Histogram(
            "c3d_request_duration_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("endpoint", "outcome"),
            buckets=DURATIONS_S,
            registry=registry,
        )
        stage = Histogram(
            "c3d_stage_duration_seconds",
            "Seconds of a request that were spent in a stage. Stages overlap.",
            ("stage",),
            buckets=DURATIONS_S,
            registry=registry,
        )
        self._batch_clips = Histogram("c3d_batch_size_clips", "Clips in a batch.", buckets=BATCH_CLIPS, registry=registry)
        self._batch_duration = Histogram(
            "c3d_batch_duration_seconds", "Seconds a batch ran.", buckets=DURATIONS_S, registry=registry
        )
        self._batches = Counter("c3d_batches_total", "Batches that ran and did not fail, canaries included.", registry=registry)
        self._clips = Counter("c3d_clips_total", "Clips in those batches.", registry=registry)
        self._last_batch = Gauge(
            "c3d_last_batch_timestamp_seconds", "When the last batch ended, in Unix time; 0 before the first.", registry=registry
        )
        # Every series is there from the start, at 0: rate() would not see the first error of a series that begins with it.
        self._requests = {(endpoint, code): requests.labels(endpoint, code) for endpoint in ENDPOINTS for code in CODES}
        self._refusals = {code: refusals.labels(code) for code in sorted({*BY_CODE, OTHER})}
        self._inside = {endpoint: inside.labels(endpoint) for endpoint in ENDPOINTS}
        self._durations = {(each, ok): duration.labels(each, OK if ok else "error") for each in ENDPOINTS for ok in (True, False)}
        self._stages = {each: stage.labels(each) for each in STAGES}
        self._state = _State()
        registry.register(self._state)
        ProcessCollector(registry=registry)  # process_open_fds, process_resident_memory_bytes, ...: every dashboard's names

    def request_began(self, endpoint: str) -> None:
        """A request has come. An endpoint that is not in ENDPOINTS is "other"."""
        self._inside[_one_of(self._inside, endpoint)].inc()

    def request_ended(self, endpoint: str, code: str, seconds: float, stages: Mapping[str, float]) -> None:
        """The same request, once for each that began: how it ended (one of CODES, else "other"), after so many seconds.

        ``stages``: seconds by the names in STAGES, for those it came to; other names are not looked at.
        """
        endpoint = _one_of(self._inside, endpoint)
        if endpoint in INFERENCE:
            self.totals.request_ended(code, seconds, stages)
        self._inside[endpoint].dec()
        self._requests[endpoint, code if (endpoint, code) in self._requests else OTHER].inc()
        self._durations[endpoint, code == OK].observe(seconds)
        for name, stage in self._stages.items():
            if name in stages:
                stage.observe(stages[name])

    def refused(self, code: str) -> None:
        """A request was turned away before its body was read, with this error's code. It ends like every other one too."""
        self._refusals[_one_of(self._refusals, code)].inc()

    def batch_ran(self, size: int, seconds: float) -> None:
        """A batch of so many clips ran for so many seconds and has just ended."""
        self.totals.batch_ran(size, seconds)
        self._batches.inc()
        self._clips.inc(size)
        self._batch_clips.observe(size)
        self._batch_duration.observe(seconds)
        self._last_batch.set_to_current_time()

    def watch(
        self,
        *,
        waiting_clips: Callable[[], int],
        worker_up: Callable[[], bool],
        decoder_restarts: Callable[[], int],
        decoders: Callable[[], int],
    ) -> None:
        """What is asked at every scrape. ``decoder_restarts`` only ever grows. Given again, the new ones replace the old."""
        self._state.watched = _Watched(waiting_clips, worker_up, decoder_restarts, decoders)

    def model_loaded(self, model: Mapping[str, object]) -> None:
        """What serves: MODEL_LABELS are taken from an answer's ``model`` block, and nothing else."""
        self._state.model = {name: str(model.get(name, ""))[:MAX_LABEL_LENGTH] for name in MODEL_LABELS}

    def decoders_confined(self, is_whole: bool) -> None:  # noqa: FBT001 (it is all that is said)
        """Say whether decoders are locked in by all that the service knows."""
        self._state.is_sandboxed = is_whole

    def exposition(self) -> tuple[bytes, str]:
        """All of it as Prometheus scrapes it: the body, and its content type. Takes milliseconds."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Watched(NamedTuple):
    waiting_clips: Callable[[], int]
    worker_up: Callable[[], bool]
    decoder_restarts: Callable[[], int]
    decoders: Callable[[], int]


class _State(Collector):
    """State that is read at every scrape. State that is not known yet has no series."""

    def __init__(self) -> None:
        self.watched: _Watched | None = None
        self.model: dict[str, str] | None = None
        self.is_sandboxed: bool | None = None

    def collect(self) -> Iterator[Metric]:
        """The state now."""
        if self.model is not None:
            yield InfoMetricFamily("c3d_model", "The model that serves, and how it is run.", value=self.model)
        if self.watched is not None:
            yield GaugeMetricFamily("c3d_waiting_clips", "Clips that wait for a batch.", self.watched.waiting_clips())
            yield GaugeMetricFamily("c3d_worker_up", "1 where requests would be run, else 0.", float(self.watched.worker_up()))
            yield GaugeMetricFamily("c3d_decoders", "Decoder processes, idle ones included.", self.watched.decoders())
            text = "Decoder processes that failed and were replaced."
            yield CounterMetricFamily("c3d_decoder_restarts_total", text, self.watched.decoder_restarts())
        if self.is_sandboxed is not None:
            text = "1 where decoders are locked in by Landlock and a seccomp filter, else 0."
            yield GaugeMetricFamily("c3d_sandbox_up", text, float(self.is_sandboxed))
        yield CounterMetricFamily("c3d_log_lines_dropped_total", "Lines of the log that nobody read in time.", num_dropped())


def _one_of(known: Mapping[str, object], name: str) -> str:
    return name if name in known else OTHER
