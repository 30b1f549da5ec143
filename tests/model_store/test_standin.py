"""The stand-in weights are the same numbers for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from model_store import standin, store, tensors
from model_store.formats import mean


def test_mean_is_the_same_for_ever() -> None:
    assert mean.sha256(standin.mean()) == "3dcc3d14cbfa2cf682a4b04739bffd0b7427c5e01ea6de9ea05e8a9cce5fa231"


@pytest.mark.slow
def test_weights_are_the_same_for_ever(stand_in: store.Model) -> None:
    assert stand_in.card.weights_sha256 == standin.IDENTITY
    assert standin.present(stand_in.directory.parent) is not None
    assert tensors.tensor_sha256(dict(stand_in.tensors())) == stand_in.card.weights_sha256
    assert (stand_in.card.known_answer, stand_in.labels[396]) == (396, "class 396")
    assert standin.WARNING.count("\n") > 3


def test_nothing_is_present_in_an_empty_store_or_a_damaged_one(tmp_path: Path) -> None:
    assert standin.present(tmp_path) is None
    (tmp_path / "stand-in").mkdir()
    (tmp_path / "stand-in" / "card.json").write_text("{}")
    assert standin.present(tmp_path) is None
