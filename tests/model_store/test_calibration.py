"""Where a calibration lies, what it is known by, and when it is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store import calibration, store
from model_store.c3d import ClipOutputs
from model_store.calibration import Calibration, Drift
from model_store.tensors import StoreError
from tests.support import store_fakes

DRIFT = Drift(num_clips=3, relative_l2_median=0.02, relative_l2_max=0.05, cosine_min=0.999, top1_agreement=1)


def save(path: Path) -> None:
    path.write_text("<net/>")
    path.with_suffix(".bin").write_bytes(b"weights")


def calibrated(model: store.Model, drift: Drift = DRIFT) -> Calibration:
    """A calibration in the store, of a graph that is none."""

    def describe(identity: str) -> Calibration:
        return Calibration(
            sha256=identity,
            model=calibration.numbers_of(model.card),
            videos_sha256=("0" * 64,),
            num_clips=4,
            drift=drift,
            max_drift=0.1,
            made_by="a test",
            created="2026-01-01",
        )

    return calibration.write(model, save, describe)


def test_is_read_back(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    written = calibrated(model)
    path, read = calibration.read(model)
    assert (path.read_text(), read) == ("<net/>", written)
    assert store.names(tmp_path) == ["mine"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_a_new_one_takes_the_place_of_the_old(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    calibrated(model)
    (model.directory / calibration.PLACE / "left").touch()
    assert calibrated(model) == calibration.read(model)[1]
    assert not (model.directory / calibration.PLACE / "left").exists()


def test_one_that_fails_leaves_the_old(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    calibrated(model)

    def full(path: Path) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        calibration.write(model, full, lambda identity: pytest.fail("never asked"))
    assert calibration.read(model)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_its_identity_is_that_of_the_graph_and_the_model(tmp_path: Path) -> None:
    model = store_fakes.model(tmp_path, "mine")
    calibrated(model)
    directory = model.directory / calibration.PLACE
    first = calibration.identity(model, directory)
    others = [store_fakes.model(tmp_path, f"other{i}", **change) for i, change in enumerate(CHANGES)]
    assert len({first, *(calibration.identity(other, directory) for other in others)}) == 1 + len(CHANGES)
    (directory / calibration.WEIGHTS).write_bytes(b"Weights")
    assert calibration.identity(model, directory) != first


CHANGES: tuple[dict[str, Any], ...] = ({"weights_sha256": "1" * 64}, {"crop_left": 30}, {"pool5": "symmetric"})


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_one_of_another_model_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    calibrated(store_fakes.model(tmp_path, "mine"))
    other = store_fakes.model(tmp_path, "other", **change)
    shutil.copytree(tmp_path / "mine" / calibration.PLACE, other.directory / calibration.PLACE)
    with pytest.raises(StoreError, match="belongs to other weights"):
        calibration.read(other)


def test_none_is_said_with_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"not calibrated for int8.*calibrate.*VIDEO`"):
        calibration.read(store_fakes.model(tmp_path, "mine"))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (calibration.WEIGHTS, "other", "is not the one that its card names"),
        (calibration.GRAPH, "", "is not the one that its card names"),
        (calibration.CARD, "{", "cannot be read"),
        (calibration.CARD, "{}", "cannot be read"),
    ],
)
def test_a_damaged_one_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    model = store_fakes.model(tmp_path, "mine")
    calibrated(model)
    (model.directory / calibration.PLACE / name).write_text(content)
    with pytest.raises(StoreError, match=said):
        calibration.read(model)


@pytest.mark.parametrize("largest", [0.2, float("nan")])
def test_one_that_drifts_too_far_is_refused(largest: float) -> None:
    with pytest.raises(StoreError, match=r"The bound on the largest is 0\.1\. .* raise the bound with --max-drift"):
        calibration.check_drift(DRIFT.model_copy(update={"relative_l2_max": largest}), 0.1)


def test_drift() -> None:
    fc6 = np.array([[3, 4], [0, 10]], np.float32)
    expected = ClipOutputs(fc6, fc6, fc6, np.array([[0.1, 0.9], [0.8, 0.2]], np.float32))
    found = ClipOutputs(fc6, np.array([[3, 4], [6, 10]], np.float32), fc6, np.array([[0.6, 0.4], [0.9, 0.1]], np.float32))
    drift = calibration.drift(found, expected)
    assert (drift.num_clips, drift.relative_l2_median, drift.relative_l2_max) == (2, 0.3, 0.6)
    assert np.isclose(drift.cosine_min, 100 / (10 * np.sqrt(136)))
    assert drift.top1_agreement == 0.5
    assert "50.0%" in str(drift)


def test_drift_without_classes() -> None:
    ones = np.ones((2, 3), np.float32)
    outputs = ClipOutputs(ones, ones, ones, np.zeros((2, 0), np.float32))
    drift = calibration.drift(outputs, outputs)
    assert (drift.relative_l2_max, drift.top1_agreement) == (0, None)
    assert "no classes" in str(drift)
