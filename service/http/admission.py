"""Who may send a request, and how many may run at once."""

from __future__ import annotations

import hmac
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from service.errors import Overloaded, Unauthorized
from service.http.endpoints import OPEN

MAX_RETRY_AFTER_S = 120  # the queue as it is now says nothing about a later time
MAX_WAITING_CLIPS = 512  # each of 64 requests reads 8 clips ahead of the network
UNKNOWN_RETRY_AFTER_S = 5  # before anything was measured


class Queue(NamedTuple):
    """The batcher's queue: how many clips wait, and how many are run in a second lately."""

    waiting_clips: int
    clips_per_s: float


class Admission:
    """Counts the requests in progress. ``queue`` gives the batcher's queue as it is now.

    A request has a place from when its video is here until its answer is made. While a body comes, and while a client takes its
    answer, it costs a connection and bytes of the spool, which have bounds of their own: a slow client takes nobody's place.
    """

    def __init__(
        self,
        max_requests: int,
        queue: Callable[[], Queue],
        max_waiting_clips: int = MAX_WAITING_CLIPS,
        max_per_client: int = 0,
    ) -> None:
        """``max_per_client``: requests of one address, uploads and downloads included; 0: no bound."""
        self._max_requests, self._max_waiting_clips, self._queue = max_requests, max_waiting_clips, queue
        self._max_per_client, self._by_client = max_per_client, Counter[str]()
        self.num_requests = 0

    def check(self) -> None:
        """Raises Overloaded, with the seconds to wait, where there is no room now."""
        queue = self._queue()
        if self.num_requests >= self._max_requests or queue.waiting_clips >= self._max_waiting_clips:
            raise overloaded(queue, self.num_requests)

    @contextmanager
    def place(self) -> Iterator[None]:
        """Count one request while its work lasts. Raises as `check`."""
        self.check()
        self.num_requests += 1
        try:
            yield
        finally:
            self.num_requests -= 1

    @contextmanager
    def of_client(self, address: str | None) -> Iterator[None]:
        """Count one request of this client from its head to the end of its answer. Raises Overloaded where it has too many."""
        if not self._max_per_client or address is None:
            yield
            return
        if self._by_client[address] >= self._max_per_client:
            error = Overloaded(f"You have {self._max_per_client} requests here already. Send the next when one is answered.")
            error.headers = {"Retry-After": str(UNKNOWN_RETRY_AFTER_S)}
            raise error
        self._by_client[address] += 1
        try:
            yield
        finally:
            self._by_client[address] -= 1
            self._by_client += Counter()  # without those that have none any more


def overloaded(queue: Queue, num_requests: int) -> Overloaded:
    """The refusal. A request holds at least one clip that is still to be run, waiting or not yet cut."""
    ahead = max(queue.waiting_clips, num_requests)
    seconds = math.ceil(ahead / queue.clips_per_s) if queue.clips_per_s else UNKNOWN_RETRY_AFTER_S
    seconds = min(max(seconds, 1), MAX_RETRY_AFTER_S)
    error = Overloaded(f"The service is overloaded. Try again in {seconds} s, or ask another instance.")
    error.headers = {"Retry-After": str(seconds)}
    return error


SCHEME = {"type": "http", "scheme": "bearer", "description": "One of the keys in C3D_API_KEY, where the service has any."}


class ApiKeys:
    """``keys``: each of them is valid; without any, everybody may ask. OPEN paths never need one."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def check(self, path: str, authorization: bytes) -> int | None:
        """The place, from 1, of the key that the Authorization header holds, None for none; b"" is none.

        Raises Unauthorized where the path is guarded and there is none.
        """
        scheme, _, given = authorization.partition(b" ")
        found = [
            hmac.compare_digest(given.strip(b" "), key) for key in self._keys
        ]  # compare with all: the time taken reveals nothing
        if self._guards(path) and not (any(found) and scheme.lower() == b"bearer"):
            raise Unauthorized("The service needs a key. Send it in the header 'Authorization: Bearer KEY'.")
        return found.index(True) + 1 if any(found) and scheme.lower() == b"bearer" else None

    def describe(self, document: dict[str, Any]) -> None:
        """Say in an OpenAPI document what needs a key."""
        if self._keys:
            document["components"]["securitySchemes"] = {"key": SCHEME}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [{"key": []}] if self._guards(path) else []

    def _guards(self, path: str) -> bool:
        return bool(self._keys) and path not in OPEN
