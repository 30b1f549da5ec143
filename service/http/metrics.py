"""Prometheus names, in one place. Base units (seconds, bytes), prefix ``c3d_``, and no label ever holds a client's text.

What alerts rest on (outcomes, requests in progress, keys) is there from the start, at 0: rate() would not see the first error of
a series that begins with it. What tells more (codes, warnings, durations) begins when it first happens: a scrape stays short.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from service.errors import BY_CODE, Overloaded
from service.http.endpoints import INFERENCE, OTHER, PROBES
from service.http.request_log import STAGES

OK, CLIENT_LEFT = "ok", "client_left"  # beside the codes of errors
CLIENT_ERROR, SERVER_ERROR = "client_error", "server_error"  # errors by their status, 4xx and 5xx
OUTCOMES = (OK, CLIENT_ERROR, SERVER_ERROR, CLIENT_LEFT)
PROBE = "probe"  # any of PROBES
ENDPOINTS = (*INFERENCE, PROBE, OTHER)
# What `Metrics.watch` is given, and what /metrics says of it.
GAUGES = {
    "waiting_clips": "Clips that wait for a batch.",
    "max_waiting_clips": "With so many waiting, requests are refused.",
    "max_requests": "With so many in progress, one more request is refused.",
    "spool_bytes": "Bytes that running requests hold, of videos and of arrays.",
    "max_spool_bytes": "The limit on those bytes.",
    "decoders": "Decoder processes, idle ones included.",
    "max_decoders": "The limit on decoder processes.",
    "worker_up": "1 where requests would be run, else 0.",
    "sandbox_up": "1 where decoders are locked in by Landlock and a seccomp filter, else 0.",
}
COUNTERS = {  # likewise; they only ever grow
    "decoder_restarts": "Decoder processes that failed and were replaced.",
    "log_lines_dropped": "Lines of the log that nobody read in time.",
}
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

    def __init__(self, num_keys: int = 0) -> None:
        """``num_keys``: how many API keys there are."""
        self.totals = Totals()
        self._registry = registry = CollectorRegistry()  # its own, so that several applications fit into one process
        self._requests = Counter("c3d_requests_total", "Requests that ended, by how.", ("endpoint", "outcome"), registry=registry)
        self._errors = Counter(
            "c3d_errors_total", "Requests that ended with an error, by its code.", ("endpoint", "code"), registry=registry
        )
        self._refusals = Counter(
            "c3d_refusals_total", "Requests refused before their body was read.", ("code",), registry=registry
        )
        self._warnings = Counter("c3d_warnings_total", "Answers with this warning.", ("code",), registry=registry)
        self._keys = Counter(
            "c3d_authorized_requests_total", "Requests with a key, by its place in C3D_API_KEY.", ("key",), registry=registry
        )
        self._inside = Gauge(
            "c3d_requests_in_progress", "Requests that have begun and not ended.", ("endpoint",), registry=registry
        )
        self._durations = Histogram(
            "c3d_request_duration_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("endpoint", "outcome"),
            buckets=DURATIONS_S,
            registry=registry,
        )
        self._stages = Histogram(
            "c3d_stage_duration_seconds",
            "Seconds of a request that were spent in a stage. Stages overlap.",
            ("stage",),
            buckets=DURATIONS_S,
            registry=registry,
        )
        self._batches = _Batches(registry)
        for endpoint in ENDPOINTS:
            self._inside.labels(endpoint)
            for outcome in OUTCOMES:
                self._requests.labels(endpoint, outcome)
        for place in range(num_keys):
            self._keys.labels(place + 1)
        self._refusals.labels(Overloaded.code)
        self._state = _State()
        registry.register(self._state)
        ProcessCollector(registry=registry)  # process_open_fds, process_resident_memory_bytes, ...: every dashboard's names

    def request_began(self, endpoint: str) -> None:
        """A request has come, to one of `endpoints.PATHS`, or to "other"."""
        self._inside.labels(_label_of(endpoint)).inc()

    def request_ended(self, endpoint: str, code: str, seconds: float, stages: Mapping[str, float]) -> None:
        """The same request, once for each that began: how it ended (ok, client_left or an error's code), after so many seconds.

        ``stages``: seconds by the names in STAGES, for those it came to; other names are not looked at.
        """
        endpoint, outcome = _label_of(endpoint), outcome_of(code)
        if endpoint in INFERENCE:
            self.totals.request_ended(code, seconds, stages)
        self._inside.labels(endpoint).dec()
        self._requests.labels(endpoint, outcome).inc()
        if outcome in {CLIENT_ERROR, SERVER_ERROR}:
            self._errors.labels(endpoint, _known(code)).inc()
        if endpoint != PROBE:
            self._durations.labels(endpoint, outcome).observe(seconds)
        for name in STAGES:
            if name in stages:
                self._stages.labels(name).observe(stages[name])

    def refused(self, code: str) -> None:
        """A request was turned away before its body was read, with this error's code. It ends like every other one too."""
        self._refusals.labels(_known(code)).inc()

    def authorized(self, key: int) -> None:
        """A request carried the key in this place, counted from 1."""
        self._keys.labels(key).inc()

    def warned(self, codes: Iterable[str]) -> None:
        """An answer had warnings with these codes."""
        for code in codes:
            self._warnings.labels(code).inc()

    def batch_ran(self, size: int, seconds: float) -> None:
        """A batch of so many clips ran for so many seconds and has just ended."""
        self.totals.batch_ran(size, seconds)
        self._batches.ran(size, seconds)

    def watch(self, **asked: Callable[[], float]) -> None:
        """What is asked at every scrape, by the names in GAUGES and COUNTERS. Given again, the new ones replace the old."""
        self._state.asked = asked

    def model_loaded(self, model: Mapping[str, object]) -> None:
        """What serves: MODEL_LABELS are taken from an answer's ``model`` block, and nothing else."""
        self._state.model = {name: str(model.get(name, ""))[:MAX_LABEL_LENGTH] for name in MODEL_LABELS}

    def exposition(self) -> tuple[bytes, str]:
        """All of it as Prometheus scrapes it: the body, and its content type. Takes milliseconds."""
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


class _Batches:
    """What the network ran."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sizes = Histogram("c3d_batch_size_clips", "Clips in a batch.", buckets=BATCH_CLIPS, registry=registry)
        self._durations = Histogram("c3d_batch_duration_seconds", "Seconds a batch ran.", buckets=DURATIONS_S, registry=registry)
        self._count = Counter("c3d_batches_total", "Batches that ran and did not fail, canaries included.", registry=registry)
        self._clips = Counter("c3d_clips_total", "Clips in those batches.", registry=registry)
        self._last = Gauge(
            "c3d_last_batch_timestamp_seconds", "When the last batch ended, in Unix time; 0 before the first.", registry=registry
        )

    def ran(self, size: int, seconds: float) -> None:
        """A batch of so many clips ran for so many seconds and has just ended."""
        self._count.inc()
        self._clips.inc(size)
        self._sizes.observe(size)
        self._durations.observe(seconds)
        self._last.set_to_current_time()


class _State(Collector):
    """State that is read at every scrape. State that is not known yet has no series."""

    def __init__(self) -> None:
        self.asked: Mapping[str, Callable[[], float]] = {}
        self.model: dict[str, str] | None = None

    def collect(self) -> Iterator[Metric]:
        """The state now."""
        if self.model is not None:
            yield InfoMetricFamily("c3d_model", "The model that serves, and how it is run.", value=self.model)
        for name, ask in self.asked.items():
            if name in COUNTERS:
                yield CounterMetricFamily(f"c3d_{name}_total", COUNTERS[name], ask())
            else:
                yield GaugeMetricFamily(f"c3d_{name}", GAUGES[name], float(ask()))


def outcome_of(code: str) -> str:
    """One of OUTCOMES, for "ok", "client_left" or an error's code."""
    if code in {OK, CLIENT_LEFT}:
        return code
    return CLIENT_ERROR if code in BY_CODE and BY_CODE[code].status < 500 else SERVER_ERROR


def _label_of(endpoint: str) -> str:
    return PROBE if endpoint in PROBES else endpoint if endpoint in ENDPOINTS else OTHER


def _known(code: str) -> str:
    return code if code in BY_CODE else OTHER
