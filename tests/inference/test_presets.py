"""Each preset against an independent build of its port's network and of its reading of frames, on a real video.

The yardstick is tests/support/reference.py, in plain NumPy, and below it each port's way from a file to its network's input:
written from the ports' own files, sharing no code with the service.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d, standin, store
from model_store.card import numbers_of
from model_store.formats import mean
from model_store.preprocessing import PRESETS, Preprocessing
from service.video.inline import clips_of
from service.video.messages import ReadOptions
from tests.conftest import SHARED
from tests.support import reference

pytestmark = pytest.mark.slow
VIDEO = SHARED / "v_ApplyEyeMakeup_g01_c01.avi"  # 320x240, of UCF101
Floats = NDArray[np.float32]


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    """The first clip's frames as OpenCV decodes them, BGR."""
    capture = cv2.VideoCapture(str(path))
    found = [np.asarray(capture.read()[1], np.uint8) for _ in range(c3d.CLIP_LENGTH)]
    capture.release()
    return found


def stretched(path: Path, cube: Floats, left: int) -> Floats:
    """The original and the Keras ports: 171x128, the cube subtracted, rows from 8. (16, 112, 112, 3) BGR."""
    small = np.asarray([cv2.resize(frame, (171, 128)) for frame in pictures(path)], np.uint8)
    return reference.preprocess(small, cube, crop_left=left)


def davidea(path: Path) -> Floats:
    """predict.py of DavideA/c3d-pytorch: 200x112, columns 44..155, RGB. Its resize is scikit-image's, in floats; see below."""
    small = np.stack([cv2.resize(frame, (200, 112)) for frame in pictures(path)])
    return small[:, :, 44 : 44 + 112, ::-1].astype(np.float32)


def mmaction2(path: Path) -> Floats:
    """Resize(scale=(-1, 128)), CenterCrop(112), the mean 104, 117, 128 of R, G, B."""
    height, width = pictures(path)[0].shape[:2]
    size = int(width * 128 / min(height, width) + 0.5), int(height * 128 / min(height, width) + 0.5)
    small = np.stack([cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size) for frame in pictures(path)])
    top, left = (size[1] - 112) // 2, (size[0] - 112) // 2
    return small[:, top : top + 112, left : left + 112].astype(np.float32) - np.array([104, 117, 128], np.float32)


def jfzhang95(path: Path) -> Floats:
    """inference.py: 171x128, [8:120, 30:142], the mean 90, 98, 102 of B, G, R."""
    small = np.stack([cv2.resize(frame, (171, 128))[8:120, 30:142] for frame in pictures(path)])
    return small.astype(np.float32) - np.array([90.0, 98.0, 102.0], np.float32)


def hx173149(path: Path) -> Floats:
    """input_data.py: RGB, short side 112 and the other int(x + 1), the middle 112, crop_mean.npy. (16, 112, 112, 3) RGB."""
    crop_mean = CUBE[:, :, 8:120, 29:141].transpose(1, 2, 3, 0)  # the file as it is: its first channel goes to the first, red
    height, width = pictures(path)[0].shape[:2]
    scale = 112.0 / float(min(height, width))
    size = (int(width * scale + 1), 112) if width > height else (112, int(height * scale + 1))
    small = np.stack([cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), size) for frame in pictures(path)])
    top, left = (size[1] - 112) // 2, (size[0] - 112) // 2
    return small[:, top : top + 112, left : left + 112].astype(np.float32) - crop_mean


CUBE = standin.mean()
READERS: dict[Preprocessing, Callable[[Path], Floats]] = {
    "c3d-sports1m": lambda path: stretched(path, CUBE, 29),
    "c3d-ucf101-mean": lambda path: stretched(path, CUBE, 30),
    "c3d-pytorch": davidea,
    "mmaction2": mmaction2,
    "jfzhang95": jfzhang95,
    "c3d-tensorflow": hx173149,
}


CAFFES_POOL5 = {"c3d-sports1m", "c3d-ucf101-mean", "c3d-tensorflow"}  # padding="SAME" of TensorFlow pads as Caffe's


def model_of(stand_in: store.Model, directory: Path, preprocessing: Preprocessing) -> store.Model:
    """The stand-in weights with another card and its mean; those with a cube have the stand-ins' own."""
    made = directory / "stand-in"
    shutil.copytree(stand_in.directory, made, copy_function=os.link)
    preset = PRESETS[preprocessing]
    cube = mean.three_numbers(preset.mean, preset.channel_order)
    if preset.mean_behind_crop:
        cube = mean.cropped(mean.cube(CUBE, "RGB"))
    cube = CUBE if cube is None else cube
    card = stand_in.card.model_copy(update=numbers_of(preprocessing) | {"mean": preset.mean, "mean_sha256": mean.sha256(cube)})
    (made / store.MEAN).unlink()
    np.save(made / store.MEAN, cube)
    store.write_card(made, card)
    return store.Model(made)


def relative_l2(found: Floats, expected: Floats) -> float:
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def network_of(engine: str, model: store.Model) -> Any:
    if engine == "openvino":
        pytest.importorskip("openvino")
    from service.inference.build import build, unavailable

    if engine == "winograd" and (why := unavailable(engine)):
        pytest.skip(why)

    return build(model, engine)


@pytest.mark.parametrize("engine", ["tensorflow", "openvino", "winograd"])
@pytest.mark.parametrize("preprocessing", list(PRESETS))
def test_a_preset_gives_its_ports_numbers(
    preprocessing: Preprocessing, engine: str, stand_in: store.Model, tmp_path: Path
) -> None:
    if not VIDEO.exists():
        pytest.skip("../shared/data is not here")
    model = model_of(stand_in, tmp_path, preprocessing)
    network = network_of(engine, model)
    clip = next(clips_of(VIDEO, ReadOptions.of(model.card)))
    found = network.run(clip[np.newaxis])
    pool5: reference.Pool5 = "caffe" if preprocessing in CAFFES_POOL5 else "symmetric"
    weights = dict(stand_in.tensors())
    expected = reference.forward(READERS[preprocessing](VIDEO)[np.newaxis], weights, pool5=pool5)
    assert relative_l2(found.pool5, expected.pool5) <= 1e-4
    assert relative_l2(found.fc6, expected.fc6) <= 1e-4
    assert relative_l2(found.probabilities, expected.probabilities) <= 1e-4
    other: reference.Pool5 = "symmetric" if pool5 == "caffe" else "caffe"
    wrong = reference.forward(READERS[preprocessing](VIDEO)[np.newaxis], weights, pool5=other)
    assert relative_l2(found.fc6, wrong.fc6) > 0.01  # or the test would not notice
