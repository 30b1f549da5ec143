"""Which engine the settings stand for. (The engines at work: test_keras_network.py, test_openvino_network.py, winograd/.)"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.inference.build import auto, build, engine_for, unavailable
from service.inference.winograd import library


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


def test_says_why_tensorflow_runs_where_winograd_is_not_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    no_model: Any = None
    monkeypatch.setattr(library, "find", partial(library.find, directory=tmp_path))
    monkeypatch.setitem(sys.modules, "service.inference.keras_network", None)  # which ends `build` when it has chosen
    with pytest.raises(ImportError, match="C3D_ENGINE=tensorflow cannot run here"):
        build(no_model, "auto", device="cpu")
    assert "TensorFlow runs the network, four to six times slower than winograd would" in caplog.text
