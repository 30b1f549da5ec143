"""C3D on the winograd engine against C3D in float64, for several laws of weights; what may not change a bit; what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import standin, store
from model_store.tensors import StoreError
from service.errors import PrecisionUnavailable
from service.inference.build import build
from service.inference.winograd.layers import Layers
from service.inference.winograd.network import WinogradNetwork, softmax
from service.video.inline import clips_of
from service.video.messages import ReadOptions
from tests.conftest import ROOT
from tests.inference.winograd.conftest import CAN
from tests.support import direct

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CAN, reason="this CPU cannot run the library"),
    pytest.mark.usefixtures("libraries"),
]
Floats = NDArray[np.float32]
Weights = dict[str, Floats]


class Changed(store.Model):
    """The stand-in model with other weights, or another card."""

    def __init__(self, model: store.Model, weights: Weights, **card: Any) -> None:
        self.directory, self.mean, self.labels = model.directory, model.mean, model.labels
        self.card = model.card.model_copy(update=card)
        self._weights = weights

    def tensors(self) -> Iterator[tuple[str, Floats]]:
        yield from self._weights.items()


@pytest.fixture(scope="module")
def weights(stand_in: store.Model) -> Weights:
    return dict(stand_in.tensors())


@pytest.fixture(scope="module")
def winograd(stand_in: store.Model, libraries: Path) -> WinogradNetwork:
    assert libraries.exists()
    return WinogradNetwork(stand_in)


@pytest.fixture(scope="module")
def clips(eye_makeup: Path, stand_in: store.Model) -> NDArray[np.uint8]:
    """Four clips of a real video."""
    return np.stack(list(islice(clips_of(eye_makeup, ReadOptions.of(stand_in.card)), 4)))


def like_the_stand_ins(name: str, kernel: NDArray[Any]) -> Floats:
    """Filters that add up to zero, with the stand-ins' gain: so each layer's outputs stay of the size of its inputs."""
    axes = tuple(range(kernel.ndim - 1))
    centred = kernel - kernel.mean(axes, keepdims=True)
    gain = standin.GAINS[name.partition("/")[0]] / np.sqrt(np.prod(kernel.shape[:-1]))
    return np.asarray(centred / centred.std() * gain, np.float32)


def heavy_tails(weights: Weights) -> Weights:
    """Student's t with three degrees of freedom: few weights are large."""
    random = np.random.default_rng(3)
    return {
        name: like_the_stand_ins(name, random.standard_t(3, tensor.shape)) if name.endswith("kernel") else tensor
        for name, tensor in weights.items()
    }


def smooth(weights: Weights) -> Weights:
    """Each filter of a convolution is a blur in time and space, times a number, and a tenth of noise."""
    random = np.random.default_rng(4)
    blur = np.array([0.5, 1, 0.5])
    blur3d = blur[:, None, None] * blur[:, None] * blur

    def made(name: str, tensor: Floats) -> Floats:
        if tensor.ndim != 5:
            return tensor
        noise = random.standard_normal(tensor.shape)
        kernel = random.standard_normal(tensor.shape[3:]) * blur3d[..., None, None] + noise / 10
        return like_the_stand_ins(name, kernel) / np.float32(2)  # neighbours agree, so sums grow

    return {name: made(name, tensor) for name, tensor in weights.items()}


def negative_biases(weights: Weights) -> Weights:
    """Most outputs of a layer are zero."""
    return {
        name: -2 * np.abs(tensor) if name.endswith("bias") and "fc8" not in name else tensor for name, tensor in weights.items()
    }


LAWS: dict[str, Callable[[Weights], Weights]] = {
    "stand-ins": lambda weights: weights,
    "heavy tails": heavy_tails,
    "smooth": smooth,
    "negative biases": negative_biases,
}


@pytest.mark.parametrize("law", LAWS)
def test_real_frames_have_the_numbers_of_float64(
    law: str, weights: Weights, stand_in: store.Model, clips: NDArray[np.uint8]
) -> None:
    made = LAWS[law](weights)
    found = WinogradNetwork(Changed(stand_in, made)).run(clips[:1])
    expected = direct.forward(clips[:1] - stand_in.cropped_mean().astype(np.float64), made)
    for name, values in (("fc6", found.fc6), ("fc7", found.fc7), ("fc8", found.probabilities)):
        assert values.dtype == np.float32
        assert np.linalg.norm(values - expected[name]) < 1e-5 * np.linalg.norm(expected[name]), name


def test_pool5_as_other_ports_pad_it(weights: Weights, stand_in: store.Model, clips: NDArray[np.uint8]) -> None:
    found = WinogradNetwork(Changed(stand_in, weights, pool5="symmetric")).run(clips[:1])
    expected = direct.forward(clips[:1] - stand_in.cropped_mean().astype(np.float64), weights, pool5="symmetric")
    assert np.linalg.norm(found.fc6 - expected["fc6"]) < 1e-5 * np.linalg.norm(expected["fc6"])


@pytest.mark.parametrize("threads", [1, 2, 3, 8, 16])
def test_a_clip_has_the_same_bits_in_any_batch_on_any_threads(
    threads: int, winograd: WinogradNetwork, stand_in: store.Model, clips: NDArray[np.uint8]
) -> None:
    expected = winograd.run(clips)
    network = WinogradNetwork(stand_in, threads=threads)
    for some in ([0, 1, 2, 3], [0], [3], [2, 1], [1, 1, 0], [0, 1, 2, 3]):
        for found, whole in zip(network.run(clips[some]), expected, strict=True):
            assert np.array_equal(found, whole[some]), some


def test_an_answer_is_not_overwritten_by_the_next(winograd: WinogradNetwork, clips: NDArray[np.uint8]) -> None:
    first = winograd.run(clips[:1])
    before = [each.copy() for each in first]
    winograd.run(clips[1:2])
    assert all(np.array_equal(one, other) for one, other in zip(first, before, strict=True))


def test_knows_its_answer_and_says_what_it_is(winograd: WinogradNetwork) -> None:
    shares: list[float] = []
    winograd.warm_up(shares.append)
    assert shares[-1] == 1
    answer = winograd.known_answer()
    assert answer is not None
    assert answer[0] == standin.KNOWN_ANSWER
    assert repr(winograd) == f"WinogradNetwork('stand-in', float32, winograd {CAN[0]} on cpu)"
    assert winograd.calibration_sha256 is None


@pytest.mark.parametrize("classes", [0, 7])
def test_any_number_of_classes_or_none(
    classes: int, weights: Weights, winograd: WinogradNetwork, stand_in: store.Model, clips: NDArray[np.uint8]
) -> None:
    made = {name: tensor for name, tensor in weights.items() if classes or "fc8" not in name}
    for name in ("fc8/kernel", "fc8/bias"):
        if classes:
            made[name] = np.ascontiguousarray(made[name][..., :classes])
    network = WinogradNetwork(Changed(stand_in, made, num_classes=classes))
    found = network.run(clips[:2])
    assert found.probabilities.shape == (2, classes)
    assert np.array_equal(found.fc7, winograd.run(clips[:2]).fc7)
    assert (network.known_answer() is None) == (classes == 0)


def test_weights_that_are_not_numbers_give_none(weights: Weights, stand_in: store.Model, clips: NDArray[np.uint8]) -> None:
    kernel = weights["conv3a/kernel"].copy()
    kernel[1, 1, 1, 5, 5] = np.nan
    found = WinogradNetwork(Changed(stand_in, weights | {"conv3a/kernel": kernel})).run(clips[:1])
    assert all(np.isnan(each).all() for each in found)


def test_a_mean_that_is_infinite_somewhere_gives_no_number(
    stand_in: store.Model, weights: Weights, clips: NDArray[np.uint8]
) -> None:
    model = Changed(stand_in, weights)
    model.mean = stand_in.mean.copy()
    model.mean[0, 8, 64, 85] = np.inf
    assert not np.isfinite(WinogradNetwork(model).run(clips[:1]).fc6).any()


def test_softmax_of_large_numbers() -> None:
    assert np.array_equal(softmax(np.array([[1000, 1000, 0]], np.float32)), np.array([[0.5, 0.5, 0]], np.float32))


@pytest.mark.parametrize("precision", ["bfloat16", "int8", "tf32", "float16"])
def test_refuses_every_other_precision(precision: str, stand_in: store.Model) -> None:
    with pytest.raises(PrecisionUnavailable, match=f"float32 only, not in {precision}. Use"):
        build(stand_in, "winograd", precision)


def test_damaged_weights_are_refused(stand_in: store.Model) -> None:
    class Damaged(store.Model):
        """Its last tensor is not what the card's hash says."""

        def tensors(self) -> Iterator[tuple[str, Floats]]:
            yield from super().tensors()
            raise StoreError("weights.npz holds other weights than its card names.")

    with pytest.raises(StoreError, match="other weights"):
        WinogradNetwork(Damaged(stand_in.directory))


def test_a_network_that_goes_gives_its_threads_back(libraries: Path) -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    before = threads()
    layers = Layers(libraries / f"{CAN[-1]}.so", 9, 1)
    assert threads() == before + 8
    del layers
    assert threads() == before


def test_no_other_engine_is_imported(stand_in: store.Model) -> None:
    program = (
        "import sys; from pathlib import Path; from model_store.store import Model; from service.inference.build import build; "
        "network = build(Model(Path(sys.argv[1])), 'winograd'); print(network.known_answer()[0]); "
        "print(*sorted({'tensorflow', 'keras', 'jax', 'torch', 'openvino'} & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, stand_in.directory], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [str(standin.KNOWN_ANSWER)]
