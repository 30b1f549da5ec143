"""safetensors, as its own library writes it, and as nobody should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.formats import layouts
from model_store.tensors import StoreError
from tests.support import layout_writers, torch_writer
from tests.support.layout_writers import as_pytorch, small_shapes

TENSORS = layout_writers.seeded(small_shapes())
STATE = torch_writer.davidea(as_pytorch(TENSORS))


def write(path: Path, arrays: dict[str, Any], **changes: Any) -> None:
    """By hand: a length, a header, the numbers."""
    header, content = {}, b""
    for name, array in arrays.items():
        kind = {"float32": "F32", "float16": "F16", "float64": "F64", "uint16": "BF16"}[array.dtype.name]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": [len(content), len(content) + array.nbytes]}
        content += array.tobytes()
    header["conv1.weight"] |= changes
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content)


def test_is_read(tmp_path: Path) -> None:
    write(tmp_path / "w", STATE)
    read = layouts.read(tmp_path / "w", small_shapes)
    assert (read.form, read.preset) == ("safetensors", "c3d-pytorch")
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


def test_its_own_library_writes_what_is_read(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.numpy")
    safetensors.save_file({name: np.ascontiguousarray(array) for name, array in STATE.items()}, tmp_path / "w", {"format": "pt"})
    read = layouts.read(tmp_path / "w", small_shapes).tensors
    np.testing.assert_array_equal(read["fc6/kernel"], TENSORS["fc6/kernel"])


def test_bfloat16(tmp_path: Path) -> None:
    short = {name: (array.view(np.uint32) >> 16).astype(np.uint16) for name, array in STATE.items()}
    write(tmp_path / "w", short)
    read = layouts.read(tmp_path / "w", small_shapes).tensors
    np.testing.assert_allclose(read["fc6/kernel"], TENSORS["fc6/kernel"], rtol=2**-7)
    assert read["fc6/kernel"].dtype == np.float32


@pytest.mark.parametrize(
    "changes", [{"data_offsets": [0, 10**9]}, {"data_offsets": [-8, 0]}, {"shape": [10**6, 10**6]}, {"shape": [-1]}]
)
def test_lying_headers_are_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    write(tmp_path / "w", STATE, **changes)
    with pytest.raises(StoreError, match="get it again"):
        layouts.read(tmp_path / "w", small_shapes)
