"""service/v2/routes.py: the Open Inference Protocol as its clients meet it, tritonclient first."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
import tritonclient.http as triton
from numpy.typing import NDArray
from starlette.testclient import TestClient

from model_store.c3d import CLIP_SHAPE, ClipOutputs
from service.answers.growing import MEMORY_BYTES
from service.app import create_app
from service.lifecycle.readiness import ModelOut
from service.settings import Settings
from service.v2.body import CLIP_BYTES, MAX_JSON_BYTES
from tests.support.fakes import FakeNetwork, fake_outputs
from tests.support.http_helpers import GONE, ask, chunks, fake_app, ready, serving, until_status
from tests.support.live_server import live

INFER = "/v2/models/c3d/infer"
LENGTH = "inference-header-content-length"
CLIPS = np.random.default_rng(6).integers(0, 256, (3, *CLIP_SHAPE), np.uint8)
EXPECTED = fake_outputs(CLIPS)


def binary(clips: NDArray[np.uint8] = CLIPS, **request: Any) -> tuple[bytes, dict[str, str]]:
    """A body with the clips behind its JSON, and its headers."""
    tensor = {"name": "clips", "shape": clips.shape, "datatype": "UINT8", "parameters": {"binary_data_size": clips.nbytes}}
    head = orjson.dumps({"inputs": [tensor], **request})
    return head + clips.tobytes(), {LENGTH: str(len(head))}


def in_json(clips: NDArray[np.uint8] = CLIPS, **request: Any) -> bytes:
    """A body that is all JSON."""
    tensor = {"name": "clips", "shape": clips.shape, "datatype": "UINT8", "data": clips.ravel()}
    return orjson.dumps({"inputs": [tensor], **request}, option=orjson.OPT_SERIALIZE_NUMPY)


def post(client: TestClient, body: Any, headers: dict[str, str] | None = None, path: str = INFER) -> Any:
    return client.post(path, content=body, headers=headers)


def error(answer: Any) -> tuple[int, str]:
    """Status and code of a problem that is the protocol's error as well."""
    content = answer.json()
    assert content["error"] == content["detail"]
    assert content["status"] == answer.status_code
    return answer.status_code, content["code"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


@pytest.fixture(scope="module")
def triton_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[triton.InferenceServerClient]:
    """The public client against a real server with a network of ten lines."""
    with live(fake_app(tmp_path_factory.mktemp("spool"))) as address:
        client = triton.InferenceServerClient(address)
        yield client
        client.close()


def infer_input(clips: NDArray[Any] = CLIPS, *, as_binary: bool = True, name: str = "clips", datatype: str = "UINT8") -> Any:
    tensor = triton.InferInput(name, list(clips.shape), datatype)
    return tensor.set_data_from_numpy(clips, binary_data=as_binary)


# tritonclient, unchanged, over real sockets


def test_triton_sees_that_it_lives_and_is_ready(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.is_server_live()
    assert triton_client.is_server_ready()
    assert triton_client.is_model_ready("c3d")
    assert triton_client.is_model_ready("c3d", "1")
    assert not triton_client.is_model_ready("c3d", "2")
    assert not triton_client.is_model_ready("resnet")


def test_triton_learns_what_there_is(triton_client: triton.InferenceServerClient) -> None:
    assert triton_client.get_server_metadata() == {
        "name": "c3d-service",
        "version": "0.1.0",
        "extensions": ["binary_tensor_data", "model_configuration", "statistics"],
    }
    metadata = triton_client.get_model_metadata("c3d")
    assert metadata == triton_client.get_model_metadata("c3d", "1")
    assert (metadata["name"], metadata["versions"], metadata["platform"]) == ("c3d", ["1"], "fake 1.0 on cpu")
    assert metadata["inputs"] == [{"name": "clips", "datatype": "UINT8", "shape": [-1, 16, 112, 112, 3]}]
    assert {each["name"]: (each["datatype"], each["shape"]) for each in metadata["outputs"]} == {
        "pool5": ("FP32", [-1, 8192]),
        "fc6": ("FP32", [-1, 4096]),
        "fc7": ("FP32", [-1, 4096]),
        "probabilities": ("FP32", [-1, 487]),
    }


@pytest.mark.parametrize(("num_clips", "as_binary", "wants_binary"), [(3, True, True), (3, True, False), (1, False, True)])
def test_triton_gets_the_outputs_of_each_clip(
    triton_client: triton.InferenceServerClient, num_clips: int, *, as_binary: bool, wants_binary: bool
) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=wants_binary) for name in ("probabilities", "fc6")]
    clips = infer_input(CLIPS[:num_clips], as_binary=as_binary)
    result = triton_client.infer("c3d", [clips], outputs=outputs, request_id="42", model_version="1")
    for name in ("probabilities", "fc6"):
        found = result.as_numpy(name)
        assert found.dtype == np.float32
        assert np.array_equal(found, getattr(EXPECTED, name)[:num_clips])
    assert result.as_numpy("fc7") is None
    assert result.get_response()["id"] == "42"
    assert result.get_response()["parameters"]["weights"] == "stand-in"


def test_triton_gets_all_outputs_without_asking(triton_client: triton.InferenceServerClient) -> None:
    result = triton_client.infer("c3d", [infer_input()], timeout=60_000_000, response_compression_algorithm="gzip")
    for name, expected in EXPECTED._asdict().items():
        assert np.array_equal(result.as_numpy(name), expected)


def test_triton_asks_for_many_at_once(triton_client: triton.InferenceServerClient) -> None:
    results = [triton_client.async_infer("c3d", [infer_input(CLIPS[i % 3 :][:1])]) for i in range(9)]
    for i, result in enumerate(results):
        assert np.array_equal(result.get_result().as_numpy("fc6"), EXPECTED.fc6[i % 3 :][:1])


@pytest.mark.parametrize(
    ("given", "status", "words"),
    [
        ({"model_name": "resnet"}, "404", "c3d"),
        ({"model_version": "2"}, "404", "c3d"),
        ({"inputs": [infer_input(name="input")]}, "400", "'clips'"),
        ({"inputs": [infer_input(CLIPS[:, :8])]}, "400", "[n, 16, 112, 112, 3]"),
        ({"inputs": [infer_input(CLIPS[:1].astype(np.float32), datatype="FP32")]}, "400", "UINT8"),
        ({"inputs": [infer_input(CLIPS[:0])]}, "400", "at least 1"),
        ({"inputs": [infer_input(CLIPS[:0], as_binary=False)]}, "400", "at least 1"),
        ({"outputs": [triton.InferRequestedOutput("fc8")]}, "400", "fc6, fc7, probabilities"),
        ({"outputs": [triton.InferRequestedOutput("fc6", class_count=3)]}, "400", "classification is not supported"),
        ({"priority": 1}, "400", "priority is not supported"),
        ({"sequence_id": 1, "sequence_start": True}, "400", "sequence_id is not supported"),
        ({"request_compression_algorithm": "gzip"}, "415", "compressed"),
        ({"request_compression_algorithm": "deflate"}, "415", "compressed"),
        ({"timeout": 1}, "504", "1e-06 s"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_triton_gets_the_reason(
    triton_client: triton.InferenceServerClient, given: dict[str, Any], status: str, words: str
) -> None:
    with pytest.raises(triton.InferenceServerException) as raised:
        triton_client.infer(**({"model_name": "c3d", "inputs": [infer_input()]} | given))
    assert raised.value.status() == status
    assert words in raised.value.message()
    assert triton_client.is_server_ready()


def test_triton_gets_the_reason_for_an_unknown_path(triton_client: triton.InferenceServerClient) -> None:
    for ask_for in (triton_client.get_model_repository_index, triton_client.get_log_settings):
        with pytest.raises(triton.InferenceServerException, match="nothing at this path"):
            ask_for()


# The same by hand


@pytest.mark.parametrize("path", [INFER, "/v2/models/c3d/versions/1/infer"])
def test_an_answer_says_what_it_is_of(client: TestClient, path: str) -> None:
    answer = post(client, in_json(CLIPS[:1], id="7", outputs=[{"name": "fc6"}]), path=path)
    content = answer.json()
    assert answer.headers["content-type"] == "application/json"
    assert LENGTH not in answer.headers
    assert (content["model_name"], content["model_version"], content["id"]) == ("c3d", "1", "7")
    assert content["parameters"].keys() == ModelOut.__annotations__.keys() - {"calibration_sha256"}
    assert content["parameters"]["weights_sha256"] == FakeNetwork().card.weights_sha256
    [output] = content["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("fc6", "FP32", [1, 4096])
    assert np.array_equal(np.array(output["data"], np.float32), EXPECTED.fc6[0])


def test_an_answer_without_an_id_has_none(client: TestClient) -> None:
    assert "id" not in post(client, *binary(outputs=[{"name": "probabilities"}])).json()


def test_json_and_binary_outputs_may_be_mixed(client: TestClient) -> None:
    outputs = [{"name": "fc7", "parameters": {"binary_data": True}}, {"name": "probabilities"}]
    answer = post(client, *binary(outputs=outputs))
    length = int(answer.headers[LENGTH])
    assert answer.headers["content-type"] == "application/octet-stream"
    first, second = json.loads(answer.content[:length])["outputs"]
    assert (first["parameters"], "data" in first, "parameters" in second) == ({"binary_data_size": 3 * 4096 * 4}, False, False)
    assert answer.content[length:] == EXPECTED.fc7.tobytes()
    assert np.array_equal(np.array(second["data"], np.float32).reshape(3, -1), EXPECTED.probabilities)


@pytest.mark.parametrize("size", [1, 1000, 70_000])
def test_a_body_may_come_in_any_pieces(client: TestClient, size: int) -> None:
    body, headers = binary(CLIPS[:1]) if size > 1 else (b"{}", {})
    answer = post(client, (body[at : at + size] for at in range(0, len(body), size)), headers)
    assert answer.status_code == (200 if size > 1 else 400), answer.text


def test_many_clips_come_back_in_order(client: TestClient) -> None:
    clips = np.repeat(np.arange(30, dtype=np.uint8), CLIP_BYTES).reshape(30, *CLIP_SHAPE)
    answer = post(client, *binary(clips, outputs=[{"name": "fc6", "parameters": {"binary_data": True}}]))
    found = np.frombuffer(answer.content[int(answer.headers[LENGTH]) :], np.float32)
    assert np.array_equal(found.reshape(30, 4096), fake_outputs(clips).fc6)


def test_large_json_is_read(client: TestClient) -> None:
    answer = post(client, in_json(np.full((6, *CLIP_SHAPE), 222, np.uint8), outputs=[{"name": "probabilities"}]))
    assert answer.json()["outputs"][0]["shape"] == [6, 487]


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"no json", b"[" * 100_000, b"\xff" * 100_000, b'{"inputs":' + b"[" * 70_000]
)
def test_what_is_no_request_is_an_error(client: TestClient, body: bytes) -> None:
    assert error(post(client, body)) == (400, "malformed_request")
    assert error(post(client, body, {LENGTH: str(len(body))})) == (400, "malformed_request")


@pytest.mark.parametrize("length", ["-1", "1.5", "many", "9" * 30, "10000000", "0"])
def test_a_header_that_is_not_the_length_of_the_json_is_an_error(client: TestClient, length: str) -> None:
    body, _ = binary(CLIPS[:1])
    assert error(post(client, body, {LENGTH: length})) == (400, "malformed_request")


def test_a_length_that_is_no_number_is_refused_before_the_body(tmp_path: Path) -> None:
    app = fake_app(tmp_path)

    async def send() -> Any:
        async with ready(app):
            headers = [("expect", "100-continue"), ("content-length", "600000"), (LENGTH, "x")]
            return await ask(app, chunks(bytes(600_000)), headers, path=INFER)

    said = asyncio.run(send())
    assert (said.status, said.num_received) == (400, 0)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_another_method_is_an_error_of_the_protocol(client: TestClient, method: str) -> None:
    assert error(client.request(method, INFER)) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    "path", ["/v2/x", "/v2/models", "/v2/models/x/infer", "/v2/models/c3d/versions/2/infer", "/v2/models/c3d/x"]
)
def test_another_path_is_an_error_of_the_protocol(client: TestClient, path: str) -> None:
    assert error(client.post(path)) == (404, "not_found")
    assert "error" not in client.post(path.replace("/v2", "/v3")).json()


@pytest.mark.parametrize("where", ["request", "input", "output"])
def test_unknown_parameters_that_ask_for_nothing_are_ignored(client: TestClient, where: str) -> None:
    given = {"content_type": "np", "my_own": {"a": [1]}, "sequence_id": 0, "priority": 0}
    tensor = {"name": "clips", "shape": [1, *CLIP_SHAPE], "datatype": "UINT8"}
    content: dict[str, Any] = {
        "inputs": [tensor | {"parameters": {"binary_data_size": CLIP_BYTES}}],
        "outputs": [{"name": "fc6"}],
    }
    asked = {"request": content, "input": content["inputs"][0], "output": content["outputs"][0]}[where]
    asked["parameters"] = asked.get("parameters", {}) | given
    head = orjson.dumps(content)
    assert post(client, head + CLIPS[:1].tobytes(), {LENGTH: str(len(head))}).status_code == 200


def test_a_trailing_slash_is_no_other_path(client: TestClient) -> None:
    assert client.get("/v2/").json() == client.get("/v2").json()


def test_the_configuration_is_that_of_the_metadata(triton_client: triton.InferenceServerClient) -> None:
    config, metadata = triton_client.get_model_config("c3d"), triton_client.get_model_metadata("c3d")
    assert config["max_batch_size"] >= 1
    for of_config, of_metadata in ((config["input"], metadata["inputs"]), (config["output"], metadata["outputs"])):
        assert [each["name"] for each in of_config] == [each["name"] for each in of_metadata]
        assert [[-1, *each["dims"]] for each in of_config] == [each["shape"] for each in of_metadata]


def test_the_statistics_are_true(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        before = client.get("/v2/models/c3d/stats").json()["model_stats"][0]
        assert (before["inference_count"], before["inference_stats"]["success"]) == (0, {"count": 0, "ns": 0})
        body, headers = binary()
        for _ in range(3):
            assert client.post(INFER, content=body, headers=headers).status_code == 200
        client.post(INFER, content=b"x")
        [after] = client.get("/v2/models/c3d/versions/1/stats").json()["model_stats"]
    stats = after["inference_stats"]
    assert after["inference_count"] == 3 * len(CLIPS)
    assert after["inference_count"] == sum(each["batch_size"] * each["compute_infer"]["count"] for each in after["batch_stats"])
    assert after["execution_count"] == sum(each["compute_infer"]["count"] for each in after["batch_stats"])
    assert (stats["success"]["count"], stats["fail"]["count"], stats["queue"]["count"]) == (3, 1, 3)
    assert stats["success"]["ns"] >= stats["compute_infer"]["ns"] > 0
    for each in (stats, *after["batch_stats"]):  # perf_analyzer ends where they differ
        assert each["compute_input"]["count"] == each["compute_infer"]["count"] == each["compute_output"]["count"] > 0


# Limits


def test_too_large_is_too_large_however_it_comes(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, max_upload_bytes=2 * CLIP_BYTES)) as client:
        body, headers = binary()
        assert error(post(client, body, headers)) == (413, "body_too_large")
        assert error(post(client, iter([body[:900_000], body[900_000:]]), headers)) == (413, "body_too_large")
        assert post(client, *binary(CLIPS[:1])).status_code == 200


def test_json_is_bounded_more_tightly(client: TestClient) -> None:
    text = b'{"inputs":[' + b"0," * (MAX_JSON_BYTES // 2) + b"0]}"
    for body in (text, iter([text[:1000], text[1000:]])):
        assert error(post(client, body)) == (413, "body_too_large")
    assert error(post(client, text, {LENGTH: str(len(text))})) == (413, "body_too_large")


def test_an_answer_of_too_much_json_is_refused_before_and_after_it_is_known(tmp_path: Path) -> None:
    network = FakeNetwork()
    with serving(fake_app(tmp_path, network, max_json_bytes=65_536)) as client:
        assert error(post(client, *binary(np.zeros((9, *CLIP_SHAPE), np.uint8)))) == (413, "answer_too_large")
        assert not network.batches
        assert error(post(client, *binary(outputs=[{"name": "fc6"}]))) == (413, "answer_too_large")
        assert post(client, *binary(parameters={"binary_data_output": True})).status_code == 200


def test_json_that_will_be_too_much_is_refused_after_the_first_clips(tmp_path: Path) -> None:
    """500 clips were computed to refuse them: their numbers have at least four characters, but ten on average."""
    network = FakeNetwork()
    with serving(fake_app(tmp_path, network, max_json_bytes=1_000_000)) as client:
        noise = np.random.default_rng(5).integers(0, 256, (28, *CLIP_SHAPE), np.uint8)
        assert error(post(client, *binary(noise))) == (413, "answer_too_large")
        assert sum(network.batches) < 28


def test_a_large_answer_lies_on_disk_until_it_is_taken(tmp_path: Path) -> None:
    app = fake_app(tmp_path)
    with serving(app) as client:
        answer = post(client, *binary(np.repeat(CLIPS, 10, axis=0), parameters={"binary_data_output": True}))
        assert answer.status_code == 200
        assert int(answer.headers["content-length"]) == len(answer.content) > MEMORY_BYTES
        assert app.state.spool.used_bytes == 0
    assert list(tmp_path.glob("*/*")) == []


def test_a_key_is_asked_for_and_probes_need_none(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, api_key="a-key-of-16-characters")) as client:
        assert client.get("/v2/health/live").status_code == client.get("/v2/health/ready").status_code == 200
        for path in ("/v2", "/v2/models/c3d"):
            assert error(client.get(path)) == (401, "unauthorized")
        body, headers = binary()
        assert error(post(client, body, headers)) == (401, "unauthorized")
        assert post(client, body, headers | {"authorization": "Bearer a-key-of-16-characters"}).status_code == 200


def test_clips_count_among_the_bytes_of_all_requests(tmp_path: Path) -> None:
    app = fake_app(tmp_path, max_spool_bytes=CLIP_BYTES + 5000)
    with serving(app) as client:
        for _ in range(3):  # what is counted is counted off again
            assert post(client, *binary(CLIPS[:1])).status_code == 200
            assert error(post(client, *binary())) == (507, "disk_full")
            assert error(post(client, b"{")) == (400, "malformed_request")
        assert app.state.spool.used_bytes == 0


class Held(FakeNetwork):
    """A network that does not answer until it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go_on = threading.Event(), threading.Event()

    def run(self, clips: NDArray[np.uint8]) -> ClipOutputs:
        self.begun.set()
        assert self.go_on.wait(60)
        return super().run(clips)


def test_is_refused_where_there_is_no_room(tmp_path: Path) -> None:
    network = Held()
    app = fake_app(tmp_path, network, max_requests=1)

    async def two() -> tuple[Any, Any]:
        async with ready(app):
            body, headers = binary(CLIPS[:1])
            first = asyncio.create_task(ask(app, chunks(body), headers.items(), path=INFER))
            assert await asyncio.to_thread(network.begun.wait, 10)
            second = await ask(app, chunks(body), headers.items(), path=INFER)
            network.go_on.set()
            return await first, second

    first, second = asyncio.run(two())
    assert first.status == 200
    assert (second.status, second.content["code"]) == (429, "overloaded")
    assert second.content["error"] == second.content["detail"]
    assert int(second.headers["retry-after"]) >= 1


def test_a_client_that_leaves_ends_its_work(tmp_path: Path) -> None:
    network = Held()
    app = fake_app(tmp_path, network)

    async def leave() -> Any:
        async with ready(app):
            body, headers = binary(np.zeros((50, *CLIP_SHAPE), np.uint8))
            said = await ask(app, [*chunks(body), GONE], headers.items(), path=INFER)
            assert app.state.readiness.queue().waiting_clips == 0
            network.go_on.set()
            return said

    assert asyncio.run(leave()).said == []
    assert sum(network.batches) <= 4
    assert app.state.spool.used_bytes == 0


@pytest.mark.parametrize("sent", [0, 100, 400_000])
def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(
    tmp_path: Path, sent: int, caplog: pytest.LogCaptureFixture
) -> None:
    app = fake_app(tmp_path)

    async def leave() -> Any:
        async with ready(app):
            body, headers = binary(CLIPS[:1])
            return await ask(app, [*chunks(body[:sent], whole=False), GONE], headers.items(), path=INFER)

    assert asyncio.run(leave()).said == []
    assert app.state.spool.used_bytes == 0
    assert not [record for record in caplog.records if record.exc_info or record.levelno > logging.INFO]


# What the network does, and what is seen of it


class Odd(FakeNetwork):
    """A network that fails, or gives numbers that are none, on clips of ones."""

    def run(self, clips: NDArray[np.uint8]) -> ClipOutputs:
        outputs = super().run(clips)
        for i, clip in enumerate(clips):
            if clip.max() == 2:
                raise RuntimeError("/srv/secret of the device")
            outputs.fc7[i, 5] = np.nan if clip.max() == 1 else 0
        return outputs


def test_a_clip_that_fails_fails_its_request_alone(tmp_path: Path) -> None:
    ones = np.ones((1, *CLIP_SHAPE), np.uint8)
    with serving(fake_app(tmp_path, Odd())) as client:
        for _ in range(2):
            answer = post(client, *binary(np.concatenate([CLIPS, ones]), outputs=[{"name": "fc6"}]))
            assert error(answer) == (500, "non_finite_output")
            answer = post(client, *binary(ones * 2))
            assert error(answer) == (500, "internal")
            assert "secret" not in answer.text
            assert post(client, *binary()).status_code == 200


def test_weights_without_a_class_layer_have_no_probabilities(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(num_classes=0))) as client:
        assert [each["name"] for each in client.get("/v2/models/c3d").json()["outputs"]] == ["pool5", "fc6", "fc7"]
        assert [each["name"] for each in post(client, in_json(CLIPS[:1])).json()["outputs"]] == ["pool5", "fc6", "fc7"]
        assert error(post(client, *binary(outputs=[{"name": "probabilities"}]))) == (400, "malformed_request")


def test_says_why_while_there_is_no_model(tmp_path: Path) -> None:
    go_on = threading.Event()

    def load(settings: Any, progress: Any) -> Any:
        assert go_on.wait(60)
        return FakeNetwork()

    app = create_app(Settings(spool_dir=tmp_path), load)
    with TestClient(app) as client:
        assert client.get("/v2/health/live").json() == {"live": True}
        for path in ("/v2/health/ready", "/v2/models/c3d/ready", "/v2/models/c3d/versions/1/ready", "/v2/models/c3d"):
            assert error(client.get(path)) == (503, "warming")
        assert error(post(client, *binary())) == (503, "warming")
        go_on.set()
        until_status(client, 200, "/v2/health/ready")
        app.state.readiness.drain()
        assert error(client.get("/v2/models/c3d/ready")) == (503, "draining")
        assert post(client, *binary()).status_code == 200


def test_a_request_is_seen_in_the_log_and_in_the_metrics(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service")
    answer = post(client, *binary(), path="/v2/models/c3d/versions/1/infer")
    [record] = [each.request_record for each in caplog.records if hasattr(each, "request_record")]
    fields = record.fields()
    assert (fields["endpoint"], fields["source_kind"], fields["num_clips"]) == (INFER, "tensors", 3)
    assert fields["size_bytes"] > CLIPS.nbytes
    assert {"fetch_ms", "queue_ms", "model_ms"} < set(fields)
    assert "decode_ms" not in fields
    assert "model;dur=" in answer.headers["server-timing"]
    assert f'c3d_requests_total{{endpoint="{INFER}",outcome="ok"}}' in client.get("/metrics").text
    assert "resnet" not in (client.post("/v2/models/resnet/infer").text + client.get("/metrics").text + caplog.text)
