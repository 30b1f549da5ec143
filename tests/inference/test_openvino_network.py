"""The OpenVINO engine's own promises. (Against the reference, beside the other engines: test_network.py.)"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d, standin, store
from model_store.tensors import Float32

if TYPE_CHECKING:
    from service.inference.openvino_network import OpenvinoNetwork

# Looked for and not imported: it brings logging handlers of its own, and seconds, to tests that have no use for them.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="openvino is not installed"),
]


@pytest.fixture(scope="module")
def openvino_network(stand_in: store.Model) -> OpenvinoNetwork:
    from service.inference.openvino_network import OpenvinoNetwork

    return OpenvinoNetwork(stand_in)


@pytest.fixture(scope="module")
def clips() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (4, *c3d.CLIP_SHAPE), np.uint8)


class WithoutClasses(store.Model):
    """The model as it would be without fc8."""

    def __init__(self, model: store.Model) -> None:
        self.directory, self.mean, self.labels = model.directory, model.mean, ()
        self.card = model.card.model_copy(update={"num_classes": 0})
        self._whole = model

    def tensors(self) -> Iterator[tuple[str, Float32]]:
        yield from (each for each in self._whole.tensors() if not each[0].startswith("fc8"))


def test_has_the_papers_layers_and_parameters(stand_in: store.Model) -> None:
    from service.inference.openvino_network import graph

    nodes = graph(stand_in).get_ordered_ops()
    constants = [node for node in nodes if node.get_type_name() == "Constant" and node.get_element_type().to_string() == "f32"]
    assert sum(int(np.prod(node.shape)) for node in constants) == c3d.NUM_PARAMETERS
    kinds = [node.get_type_name() for node in nodes]
    assert [kinds.count(kind) for kind in ("Convolution", "MaxPool", "MatMul", "Relu")] == [8, 5, 3, 10]


def test_batch_mates_do_not_matter(openvino_network: OpenvinoNetwork, clips: NDArray[np.uint8]) -> None:
    alone = openvino_network.run(clips[:1])
    for size in openvino_network.batch_sizes:
        for one, many in zip(alone, openvino_network.run(clips[:size]), strict=True):
            assert many.dtype == np.float32
            assert len(many) == size
            assert np.linalg.norm(many[0] - one[0]) <= 1e-5 * np.linalg.norm(one[0])


def test_an_answer_is_not_overwritten_by_the_next(openvino_network: OpenvinoNetwork, clips: NDArray[np.uint8]) -> None:
    first = openvino_network.run(clips[:1])
    before = [each.copy() for each in first]
    openvino_network.run(clips[1:2])
    assert all(np.array_equal(one, other) for one, other in zip(first, before, strict=True))


def test_warms_up_and_knows_its_answer(openvino_network: OpenvinoNetwork) -> None:
    shares: list[float] = []
    openvino_network.warm_up(shares.append)
    assert shares[-1] == 1
    answer = openvino_network.known_answer()
    assert answer is not None
    assert answer[0] == standin.KNOWN_ANSWER
    assert openvino_network.calibration_sha256 is None
    assert repr(openvino_network).startswith("OpenvinoNetwork('stand-in', float32, openvino 20")


def test_without_a_class_layer(openvino_network: OpenvinoNetwork, stand_in: store.Model, clips: NDArray[np.uint8]) -> None:
    from service.inference.openvino_network import OpenvinoNetwork

    network = OpenvinoNetwork(WithoutClasses(stand_in))
    outputs = network.run(clips[:2])
    assert outputs.probabilities.shape == (2, 0)
    assert np.allclose(outputs.fc7, openvino_network.run(clips[:2]).fc7, rtol=1e-5)
    assert network.known_answer() is None
