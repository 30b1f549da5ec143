"""The service from Python: a video in, an answer with NumPy arrays out. `AsyncClient` is its twin for asyncio."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx2

from c3d_video import protocol
from c3d_video.answers import Answer, Clip, Event, event_of
from c3d_video.errors import C3DError
from c3d_video.options import Options
from c3d_video.protocol import Source
from c3d_video.retry import Retrying

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on

DEFAULT_URL = "http://localhost:8000"
PATIENCE_S = 300.0  # a restart of the service, with its warm-up, and then some
FEATURES, CLASSIFY = "/features", "/classify"
VECTORS = {"encoding_format": "base64"}  # exact, and half the size of numbers


class Given:
    """What a stream has given so far, so that a stream begun again goes on behind it."""

    def __init__(self) -> None:
        self._opened, self._num_clips = False, 0

    def is_new(self, event: Event) -> bool:
        """Whether the event was not given yet; it counts as given now."""
        if isinstance(event, Clip):
            new = event.index >= self._num_clips
            self._num_clips = max(self._num_clips, event.index + 1)
            return new
        new, self._opened = isinstance(event, Answer) or not self._opened, True
        return new


class Client:
    """A C3D service.

    ``url``: where it is. ``api_key``: one of its keys, where it asks for one. ``patience_s``: how long a request is tried again
    without progress while the service is overloaded, starting or gone. To be closed, or used as a context. Every method raises
    C3DError; OSError for a file that cannot be read.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._url, self._patience_s = url.rstrip("/"), patience_s
        self._http = httpx2.Client(
            headers=protocol.headers(api_key), timeout=protocol.TIMEOUT, transport=transport, verify=protocol.certificates()
        )

    def features(self, source: Source, *, clips: bool = False, **options: Unpack[Options]) -> Answer:
        """The video's descriptor, float32 (4096,) of length 1; with ``clips`` a row and a time for each clip too.

        ``options``: those of POST /features, as `clip_stride=16`, `layer="fc7"`, `normalize="none"`, `include="predictions"`.
        """
        return gathered(self.stream(source, clips=clips, **options), keep=clips)

    def classify(self, source: Source, **options: Unpack[Options]) -> Answer:
        """The most probable labels. ``options``: those of POST /classify, as `top_k=3`, `include="clips,segments"`."""
        return gathered(self.stream_labels(source, **options), keep="clips" in str(options.get("include")))

    def stream(self, source: Source, *, clips: bool = True, **options: Unpack[Options]) -> Iterator[Event]:
        """First `Opened`, then a `Clip` with its vector as soon as it is computed, last the `Answer` without clips.

        A stream that breaks is asked for again, and goes on behind the last clip that was given.
        """
        return self._events(FEATURES, source, features_options(options, clips=clips))

    def stream_labels(self, source: Source, **options: Unpack[Options]) -> Iterator[Event]:
        """As `stream`, of POST /classify: each `Clip` has its predictions where ``include`` asks for clips."""
        return self._events(CLASSIFY, source, dict(options))

    def info(self) -> dict[str, Any]:
        """What runs there: the model's card, the engine, the precision."""
        return dict(self._get("/info"))

    def labels(self) -> list[str]:
        """All labels; a label's place, counted from 0, is its class_id."""
        return list(self._get("/labels"))

    def close(self) -> None:
        """End all connections."""
        self._http.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _get(self, path: str) -> Any:
        retrying = Retrying(self._patience_s)
        while True:
            try:
                try:
                    return protocol.content_of(self._http.get(self._url + path), self._url)
                except httpx2.TransportError as error:
                    raise protocol.transport_error(error, self._url) from error
            except C3DError as error:
                time.sleep(retrying.pause_after(error))

    def _events(self, path: str, source: Source, options: dict[str, Any]) -> Iterator[Event]:
        retrying, given = Retrying(self._patience_s), Given()
        while True:
            try:
                for event in self._once(protocol.asked(path, source, options), source):
                    retrying.progressed()
                    if given.is_new(event):
                        yield event
            except C3DError as error:
                time.sleep(retrying.pause_after(error))
            else:
                return

    def _once(self, asked: protocol.Asked, source: Source) -> Iterator[Event]:
        """One try; ends behind the summary. Raises C3DError."""
        with ExitStack() as stack:
            body = stack.enter_context(protocol.opened(source))
            headers, small = protocol.upload(asked, body)
            content = small if body is None or isinstance(body, bytes) else iter(lambda: body.read(protocol.CHUNK_BYTES), b"")
            try:
                request = self._http.stream("POST", self._url + asked.path, params=asked.params, headers=headers, content=content)
                answer = stack.enter_context(request)
                if answer.status_code != 200:
                    answer.read()
                    raise protocol.error_of(answer)
                splitter, request_id = protocol.LineSplitter(), answer.headers.get("x-request-id")
                for piece in answer.iter_bytes():
                    for event in events_in(piece, splitter, request_id):
                        yield event
                        if isinstance(event, Answer):
                            return
            except httpx2.TransportError as error:
                raise protocol.transport_error(error, self._url) from error
            raise protocol.cut_off(request_id)


def features_options(options: Options, *, clips: bool) -> dict[str, Any]:
    """Options of POST /features, vectors exact, with vectors of the clips where they are wanted."""
    include = options.get("include") or ()
    parts = include.split(",") if isinstance(include, str) else list(include)
    parts += ["clips"] if clips and "clips" not in parts else []
    of_video = {"vectors": "video"} if "clips" not in parts else {}  # else each clip's line would hold 22 kB for nobody
    return {**VECTORS, **of_video, **options, "include": parts or None}


def events_in(piece: bytes, splitter: protocol.LineSplitter, request_id: str | None) -> Iterator[Event]:
    """The events whose lines this piece of a stream completes; heartbeats are none. Raises C3DError."""
    for line in splitter.feed(piece):
        event = event_of(protocol.line_of(line, request_id))
        if event is not None:
            yield event


class Gathering:
    """A whole stream becomes one answer; with ``keep`` it holds the clips."""

    def __init__(self, *, keep: bool) -> None:
        self._keep, self._clips = keep, list[Clip]()

    def add(self, event: Event) -> Answer | None:
        """Take an event; the answer, whole, where it was the last one."""
        if isinstance(event, Clip) and self._keep:
            self._clips.append(event)
        if not isinstance(event, Answer):
            return None
        event.put_clips(self._clips)
        return event


def gathered(events: Iterator[Event], *, keep: bool) -> Answer:
    """The answer of a whole stream; with ``keep`` it holds the clips. Raises C3DError where the stream ends without one."""
    gathering = Gathering(keep=keep)
    for event in events:
        if answer := gathering.add(event):
            return answer
    raise protocol.cut_off()
