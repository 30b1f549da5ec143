"""Ids that are stable and differ where the numbers do, both answers from one pass, segments, base64."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from starlette.testclient import TestClient

from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app, serving
from tests.support.videos import write_video


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


def ask(client: TestClient, endpoint: str, video: Path, **options: Any) -> dict[str, Any]:
    answer = client.post(endpoint, files={"file": video.read_bytes()}, params=options)
    assert answer.status_code == 200, answer.text
    content: dict[str, Any] = answer.json()
    return content


def ids(answer: dict[str, Any]) -> list[str]:
    return [answer["id"], *(clip["id"] for clip in answer["clips"])]


def test_the_same_question_gets_the_same_ids_wherever_it_is_asked(client: TestClient, clip_mp4: Path, tmp_path: Path) -> None:
    first = ask(client, "/features", clip_mp4, include="clips")
    assert len(set(ids(first))) == 5
    assert {UUID(each).version for each in ids(first)} == {5}
    with serving(fake_app(tmp_path)) as other:
        assert ids(ask(other, "/features", clip_mp4, include="clips,predictions", custom_id="x", timeout_s=99)) == ids(first)
        assert ids(ask(other, "/classify", clip_mp4, include="clips", top_k=2)) == ids(first)


@pytest.mark.parametrize(
    "option", [{"clip_stride": 4}, {"tail": "pad"}, {"end_sec": 1.5}, {"max_clips": 2}, {"layer": "fc7"}, {"normalize": "none"}]
)
def test_what_changes_the_numbers_changes_the_ids(client: TestClient, clip_mp4: Path, option: dict[str, Any]) -> None:
    plain, changed = (ask(client, "/features", clip_mp4, include="clips", **each) for each in ({}, option))
    assert not set(ids(plain)) & set(ids(changed))


def test_other_bytes_and_other_weights_have_other_ids(client: TestClient, clip_mp4: Path, tmp_path: Path) -> None:
    plain = ask(client, "/features", clip_mp4)["id"]
    assert ask(client, "/features", write_video(tmp_path / "other.mp4", 40, seed=3))["id"] != plain
    with serving(fake_app(tmp_path, FakeNetwork(weights_sha256="ab" * 32))) as other:
        assert ask(other, "/features", clip_mp4)["id"] != plain


def test_a_custom_id_is_echoed_and_else_absent(client: TestClient, clip_mp4: Path) -> None:
    assert ask(client, "/classify", clip_mp4, custom_id='a "b" é')["custom_id"] == 'a "b" é'
    assert "custom_id" not in ask(client, "/classify", clip_mp4)


def test_one_pass_gives_both_answers(client: TestClient, clip_mp4: Path) -> None:
    labels = ask(client, "/classify", clip_mp4, include="clips")
    vector = ask(client, "/features", clip_mp4, include="clips", layer="fc7")
    for both in (
        ask(client, "/classify", clip_mp4, include="clips,features", layer="fc7"),
        ask(client, "/features", clip_mp4, include=["clips", "predictions"], layer="fc7"),
    ):
        assert [each["class_id"] for each in both["predictions"]] == [each["class_id"] for each in labels["predictions"]]
        assert np.allclose(both["descriptor"], vector["descriptor"], rtol=1e-5)
        for mine, theirs, others in zip(both["clips"], labels["clips"], vector["clips"], strict=True):
            assert mine["predictions"][0]["class_id"] == theirs["predictions"][0]["class_id"]
            assert np.allclose(mine["descriptor"], others["descriptor"], rtol=1e-5)


def test_base64_holds_the_same_numbers(client: TestClient, clip_mp4: Path) -> None:
    plain = ask(client, "/features", clip_mp4, include="clips")
    packed = ask(client, "/features", clip_mp4, include="clips", encoding_format="base64")
    for mine, theirs in [(packed, plain), *zip(packed["clips"], plain["clips"], strict=True)]:
        vector = np.frombuffer(base64.b64decode(mine["descriptor"]), "<f4")
        assert vector.shape == (4096,)
        assert np.allclose(vector, np.array(theirs["descriptor"], np.float32), rtol=1e-5)


def test_a_threshold_leaves_out_what_is_less_probable(client: TestClient, clip_mp4: Path) -> None:
    scores = [each["score"] for each in ask(client, "/classify", clip_mp4)["predictions"]]
    threshold = (scores[1] + scores[2]) / 2
    assert len(ask(client, "/classify", clip_mp4, score_threshold=threshold)["predictions"]) == 2
    assert ask(client, "/classify", clip_mp4, score_threshold=1)["predictions"] == []


def test_segments_are_the_clips_merged_by_their_best_label(client: TestClient, tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 200, seed=1)
    answer = ask(client, "/classify", video, include="clips,segments")
    expected: list[list[dict[str, Any]]] = []
    for clip in answer["clips"]:
        label = clip["predictions"][0]["label"]
        if not expected or expected[-1][-1]["predictions"][0]["label"] != label:
            expected.append([])
        expected[-1].append(clip)
    assert len(answer["segments"]) == len(expected)
    for segment, clips in zip(answer["segments"], expected, strict=True):
        scores = [clip["predictions"][0]["score"] for clip in clips]
        assert (segment["label"], segment["class_id"]) == tuple(clips[0]["predictions"][0][key] for key in ("label", "class_id"))
        assert (segment["start_sec"], segment["end_sec"]) == (clips[0]["start_sec"], clips[-1]["end_sec"])
        assert segment["num_clips"] == len(clips)
        assert np.isclose(segment["score"], np.mean(scores), rtol=1e-5)
        assert np.isclose(segment["peak_score"], max(scores), rtol=1e-5)
