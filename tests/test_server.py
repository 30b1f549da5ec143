"""The service as its users meet it: a real process, real sockets, a real network, real videos."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx2
import numpy as np
import pytest
import tritonclient.http

from model_store import c3d, standin
from model_store.store import Model
from service.video.frames import read_video
from service.video.messages import FrameBlock
from tests.conftest import ROOT
from tests.support import reference
from tests.support.service_process import Service, start
from tests.support.videos import write_video

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def service(stand_in: Model, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    started = start(tmp_path_factory.mktemp("spool"), C3D_MODEL_STORE=str(stand_in.directory.parent))
    started.wait_for("Ready in")
    yield started
    if started.process.poll() is None:
        started.end()


def post(service: Service, path: Path, endpoint: str = "/features", **parameters: Any) -> Any:
    with path.open("rb") as file:
        answer = httpx2.post(service.url + endpoint, files={"file": file}, params=parameters, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()


def independent(path: Path, model: Model, stride: int = 8) -> tuple[reference.Activations, list[int]]:
    """Every clip of a video by OpenCV and the reference."""
    video, frames = cv2.VideoCapture(str(path)), []
    while (grabbed := video.read())[0]:
        frames.append(cv2.resize(grabbed[1], (171, 128)))
    starts = reference.clip_starts(len(frames), stride)
    clips = [reference.preprocess(np.stack(frames[s : s + 16]).astype(np.uint8), model.mean) for s in starts]
    return reference.forward(np.stack(clips), dict(model.tensors())), starts


def error(ours: Any, theirs: Any) -> float:
    return float(np.linalg.norm(np.array(ours) - theirs) / np.linalg.norm(theirs))


def test_answers_of_a_real_video_are_those_of_the_reference(service: Service, stand_in: Model, eye_makeup: Path) -> None:
    expected, starts = independent(eye_makeup, stand_in, 32)
    features = post(service, eye_makeup, clip_stride=32, include="clips")
    assert [clip["start_frame"] for clip in features["clips"]] == starts
    assert [clip["start_sec"] for clip in features["clips"]] == [start / 25 for start in starts]
    for clip, fc6 in zip(features["clips"], expected.fc6, strict=True):
        assert error(clip["descriptor"], fc6) < 1e-4
    assert error(features["descriptor"], reference.video_descriptor(expected.fc6)) < 1e-4
    fc7 = post(service, eye_makeup, clip_stride=32, layer="fc7", normalize="none")
    assert error(fc7["descriptor"], expected.fc7.mean(axis=0)) < 1e-4
    scores = reference.video_probabilities(expected.probabilities)
    classified = post(service, eye_makeup, "/classify", clip_stride=32, top_k=487)
    assert error([p["score"] for p in classified["predictions"]], np.sort(scores)[::-1]) < 1e-4
    assert [p["class_id"] for p in classified["predictions"]][:5] == np.argsort(-scores)[:5].tolist()


def test_the_known_video_has_19_clips(service: Service, eye_makeup: Path) -> None:
    answer = post(service, eye_makeup, "/classify", include="clips")
    assert len(answer["clips"]) == 19
    assert (answer["clips"][0]["start_sec"], answer["clips"][0]["end_sec"]) == (0, 0.64)
    assert answer["video"]["num_frames"] == {"header": 164, "decoded": 164, "used": 160}
    assert answer["model"]["weights"] == "stand-in"
    assert "stand_in_weights" in {warning["code"] for warning in answer["warnings"]}
    assert answer["model"]["weights_sha256"] == standin_identity(service)


def standin_identity(service: Service) -> str:
    info = httpx2.get(f"{service.url}/info").json()
    assert info["model"]["known_answer"] == standin.KNOWN_ANSWER
    return str(info["model"]["weights_sha256"])


def test_five_real_videos_have_three_labels(service: Service, real_videos: list[Path]) -> None:
    answers = [post(service, path, "/classify", clip_stride=32, top_k=1)["predictions"][0] for path in real_videos]
    assert all(0.05 < answer["score"] < 0.9 for answer in answers)
    assert len({answer["class_id"] for answer in answers}) >= 3


def test_concurrent_requests_get_their_own_answers(service: Service, tmp_path: Path) -> None:
    """Whatever batches their clips shared: within 1e-5 of the answer alone."""
    paths = [write_video(tmp_path / f"{seed}.mp4", 16 + 8 * seed, seed=seed) for seed in range(4)]
    alone = [post(service, path)["descriptor"] for path in paths]
    assert min(error(a, np.array(b)) for a in alone for b in alone if a is not b) > 1e-3
    with ThreadPoolExecutor(12) as threads:
        together = list(threads.map(lambda path: post(service, path)["descriptor"], paths * 3))
    for number, descriptor in enumerate(together):
        assert error(descriptor, np.array(alone[number % 4])) < 1e-5


def test_raw_body_gives_the_same(service: Service, clip_mp4: Path) -> None:
    raw = httpx2.post(
        f"{service.url}/features", content=clip_mp4.read_bytes(), headers={"Content-Type": "application/octet-stream"}, timeout=60
    )
    assert error(raw.json()["descriptor"], np.array(post(service, clip_mp4)["descriptor"])) < 1e-5
    assert len(raw.json()["descriptor"]) == c3d.DESCRIPTOR_SIZE


def test_tritonclient_gets_the_same_vectors_for_the_same_clips(service: Service, eye_makeup: Path) -> None:
    frames = np.concatenate([block.frames for block in read_video(eye_makeup) if isinstance(block, FrameBlock)])
    expected = post(service, eye_makeup, clip_stride=32, include="clips")["clips"]
    clips = np.stack([frames[clip["start_frame"] : clip["end_frame"]] for clip in expected])
    client = tritonclient.http.InferenceServerClient(service.url.removeprefix("http://"), network_timeout=300)
    assert client.is_model_ready("c3d")
    for as_binary in (True, False):
        tensor = tritonclient.http.InferInput("clips", clips.shape, "UINT8").set_data_from_numpy(clips, as_binary)
        wanted = [tritonclient.http.InferRequestedOutput(name, as_binary) for name in ("fc6", "fc7", "probabilities")]
        answer = client.infer("c3d", [tensor], outputs=wanted)
        for clip, fc6 in zip(expected, answer.as_numpy("fc6"), strict=True):
            assert error(fc6, np.array(clip["descriptor"])) < 1e-5
        fc7 = post(service, eye_makeup, clip_stride=32, layer="fc7", normalize="none")["descriptor"]
        assert error(answer.as_numpy("fc7").mean(axis=0), np.array(fc7)) < 1e-5
        scores = post(service, eye_makeup, "/classify", clip_stride=32, top_k=487)["predictions"]
        assert error(np.sort(answer.as_numpy("probabilities").mean(axis=0))[::-1], np.array([p["score"] for p in scores])) < 1e-5
    client.close()


def test_curl_with_expect_continue_sees_a_refusal(service: Service, tmp_path: Path) -> None:
    big = tmp_path / "big.txt"
    big.write_bytes(b"x" * 30_000_000)
    command = ["curl", "-s", "--data-binary", f"@{big}", f"{service.url}/classify"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert json.loads(done.stdout)["code"] == "unsupported_media_type"


def test_a_refused_client_that_goes_on_dripping_is_closed(stand_in: Model, tmp_path: Path) -> None:
    settings = {"C3D_MODEL_STORE": str(stand_in.directory.parent), "C3D_UPLOAD_IDLE_S": "1"}
    impatient = start(tmp_path, **settings)
    host, port = impatient.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
        received = b""
        while piece := connection.recv(4096):  # until it is closed
            received += piece
    assert received.startswith(b"HTTP/1.1 200")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHos")
        assert connection.recv(4096) == b""
    assert impatient.end() == 0


def test_nothing_is_left_behind(service: Service, clip_mp4: Path) -> None:
    post(service, clip_mp4)
    httpx2.post(f"{service.url}/classify", files={"file": b"no video"})
    [directory] = service.spool.iterdir()
    assert list(directory.iterdir()) == []


def test_answers_while_it_loads_and_stops_when_told(stand_in: Model, tmp_path: Path) -> None:
    loading = start(tmp_path, C3D_MODEL_STORE=str(stand_in.directory.parent))
    assert httpx2.get(f"{loading.url}/livez").status_code == 200
    for path in ("/readyz", "/health", "/labels"):
        answer = httpx2.get(loading.url + path)
        assert (answer.status_code, answer.json()["code"]) == (503, "warming")
    assert httpx2.post(f"{loading.url}/classify", files={"file": b"video"}).status_code == 503
    assert loading.end() == 0
    assert list(tmp_path.iterdir()) == []


def test_drains_says_so_and_still_serves_for_a_while(stand_in: Model, tmp_path: Path, clip_mp4: Path) -> None:
    draining = start(tmp_path, C3D_MODEL_STORE=str(stand_in.directory.parent), C3D_DRAIN_DELAY_S="10")
    draining.wait_for("Ready in")
    draining.process.send_signal(signal.SIGTERM)
    draining.wait_for("draining")
    answer = httpx2.get(f"{draining.url}/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "draining")
    assert len(post(draining, clip_mp4)["descriptor"]) == c3d.DESCRIPTOR_SIZE
    assert httpx2.get(f"{draining.url}/livez").status_code == 200
    assert draining.end() == 0  # a second signal hastens it
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_ends_the_work_on_its_video(service: Service, tmp_path: Path, clip_mp4: Path) -> None:
    long = write_video(tmp_path / "long.mp4", 2000, size=(240, 320))  # 249 clips: most of a minute
    with pytest.raises(httpx2.ReadTimeout), long.open("rb") as file:
        httpx2.post(f"{service.url}/features", files={"file": file}, timeout=httpx2.Timeout(60, read=1))
    service.wait_for("client_left")
    post(service, clip_mp4)
    [directory] = service.spool.iterdir()
    assert list(directory.iterdir()) == []


def test_a_deadline_ends_a_request(service: Service, tmp_path: Path) -> None:
    long = write_video(tmp_path / "long.mp4", 2000, size=(240, 320))
    with long.open("rb") as file:
        answer = httpx2.post(f"{service.url}/features", files={"file": file}, params={"timeout_s": 0.5}, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_finishes_what_runs_when_told_to_stop(stand_in: Model, tmp_path: Path, eye_makeup: Path) -> None:
    stopping = start(tmp_path, C3D_MODEL_STORE=str(stand_in.directory.parent))
    stopping.wait_for("Ready in")
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(post, stopping, eye_makeup)
        while not list(tmp_path.glob("*/request-*/video")):
            assert not running.done()
        assert stopping.end() == 0
        assert len(running.result()["descriptor"]) == c3d.DESCRIPTOR_SIZE
    assert list(tmp_path.iterdir()) == []


def test_starts_without_weights_and_says_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    empty = start(tmp_path / "spool", C3D_MODEL_STORE=str(tmp_path / "none"))
    empty.wait_for("pull` downloads them")
    answer = httpx2.get(f"{empty.url}/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "weights_missing")
    assert "docs/weights.md" in answer.json()["detail"]
    assert httpx2.get(f"{empty.url}/livez").status_code == 200
    assert empty.end() == 0


def test_an_impossible_precision_refuses_the_start(stand_in: Model, tmp_path: Path) -> None:
    refused = start(tmp_path, C3D_MODEL_STORE=str(stand_in.directory.parent), C3D_PRECISION="tf32")
    assert refused.process.wait(timeout=120) == 1
    refused.wait_for("tf32 is a mode of NVIDIA GPUs")


def test_a_wrong_setting_refuses_the_start() -> None:
    environment = os.environ | {"C3D_PORT": "port", "C3D_PRECISION": "double"}
    done = subprocess.run(
        [sys.executable, "-m", "service"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "C3D_PORT must be" in done.stderr
    assert "C3D_PRECISION must be" in done.stderr
    assert "Traceback" not in done.stderr
