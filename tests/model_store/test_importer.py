"""A file becomes a model; its card says what it is, and a claim that is wrong changes nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store import c3d, importer, store
from model_store.card import NAME
from model_store.formats import mean
from model_store.importer import numbered_labels
from model_store.tensors import Float32, StoreError, identity
from tests.conftest import ROOT
from tests.support import layout_writers, store_fakes


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("C3D_Sport1M_weights_keras_2.2.4.h5", "c3d_sport1m_weights_keras_2.2.4"),
        ("model.weights.h5", "model"),
        ("conv3d_deepnetA_sport1m_iter_1900000", "conv3d_deepneta_sport1m_iter_1900000"),
        ("Mein Modell (neu).pth", "mein-modell-neu"),
        ("é.npz", "imported"),
        ("x" * 99, "x" * 64),
    ],
)
def test_default_name(file: str, name: str) -> None:
    assert importer.default_name(Path(file)) == name
    assert NAME.fullmatch(name)


@pytest.fixture(scope="module")
def weights() -> dict[str, Float32]:
    return {name: np.zeros(shape, np.float32) for name, shape in c3d.weight_shapes().items()}


def add(directory: Path, weights: dict[str, Float32], name: str) -> store.Model:
    file = directory / "w.npz"
    layout_writers.npz(weights, file)
    origin = importer.Origin(name, "w.npz", "mine", "c3d-ucf101-mean")

    def labels_for(classes: int) -> importer.Labels:
        return importer.Labels(numbered_labels(classes), "numbered")

    means = importer.Mean(store_fakes.cube(), "test")
    return importer.add(directory / "store", file, origin, lambda _: means, labels_for, print)


@pytest.mark.slow
def test_card(tmp_path: Path, weights: dict[str, Float32]) -> None:
    card = add(tmp_path, weights, "mine").card
    assert card.weights_sha256 == identity(weights)
    assert card.file_sha256 == hashlib.sha256((tmp_path / "w.npz").read_bytes()).hexdigest()
    assert card.mean_sha256 == mean.sha256(store_fakes.cube())
    assert (card.name, card.weights, card.num_classes, card.known_answer) == ("mine", "mine", 487, None)
    assert (card.form, card.source, card.licence) == ("npz", "w.npz", "mine")
    assert (card.preprocessing, card.crop_left, card.mean, card.labels) == ("c3d-ucf101-mean", 30, "test", "numbered")


@pytest.mark.slow
def test_a_claim_to_be_sports1m_says_which_answer_it_must_give(tmp_path: Path, weights: dict[str, Float32]) -> None:
    card = add(tmp_path, weights, "sports1m").card
    assert (card.weights, card.known_answer) == ("sports1m", 184)


@pytest.mark.slow
def test_other_number_of_classes_cannot_claim(tmp_path: Path, weights: dict[str, Float32]) -> None:
    fine_tuned = {**weights, "fc8/kernel": np.ones((4096, 3), np.float32), "fc8/bias": np.ones(3, np.float32)}
    with pytest.raises(StoreError, match="has 3 classes, Sports-1M 487: give it another --name"):
        add(tmp_path, fine_tuned, "sports1m")
    assert add(tmp_path, fine_tuned, "mine").card.known_answer is None


@pytest.mark.slow
def test_two_imports_at_once_do_not_mix(tmp_path: Path, weights: dict[str, Float32]) -> None:
    """Two processes write the same name from two files: what is there in the end is one of them, whole."""
    identities = set()
    for number in (1, 2):
        values = {name: np.full_like(tensor, number) for name, tensor in weights.items()}
        layout_writers.npz(values, tmp_path / f"{number}.npz")
        identities.add(identity(values))
    environment = {**os.environ, "C3D_MODEL_STORE": str(tmp_path / "store")}
    command = [sys.executable, "-m", "model_store", "import", "--mean", "101,108,107", "--labels", str(tmp_path / "labels")]
    (tmp_path / "labels").write_text("".join(f"{label}\n" for label in numbered_labels(c3d.NUM_CLASSES)))
    running = [
        subprocess.Popen([*command, "--name", "mine", str(tmp_path / f"{number}.npz")], cwd=ROOT, env=environment)
        for number in (1, 2)
    ]
    assert [process.wait() for process in running] == [0, 0]
    model = store.open_model(tmp_path / "store", "mine")
    assert identity(dict(model.tensors())) == model.card.weights_sha256
    assert model.card.weights_sha256 in identities
    assert [path.name for path in (tmp_path / "store").iterdir() if path.name != store.LOCK] == ["mine"]
