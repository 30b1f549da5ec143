"""What the HTTP tests share: the real app behind a test client, and a driver that speaks ASGI message by message."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message

from service.answers.json_answer import MAX_JSON_BYTES
from service.app import create_app
from service.settings import Settings
from service.video.pool import DecoderPool
from tests.support.fakes import FakeNetwork, InlineDecoder

BOUNDARY = "a-boundary"
MULTIPART = (("content-type", f"multipart/form-data; boundary={BOUNDARY}"),)
OCTETS = (("content-type", "application/octet-stream"),)
GONE: Message = {"type": "http.disconnect"}


def fake_app(
    spool_dir: Path,
    network: FakeNetwork | None = None,
    max_json_bytes: int = MAX_JSON_BYTES,
    decoder_pool: Callable[[int], DecoderPool] = InlineDecoder,
    **settings: Any,
) -> FastAPI:
    """The real application with a fake network, decoding in this process."""
    loaded: Any = network or FakeNetwork()
    load = lambda _settings, _progress: loaded  # noqa: E731
    app = create_app(Settings(spool_dir=spool_dir, **settings), load, decoder_pool=decoder_pool)
    app.state.max_json_bytes = max_json_bytes
    return app


@contextmanager
def serving(app: FastAPI) -> Iterator[TestClient]:
    """A client of the application, once it is ready. It raises what the application lets out."""
    with TestClient(app) as client:
        until_status(client, 200)
        yield client


@asynccontextmanager
async def ready(app: FastAPI) -> AsyncIterator[None]:
    """The same in a running event loop, for `ask`."""
    async with app.router.lifespan_context(app):
        for _ in range(100_000):
            if (await ask(app, method="GET", path="/readyz")).status == 200:
                break
            await asyncio.sleep(0)  # lets the loading get on
        yield


def until_status(client: TestClient, status: int, path: str = "/readyz") -> dict[str, Any]:
    """Ask until the answer has this status; its content."""
    for _ in range(10_000):
        answer = client.get(path)
        if answer.status_code == status:
            content: dict[str, Any] = answer.json()
            return content
    raise AssertionError(f"{path} never answered {status}; last {answer.text}")


class Exchange:
    """One request, driven by hand: what the application took of it, and what it said."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._messages = iter(messages)
        self.num_received = 0
        self.said: list[Message] = []

    async def receive(self) -> Message:
        """The next message; behind the last one the client stays, and nothing comes."""
        message = next(self._messages, None)
        if message is None:
            await asyncio.get_running_loop().create_future()
            raise AssertionError("nothing can have come")
        self.num_received += 1
        return message

    async def send(self, message: Message) -> None:
        """Keep what the application says."""
        self.said.append(message)

    @property
    def status(self) -> int | None:
        """None where nothing was answered."""
        return self.said[0]["status"] if self.said else None

    @property
    def headers(self) -> dict[str, str]:
        """The answer's."""
        return {name.decode(): value.decode() for name, value in self.said[0]["headers"]}

    @property
    def content(self) -> dict[str, Any]:
        """The answer's JSON."""
        content: dict[str, Any] = json.loads(self.text)
        return content

    @property
    def text(self) -> str:
        """The answer's body."""
        return b"".join(message.get("body", b"") for message in self.said[1:]).decode()


async def ask(
    app: ASGIApp,
    messages: Iterable[Message] = ({"type": "http.request"},),
    headers: Iterable[tuple[str, str]] = (),
    *,
    method: str = "POST",
    path: str = "/classify",
    query: str = "",
    exchange: Exchange | None = None,
) -> Exchange:
    """One request to the application, over when the application has returned."""
    exchange = exchange or Exchange(messages)
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "client": ("203.0.113.1", 50_000),
        "server": ("testserver", 80),
    }
    await app(scope, exchange.receive, exchange.send)
    return exchange


def assert_alike(found: Any, expected: Any) -> None:
    """Equal, but for what the size of the batch does to float32: numbers and vectors may differ by 1e-5 of their length."""
    if isinstance(expected, dict):
        assert set(found) == set(expected)
        for name, value in expected.items():
            assert_alike(found[name], value)
    elif isinstance(expected, float) or (isinstance(expected, list) and expected and isinstance(expected[0], float)):
        difference = np.linalg.norm(np.subtract(found, expected))
        assert difference <= 1e-5 * np.linalg.norm(expected)
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for mine, other in zip(found, expected, strict=True):
            assert_alike(mine, other)
    else:
        assert found == expected


def chunks(*bodies: bytes, whole: bool = True) -> list[Message]:
    """These pieces as ASGI messages; ``whole``: the last one says that it is the last."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
    if whole:
        messages[-1]["more_body"] = False
    return messages


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    """One part of a form, its boundary in front."""
    named = "" if filename is None else f'; filename="{filename}"'
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'.encode() + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A whole multipart body."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


class _NoWaiting(selectors.DefaultSelector):
    skipped_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout is not None and timeout > 0:
            self.skipped_s += timeout
        return events


class ImpatientLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to the next timer instead of waiting for it. For code without threads."""

    def __init__(self) -> None:
        self._selector_of_ours = _NoWaiting()
        super().__init__(self._selector_of_ours)

    def time(self) -> float:
        """Seconds, those skipped included."""
        return super().time() + self._selector_of_ours.skipped_s
