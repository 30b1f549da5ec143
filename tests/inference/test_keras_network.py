"""The network against an independent implementation, and its promises: one trace a batch size, true precision."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d, standin
from model_store.store import Model
from service.inference.batcher import Batcher, Done
from service.inference.build import unavailable
from service.inference.engines import TensorFlow
from service.video import inline
from service.video.messages import ReadOptions
from tests.support import reference

pytestmark = pytest.mark.slow
Floats = NDArray[np.float32]
Uint8 = NDArray[np.uint8]


def clips_of(path: Path, stride: int = 8) -> Iterator[Uint8]:
    return inline.clips_of(path, ReadOptions(clip_stride=stride))


def error(ours: NDArray[Any], theirs: NDArray[Any]) -> float:
    """The largest relative L2 error over rows."""
    ours, theirs = np.atleast_2d(ours).astype(np.float64), np.atleast_2d(theirs).astype(np.float64)
    return float((np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


@pytest.fixture(scope="module")
def weights(stand_in: Model) -> dict[str, Floats]:
    return dict(stand_in.tensors())


@pytest.fixture(scope="module")
def clips(clip_mp4: Path) -> Uint8:
    """Three clips, uint8 (3, 16, 112, 112, 3), of a video whose content depends on place, channel and frame."""
    return np.stack(list(islice(clips_of(clip_mp4), 3)))


@pytest.fixture(scope="module")
def centred(clips: Uint8, stand_in: Model) -> Floats:
    """The same with the mean cube subtracted, as the reference takes them: its own cropping of the cube."""
    full = np.zeros((3, 16, *c3d.FRAME_SIZE, 3), np.uint8)
    full[:, :, 8:120, 29:141] = clips
    return np.stack([reference.preprocess(clip, stand_in.mean) for clip in full])


@pytest.fixture(scope="module")
def expected(centred: Floats, weights: dict[str, Floats]) -> reference.Activations:
    return reference.forward(centred, weights)


def test_has_the_papers_layers_and_parameters(network: Any) -> None:
    inner = network.behind_mean
    assert inner.count_params() == c3d.NUM_PARAMETERS
    for layer in c3d.LAYERS:
        built = inner.get_layer(layer.name)
        assert built.output.shape[1:] == layer.output, layer.name
        assert built.count_params() == layer.parameters, layer.name


def test_agrees_with_the_reference(network: Any, clips: Uint8, expected: reference.Activations) -> None:
    got = network.run(clips[[0, 1, 2, 2]])
    for name in c3d.ClipOutputs._fields:
        assert getattr(got, name).dtype == np.float32
        assert error(getattr(got, name)[:3], getattr(expected, name)) < 1e-4, name
    assert (got.fc6 >= 0).all()
    assert (got.fc6 == 0).any()


def test_agrees_with_the_reference_on_a_real_video(network: Any, eye_makeup: Path, stand_in: Model, weights: Any) -> None:
    """Every fourth clip's fc6, and the descriptor and probabilities of the video they make."""
    import cv2

    video = cv2.VideoCapture(str(eye_makeup))
    frames = np.stack([cv2.resize(video.read()[1], (171, 128)) for _ in range(164)]).astype(np.uint8)
    starts = reference.clip_starts(len(frames))
    assert len(starts) == 19
    inputs = [reference.preprocess(frames[s : s + 16], stand_in.mean) for s in starts[::4]]
    theirs = reference.forward(np.stack(inputs), weights)
    ours = [network.run(clip[None]) for clip in islice(clips_of(eye_makeup), 0, None, 4)]
    fc6 = np.concatenate([o.fc6 for o in ours])
    assert error(fc6, theirs.fc6) < 1e-4
    assert error(reference.video_descriptor(fc6), reference.video_descriptor(theirs.fc6)) < 1e-4
    probabilities = np.concatenate([o.probabilities for o in ours])
    assert error(reference.video_probabilities(probabilities), reference.video_probabilities(theirs.probabilities)) < 1e-4


@pytest.mark.parametrize("wrong", [{"pool5": "symmetric"}, {"fc6_rows": "caffe"}], ids=str)
def test_differs_from_what_ports_get_wrong(
    network: Any, clips: Uint8, centred: Floats, weights: dict[str, Floats], wrong: dict[str, Any]
) -> None:
    assert error(network.run(clips[:1]).fc6, reference.forward(centred[:1], weights, **wrong).fc6) > 0.1


def test_differs_from_wrong_preprocessing(network: Any, clips: Uint8, stand_in: Model, weights: dict[str, Floats]) -> None:
    """RGB, a mean without its frames, a mean cropped one column on: each shows."""
    ours = network.run(clips[:1]).fc6
    full = np.zeros((16, *c3d.FRAME_SIZE, 3), np.uint8)
    full[:, 8:120, 29:141] = clips[0]
    flat = np.broadcast_to(stand_in.mean.mean(axis=1, keepdims=True), stand_in.mean.shape)
    shifted = np.roll(stand_in.mean, -1, axis=3)
    for frames, mean in ((full[..., ::-1], stand_in.mean), (full, flat), (full, shifted)):
        wrong = reference.forward(reference.preprocess(frames, mean)[None], weights)
        assert error(ours, wrong.fc6) > 1e-3


def test_batch_mates_do_not_matter(network: Any, clips: Uint8) -> None:
    """The same clip alone, in a full batch, and beside others: relative L2 within 1e-5."""
    alone = network.run(clips[:1])
    for batch in (clips[[0, 1]], clips[[2, 1, 0, 0]], clips[[0, 0, 0, 0]]):
        rows = network.run(batch)
        place = next(i for i in range(len(batch)) if np.array_equal(batch[i], clips[0]))
        for one, many in zip(alone, rows, strict=True):
            assert error(many[place], one[0]) < 1e-5


def test_serving_traces_nothing(stand_in: Model, clips: Uint8, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of one clip, sent unevenly, make batches of every size; the engine traced them all beforehand."""
    from service.inference.keras_network import KerasNetwork

    compile_, compiled = TensorFlow.compile, list[Any]()

    def compile_and_keep(model: Any) -> Any:
        compiled.append(compile_(model))
        return compiled[-1]

    monkeypatch.setattr(TensorFlow, "compile", compile_and_keep)
    network = KerasNetwork(stand_in)
    network.warm_up()
    assert compiled[0].experimental_get_tracing_count() == len(network.batch_sizes)
    batcher = Batcher(network.run, network.batch_sizes)
    done: list[Done] = []
    for size in (1, *network.batch_sizes, 7, *network.batch_sizes[::-1], 5):
        together = [batcher.submit(object(), clips[0]) for _ in range(size)]
        done += [future.result() for future in together]
    batcher.stop()
    assert {each.batch.size for each in done} == set(network.batch_sizes)
    assert compiled[0].experimental_get_tracing_count() == len(network.batch_sizes)


def test_zeros_have_the_recorded_answer_with_a_margin(network: Any, weights: dict[str, Floats]) -> None:
    assert network.known_answer()[0] == standin.KNOWN_ANSWER
    probabilities = reference.forward(np.zeros((1, *c3d.CLIP_SHAPE), np.float32), weights).probabilities[0]
    first, second = np.sort(probabilities)[::-1][:2]
    assert probabilities.argmax() == standin.KNOWN_ANSWER
    assert first > 1.5 * second


def test_stand_ins_tell_real_videos_apart(network: Any, real_videos: list[Path]) -> None:
    tops = set()
    for path in real_videos:
        rows = [network.run(clip[None]).probabilities[0] for clip in islice(clips_of(path, stride=16), 8)]
        scores = np.mean(rows, axis=0)
        assert 0.05 < scores.max() < 0.9, path.name
        tops.add(int(scores.argmax()))
    assert len(tops) >= 3


PROGRAM = """
import json, sys
import numpy as np
from pathlib import Path
from model_store.store import Model
from service.errors import DeviceUnavailable, PrecisionUnavailable
from service.inference.build import build
try:
    network = build(Model(Path(sys.argv[1])), sys.argv[5], sys.argv[2], sys.argv[6])
except (DeviceUnavailable, PrecisionUnavailable) as error:
    print(json.dumps({"refused": str(error)}))
    raise SystemExit
clips = np.load(sys.argv[3])
outputs = network.run(clips[:1])
np.save(sys.argv[4], np.concatenate([outputs.fc6[0], outputs.probabilities[0]]))
print(json.dumps({"backend": network.backend, "answer": network.known_answer()[0]}))
"""


def run_elsewhere(
    stand_in: Model, clips: Uint8, tmp_path: Path, precision: str, engine: str = "tensorflow", device: str = "auto"
) -> Any:
    """The network in a process of its own: what it says, its fc6 and its probabilities."""
    if why := unavailable(engine):
        pytest.skip(why)
    np.save(tmp_path / "clips.npy", clips)
    arguments = [str(stand_in.directory), precision, str(tmp_path / "clips.npy"), str(tmp_path / "out.npy"), engine, device]
    environment = os.environ | {"KERAS_BACKEND": "chosen by C3D_ENGINE", "ONEDNN_DEFAULT_FPMATH_MODE": "ANY"}
    done = subprocess.run([sys.executable, "-c", PROGRAM, *arguments], capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    return (said, None, None) if "refused" in said else (said, *np.split(np.load(tmp_path / "out.npy"), [c3d.DESCRIPTOR_SIZE]))


@pytest.mark.parametrize("engine", ["tensorflow", "openvino"])
def test_bfloat16_is_close_and_not_equal(stand_in: Model, clips: Uint8, expected: Any, tmp_path: Path, engine: str) -> None:
    said, fc6, probabilities = run_elsewhere(stand_in, clips, tmp_path, "bfloat16", engine)
    if "refused" in said:
        pytest.skip(said["refused"])
    assert said["answer"] == standin.KNOWN_ANSWER
    assert 1e-4 < error(fc6, expected.fc6[0]) < 0.05
    assert abs(probabilities.sum() - 1) < 1e-5  # the softmax stays float32


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("tensorflow", "float16"), ("tensorflow", "tf32"), ("tensorflow", "int8"), ("openvino", "float16"), ("openvino", "tf32")],
)
def test_refuses_what_a_cpu_cannot(stand_in: Model, clips: Uint8, tmp_path: Path, engine: str, precision: str) -> None:
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("there is a GPU, which can")
    said, *_ = run_elsewhere(stand_in, clips, tmp_path, precision, engine)
    assert precision in said["refused"]
    assert "Use " in said["refused"]


@pytest.mark.parametrize("device", ["gpu", "cpu"])
def test_a_device_is_taken_or_refused_never_replaced(stand_in: Model, clips: Uint8, tmp_path: Path, device: str) -> None:
    """No GPU is needed: where there is none, a demanded one refuses; with one, "cpu" leaves it alone."""
    said, *_ = run_elsewhere(stand_in, clips, tmp_path, "float32", device=device)
    if "refused" in said:
        assert said["refused"].startswith("C3D_DEVICE=gpu, but the engine finds no GPU here.")
    else:
        assert said["backend"].endswith(f" on {device}")


@pytest.mark.parametrize("engine", ["tensorflow", "jax", "torch", "openvino", "winograd"])
def test_every_engine_agrees(stand_in: Model, clips: Uint8, expected: Any, tmp_path: Path, engine: str) -> None:
    """In an environment that asks for another engine and for less precision: neither is heard."""
    said, fc6, probabilities = run_elsewhere(stand_in, clips, tmp_path, "float32", engine)
    assert said["backend"].startswith(engine)
    assert said["answer"] == standin.KNOWN_ANSWER
    assert error(fc6, expected.fc6[0]) < 1e-4
    assert error(probabilities, expected.probabilities[0]) < 1e-4
