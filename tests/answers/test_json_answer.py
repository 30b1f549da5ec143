"""The numbers, clips, warnings and blocks of an answer, recomputed here from the frames of the video."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from model_store.c3d import ClipOutputs
from model_store.card import PICTURE
from service.answers.json_answer import json_response
from service.video.frames import read_video
from service.video.messages import FrameBlock, ReadOptions
from tests.support.fakes import LABELS, FakeNetwork, fake_outputs
from tests.support.http_helpers import fake_app, serving
from tests.support.videos import write_video


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


def ask(client: TestClient, endpoint: str, video: Path, **options: Any) -> dict[str, Any]:
    answer = client.post(endpoint, content=video.read_bytes(), headers={"content-type": "video/mp4"}, params=options)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def outputs_of(video: Path, starts: list[int]) -> ClipOutputs:
    """What the fake network gives for the clips that start at these frames; behind the last frame it is repeated."""
    frames = np.concatenate(
        [message.frames for message in read_video(video, ReadOptions(tail="pad")) if isinstance(message, FrameBlock)]
    )
    numbers = [np.minimum(np.arange(start, start + 16), len(frames) - 1) for start in starts]
    return fake_outputs(frames[np.array(numbers)])


def close(found: Any, expected: NDArray[np.float32]) -> bool:
    return bool(np.linalg.norm(np.array(found) - expected) <= 1e-5 * np.linalg.norm(expected))


CUTS = [  # frames of the video, options, starts of its clips, frames that are repeated at the end
    (40, {}, [0, 8, 16, 24], 0),
    (45, {}, [0, 8, 16, 24], 0),
    (45, {"tail": "pad"}, [0, 8, 16, 24, 32], 3),
    (40, {"tail": "pad"}, [0, 8, 16, 24], 0),
    (40, {"clip_stride": 16}, [0, 16], 0),
    (40, {"clip_stride": 16, "tail": "pad"}, [0, 16, 32], 8),
    (40, {"clip_stride": 1}, list(range(25)), 0),
    (40, {"clip_stride": 24}, [0, 24], 0),
    (40, {"clip_stride": 100000}, [0], 0),
    (7, {}, [0], 9),
    (1, {"tail": "pad"}, [0], 15),
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    directory = tmp_path_factory.mktemp("cut")
    return {n: write_video(directory / f"{n}.mp4", n, seed=n) for n in {cut[0] for cut in CUTS}}


@pytest.mark.parametrize(("num_frames", "options", "starts", "padded"), CUTS)
def test_the_descriptor_is_the_mean_over_clips_then_the_l2_norm(
    client: TestClient, videos: dict[int, Path], num_frames: int, options: dict[str, Any], starts: list[int], padded: int
) -> None:
    answer = ask(client, "/features", videos[num_frames], include="clips", **options)
    fc6 = outputs_of(videos[num_frames], starts).fc6
    mean = fc6.mean(axis=0)
    assert close(answer["descriptor"], mean / np.linalg.norm(mean))
    assert all(close(clip["descriptor"], row) for clip, row in zip(answer["clips"], fc6, strict=True))
    for index, (clip, start) in enumerate(zip(answer["clips"], starts, strict=True)):
        last = index == len(starts) - 1
        end = start + 16 - padded * last
        assert (clip["index"], clip["start_frame"], clip["end_frame"]) == (index, start, end)
        assert clip["num_padded_frames"] == padded * last
        assert (clip["start_sec"], clip["end_sec"]) == pytest.approx((start / 25, end / 25))


@pytest.mark.parametrize(
    ("options", "layer", "length"),
    [
        ({"layer": "fc6", "normalize": "none"}, "fc6", None),
        ({"layer": "fc7"}, "fc7", 1.0),
        ({"layer": "fc7", "normalize": "none"}, "fc7", None),
    ],
)
def test_layer_and_normalize_choose_the_vector(
    client: TestClient, clip_mp4: Path, options: dict[str, str], layer: str, length: float | None
) -> None:
    rows = getattr(outputs_of(clip_mp4, [0, 8, 16, 24]), layer)
    mean = rows.mean(axis=0)
    answer = ask(client, "/features", clip_mp4, include="clips", **options)
    assert close(answer["descriptor"], mean if length is None else mean / np.linalg.norm(mean))
    assert close([clip["descriptor"] for clip in answer["clips"]], rows)


@pytest.mark.parametrize(("options", "top_k"), [({}, 5), ({"top_k": 1}, 1), ({"top_k": 487}, 487)])
def test_predictions_are_the_mean_of_the_clips_probabilities_highest_first(
    client: TestClient, clip_mp4: Path, options: dict[str, int], top_k: int
) -> None:
    probabilities = outputs_of(clip_mp4, [0, 8, 16, 24]).probabilities
    answer = ask(client, "/classify", clip_mp4, include="clips", **options)
    every = [(answer["predictions"], probabilities.mean(axis=0))]
    every += [(clip["predictions"], row) for clip, row in zip(answer["clips"], probabilities, strict=True)]
    for predictions, row in every:
        scores = [prediction["score"] for prediction in predictions]
        ids = [prediction["class_id"] for prediction in predictions]
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(scores, row[ids], rtol=1e-4)
        np.testing.assert_allclose(scores, np.sort(row)[::-1][:top_k], rtol=1e-4)
        assert len(set(ids)) == top_k
        assert [prediction["label"] for prediction in predictions] == [LABELS[each] for each in ids]


def test_clips_are_there_only_where_asked_for(client: TestClient, clip_mp4: Path) -> None:
    assert "clips" not in ask(client, "/features", clip_mp4)
    assert "clips" not in ask(client, "/classify", clip_mp4)


@pytest.mark.parametrize(
    ("num_frames", "options", "used", "code"),
    [
        (7, {}, 7, "short_video_padded"),
        (45, {}, 40, "tail_frames_dropped"),
        (45, {"tail": "pad"}, 45, None),
        (40, {}, 40, None),
        (40, {"clip_stride": 24}, 32, None),
    ],
)
def test_what_was_done_to_the_videos_end_is_warned_of_and_counted(
    client: TestClient, videos: dict[int, Path], num_frames: int, options: dict[str, Any], used: int, code: str | None
) -> None:
    answer = ask(client, "/classify", videos[num_frames], **options)
    codes = {warning["code"] for warning in answer["warnings"]}
    assert codes & {"short_video_padded", "tail_frames_dropped"} == ({code} if code else set())
    assert all(set(warning) == {"code", "message"} for warning in answer["warnings"])
    assert answer["video"]["num_frames"] == {"header": num_frames, "decoded": num_frames, "used": used}


@pytest.mark.parametrize("endpoint", ["/classify", "/features"])
def test_the_video_block_describes_the_bytes_that_were_sent(client: TestClient, clip_mp4: Path, endpoint: str) -> None:
    video = ask(client, endpoint, clip_mp4)["video"]
    assert video["sha256"] == hashlib.sha256(clip_mp4.read_bytes()).hexdigest()
    assert video["size_bytes"] == clip_mp4.stat().st_size
    assert (video["container"], video["codec"], video["rotation"]) == ("mp4", "h264", 0)
    assert (video["width"], video["height"], video["fps"]) == (128, 96, 25.0)
    assert video["duration_sec"] == pytest.approx(1.6)
    assert video["variable_frame_rate"] is False


def test_the_model_block_names_the_weights_and_how_they_run(client: TestClient, clip_mp4: Path) -> None:
    card = FakeNetwork().card
    model = ask(client, "/features", clip_mp4)["model"]
    names = ("name", "weights", "weights_sha256", *PICTURE)
    assert model.items() >= {name: getattr(card, name) for name in names}.items()
    assert (model["precision"], model["backend"]) == ("float32", "fake 1.0 on cpu")


def test_real_weights_are_not_warned_of(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(weights="sports1m", name="sports1m"))) as client:
        codes = {warning["code"] for warning in ask(client, "/classify", clip_mp4)["warnings"]}
        assert "stand_in_weights" not in codes


def test_timings_are_milliseconds_that_do_not_exceed_the_total(client: TestClient, clip_mp4: Path) -> None:
    timings = ask(client, "/classify", clip_mp4)["timings_ms"]
    assert set(timings) == {"fetch", "decode", "queue", "model", "total"}
    assert all(0 <= value <= timings["total"] for value in timings.values())


def test_the_real_video_has_nineteen_clips_of_sixteen_frames(client: TestClient, eye_makeup: Path) -> None:
    answer = ask(client, "/classify", eye_makeup, include="clips")
    assert [clip["start_frame"] for clip in answer["clips"]] == list(range(0, 152, 8))
    assert (answer["clips"][0]["start_sec"], answer["clips"][0]["end_sec"]) == (0.0, pytest.approx(0.64))
    assert answer["video"]["num_frames"] == {"header": 164, "decoded": 164, "used": 160}
    codes = {warning["code"] for warning in answer["warnings"]}
    assert codes >= {"stand_in_weights", "tail_frames_dropped", "times_estimated"}


def test_float32_numbers_are_read_back_exactly() -> None:
    row = np.random.default_rng(1).standard_normal(1000).astype(np.float32)
    body = bytes(json_response({"descriptor": row, "score": row[0]}).body)
    content = json.loads(body)
    assert np.array_equal(np.array(content["descriptor"], np.float32), row)
    assert np.float32(content["score"]) == row[0]
    assert body.endswith(b"\n")


@pytest.mark.parametrize(("options", "num_frames"), [({"encoding_format": "base64"}, 120), ({}, 120)])
def test_json_over_the_limit_is_refused_with_what_to_ask_for(tmp_path: Path, options: dict[str, str], num_frames: int) -> None:
    """14 clips of at least 16 KiB each."""
    network = FakeNetwork()
    video = write_video(tmp_path / "video.mp4", num_frames)
    with serving(fake_app(tmp_path / "spool", network, max_json_bytes=100_000)) as client:
        files = {"file": video.read_bytes()}
        refused = client.post("/features", files=files, params={"include": "clips", **options})
        assert (refused.status_code, refused.json()["code"]) == (413, "answer_too_large")
        assert "application/x-ndjson" in refused.json()["detail"]
        assert network.batches == []  # it was sure before anything was computed
        assert client.post("/features", files=files, params={"include": "clips", "max_clips": "2", **options}).status_code == 200
        assert client.post("/classify", files=files, params={"include": "clips"}).status_code == 200
        late = client.post("/classify", files=files, params={"include": "clips", "top_k": "487"})
        assert (late.status_code, late.json()["code"]) == (413, "answer_too_large")
    assert list((tmp_path / "spool").glob("*/*")) == []
