"""service/api/videos.py: what comes back for what a client sends to /classify and /features."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_store.c3d import ClipOutputs
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import GONE, MULTIPART, OCTETS, ask, assert_alike, chunks, fake_app, form, part, ready, serving
from tests.support.videos import write_audio, write_video

ENDPOINTS = ["/classify", "/features"]


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
def client(spool: Path) -> Iterator[TestClient]:
    with serving(fake_app(spool, max_upload_bytes=1_000_000)) as client:
        yield client


@pytest.fixture(autouse=True)
def _nothing_is_left(spool: Path, client: TestClient) -> Iterator[None]:
    yield
    assert list(spool.glob("*/*")) == []


def problem(answer: Any) -> str:
    """The code of an answer that must be a whole problem, and must show nothing of the inside."""
    content = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(content) == {"type", "title", "status", "code", "detail", "request_id"}
    assert content["status"] == answer.status_code
    assert content["request_id"] == answer.headers["x-request-id"]
    assert content["title"]
    assert content["detail"]
    for inside in ("tmp", "c3d-", "request-", "Errno", "Traceback", "Error(", "pydantic", "starlette", "service."):
        assert inside not in answer.text
    code: str = content["code"]
    return code


def without_times(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    assert set(content.pop("timings_ms")) == {"fetch", "decode", "queue", "model", "total"}
    return content


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_form_and_a_raw_body_give_the_same_answer(client: TestClient, clip_mp4: Path, endpoint: str) -> None:
    video = clip_mp4.read_bytes()
    answers = [
        client.post(endpoint, files={"file": ("a.mp4", video)}),
        client.post(endpoint, content=video, headers=dict(OCTETS)),
        client.post(endpoint, content=video, headers={"content-type": "video/mp4"}),
        client.post(endpoint, content=(video[at : at + 999] for at in range(0, len(video), 999)), headers=dict(OCTETS)),
    ]
    first, *others = [without_times(answer) for answer in answers]
    assert_alike(others, [first] * 3)


@pytest.mark.parametrize(
    ("endpoint", "options"),
    [
        ("/classify", {"top_k": "3", "tail": "pad", "clip_stride": "5", "include": "clips"}),
        ("/features", {"layer": "fc7", "normalize": "none", "tail": "pad", "clip_stride": "5", "include": "clips"}),
    ],
)
def test_options_are_the_same_in_the_query_in_the_form_and_in_both(
    client: TestClient, clip_mp4: Path, endpoint: str, options: dict[str, str]
) -> None:
    files = {"file": clip_mp4.read_bytes()}
    in_query = without_times(client.post(endpoint, files=files, params=options))
    assert_alike(without_times(client.post(endpoint, files=files, data=options)), in_query)
    assert_alike(without_times(client.post(endpoint, files=files, data=options, params=options)), in_query)
    assert in_query != without_times(client.post(endpoint, files=files))


@pytest.mark.parametrize(
    ("endpoint", "query"),
    [
        ("/classify", "top_k=0"),
        ("/classify", "top_k=488"),
        ("/classify", "top_k=five"),
        ("/classify", "layer=fc7"),
        ("/features", "top_k=3"),
        ("/features", "layer=fc8"),
        ("/features", "normalize=L2"),
        ("/features", "clip_stride=0"),
        ("/features", "clip_stride=1e9"),
        ("/classify", "tail=mirror"),
        ("/classify", "include=everything"),
        ("/classify", "clipstride=8"),
        ("/classify", "top_k=1&top_k=2"),
        ("/classify", "\N{CLAPPER BOARD}=\N{CLAPPER BOARD}"),
    ],
)
@pytest.mark.parametrize("where", ["query", "form"])
def test_a_bad_option_is_invalid_and_named(client: TestClient, clip_mp4: Path, endpoint: str, query: str, where: str) -> None:
    pairs = [pair.split("=") for pair in query.split("&")]
    if where == "query":
        answer = client.post(f"{endpoint}?{query}", files={"file": clip_mp4.read_bytes()})
    else:
        parts = [part(name, value.encode()) for name, value in pairs]
        answer = client.post(endpoint, content=form(part("file", clip_mp4.read_bytes(), "a"), *parts), headers=dict(MULTIPART))
    assert (answer.status_code, problem(answer)) == (422, "invalid_option")
    assert pairs[0][0] in answer.json()["detail"]


EMPTY = {"top_k": "", "end_sec": "", "include": "", "custom_id": "", "tail": ""}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_empty_field_is_not_given(client: TestClient, clip_mp4: Path, endpoint: str) -> None:
    files = {"file": clip_mp4.read_bytes()}
    plain = without_times(client.post(endpoint, files=files))
    assert_alike(without_times(client.post(endpoint, files=files, params=EMPTY)), plain)
    assert_alike(without_times(client.post(endpoint, files=files, data={**EMPTY, "url": ""})), plain)


@pytest.mark.parametrize(("query", "form_value"), [("5", "3"), ("3", "5"), ("", "3"), ("3", "")])
def test_a_default_beside_another_value_is_no_contradiction(
    client: TestClient, clip_mp4: Path, query: str, form_value: str
) -> None:
    answer = client.post(f"/classify?top_k={query}", files={"file": clip_mp4.read_bytes()}, data={"top_k": form_value})
    assert len(without_times(answer)["predictions"]) == 3


def test_a_slash_behind_a_path_changes_nothing(client: TestClient, clip_mp4: Path) -> None:
    assert len(without_times(client.post("/classify/", files={"file": clip_mp4.read_bytes()}))["predictions"]) == 5


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip", "x"])
@pytest.mark.parametrize("path", [*ENDPOINTS, "/v2/models/c3d/infer"])
def test_a_compressed_body_is_unsupported_and_named(client: TestClient, clip_mp4: Path, path: str, encoding: str) -> None:
    answer = client.post(path, content=clip_mp4.read_bytes(), headers={**dict(OCTETS), "content-encoding": encoding})
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")
    assert "compressed" in answer.json()["detail"]
    assert answer.headers["accept-encoding"] == "identity"


def test_two_accept_lines_are_one_list(client: TestClient, clip_mp4: Path) -> None:
    headers = [("accept", "text/csv"), ("accept", "application/x-ndjson"), *OCTETS]
    answer = client.post("/classify", content=clip_mp4.read_bytes(), headers=headers)
    assert answer.headers["content-type"] == "application/x-ndjson"


def test_a_file_in_the_query_is_no_option(client: TestClient, clip_mp4: Path) -> None:
    assert problem(client.post("/classify?file=clip.mp4", files={"file": clip_mp4.read_bytes()})) == "invalid_option"


def test_an_option_that_query_and_form_give_differently_is_invalid(client: TestClient, clip_mp4: Path) -> None:
    answer = client.post("/classify?top_k=3", files={"file": clip_mp4.read_bytes()}, data={"top_k": "4"})
    assert (problem(answer), "top_k" in answer.json()["detail"]) == ("invalid_option", True)


def test_an_option_given_twice_alike_is_no_mistake(client: TestClient, clip_mp4: Path) -> None:
    answer = client.post("/classify?top_k=3&top_k=3&include=clips&include=clips", files={"file": clip_mp4.read_bytes()})
    assert len(without_times(answer)["predictions"]) == 3


def test_an_option_in_the_query_is_refused_before_the_video_is_looked_at(client: TestClient) -> None:
    assert problem(client.post("/classify?top_k=0", files={"file": b"no video"})) == "invalid_option"


def bad_videos(directory: Path) -> dict[str, bytes]:
    return {
        "text": b"this is text, named .mp4\n" * 100,
        "zeros": bytes(10_000),
        "audio": write_audio(directory / "a.wav").read_bytes(),
        "m4a": write_audio(directory / "a.mp4").read_bytes(),
        "playlist": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "jpeg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100),
        "cut": write_video(directory / "v.mp4", 20).read_bytes()[:500],
    }


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("text", "undecodable_video"),
        ("zeros", "undecodable_video"),
        ("audio", "no_video_stream"),
        ("m4a", "no_video_stream"),
        ("playlist", "undecodable_video"),
        ("concat", "undecodable_video"),
        ("jpeg", "undecodable_video"),
        ("cut", "undecodable_video"),
    ],
)
def test_a_file_that_is_no_video_is_refused(client: TestClient, tmp_path: Path, kind: str, code: str) -> None:
    answer = client.post("/features", files={"file": ("clip.mp4", bad_videos(tmp_path)[kind])})
    assert (answer.status_code, problem(answer)) == (422, code)


@pytest.mark.parametrize(
    ("body", "headers", "expected"),
    [
        (b"", {}, (422, "source_required")),
        (form(part("top_k", b"3")), dict(MULTIPART), (422, "source_required")),
        (form(part("video", b"a", "a.mp4")), dict(MULTIPART), (422, "source_required")),
        (form(part("file", b"a", "a"), part("file", b"b", "b")), dict(MULTIPART), (422, "source_conflict")),
        (form(part("file", b"", "a")), dict(MULTIPART), (422, "empty_file")),
        (b"", dict(OCTETS), (422, "empty_file")),
        (part("file", b"a", "a"), dict(MULTIPART), (400, "malformed_request")),
        (b"x", {"content-type": "multipart/form-data"}, (400, "malformed_request")),
        (b"x", {"content-type": "application/x-www-form-urlencoded"}, (415, "unsupported_media_type")),
        (b"x", {}, (415, "unsupported_media_type")),
        (bytes(1_000_001), dict(OCTETS), (413, "body_too_large")),
    ],
)
def test_a_request_that_holds_not_one_video_is_a_problem(
    client: TestClient, body: bytes, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    answer = client.post("/classify", content=body, headers=headers)
    assert (answer.status_code, problem(answer)) == expected


def test_a_chunked_body_over_the_limit_is_too_large(client: TestClient) -> None:
    answer = client.post("/classify", content=iter([bytes(600_000)] * 2), headers=dict(OCTETS))
    assert (answer.status_code, problem(answer)) == (413, "body_too_large")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/classify", (405, "method_not_allowed")),
        ("PUT", "/features", (405, "method_not_allowed")),
        ("POST", "/livez", (405, "method_not_allowed")),
        ("GET", "/index.html", (404, "not_found")),
        ("POST", "/predict", (404, "not_found")),
        ("POST", "/classify/x", (404, "not_found")),
        ("GET", "/%2e%2e/etc/passwd", (404, "not_found")),
    ],
)
def test_what_is_not_there_is_a_problem_too(client: TestClient, method: str, path: str, expected: tuple[int, str]) -> None:
    answer = client.request(method, path, content=b"x" * 1000, follow_redirects=False)
    assert answer.status_code == expected[0]
    assert problem(answer) == expected[1]


def test_a_wrong_method_gets_the_right_one(client: TestClient) -> None:
    assert client.get("/classify").headers["allow"] == "POST"


def test_a_name_from_the_client_cannot_forge_a_line_of_the_log(
    client: TestClient, clip_mp4: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "service")
    body = form(part("file", clip_mp4.read_bytes(), "a"), part("a\nforged", b"1"))
    client.post("/classify", content=body, headers=dict(MULTIPART))
    client.post("/classify?b%0Aforged=1", content=b"x", headers=dict(OCTETS))
    records = [record.__dict__["request_record"] for record in caplog.records]
    messages = [text for each, record in zip(records, caplog.records, strict=True) for text in (each.reason, record.getMessage())]
    assert len(records) == 2  # a line for each of the two, with the reason
    assert not [message for message in messages if "\n" in message]


@pytest.mark.slow
def test_many_different_videos_at_once_get_the_answers_of_each_alone(client: TestClient, tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{n}.mp4", 17 + 9 * n, seed=n).read_bytes() for n in range(8)]

    def descriptor(video: bytes) -> Any:
        return without_times(client.post("/features", files={"file": video}, params={"tail": "pad", "include": "clips"}))

    alone = [descriptor(video) for video in videos]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(descriptor, videos * 3))
    assert_alike(together, alone * 3)


class Odd(FakeNetwork):
    """A network that raises or gives NaN, by its `mode`."""

    mode = "well"

    def run(self, clips: Any) -> ClipOutputs:
        if self.mode == "raise":
            raise RuntimeError("/srv/secret of the device")
        outputs = super().run(clips)
        return ClipOutputs(*(array * np.float32("nan") for array in outputs)) if self.mode == "nan" else outputs


def test_a_failing_network_fails_its_request_and_not_the_next_one(
    tmp_path: Path, clip_mp4: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Odd()
    with serving(fake_app(tmp_path, network)) as client:
        codes = []
        for network.mode in ("raise", "well", "nan", "well"):
            answer = client.post("/classify", files={"file": clip_mp4.read_bytes()}, headers={"x-request-id": network.mode})
            codes.append(answer.status_code if answer.status_code == 200 else (answer.status_code, problem(answer)))
            assert "secret" not in answer.text
            assert list(tmp_path.glob("*/*")) == []
        assert codes == [(500, "internal"), 200, (500, "non_finite_output"), 200]
        assert client.get("/readyz").status_code == 200
    assert "/srv/secret" in caplog.text


def test_weights_without_a_class_layer_give_descriptors_only(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(num_classes=0))) as client:
        files = {"file": clip_mp4.read_bytes()}
        answer = client.post("/classify", files=files)
        assert (answer.status_code, problem(answer)) == (501, "no_class_layer")
        assert len(client.post("/features", files=files).json()["descriptor"]) == 4096


@pytest.mark.parametrize("headers", [OCTETS, MULTIPART])
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, clip_mp4: Path, headers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = form(part("file", clip_mp4.read_bytes(), "a"))
    app = fake_app(tmp_path)

    def left() -> list[Path]:
        return list(tmp_path.glob("*/*"))

    async def leave() -> None:
        async with ready(app):
            for sent in (0, 1, len(body) // 2, len(body) - 1):
                said = await ask(app, [*chunks(body[:sent], whole=False), GONE], headers)
                assert said.said == []
                assert not left()

    asyncio.run(leave())
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]


def test_an_early_refusal_reads_the_body_so_that_the_client_sees_it(tmp_path: Path) -> None:
    app = fake_app(tmp_path)

    async def send(query: str, *headers: tuple[str, str]) -> Any:
        async with ready(app):
            return await ask(app, chunks(*[bytes(1000)] * 9), headers, query=query)

    said = asyncio.run(send("top_k=0", *OCTETS, ("transfer-encoding", "chunked")))
    assert (said.status, said.num_received) == (422, 9)
    said = asyncio.run(send("top_k=0", *OCTETS, ("content-length", "9000"), ("expect", "100-continue")))
    assert (said.status, said.num_received) == (422, 0)
