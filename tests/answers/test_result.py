"""Ids that are stable and differ where the numbers do, both answers from one pass, segments, base64."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from starlette.testclient import TestClient

from model_store import c3d
from model_store.card import PICTURE
from service.answers.result import FORM_OF_ANSWER, video_id
from service.intake.source import Source
from service.lifecycle.readiness import model_out
from service.options import ClassifyOptions, FeaturesOptions
from tests.support.fakes import FakeNetwork, card
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
        assert ids(ask(other, "/features", clip_mp4, include="pictures")) == ids(first)
        assert ids(ask(other, "/classify", clip_mp4, include="clips", top_k=2)) == ids(first)


OTHER_VALUE: dict[str, Any] = {  # of every option that changes numbers
    "clip_stride": 4,
    "tail": "pad",
    "start_sec": 0.5,
    "end_sec": 1.5,
    "max_clips": 2,
    "fps": 30.0,
    "layer": "fc7,fc6",
    "normalize": "none",
}
OTHER_CARD: dict[str, Any] = {  # of everything in a model's card that changes numbers
    "weights_sha256": "ab" * 32,
    "mean_sha256": "cd" * 32,
    "preprocessing": "c3d-ucf101-mean",
    "keep_aspect": True,
    "frame_rows": 256,
    "frame_columns": 340,
    "crop_top": 9,
    "crop_left": 30,
    "channel_order": "RGB",
    "scale": 0.5,
    "pool5": "symmetric",
    "long_side": "next",
    "color_tags": "ignore",
}


def test_everything_of_a_card_that_changes_numbers_is_tried() -> None:
    assert set(OTHER_CARD) == {*PICTURE, "weights_sha256"} - {"mean"}  # which is a name


def test_every_option_changes_the_id_or_is_known_not_to() -> None:
    assert set(FeaturesOptions.model_fields) | set(ClassifyOptions.model_fields) == {*OTHER_VALUE, *FORM_OF_ANSWER}


@pytest.mark.parametrize("change", [{name: value} for name, value in OTHER_CARD.items()], ids=list(OTHER_CARD))
def test_each_thing_of_a_model_that_changes_numbers_changes_the_id(change: dict[str, Any]) -> None:
    source = Source(Path("unused"), lambda _num_bytes: None, ExitStack(), sha256="12" * 32)
    plain, changed = (model_out(card(**each), "float32", "fake") for each in ({}, change))
    assert video_id(source, changed, FeaturesOptions()) != video_id(source, plain, FeaturesOptions())
    assert {name for name, value in plain.items() if changed[name] != value} == set(change)  # type: ignore[literal-required]


def test_an_answer_is_of_the_model_that_made_it(client: TestClient, clip_mp4: Path, tmp_path: Path) -> None:
    plain = ask(client, "/features", clip_mp4)
    with serving(fake_app(tmp_path, FakeNetwork(crop_left=30))) as other:
        changed = ask(other, "/features", clip_mp4)
    assert (changed["id"] == plain["id"], changed["model"]["crop_left"]) == (False, 30)


def test_each_set_of_layers_has_its_own_ids_however_it_is_written(client: TestClient, clip_mp4: Path) -> None:
    names = [["fc6"], ["fc7"], ["pool5"], ["fc6", "fc7"], ["pool5", "fc6"], ["pool5", "fc6", "fc7"]]
    found = [ask(client, "/features", clip_mp4, layer=",".join(each))["id"] for each in names]
    assert len(set(found)) == len(names)
    assert found[0] == ask(client, "/features", clip_mp4)["id"]
    assert found[3] == ask(client, "/features", clip_mp4, layer=["fc7", "fc6", "fc7"])["id"]


@pytest.mark.parametrize(("name", "value"), [("precision", "bfloat16"), ("calibration_sha256", "ef" * 32)])
def test_how_a_network_computes_changes_the_id(client: TestClient, clip_mp4: Path, tmp_path: Path, name: str, value: str) -> None:
    network = FakeNetwork()
    setattr(network, name, value)
    with serving(fake_app(tmp_path, network)) as other:
        assert ask(other, "/features", clip_mp4)["id"] != ask(client, "/features", clip_mp4)["id"]


def test_names_alone_do_not_change_the_id(client: TestClient, clip_mp4: Path, tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(name="mine", weights="mine", mean="mine.npy"))) as other:
        assert ask(other, "/features", clip_mp4)["id"] == ask(client, "/features", clip_mp4)["id"]


@pytest.mark.parametrize("option", [{name: value} for name, value in OTHER_VALUE.items()], ids=list(OTHER_VALUE))
def test_what_changes_the_numbers_changes_the_ids(client: TestClient, clip_mp4: Path, option: dict[str, Any]) -> None:
    plain, changed = (ask(client, "/features", clip_mp4, include="clips", **each) for each in ({}, option))
    assert not set(ids(plain)) & set(ids(changed))


def test_other_bytes_have_other_ids(client: TestClient, clip_mp4: Path, tmp_path: Path) -> None:
    plain = ask(client, "/features", clip_mp4)["id"]
    assert ask(client, "/features", write_video(tmp_path / "other.mp4", 40, seed=3))["id"] != plain


@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson", "application/x-npy", "application/zip"])
@pytest.mark.parametrize("weights", ["stand-in", "sports1m"])
def test_every_form_names_its_weights_and_its_warnings_in_headers(
    tmp_path: Path, clip_mp4: Path, accept: str, weights: str
) -> None:
    network = FakeNetwork(weights=weights)
    with serving(fake_app(tmp_path, network)) as client:
        answer = client.post("/features", files={"file": clip_mp4.read_bytes()}, headers={"accept": accept})
    assert answer.headers["c3d-weights"] == f"{weights}; sha256={network.card.weights_sha256}"
    assert ("stand_in_weights" in answer.headers.get("c3d-warnings", "").split(", ")) == (weights == "stand-in")


@pytest.mark.parametrize("accept", ["application/json", "application/x-npy", "application/zip"])
def test_the_headers_have_the_warnings_of_the_video(client: TestClient, tmp_path: Path, accept: str) -> None:
    video = write_video(tmp_path / "short.mp4", 7)
    answer = client.post("/features", files={"file": video.read_bytes()}, headers={"accept": accept})
    assert "short_video_padded" in answer.headers["c3d-warnings"].split(", ")


def test_warnings_are_counted_and_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = write_video(tmp_path / "short.mp4", 7)
    with caplog.at_level("INFO"), serving(fake_app(tmp_path / "spool")) as client:
        ask(client, "/features", video)
        metrics = client.get("/metrics").text
    assert {f'c3d_warnings_total{{code="{code}"}} 1.0' for code in ("stand_in_weights", "short_video_padded")} <= set(
        metrics.splitlines()
    )
    [record] = [each.request_record for each in caplog.records if hasattr(each, "request_record")]
    assert set(record.fields()["warnings"].split(",")) >= {"stand_in_weights", "short_video_padded"}


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


def test_include_takes_the_name_of_the_field_too(client: TestClient, clip_mp4: Path) -> None:
    assert len(ask(client, "/classify", clip_mp4, include="descriptor")["descriptor"]) == 4096
    assert len(ask(client, "/features", clip_mp4, include="descriptor,predictions")["predictions"]) == 5


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
    assert answer["segments"][0]["start_sec"] == answer["clips"][0]["start_sec"]
    assert answer["segments"][-1]["end_sec"] == answer["clips"][-1]["end_sec"]
    ends = [segment["end_sec"] for segment in answer["segments"][:-1]]
    assert ends == [segment["start_sec"] for segment in answer["segments"][1:]], "they tile the time"
    for segment, clips in zip(answer["segments"], expected, strict=True):
        scores = [clip["predictions"][0]["score"] for clip in clips]
        assert (segment["label"], segment["class_id"]) == tuple(clips[0]["predictions"][0][key] for key in ("label", "class_id"))
        assert clips[0]["start_sec"] <= segment["start_sec"] < segment["end_sec"] <= clips[-1]["end_sec"]
        assert segment["num_clips"] == len(clips)
        assert np.isclose(segment["score"], np.mean(scores), rtol=1e-5)
        assert np.isclose(segment["peak_score"], max(scores), rtol=1e-5)


def vectors_of(entry: dict[str, Any]) -> dict[str, Any]:
    """Of a video or a clip, by layer."""
    return {layer: np.array(vector, np.float32) for layer, vector in entry["descriptor"].items()}


def test_several_layers_come_by_name_from_one_pass(client: TestClient, clip_mp4: Path) -> None:
    alone = {layer: ask(client, "/features", clip_mp4, include="clips", layer=layer) for layer in c3d.FEATURE_SIZES}
    together = ask(client, "/features", clip_mp4, include="clips", layer="fc6,pool5,fc7")
    assert {layer: len(vector) for layer, vector in vectors_of(together).items()} == c3d.FEATURE_SIZES
    for layer, one in alone.items():
        assert np.allclose(vectors_of(together)[layer], one["descriptor"], rtol=1e-5)
        assert np.isclose(np.linalg.norm(vectors_of(together)[layer]), 1)
        for mine, other in zip(together["clips"], one["clips"], strict=True):
            assert np.allclose(vectors_of(mine)[layer], other["descriptor"], rtol=1e-5)


def test_several_layers_in_base64(client: TestClient, clip_mp4: Path) -> None:
    plain = vectors_of(ask(client, "/features", clip_mp4, layer="fc6,fc7"))
    coded = ask(client, "/classify", clip_mp4, include="features", layer=["fc6", "fc7"], encoding_format="base64")
    for layer, text in coded["descriptor"].items():
        assert np.allclose(np.frombuffer(base64.b64decode(text), "<f4"), plain[layer], rtol=1e-5)


@pytest.mark.parametrize(("endpoint", "include"), [("/features", "clips,predictions"), ("/classify", "clips,descriptor")])
def test_vectors_of_the_video_alone(client: TestClient, clip_mp4: Path, endpoint: str, include: str) -> None:
    whole = ask(client, endpoint, clip_mp4, include=include)
    short = ask(client, endpoint, clip_mp4, include=include, vectors="video")
    assert ids(short) == ids(whole)
    assert np.allclose(short["descriptor"], whole["descriptor"], rtol=1e-5)
    for mine, other in zip(short["clips"], whole["clips"], strict=True):
        assert set(other) - set(mine) == {"descriptor"}
        assert mine["predictions"][0]["class_id"] == other["predictions"][0]["class_id"]
