"""One command quantises a model on videos; what it made is served, and refused where it must be."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from model_store import c3d, calibration, store
from model_store.tensors import StoreError
from service.__main__ import main
from service.inference import build
from service.lifecycle import loading
from service.settings import Settings
from service.video.messages import ReadOptions
from tests.support.videos import write_video

# Looked for and not imported: it brings logging handlers of its own, and seconds, to tests that have no use for them.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed"),
]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty clips without a common frame, and a few more frames."""
    return write_video(tmp_path_factory.mktemp("videos") / "long.mp4", 20 * c3d.CLIP_LENGTH + 3)


@pytest.fixture(scope="module")
def model(stand_in: store.Model, tmp_path_factory: pytest.TempPathFactory) -> store.Model:
    """The stand-ins in a store of their own."""
    directory = tmp_path_factory.mktemp("store") / "stand-in"
    shutil.copytree(stand_in.directory, directory, copy_function=os.link)
    return store.Model(directory)


@pytest.fixture(scope="module")
def calibrated(model: store.Model, video: Path) -> calibration.Calibration:
    """The same after `calibrate`, by the command line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("C3D_MODEL_STORE", str(model.directory.parent))
        no_video = video.with_name("no-video.mp4")
        no_video.write_bytes(b"no video")  # it is left out, and named
        assert main(["calibrate", "--max-drift", "0.5", str(video), str(no_video)]) == 0
    return calibration.read(model)[1]


def settings(model: store.Model) -> Settings:
    return Settings(model_store=model.directory.parent, engine="openvino", precision="int8")


def test_too_much_drift_writes_nothing(
    model: store.Model, video: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C3D_MODEL_STORE", str(model.directory.parent))
    assert main(["calibrate", "--max-drift", "0.001", str(video)]) == 1
    said = capsys.readouterr().err
    assert "int8 drifts too far from float32: fc6 of 10 clips: relative L2 " in said
    assert "The bound on the largest is 0.001." in said
    assert not (model.directory / calibration.PLACE).exists()
    assert [path.name for path in model.directory.parent.glob("[!.]*")] == ["stand-in"]


def test_too_few_clips_are_refused(
    model: store.Model, clip_mp4: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("C3D_MODEL_STORE", str(model.directory.parent))
    assert main(["calibrate", str(clip_mp4)]) == 1
    assert "Too few clips of 16 frames to calibrate on: 2 of at least 16." in capsys.readouterr().err


def test_what_is_calibrated_is_served_by_its_name(
    model: store.Model, calibrated: calibration.Calibration, clip_mp4: Path
) -> None:
    """And drifts on another video about as the card says: no more than twice, and not by nothing."""
    from service.video.inline import clips_of

    network = loading.load_network(settings(model), lambda share: None)  # proves the known answer, too
    assert (network.precision, network.calibration_sha256) == ("int8", calibrated.sha256)
    assert (calibrated.num_clips, calibrated.drift.num_clips, len(calibrated.videos_sha256)) == (10, 10, 1)
    assert calibrated.max_drift == 0.5
    clips = np.stack(list(clips_of(clip_mp4, ReadOptions())))
    drift = calibration.drift(network.run(clips), build.build(model, "openvino").run(clips))
    assert 0.001 < drift.relative_l2_median < 2 * calibrated.drift.relative_l2_max


def test_a_calibration_of_other_weights_refuses_the_start(
    model: store.Model, calibrated: calibration.Calibration, tmp_path: Path
) -> None:
    other = tmp_path / "stand-in"
    shutil.copytree(model.directory, other, copy_function=os.link)
    card = model.card.model_copy(update={"weights_sha256": "0" * 64})
    store.write_card(other, card)
    with pytest.raises(StoreError, match="belongs to other weights"):
        loading.load_network(settings(store.Model(other)), lambda share: None)


@pytest.mark.parametrize(
    ("number", "at_most", "kept"), [(0, 4, []), (4, 4, [0, 1, 2, 3]), (5, 4, [0, 2, 4]), (33, 4, [0, 16, 32])]
)
def test_clips_are_thinned_evenly(number: int, at_most: int, kept: list[int]) -> None:
    from service.commands.calibrate import evenly

    assert [int(clip[0]) for clip in evenly((np.array([i], np.uint8) for i in range(number)), at_most)] == kept
