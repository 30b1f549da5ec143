"""The Python client: what it sends, what it makes of an answer, and when it tries again."""

from __future__ import annotations

import asyncio
import io
import time
from contextlib import aclosing
from pathlib import Path

import numpy as np
import pytest

from c3d_video import Answer, AsyncClient, C3DError, Client, Clip, Opened
from c3d_video.protocol import LineSplitter
from c3d_video.retry import Retrying, pause_s
from tests.support.scripted_service import ScriptedService, broken, failed, refused, rows

RETRY_NOW = {"Retry_After": "0"}


def test_three_lines_give_a_vector(service: ScriptedService) -> None:
    answer = Client(service.url).features(b"a video")
    assert answer.descriptor is not None
    np.testing.assert_allclose(answer.descriptor, rows(b"a video", 3).mean(axis=0), rtol=1e-6)
    assert answer.clips is None
    assert service.asked[0][1] == {"encoding_format": "base64", "vectors": "video"}


@pytest.mark.parametrize("kind", ["path", "text", "bytes", "file"])
def test_a_video_may_come_as_path_bytes_or_open_file(service: ScriptedService, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a video")
    sources = {"path": path, "text": str(path), "bytes": b"a video", "file": io.BytesIO(b"a video")}
    with Client(service.url) as client:
        answer = client.features(sources[kind], clips=True, clip_stride=16, include="predictions")  # type: ignore[arg-type]
    assert service.asked == [(b"a video", {"encoding_format": "base64", "clip_stride": "16", "include": "predictions,clips"})]
    np.testing.assert_array_equal(answer.clips, rows(b"a video", 3))
    np.testing.assert_array_equal(answer.start_sec, [0, 0.5, 1])
    assert answer.clip_ids == ("clip-0", "clip-1", "clip-2")


def test_several_layers_come_by_name(service: ScriptedService) -> None:
    answer = Client(service.url).features(b"a video", clips=True, layer=["fc6", "fc7"])
    assert service.asked[0][1]["layer"] == "fc6,fc7"
    assert (answer.descriptor, answer.clips) == (None, None)
    np.testing.assert_allclose(answer.descriptors["fc7"], rows(b"a video", 3).mean(axis=0) * 2, rtol=1e-6)
    np.testing.assert_array_equal(answer.clips_by_layer["fc6"], rows(b"a video", 3))


def test_a_url_is_sent_as_json(service: ScriptedService) -> None:
    Client(service.url).features("https://example.com/clip.mp4")
    assert service.asked[0][0] == b'{"url": "https://example.com/clip.mp4"}'


def test_a_broken_stream_goes_on_behind_the_last_clip(service: ScriptedService) -> None:
    service.script = [broken(2), refused(503, "draining", **RETRY_NOW)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", lambda _seconds: None)
        events = list(Client(service.url).stream(b"a video"))
    assert [type(event) for event in events] == [Opened, Clip, Clip, Clip, Answer]
    assert [event.index for event in events if isinstance(event, Clip)] == [0, 1, 2]
    assert len(service.asked) == 3


@pytest.mark.parametrize("answer", [refused(422, "undecodable_video"), failed("undecodable_video")])
def test_a_videos_own_failure_is_raised_at_once(service: ScriptedService, answer: object) -> None:
    service.script = [answer]  # type: ignore[list-item]
    with pytest.raises(C3DError) as caught:
        Client(service.url).features(b"a video")
    error = caught.value
    assert (error.code, error.status, error.detail) == ("undecodable_video", 422, "It is undecodable_video.")
    assert error.request_id in {"request-1", "request-2"}
    assert len(service.asked) == 1


def test_patience_has_an_end() -> None:
    now = [0.0]
    retrying = Retrying(10, lambda: now[0])
    error = C3DError("overloaded", 429, "busy", retry_after_s=4)
    assert 4 <= retrying.pause_after(error) <= 6
    now[0] = 7
    with pytest.raises(C3DError):
        retrying.pause_after(error)
    retrying.progressed()
    assert 4 <= retrying.pause_after(error) <= 6


def test_without_a_time_from_the_service_pauses_grow_to_a_bound() -> None:
    error = C3DError("no_service", None, "gone")
    assert 1 <= pause_s(error, 1) <= 1.5
    assert 8 <= pause_s(error, 4) <= 12
    assert 15 <= pause_s(error, 1000) <= 22.5


def test_no_service_and_no_patience() -> None:
    with pytest.raises(C3DError) as caught:
        Client("http://127.0.0.1:1", patience_s=0).features(b"a video")
    assert caught.value.code == "no_service"


def test_what_is_no_c3d_service_is_said_to_be_none(service: ScriptedService) -> None:
    service.script = [lambda handler: handler.answer_json(200, ["hello"])]
    with pytest.raises(C3DError) as caught:
        Client(service.url, patience_s=0).features(b"a video")
    assert caught.value.code in {"not_the_service", "connection_lost"}


def test_only_a_line_feed_ends_a_line() -> None:
    splitter = LineSplitter()
    assert splitter.feed('{"a": "\u2028"}\n{"b"'.encode()) == ['{"a": "\u2028"}'.encode()]
    assert splitter.feed(b": 1}\n\n") == [b'{"b": 1}']


def test_a_stream_of_labels_gives_each_clips_own(service: ScriptedService) -> None:
    *_, last_clip, answer = Client(service.url).stream_labels(b"a video", include="clips")
    assert isinstance(last_clip, Clip)
    assert [each.label for each in last_clip.predictions] == ["bowling", "[rock] & <roll>"]
    assert isinstance(answer, Answer)
    assert answer.segments[0].label == "bowling"


def test_an_asynchronous_stream_may_be_left_early(service: ScriptedService) -> None:
    async def first_clip() -> Clip:
        async with AsyncClient(service.url) as client, aclosing(client.stream(b"a video")) as events:
            async for event in events:
                if isinstance(event, Clip):
                    return event
        raise AssertionError

    assert asyncio.run(first_clip(), debug=True).index == 0


def test_the_async_twin_gives_the_same(service: ScriptedService) -> None:
    async def ask() -> Answer:
        async with AsyncClient(service.url) as client:
            return await client.features(b"a video", clips=True)

    answer = asyncio.run(ask())
    np.testing.assert_array_equal(answer.clips, rows(b"a video", 3))
