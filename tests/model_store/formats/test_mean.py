"""Means in all their forms become one cube."""

from __future__ import annotations

import bz2
import io
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model_store import c3d
from model_store.formats import mean
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.store_fakes import cube

CUBE = cube()


def npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


NPY_BZ2 = bz2.compress(npy(CUBE), 1)


@pytest.mark.parametrize(
    "content",
    [
        layout_writers.blob(CUBE[np.newaxis]) + layout_writers.field(7, b""),
        layout_writers.blob(CUBE),
        npy(CUBE),
        npy(CUBE.transpose(1, 2, 3, 0)),
        npy(CUBE.transpose(1, 2, 3, 0).astype(np.float64)),
        npy(np.asfortranarray(CUBE[np.newaxis])),
        NPY_BZ2,
    ],
    ids=["binaryproto", "binaryproto of four axes", "npy", "npy channels last", "npy float64", "npy fortran", "npy.bz2"],
)
def test_forms_give_the_same_bits(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "mean.txt").write_bytes(content)
    made = mean.read(tmp_path / "mean.txt")
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    np.testing.assert_array_equal(made, CUBE)


@pytest.mark.parametrize("axes", list(permutations(range(4))))
def test_any_order_of_axes(axes: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(mean.cube(CUBE.transpose(axes)), CUBE)


@pytest.mark.parametrize("text", ["101.5,108,107.25", "101.5 108 107.25\n", "[101.5; 108; 107.25]"])
def test_three_numbers(text: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_text(text)
    for made in (mean.read(tmp_path / "m"), mean.three_numbers(text)):
        assert made is not None
        assert made.shape == c3d.MEAN_SHAPE
        np.testing.assert_array_equal(made.min(axis=(1, 2, 3)), [101.5, 108, 107.25])
        np.testing.assert_array_equal(made.max(axis=(1, 2, 3)), [101.5, 108, 107.25])


@pytest.mark.parametrize("text", ["mean.npy", "1,2", "1,2,3,4", "a,b,c", ""])
def test_no_three_numbers(text: str) -> None:
    assert mean.three_numbers(text) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no mean that can be read: it must be a Caffe binaryproto"),
        (b"<html><title>404</title>", r'a web page \("404"\)'),
        (npy(CUBE)[:-100], "damaged"),
        (NPY_BZ2[:-100], "damaged"),
        (b"BZh9 and nothing", "damaged"),
        (npy(np.array([{}])), "damaged"),
        (npy(np.array(["a"])), "is <U1, not numbers"),
        (npy(CUBE[:, :, 8:120]), r"axes \(3, 16, 112, 171\); it needs \(3, 16, 128, 171\)"),
        (npy(CUBE / 255 - 0.5), "no grey levels"),
        (npy(np.full(c3d.MEAN_SHAPE, np.nan)), "not finite"),
        (b"300, 1, 2", "no grey levels"),
        (layout_writers.blob(np.zeros((2, 2), np.float32)), "axes"),
    ],
)
def test_what_is_no_mean(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(StoreError, match=said):
        mean.read(tmp_path / "m")


@pytest.mark.parametrize("axes", [(0, 1, 2, 3), (1, 2, 3, 0)])
def test_a_mean_behind_the_crop(axes: tuple[int, ...], tmp_path: Path) -> None:
    crop = CUBE[:, :, 8:120, 29:141]
    (tmp_path / "m").write_bytes(npy(crop.transpose(axes)))
    np.testing.assert_array_equal(mean.read(tmp_path / "m"), crop)
    np.testing.assert_array_equal(mean.read(tmp_path / "m", "RGB"), crop[::-1])
    np.testing.assert_array_equal(mean.cropped(CUBE), crop)


def test_three_numbers_in_a_file_are_in_the_networks_order(tmp_path: Path) -> None:
    for content in (npy(np.array([101.0, 102.0, 103.0])), b"101, 102, 103"):
        (tmp_path / "m").write_bytes(content)
        assert mean.read(tmp_path / "m", "RGB")[:, 0, 0, 0].tolist() == [103, 102, 101]


def test_identity() -> None:
    assert mean.identify(CUBE) is None
    assert mean.sha256(CUBE) == mean.sha256(CUBE.copy()) != mean.sha256(CUBE + 1)
