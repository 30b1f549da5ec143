"""Which engine the settings stand for. (The engines at work: test_keras_network.py, test_openvino_network.py, winograd/.)"""

from __future__ import annotations

import pytest

from service.inference.build import auto, engine_for, unavailable


@pytest.mark.parametrize(
    ("precision", "device", "gpu", "winograd", "expected"),
    [
        ("float32", "auto", False, True, "winograd"),
        ("float32", "auto", True, True, "tensorflow"),
        ("float32", "auto", False, False, "tensorflow"),  # no compiler, or an older CPU
        ("float32", "cpu", True, True, "winograd"),
        ("float32", "cpu", True, False, "tensorflow"),
        ("float32", "gpu", False, True, "tensorflow"),  # which says that there is no GPU
        ("bfloat16", "auto", False, True, "tensorflow"),
        ("int8", "auto", False, True, "tensorflow"),  # which is refused with a sentence
    ],
)
def test_auto(precision: str, device: str, *, gpu: bool, winograd: bool, expected: str) -> None:
    assert auto(precision, device, gpu=gpu, winograd=winograd) == expected


@pytest.mark.parametrize("engine", ["tensorflow", "jax", "torch", "openvino", "winograd"])
def test_an_engine_that_is_named_is_the_one(engine: str) -> None:
    assert engine_for(engine, "float32", "auto") == engine


def test_what_is_not_installed_is_named() -> None:
    assert unavailable("nonesuch") == "nonesuch is not installed here"
