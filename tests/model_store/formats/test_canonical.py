"""What is wrong with a file's arrays is said with the layer's name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store.formats.canonical import KERAS, Entry, Found, tensors
from model_store.tensors import StoreError
from tests.support import layout_writers

Arrays = dict[str, NDArray[Any]]


def read(arrays: Arrays) -> Arrays:
    entries = {name: Entry(array.shape, array.dtype, partial(np.asarray, array)) for name, array in arrays.items()}
    return dict(tensors(Found("test", entries, KERAS), layout_writers.small_shapes))


@pytest.fixture
def arrays() -> Arrays:
    return dict(layout_writers.seeded(layout_writers.small_shapes()))


def test_order_is_canonical_whatever_the_files(arrays: Arrays) -> None:
    assert list(read(dict(reversed(arrays.items())))) == list(arrays)


@pytest.mark.parametrize("classes", [0, 1, 5, 9])
def test_any_number_of_classes(classes: int) -> None:
    arrays = dict(layout_writers.seeded(layout_writers.small_shapes(classes)))
    assert list(read(arrays)) == list(arrays)


def _without(name: str) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {other: array for other, array in arrays.items() if other != name}


def _with(name: str, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Callable[[Arrays], Arrays]:
    return lambda arrays: {**arrays, name: change(arrays.get(name, np.zeros(3, np.float32)))}


def _poisoned(value: float) -> Callable[[NDArray[Any]], NDArray[Any]]:
    def change(array: NDArray[Any]) -> NDArray[Any]:
        array = array.copy()
        array.flat[-1] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_without("conv3b/kernel"), r"^conv3b/kernel missing"),
        (_without("fc7/bias"), r"^fc7/bias missing"),
        (_without("fc8/bias"), r"^fc8/bias missing"),
        (_without("fc8/kernel"), r"^fc8/kernel missing"),
        (_with("conv9/kernel", lambda a: a), r"^conv9/kernel is not a layer of C3D"),
        (_with("conv1/gamma", lambda a: a), r"^conv1/gamma is not a layer of C3D"),
        (_with("conv1a/bias", lambda a: a), r"^conv1a/bias and conv1/bias are both conv1/bias"),
        (_with("conv4a/kernel", lambda a: a[:, :2]), r"^conv4a/kernel has the shape \(3, 2, 3, 5, 6\), not \(3, 3, 3, 5, 6\)"),
        (_with("fc7/kernel", lambda a: a[:, :-1]), r"^fc7/kernel has the shape \(9, 8\), not \(9, 9\)"),
        (_with("fc8/bias", lambda a: a[:-1]), r"^fc8/kernel has the shape \(9, 5\), not \(9, 4\)"),
        (_with("fc6/bias", lambda a: a.astype(np.uint8)), r"^fc6/bias is uint8: weights are float32"),
        (_with("conv1/kernel", lambda a: a.astype(np.int32)), r"^conv1/kernel is int32: weights are float32"),
        (_with("conv5a/kernel", _poisoned(np.nan)), r"^conv5a/kernel holds values that are not finite"),
        (_with("conv5a/bias", _poisoned(np.inf)), r"^conv5a/bias holds values that are not finite"),
    ],
)
def test_what_is_wrong_is_named(change: Callable[[Arrays], Arrays], said: str, arrays: Arrays) -> None:
    with pytest.raises(StoreError, match=said):
        read(change(arrays))


def test_other_byte_order_is_the_same_number(arrays: Arrays) -> None:
    swapped = {name: array.astype(">f4") for name, array in arrays.items()}
    for name, tensor in read(swapped).items():
        assert tensor.dtype.isnative
        np.testing.assert_array_equal(tensor, arrays[name])
