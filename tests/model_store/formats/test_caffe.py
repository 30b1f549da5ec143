"""The authors' Caffe files, through protobuf, against bytes laid by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from model_store.formats import caffe, layouts
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import blob, field, small_shapes

TENSORS = layout_writers.seeded(small_shapes())


@pytest.mark.parametrize("packed", [True, False])
def test_floats_packed_or_not(packed: bool, tmp_path: Path) -> None:  # noqa: FBT001
    layout_writers.caffe(TENSORS, tmp_path / "w", packed=packed)
    read = layouts.read(tmp_path / "w", small_shapes)
    assert read.form == "caffe"
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


def test_fields_that_do_not_matter_are_passed_over(tmp_path: Path) -> None:
    layout_writers.caffe(TENSORS, tmp_path / "w")
    more = field(3, b"data") + field(4, 1) + field(5, 1) + b"\x3d1234" + b"\x4112345678"
    (tmp_path / "w").write_bytes(more + (tmp_path / "w").read_bytes())
    assert layouts.read(tmp_path / "w", small_shapes).form == "caffe"


def test_layer_that_does_not_belong_is_named(tmp_path: Path) -> None:
    layout_writers.caffe(TENSORS, tmp_path / "w")
    extra = field(2, field(4, b"fc9-1") + field(6, blob(np.zeros((2, 3), np.float32))))
    (tmp_path / "w").write_bytes((tmp_path / "w").read_bytes() + extra)
    with pytest.raises(StoreError, match="fc9-1/kernel is not a layer of C3D"):
        layouts.read(tmp_path / "w", small_shapes)


def test_numbers_that_do_not_fill_the_axes(tmp_path: Path) -> None:
    short = b"".join(field(number, size) for number, size in enumerate((2, 3, 3, 3, 3), start=1)) + field(6, b"\0" * 40)
    (tmp_path / "w").write_bytes(field(2, field(4, b"conv1a") + field(6, short)))
    with pytest.raises(StoreError, match=r"conv1a/kernel says \(2, 3, 3, 3, 3\) and holds 10 numbers"):
        layouts.read(tmp_path / "w", lambda _: {"conv1/kernel": (3, 3, 3, 3, 2)})


def test_layer_that_is_no_message(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(field(2, b"\x32\xff\xff\xff\x0f"))
    with pytest.raises(StoreError, match="Caffe layer at byte 2 is damaged"):
        layouts.read(tmp_path / "w", small_shapes)


@pytest.mark.parametrize("packed", [True, False])
def test_mean(packed: bool) -> None:  # noqa: FBT001
    cube = np.random.default_rng(1).uniform(0, 255, (1, 3, 4, 5, 6)).astype(np.float32)
    read = caffe.mean(blob(cube, packed=packed) + field(7, b""))
    assert read is not None
    np.testing.assert_array_equal(read, cube)


@pytest.mark.parametrize("content", [b"", b"\x08\x01", b"hello", bytes(range(256))])
def test_no_mean(content: bytes) -> None:
    assert caffe.mean(content) is None
