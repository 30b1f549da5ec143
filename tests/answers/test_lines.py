"""Lines leave as clips are computed, and no clip is computed for a client that does not read or has left."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from starlette.types import Message

from model_store.c3d import ClipOutputs
from service.answers.answer import Line
from service.answers.lines import with_heartbeats
from service.pipeline import BATCHES_AHEAD
from service.video.frames import read_video
from service.video.pool import DecoderPool
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import GONE, OCTETS, Exchange, ImpatientLoop, ask, assert_alike, fake_app, ready, serving
from tests.support.videos import write_video

NDJSON = {"accept": "application/x-ndjson"}
LINE: TypeAdapter[Any] = TypeAdapter(Line)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


def lines_of(body: bytes) -> list[dict[str, Any]]:
    assert body.endswith(b"\n")
    return [json.loads(line) for line in body.splitlines()]


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("/classify", {}),
        ("/features", {"layer": "fc7", "custom_id": "mine"}),
        ("/classify", {"include": "features,segments", "encoding_format": "base64"}),
        ("/features", {"include": "predictions", "max_clips": "3", "top_k": "2"}),
        ("/classify", {"include": "pictures"}),
        ("/features", {"include": "pictures", "tail": "pad", "end_sec": "1.0", "encoding_format": "base64"}),
        ("/features", {"layer": "pool5,fc6"}),
        ("/classify", {"include": "features,segments", "vectors": "video"}),
    ],
)
def test_the_lines_together_are_the_answer(client: TestClient, clip_mp4: Path, endpoint: str, options: dict[str, str]) -> None:
    files = {"file": clip_mp4.read_bytes()}
    answer = client.post(endpoint, files=files, params=options, headers=NDJSON)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    with_clips = {**options, "include": ",".join(filter(None, [options.get("include"), "clips"]))}
    whole = client.post(endpoint, files=files, params=with_clips).json()
    lines = lines_of(answer.content)
    assert all(LINE.validate_python(line) for line in lines)
    video, *clips, summary = lines
    assert [line["type"] for line in lines] == ["video", *["clip"] * len(whole["clips"]), "summary"]
    assert video["num_clips"] == len(clips)
    assert [line.pop("progress") for line in clips] == [round((i + 1) / len(clips), 4) for i in range(len(clips))]
    assert {name: video[name] for name in ("id", "model")} == {name: whole[name] for name in ("id", "model")}
    for line in (summary, *clips):
        del line["type"]
    for each in (summary, whole):
        del each["timings_ms"]
    assert_alike({**summary, "clips": clips}, whole)


def test_vectors_of_the_video_come_in_the_summary_alone(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        options = {"include": "descriptor,segments", "vectors": "video"}
        answer = client.post("/classify", files={"file": clip_mp4.read_bytes()}, params=options, headers=NDJSON)
    _, *clips, summary = lines_of(answer.content)
    assert len(summary["descriptor"]) == 4096
    assert all(clip["predictions"] and "descriptor" not in clip for clip in clips)
    assert max(len(line) for line in answer.content.splitlines()[:-1]) < 2000


def test_what_is_wrong_before_the_first_line_is_a_problem(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        for content, query, code in [
            (b"rubbish", "", "undecodable_video"),
            (clip_mp4.read_bytes(), "?top_k=0", "invalid_option"),
        ]:
            answer = client.post(f"/classify{query}", files={"file": content}, headers=NDJSON)
            assert (answer.status_code, answer.json()["code"]) == (422, code)


class Failing(FakeNetwork):
    """Fails from the third batch on."""

    def run(self, clips: Any) -> ClipOutputs:
        outputs = super().run(clips)
        if len(self.batches) > 2:
            raise RuntimeError("a secret of the device")
        return outputs


def test_what_goes_wrong_later_is_the_last_line_and_the_logs_cause(
    tmp_path: Path, clip_mp4: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    video = write_video(tmp_path / "video.mp4", 400)
    with serving(fake_app(tmp_path / "spool", Failing())) as client:
        answer = client.post("/classify", files={"file": video.read_bytes()}, headers={**NDJSON, "x-request-id": "mine"})
        metrics = client.get("/metrics").text
    lines = lines_of(answer.content)
    assert answer.status_code == 200
    assert {line["type"] for line in lines[1:-1]} == {"clip"}
    error = lines[-1]["error"]
    assert (lines[-1]["type"], error["code"], error["status"], error["request_id"]) == ("error", "internal", 500, "mine")
    assert "secret" not in answer.text
    assert "a secret of the device" in caplog.text
    assert 'c3d_errors_total{code="internal",endpoint="/classify"} 1.0' in metrics


class Gated(FakeNetwork):
    """Runs a batch when it may."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)

    def run(self, clips: Any) -> ClipOutputs:
        self.gate.acquire()
        return super().run(clips)


class Reader(Exchange):
    """A client that takes a line when it wants one."""

    def __init__(self, video: bytes) -> None:
        super().__init__([])
        self._body: Message | None = {"type": "http.request", "body": video, "more_body": False}
        self.lines: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.reads, self.left = asyncio.Event(), asyncio.Event()
        self.reads.set()

    async def receive(self) -> Message:
        if self._body:
            message, self._body = self._body, None
            return message
        await self.left.wait()
        return GONE

    async def send(self, message: Message) -> None:
        await self.reads.wait()
        await super().send(message)
        for line in message.get("body", b"").splitlines():
            self.lines.put_nowait(json.loads(line))

    def heard(self) -> list[dict[str, Any]]:
        """All lines so far."""
        return lines_of(self.text.encode())


async def streaming(app: FastAPI, video: bytes) -> tuple[Reader, asyncio.Task[Exchange]]:
    """A client that has heard the first line, and its request on its way."""
    reader = Reader(video)
    headers = (*OCTETS, *NDJSON.items(), ("content-length", "1"))
    task = asyncio.create_task(ask(app, headers=headers, exchange=reader))
    assert (await reader.lines.get())["type"] == "video"
    return reader, task


def test_a_line_leaves_while_the_next_clip_is_computed(tmp_path: Path, clip_mp4: Path) -> None:
    network, video = Gated(), clip_mp4.read_bytes()

    async def read() -> None:
        app = fake_app(tmp_path, network)
        async with ready(app):
            reader, task = await streaming(app, video)
            network.gate.release()
            assert (await reader.lines.get())["type"] == "clip"
            assert len(network.batches) == 1  # the next one has no leave yet
            network.gate.release(4)
            await task
            assert [line["type"] for line in reader.heard()][-4:] == ["clip", "clip", "clip", "summary"]

    asyncio.run(read())


async def until_it_rests(network: FakeNetwork, path: Path) -> None:
    """Until nothing more is computed, with every chance to."""
    before = -1
    while before != sum(network.batches):
        before = sum(network.batches)
        for _ in range(3):
            await asyncio.to_thread(lambda: list(read_video(path)))


@pytest.mark.slow
def test_a_client_that_does_not_read_stops_the_work_and_one_that_reads_on_gets_it_all(tmp_path: Path) -> None:
    network = FakeNetwork()
    path = write_video(tmp_path / "video.mp4", 800)

    async def read() -> None:
        app = fake_app(tmp_path / "spool", network)
        async with ready(app):
            reader, task = await streaming(app, path.read_bytes())
            reader.reads.clear()
            await until_it_rests(network, path)
            assert sum(network.batches) - reader.lines.qsize() <= BATCHES_AHEAD * 4 + 1
            reader.reads.set()
            await task
            assert [line["type"] for line in reader.heard()] == ["video", *["clip"] * 99, "summary"]

    asyncio.run(read())


def test_a_client_that_leaves_ends_the_work(tmp_path: Path) -> None:
    network = FakeNetwork()
    path = write_video(tmp_path / "video.mp4", 800)

    async def leave() -> str:
        app = fake_app(tmp_path / "spool", network)
        async with ready(app):
            for reading in (True, False):
                reader, task = await streaming(app, path.read_bytes())
                if not reading:
                    reader.reads.clear()
                reader.left.set()
                await task
                assert list((tmp_path / "spool").glob("*/*")) == []
                assert app.state.spool.used_bytes == 0
            return (await ask(app, method="GET", path="/metrics")).text

    metrics = asyncio.run(leave())
    assert 'c3d_requests_total{endpoint="/classify",outcome="client_left"} 2.0' in metrics
    assert sum(network.batches) < 99


def test_a_drain_that_takes_too_long_is_the_last_line(tmp_path: Path, clip_mp4: Path) -> None:
    video = clip_mp4.read_bytes()

    async def drain() -> Reader:
        network = Gated()
        app = fake_app(tmp_path, network)
        async with ready(app):
            reader, task = await streaming(app, video)
            task.cancel()  # as uvicorn does when its time for a graceful end is over
            await asyncio.wait([task])
            network.gate.release(100)
            return reader

    reader = asyncio.run(drain())
    last = reader.heard()[-1]
    assert (last["type"], last["error"]["code"], last["error"]["status"]) == ("error", "draining", 503)
    assert not reader.said[-1].get("more_body", False)


def test_the_deadline_of_a_stream_holds_before_its_first_line(tmp_path: Path) -> None:
    network, video = Gated(), write_video(tmp_path / "video.mp4", 400).read_bytes()

    async def read() -> Exchange:
        app = fake_app(tmp_path / "spool", network, decoder_pool=DecoderPool, max_decoders=1)
        async with ready(app):
            reader, task = await streaming(app, video)  # which keeps the only decoder
            late = Reader(video)
            headers = (*OCTETS, *NDJSON.items(), ("content-length", "1"))
            await ask(app, headers=headers, query="timeout_s=0.1", exchange=late)
            reader.left.set()
            network.gate.release(100)
            await task
            return late

    late = asyncio.run(read())
    assert (late.status, late.content["code"]) == (504, "deadline_exceeded")


async def slow(*pauses_s: float) -> AsyncGenerator[int, None]:
    for number, pause_s in enumerate(pauses_s):
        await asyncio.sleep(pause_s)
        yield number


@pytest.mark.parametrize(("pauses_s", "num_heartbeats"), [((1, 14, 1), 0), ((40, 1, 16), 3), ((1, 61), 4)])
def test_a_heartbeat_leaves_where_nothing_else_comes(pauses_s: tuple[float, ...], num_heartbeats: int) -> None:
    async def heartbeats() -> int:
        found = [step async for step in with_heartbeats(slow(*pauses_s), 15)]
        assert [step for step in found if step is not None] == list(range(len(pauses_s)))
        return found.count(None)

    with asyncio.Runner(loop_factory=ImpatientLoop) as runner:
        assert runner.run(heartbeats()) == num_heartbeats
