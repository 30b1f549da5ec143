"""One video's answer, for comparing two installations."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from model_store.importer import numbered_labels
from model_store.tensors import StoreError
from service.answers.pooling import l2_normalize
from service.commands import fingerprint
from tests.support.fakes import FakeNetwork

LABELS = numbered_labels(487)


def said(network: FakeNetwork, video: Path) -> list[str]:
    lines: list[str] = []
    fingerprint.report(network, LABELS, video, lines.append)
    return lines


def test_report(clip_mp4: Path) -> None:
    lines = said(FakeNetwork(), clip_mp4)
    assert lines[0] == f"{clip_mp4.name}: 4 clips"
    assert all(re.fullmatch(r"  [01]\.\d{4} +\d+  class \d+", line) for line in lines[1:6])
    assert len(re.findall(r"[+-]0\.\d{5}", lines[6])) == fingerprint.PROJECTIONS
    assert said(FakeNetwork(), clip_mp4) == lines


def test_without_a_class_layer(clip_mp4: Path) -> None:
    lines = said(FakeNetwork(num_classes=0), clip_mp4)
    assert lines[1].startswith("Descriptor: ")


def test_another_crop_shows(clip_mp4: Path) -> None:
    other = FakeNetwork(preprocessing="c3d-ucf101-mean", crop_left=30)
    assert said(other, clip_mp4)[6] != said(FakeNetwork(), clip_mp4)[6]


def test_no_video(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"text")
    with pytest.raises(StoreError, match=r"v.mp4 cannot be classified: "):
        said(FakeNetwork(), tmp_path / "v.mp4")
    with pytest.raises(StoreError, match=r"w.mp4 cannot be classified: "):
        said(FakeNetwork(), tmp_path / "w.mp4")


def test_near_descriptors_have_near_projections() -> None:
    random = np.random.default_rng(2)
    one = l2_normalize(np.maximum(random.standard_normal(4096), 0).astype(np.float32))
    noise = l2_normalize(random.standard_normal(4096).astype(np.float32))
    near = one + fingerprint.TOLERANCE * noise
    assert np.abs(fingerprint.projections(one) - fingerprint.projections(near)).max() <= fingerprint.TOLERANCE
    assert np.abs(fingerprint.projections(one) - fingerprint.projections(np.roll(one, 1))).max() > 20 * fingerprint.TOLERANCE
