"""Keras 3's .weights.h5."""

from __future__ import annotations

import importlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from model_store.formats import layouts
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import as_keras, keras_3_weights, small_shapes

TENSORS = layout_writers.seeded(small_shapes())


@pytest.mark.parametrize("named", [True, False])
def test_ten_and_more_layers_stay_in_order(named: bool, tmp_path: Path) -> None:  # noqa: FBT001
    keras_3_weights(as_keras(TENSORS), tmp_path / "w", named=named)
    read = layouts.read(tmp_path / "w", small_shapes)
    assert read.form == "keras-3-weights-h5"
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


def test_unknown_layers_are_named(tmp_path: Path) -> None:
    pairs = {**as_keras(TENSORS), "head": as_keras(TENSORS)["fc8"]}
    keras_3_weights(pairs, tmp_path / "w")
    with pytest.raises(StoreError, match="head/kernel is not a layer"):
        layouts.read(tmp_path / "w", small_shapes)
    keras_3_weights(pairs, tmp_path / "w", named=False)
    with pytest.raises(StoreError, match="layers/conv3d/kernel is not a layer"):
        layouts.read(tmp_path / "w", small_shapes)


def test_third_array_of_a_layer_is_named(tmp_path: Path) -> None:
    keras_3_weights(as_keras(TENSORS), tmp_path / "w")
    with h5py.File(tmp_path / "w", "a") as file:
        file["layers/conv3d/vars/2"] = np.zeros(2, np.float32)
    with pytest.raises(StoreError, match="conv1/2 is not a layer"):
        layouts.read(tmp_path / "w", small_shapes)


def test_hdf5_of_something_else(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w", "w") as file:
        file["numbers"] = np.arange(5)
    with pytest.raises(StoreError, match="is not in a format"):
        layouts.read(tmp_path / "w", small_shapes)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Keras's own making
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("file", ["w.weights.h5", "w.h5"])
def test_what_keras_itself_writes(named: bool, file: str, tmp_path: Path) -> None:  # noqa: FBT001
    importlib.import_module("service.inference.keras_network")  # sets the engine up, before Keras is imported
    import keras

    model = keras.Sequential([keras.Input((1, 4, 4, 3))])  # small enough to do without the pooling
    for name, (kernel, bias) in as_keras(TENSORS).items():
        if name == "fc6":
            model.add(keras.layers.Flatten())
        known = {"name": name} if named else {}
        filters = kernel.shape[-1]
        layer = (
            keras.layers.Conv3D(filters, 3, padding="same", **known) if kernel.ndim == 5 else keras.layers.Dense(filters, **known)
        )
        model.add(layer)
        layer.set_weights([kernel, bias])
    model.compile("adam", "mse")
    (model.save_weights if "weights" in file else model.save)(tmp_path / file)
    read = layouts.read(tmp_path / file, small_shapes)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)
