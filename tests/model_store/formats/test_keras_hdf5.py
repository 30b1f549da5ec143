"""What HDF5 files of Keras say about their axes, and what they leave open."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from model_store.formats import layouts
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import KERAS_1, as_keras, as_pytorch, as_theano, keras_hdf5, small_shapes

TENSORS = layout_writers.seeded(small_shapes())
THEANO = {"backend": "theano", "keras_version": "2.0.8"}


def check(path: Path, form: str) -> None:
    read = layouts.read(path, small_shapes)
    assert read.form == form
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


def with_channel_rows(pairs: layout_writers.Pairs) -> layout_writers.Pairs:
    return {layer: (layout_writers.channel_rows(k) if layer == "fc6" else k, b) for layer, (k, b) in pairs.items()}


def flipped(pairs: layout_writers.Pairs) -> layout_writers.Pairs:
    return {layer: (k[::-1, ::-1, ::-1] if k.ndim == 5 else k, b) for layer, (k, b) in pairs.items()}


def config(data_format: str, flatten: dict[str, str]) -> object:
    convolution = {"class_name": "Conv3D", "config": {"name": "conv1", "data_format": data_format}}
    return {"class_name": "Sequential", "config": {"layers": [convolution, {"class_name": "Flatten", "config": flatten}]}}


def test_filters_first_without_a_backend_is_theano(tmp_path: Path) -> None:
    keras_hdf5(as_theano(TENSORS), tmp_path / "w", KERAS_1)
    check(tmp_path / "w", "keras-1-hdf5, theano order")


def test_filters_first_on_tensorflow_is_not_mirrored(tmp_path: Path) -> None:
    pairs = {layer: (w.T if w.ndim == 2 else w, b) for layer, (w, b) in as_pytorch(TENSORS).items()}
    keras_hdf5(pairs, tmp_path / "w", KERAS_1, {"backend": "tensorflow"})
    check(tmp_path / "w", "keras-1-hdf5, theano order")


def test_keras_2_on_theano_mirrors_kernels_and_nothing_else(tmp_path: Path) -> None:
    keras_hdf5(flipped(as_keras(TENSORS)), tmp_path / "w", attributes=THEANO)
    check(tmp_path / "w", "keras-2-hdf5")


def test_whole_model_with_channels_first_has_channel_rows(tmp_path: Path) -> None:
    model = config("channels_first", {"name": "flatten"})
    keras_hdf5(with_channel_rows(as_keras(TENSORS)), tmp_path / "w", attributes=layout_writers.KERAS_2, config=model)
    check(tmp_path / "w", "keras-2-hdf5")


@pytest.mark.parametrize("model", [config("channels_last", {}), config("channels_first", {"data_format": "channels_first"})])
def test_flatten_that_puts_channels_last(model: object, tmp_path: Path) -> None:
    keras_hdf5(as_keras(TENSORS), tmp_path / "w", attributes=layout_writers.KERAS_2, config=model)
    check(tmp_path / "w", "keras-2-hdf5")


def test_layers_that_nobody_named_are_read_in_order(tmp_path: Path) -> None:
    names = [*(f"conv3d_{i}" for i in range(1, 9)), "dense_1", "dense_2", "dense_3"]
    pairs = dict(zip(names, as_keras(TENSORS).values(), strict=True))
    keras_hdf5(pairs, tmp_path / "w", attributes=layout_writers.KERAS_2)
    check(tmp_path / "w", "keras-2-hdf5")
    keras_hdf5({name.replace("conv", "convolution"): pair for name, pair in pairs.items()}, tmp_path / "w", KERAS_1)
    check(tmp_path / "w", "keras-1-hdf5")


def test_name_made_unique_by_tensorflow(tmp_path: Path) -> None:
    """The second model of a process: layer conv1, array conv1_1/kernel:0."""
    keras_hdf5(as_keras(TENSORS), tmp_path / "w", ("{}_1/kernel:0", "{}_1/bias:0"), layout_writers.KERAS_2)
    check(tmp_path / "w", "keras-2-hdf5")


def test_model_in_a_model(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "w", "w") as file:
        file.attrs["layer_names"] = [b"model_1"]
        file.attrs["keras_version"] = b"2.2.4"
        inner = file.create_group("model_1")
        inner.attrs["weight_names"] = [f"{name}:0".encode() for name in TENSORS]
        for name, tensor in TENSORS.items():
            inner[f"{name}:0"] = tensor
    check(tmp_path / "w", "keras-2-hdf5")


def test_unknown_layer_is_named(tmp_path: Path) -> None:
    pairs = {**as_keras(TENSORS), "batch_norm": as_keras(TENSORS)["fc8"]}
    keras_hdf5(pairs, tmp_path / "w")
    with pytest.raises(StoreError, match="batch_norm/batch_norm/kernel:0 is not a layer of C3D"):
        layouts.read(tmp_path / "w", small_shapes)


def test_missing_array_is_damage(tmp_path: Path) -> None:
    keras_hdf5(as_keras(TENSORS), tmp_path / "w")
    with h5py.File(tmp_path / "w", "a") as file:
        del file["conv2"]["conv2"]["bias:0"]
    with pytest.raises(StoreError, match="damaged"):
        layouts.read(tmp_path / "w", small_shapes)


@pytest.mark.parametrize("kind", ["external link", "external storage", "virtual"])
def test_numbers_in_another_file_are_not_read(kind: str, tmp_path: Path) -> None:
    keras_hdf5(as_keras(TENSORS), tmp_path / "w")
    keras_hdf5(as_keras(TENSORS), tmp_path / "other")
    with h5py.File(tmp_path / "w", "a") as file:
        group = file["conv1"]
        path = group.attrs["weight_names"][1]
        shape = group[path].shape
        del group[path]
        if kind == "external link":
            group[path] = h5py.ExternalLink(tmp_path / "other", f"conv1/{path if isinstance(path, str) else path.decode()}")
        elif kind == "external storage":
            group.create_dataset(path, shape, np.float32, external=[(tmp_path / "other", 0, 4 * shape[0])])
        else:
            layout = h5py.VirtualLayout(shape, np.float32)
            layout[:] = h5py.VirtualSource(tmp_path / "other", "elsewhere", shape)
            group.create_virtual_dataset(path, layout)
    with pytest.raises(StoreError, match=r"lies in another file|is a link to another place"):
        layouts.read(tmp_path / "w", small_shapes)
