"""bench/gpu.py runs on a bare machine, in one call, and the other forms of the network that it tries are exact."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store import c3d
from tests.conftest import ROOT

pytestmark = pytest.mark.slow

# What the service needs and a machine with Keras and an engine need not have.
ABSENT = (
    "av",
    "cv2",
    "fastapi",
    "httpx2",
    "orjson",
    "prometheus_client",
    "pydantic",
    "pydantic_settings",
    "starlette",
    "uvicorn",
)


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for PYTHONPATH where those fail to be imported."""
    directory = tmp_path_factory.mktemp("bare")
    for name in ABSENT:
        (directory / f"{name}.py").write_text("raise ImportError('a bare machine has none')")
    return directory


def test_measures_an_engine_with_keras_alone(bare: Path, tmp_path: Path) -> None:
    options = ["--engines", "tensorflow", "--precisions", "float32,float16", "--sizes", "1,2", "--seconds", "0.01"]
    command = [sys.executable, "-m", "bench.gpu", *options, "--no-candidates", "--json", str(tmp_path / "found.json")]
    environment = os.environ | {"PYTHONPATH": str(bare), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in (tmp_path / "found.json").read_text().splitlines()]
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for finding in found:
        by_kind.setdefault(finding["kind"], []).append(finding)
    assert by_kind.keys() == {"error", "peak", "batch", "host", "memory", "group", "refused"}, done.stdout
    [error] = by_kind["error"]
    assert max(error["fc6"], error["probabilities"]) < 1e-4
    assert error["backend"].startswith("tensorflow")
    assert [each["size"] for each in by_kind["batch"]] == [2, 1]
    assert all(0 < each["share"] < 10 and each["resident"] > 0 for each in by_kind["batch"])
    assert all(min(each["run"], each["overlapped"], each["unique_frames"]) > 0 for each in by_kind["host"])
    assert [each["last"] for each in by_kind["group"]] == ["pool1", "pool2", "pool3", "pool4", "pool5", "fc8"]
    assert [each["precision"] for each in by_kind["refused"]] == ["float16"]
    assert "clips/s from the device" in done.stdout


def test_what_there_is_no_time_for_is_told(bare: Path) -> None:
    options = ["--engines", "tensorflow", "--precisions", "float32", "--sizes", "1", "--minutes", "0"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.gpu", *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(bare)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "batch 1: left out" in done.stdout
    assert "channels first: left out" in done.stdout


@pytest.mark.parametrize(
    "name", ["8 input channels", "bias and ReLU after the pool", "same pooling for pool5", "channels first", "all"]
)
def test_other_forms_are_exact(network: Any, stand_in: Any, name: str) -> None:
    import keras

    from bench.candidates import FORMS, build

    clips = np.random.default_rng(0).integers(0, 256, (2, *c3d.CLIP_SHAPE), np.uint8)
    mean = stand_in.mean[:, :, 8:120, 29:141].transpose(1, 2, 3, 0)
    found = build(FORMS[name], dict(stand_in.tensors()), mean, "float32")(clips)
    for ours, theirs in zip(network.run(clips)[1:], found, strict=True):
        other = keras.ops.convert_to_numpy(theirs)
        assert np.linalg.norm(ours - other) < 1e-4 * np.linalg.norm(ours)
