"""Hashes and checks of tensors."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from model_store import tensors
from model_store.tensors import StoreError
from tests.support.store_fakes import cube


def test_hash_is_what_the_docstring_says() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    by_hand = hashlib.sha256(b'["a", "float32", [2, 3]]' + array.tobytes()).hexdigest()
    assert tensors.tensor_sha256({"a": array}) == tensors.tensor_sha256({"a": np.asfortranarray(array)}) == by_hand


@pytest.mark.parametrize(
    "other", [{"b": np.zeros(2, np.float32)}, {"a": np.zeros(2, np.int32)}, {"a": np.zeros((2, 1), np.float32)}]
)
def test_hash_knows_name_dtype_and_shape(other: dict[str, tensors.Float32]) -> None:
    assert tensors.tensor_sha256(other) != tensors.tensor_sha256({"a": np.zeros(2, np.float32)})


def test_finite_numbers_whose_sum_is_not() -> None:
    big = np.array([3e38, 3e38, -3e38], np.float32)
    tensors.check_tensor("t", big, (3,))
    for bad in (np.nan, np.inf, -np.inf):
        with pytest.raises(StoreError, match="t holds values that are not finite"):
            tensors.check_tensor("t", np.array([1, bad, np.inf], np.float32), (3,))


@pytest.mark.parametrize("change", [lambda c: c - 101, lambda c: c + 200, lambda c: c[:, :, :, :-1], lambda c: c.astype("f8")])
def test_mean_that_is_none(change: object) -> None:
    assert callable(change)
    tensors.check_mean(cube())
    with pytest.raises(StoreError):
        tensors.check_mean(change(cube()))


def test_labels_for_each_class() -> None:
    tensors.check_labels(("a", "b"), 2)
    with pytest.raises(StoreError, match="number of labels is 2, the number of classes 3"):
        tensors.check_labels(("a", "b"), 3)
