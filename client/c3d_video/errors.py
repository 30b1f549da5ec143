"""What can go wrong, as one exception: the service's problem, or the client's own word for what came between."""

from __future__ import annotations

# The client's own codes, for what no service answered.
NO_SERVICE = "no_service"  # no connection could be made
CONNECTION_LOST = "connection_lost"  # it broke before the answer was whole

# A later try can succeed, because the cause is the service's state and not the video.
RETRYABLE = frozenset(
    {
        "overloaded",
        "shortage",
        "warming",
        "draining",
        "worker_down",
        "replica_lost",
        "no_replica",
        "disk_full",
        NO_SERVICE,
        CONNECTION_LOST,
    }
)

# The service would answer every video so: there is no use in sending the next one.
REFUSES_ALL = frozenset(
    {"unauthorized", "not_found", "weights_missing", "known_answer_wrong", "start_failed", "no_class_layer"}
    | {"not_the_service", "bad_address", "http_401", "http_403", "http_404", "http_405"}
)


class C3DError(Exception):
    """A video that got no answer.

    ``code``: the stable code of the service's error table, or `no_service` and `connection_lost`. ``status``: the HTTP status,
    None where there was no answer. ``detail``: a sentence that says what to do. ``request_id``: under which the service's log
    holds the cause. ``retry_after_s``: when the service asks to try again.
    """

    def __init__(
        self, code: str, status: int | None, detail: str, request_id: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.status, self.detail = code, status, detail
        self.request_id, self.retry_after_s = request_id, retry_after_s

    @property
    def is_retryable(self) -> bool:
        """Whether the same request can succeed later."""
        return self.code in RETRYABLE
