"""Lasagne's list of parameters, dicts of arrays, alone and in an .npy: written by pickle and NumPy themselves."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.formats import layouts
from model_store.formats.canonical import Kernels
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import as_keras, as_pytorch, as_theano, small_shapes

TENSORS = layout_writers.seeded(small_shapes())


def check(path: Path, kernels: Kernels | None = None) -> None:
    read = layouts.read(path, small_shapes, layouts.Asked(kernels))
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize(("as_tool", "kernels"), [(as_theano, "mirrored"), (as_pytorch, "plain")])
def test_lasagnes_list(protocol: int, as_tool: Any, kernels: Kernels, tmp_path: Path) -> None:
    parameters = [array for pair in as_tool(TENSORS).values() for array in pair]
    (tmp_path / "w").write_bytes(pickle.dumps(parameters, protocol))
    check(tmp_path / "w", kernels)
    with pytest.raises(StoreError, match="--kernels mirrored or --kernels plain"):
        layouts.read(tmp_path / "w", small_shapes)


@pytest.mark.parametrize("keys", [("weights", "biases"), ("W", "b"), (0, 1)])
def test_dict_of_layers(keys: tuple[Any, Any], tmp_path: Path) -> None:
    content = {layer: dict(zip(keys, pair, strict=True)) for layer, pair in as_keras(TENSORS).items()}
    (tmp_path / "w").write_bytes(pickle.dumps(content))
    check(tmp_path / "w")


def test_dict_in_an_npy(tmp_path: Path) -> None:
    content: Any = {layer: list(pair) for layer, pair in as_keras(TENSORS).items()}
    with (tmp_path / "w").open("wb") as file:
        np.save(file, content)
    check(tmp_path / "w")
    assert layouts.read(tmp_path / "w", small_shapes).form == "npy"


def test_one_array_is_no_weights(tmp_path: Path) -> None:
    with (tmp_path / "w").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(StoreError, match="is not in a format"):
        layouts.read(tmp_path / "w")
