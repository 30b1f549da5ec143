"""Plain NumPy archives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store.formats import layouts
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import as_pytorch, as_theano, small_shapes

TENSORS = layout_writers.seeded(small_shapes())


def write(path: Path, pairs: layout_writers.Pairs, names: tuple[str, str]) -> None:
    arrays = {name.format(layer): array for layer, pair in pairs.items() for name, array in zip(names, pair, strict=True)}
    with path.open("wb") as file:
        np.savez(file, allow_pickle=True, **arrays)


@pytest.mark.parametrize(
    "names", [("{}/kernel", "{}/bias"), ("{}_W", "{}_b"), ("{}.weight", "{}.bias"), ("{0}/{0}/kernel:0", "{0}/{0}/bias:0")]
)
def test_keras_axes_under_any_name(names: tuple[str, str], tmp_path: Path) -> None:
    write(tmp_path / "w", layout_writers.as_keras(TENSORS), names)
    read = layouts.read(tmp_path / "w", small_shapes)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


def test_filters_first_under_pytorch_names(tmp_path: Path) -> None:
    write(tmp_path / "w", as_pytorch(TENSORS), ("module.{}.weight", "module.{}.bias"))
    np.testing.assert_array_equal(layouts.read(tmp_path / "w", small_shapes).tensors["fc6/kernel"], TENSORS["fc6/kernel"])


def test_filters_first_under_keras_names_could_be_mirrored(tmp_path: Path) -> None:
    write(tmp_path / "w", as_theano(TENSORS), ("{}_W", "{}_b"))
    with pytest.raises(StoreError, match=r"nothing in it says whether they are mirrored.* --kernels mirrored or --kernels plain"):
        layouts.read(tmp_path / "w", small_shapes)
    mirrored = layouts.read(tmp_path / "w", small_shapes, layouts.Asked("mirrored")).tensors
    plain = layouts.read(tmp_path / "w", small_shapes, layouts.Asked("plain")).tensors
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(mirrored[name], tensor, err_msg=name)
    np.testing.assert_array_equal(plain["conv1/kernel"], TENSORS["conv1/kernel"][::-1, ::-1, ::-1])


def test_objects_are_refused(tmp_path: Path) -> None:
    pairs = {**layout_writers.as_keras(TENSORS), "fc7": (np.array([{}, 1], object), TENSORS["fc7/bias"])}
    write(tmp_path / "w", pairs, ("{}/kernel", "{}/bias"))
    with pytest.raises(StoreError, match="fc7/kernel is object: weights are"):
        layouts.read(tmp_path / "w", small_shapes)
