"""service/answers/arrays.py: npy and npz hold the same numbers as JSON, load without pickle, and grow on disk."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.testclient import TestClient

from tests.support.fakes import LABELS, FakeNetwork
from tests.support.http_helpers import fake_app, serving
from tests.support.videos import write_video

NPY, NPZ = {"accept": "application/x-npy"}, {"accept": "application/zip"}


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
def client(spool: Path) -> Iterator[TestClient]:
    with serving(fake_app(spool)) as client:
        yield client


def ask(client: TestClient, endpoint: str, video: Path, headers: dict[str, str], **options: Any) -> Any:
    return client.post(endpoint, files={"file": video.read_bytes()}, headers=headers, params=options)


def array_of(answer: Any) -> NDArray[Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/x-npy"
    loaded: NDArray[Any] = np.load(io.BytesIO(answer.content), allow_pickle=False)
    return loaded


def arrays_of(answer: Any) -> dict[str, NDArray[Any]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/zip"
    return dict(np.load(io.BytesIO(answer.content), allow_pickle=False))


@pytest.mark.parametrize(("endpoint", "name"), [("/features", "descriptor"), ("/classify", "predictions")])
def test_npy_is_the_videos_array(client: TestClient, clip_mp4: Path, endpoint: str, name: str) -> None:
    array = array_of(ask(client, endpoint, clip_mp4, NPY))
    assert array.dtype == np.float32
    expected = ask(client, endpoint, clip_mp4, {}, **({"top_k": 487} if endpoint == "/classify" else {})).json()[name]
    if endpoint == "/classify":
        expected = [each["score"] for each in sorted(expected, key=lambda each: each["class_id"])]
    assert np.allclose(array, np.array(expected, np.float32), rtol=1e-5, atol=0)


@pytest.mark.parametrize("num_frames", [9, 40, 400])
def test_npy_with_clips_has_a_row_for_each(client: TestClient, tmp_path: Path, num_frames: int) -> None:
    video = write_video(tmp_path / "video.mp4", num_frames)
    array = array_of(ask(client, "/features", video, NPY, include="clips"))
    clips = ask(client, "/features", video, {}, include="clips").json()["clips"]
    assert array.shape == (len(clips), 4096)
    assert np.allclose(array, np.array([clip["descriptor"] for clip in clips], np.float32), rtol=1e-5)
    assert array_of(ask(client, "/classify", video, NPY, include="clips")).shape == (len(clips), 487)


@pytest.mark.parametrize(
    ("endpoint", "include"), [("/features", "predictions"), ("/classify", "features"), ("/classify", "segments")]
)
def test_npy_holds_one_array_and_says_so(client: TestClient, clip_mp4: Path, endpoint: str, include: str) -> None:
    answer = ask(client, endpoint, clip_mp4, NPY, include=include)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
    assert "application/zip" in answer.json()["detail"]


def test_npz_holds_clips_video_and_provenance(client: TestClient, clip_mp4: Path) -> None:
    found = arrays_of(ask(client, "/features", clip_mp4, NPZ, custom_id="mine", clip_stride=4))
    as_json = ask(client, "/features", clip_mp4, {}, include="clips", clip_stride=4).json()
    assert set(found) == {
        *("clip_features", "clip_ids", "descriptor", "provenance", "start_sec", "end_sec", "start_frame", "end_frame"),
        *("num_padded_frames", "num_damaged_frames"),
    }
    for name in ("start_sec", "end_sec", "start_frame", "end_frame", "num_padded_frames", "num_damaged_frames"):
        assert found[name].tolist() == [clip[name] for clip in as_json["clips"]], name
    assert found["clip_ids"].tolist() == [clip["id"] for clip in as_json["clips"]]
    assert np.allclose(found["clip_features"], np.array([clip["descriptor"] for clip in as_json["clips"]]), rtol=1e-5)
    assert np.allclose(found["descriptor"], np.array(as_json["descriptor"]), rtol=1e-5)
    provenance = json.loads(str(found["provenance"]))
    assert (provenance["id"], provenance["custom_id"], provenance["options"]["clip_stride"]) == (as_json["id"], "mine", 4)
    assert provenance["model"] == as_json["model"]
    assert provenance["video"] == as_json["video"]
    assert provenance["warnings"] == as_json["warnings"]


def test_npz_holds_both_answers_where_asked(client: TestClient, clip_mp4: Path) -> None:
    found = arrays_of(ask(client, "/classify", clip_mp4, NPZ, include="features,segments"))
    assert found["clip_features"].shape == (4, 4096)
    assert found["clip_probabilities"].shape == (4, 487)
    assert np.allclose(found["probabilities"], found["clip_probabilities"].mean(axis=0), rtol=1e-5)
    assert found["labels"].tolist() == list(LABELS)
    assert sum(each["num_clips"] for each in json.loads(str(found["provenance"]))["segments"]) == 4
    assert "clip_probabilities" not in arrays_of(ask(client, "/features", clip_mp4, NPZ))


def test_npz_names_each_of_several_layers(client: TestClient, clip_mp4: Path) -> None:
    found = arrays_of(ask(client, "/features", clip_mp4, NPZ, layer="fc6,pool5"))
    for layer, size in (("fc6", 4096), ("pool5", 8192)):
        alone = arrays_of(ask(client, "/features", clip_mp4, NPZ, layer=layer))
        assert found[f"clip_features_{layer}"].shape == (4, size)
        assert np.allclose(found[f"clip_features_{layer}"], alone["clip_features"], rtol=1e-5)
        assert np.allclose(found[f"descriptor_{layer}"], alone["descriptor"], rtol=1e-5)
    assert not {"clip_features", "descriptor", "clip_features_fc7"} & set(found)
    assert json.loads(str(found["provenance"]))["options"]["layer"] == "pool5,fc6"


def test_npz_without_the_vectors_of_clips(client: TestClient, clip_mp4: Path) -> None:
    found = arrays_of(ask(client, "/classify", clip_mp4, NPZ, include="features", vectors="video"))
    assert found["descriptor"].shape == (4096,)
    assert found["clip_probabilities"].shape == (4, 487)
    assert "clip_features" not in found


@pytest.mark.parametrize(
    ("options", "named"), [({"layer": "fc6,fc7"}, "layer"), ({"include": "clips", "vectors": "video"}, "vectors")]
)
def test_npy_refuses_what_would_not_be_one_array(client: TestClient, clip_mp4: Path, options: dict[str, str], named: str) -> None:
    answer = ask(client, "/features", clip_mp4, NPY, **options)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
    assert answer.json()["detail"].startswith(f"{named}:")


def test_npy_of_pool5(client: TestClient, clip_mp4: Path) -> None:
    assert array_of(ask(client, "/features", clip_mp4, NPY, include="clips", layer="pool5")).shape == (4, 8192)


def test_the_file_is_named_after_the_video_and_nothing_stays_behind(client: TestClient, clip_mp4: Path, spool: Path) -> None:
    answer = ask(client, "/features", clip_mp4, NPZ)
    name = json.loads(str(arrays_of(answer)["provenance"]))["id"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}.npz"'
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert list(spool.glob("*/*")) == []


def test_arrays_count_as_bytes_of_the_spool(tmp_path: Path) -> None:
    video = write_video(tmp_path / "video.mp4", 400)
    spool = tmp_path / "spool"
    with serving(fake_app(spool, FakeNetwork(), max_spool_bytes=video.stat().st_size + 750_000)) as client:
        answer = ask(client, "/features", video, NPZ)  # 49 clips of 16 KiB, twice while they are put together
        assert (answer.status_code, answer.json()["code"]) == (507, "disk_full")
        assert list(spool.glob("*/*")) == []
        assert array_of(ask(client, "/features", video, NPY)).shape == (4096,)
        assert client.app.state.spool.used_bytes == 0  # type: ignore[attr-defined]


def test_npz_holds_what_the_network_sees(client: TestClient, clip_mp4: Path) -> None:
    arrays = arrays_of(ask(client, "/features", clip_mp4, NPZ, include="pictures"))
    entries = ask(client, "/features", clip_mp4, {}, include="pictures").json()["clips"]
    assert arrays["clip_pictures"].dtype.kind == "S"
    assert arrays["clip_pictures"].tolist() == [base64.b64decode(each["picture"]) for each in entries]
    assert "clip_pictures" not in arrays_of(ask(client, "/features", clip_mp4, NPZ, include="clips"))


def test_npy_has_no_room_for_pictures(client: TestClient, clip_mp4: Path) -> None:
    answer = ask(client, "/features", clip_mp4, NPY, include="pictures")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_option")
