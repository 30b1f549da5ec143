"""The twin of `Client` for asyncio. `extract` uses it too: one try of one video is `AsyncClient.once`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Any, BinaryIO

import httpx2

from c3d_video import protocol
from c3d_video.answers import Answer, Clip, Event
from c3d_video.client import CLASSIFY, DEFAULT_URL, FEATURES, PATIENCE_S, Gathering, Given, events_in, features_options
from c3d_video.errors import C3DError
from c3d_video.options import Options
from c3d_video.protocol import Source
from c3d_video.retry import Retrying

if TYPE_CHECKING:
    from typing_extensions import Unpack  # in typing from Python 3.11 on

# A connection that lay idle may have been closed by the other side. Videos take seconds: a fresh one each costs nothing.
LIMITS = httpx2.Limits(max_keepalive_connections=0)


class AsyncClient:
    """A C3D service; all as in `Client`, to be awaited."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        api_key: str | None = None,
        *,
        patience_s: float = PATIENCE_S,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.url, self._patience_s = url.rstrip("/"), patience_s
        self._http = httpx2.AsyncClient(
            headers=protocol.headers(api_key),
            timeout=protocol.TIMEOUT,
            limits=LIMITS,
            transport=transport,
            verify=protocol.certificates(),
        )

    async def features(self, source: Source, *, clips: bool = False, **options: Unpack[Options]) -> Answer:
        """As `Client.features`."""
        return await gathered(self.stream(source, clips=clips, **options), keep=clips)

    async def classify(self, source: Source, **options: Unpack[Options]) -> Answer:
        """As `Client.classify`."""
        return await gathered(self.stream_labels(source, **options), keep="clips" in str(options.get("include")))

    def stream(self, source: Source, *, clips: bool = True, **options: Unpack[Options]) -> AsyncGenerator[Event, None]:
        """As `Client.stream`. A stream that is left early ends the work at the service once it is closed: use `aclosing`."""
        return self._events(FEATURES, source, features_options(options, clips=clips))

    def stream_labels(self, source: Source, **options: Unpack[Options]) -> AsyncGenerator[Event, None]:
        """As `Client.stream_labels`."""
        return self._events(CLASSIFY, source, dict(options))

    async def info(self) -> dict[str, Any]:
        """As `Client.info`, with one try."""
        try:
            return dict(protocol.content_of(await self._http.get(self.url + "/info"), self.url))
        except httpx2.TransportError as error:
            raise protocol.transport_error(error, self.url) from error

    async def close(self) -> None:
        """End all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.close()

    async def _events(self, path: str, source: Source, options: dict[str, Any]) -> AsyncGenerator[Event, None]:
        retrying, given = Retrying(self._patience_s), Given()
        while True:
            try:
                async with aclosing(self.once(path, source, options)) as events:
                    async for event in events:
                        retrying.progressed()
                        if given.is_new(event):
                            yield event
            except C3DError as error:
                await asyncio.sleep(retrying.pause_after(error))
            else:
                return

    async def once(self, path: str, source: Source, options: dict[str, Any]) -> AsyncGenerator[Event, None]:
        """One try; closing it ends the work at the service. The answer comes last, when its connection is closed already.

        Raises C3DError, OSError.
        """
        asked, last = protocol.asked(path, source, options), None
        async with AsyncExitStack() as stack:
            body = stack.enter_context(protocol.opened(source))
            headers, small = protocol.upload(asked, body)
            content = small if body is None or isinstance(body, bytes) else _pieces(body)
            try:
                request = self._http.stream("POST", self.url + asked.path, params=asked.params, headers=headers, content=content)
                answer = await stack.enter_async_context(request)
                if answer.status_code != 200:
                    await answer.aread()
                    raise protocol.error_of(answer)
                splitter, request_id = protocol.LineSplitter(), answer.headers.get("x-request-id")
                async for piece in answer.aiter_bytes():
                    for event in events_in(piece, splitter, request_id):
                        if isinstance(event, Answer):
                            last = event
                        else:
                            yield event
                    if last:
                        break
            except httpx2.TransportError as error:
                raise protocol.transport_error(error, self.url) from error
        if last is None:
            raise protocol.cut_off(request_id)
        yield last


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, protocol.CHUNK_BYTES):
        yield piece


async def gathered(events: AsyncGenerator[Event, None], *, keep: bool, on_clip: Callable[[Clip], None] | None = None) -> Answer:
    """As `client.gathered`, of an asynchronous stream."""
    gathering = Gathering(keep=keep)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, Clip) and on_clip:
                on_clip(event)
            if answer := gathering.add(event):
                return answer
    raise protocol.cut_off()
