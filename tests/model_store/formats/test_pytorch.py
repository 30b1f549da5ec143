"""State dicts in both of torch.save's formats, and what training scripts put around them."""

from __future__ import annotations

import zipfile
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
SAVES = pytest.mark.parametrize("save", [torch_writer.save_zip, torch_writer.save_legacy])


def check(path: Path) -> None:
    read = layouts.read(path, small_shapes)
    for name, tensor in TENSORS.items():
        np.testing.assert_array_equal(read.tensors[name], tensor, err_msg=name)


@SAVES
@pytest.mark.parametrize(
    "content",
    [
        {"epoch": 3, "state_dict": STATE, "opt_dict": {"state": {"momentum": np.zeros(3, np.int64)}, "lr": "0.1"}},
        {"model_state_dict": STATE},
        {"loss": np.zeros(1, np.float32), "model": STATE},
    ],
    ids=["checkpoint", "model_state_dict", "model"],
)
def test_training_checkpoints(save: Any, content: dict[str, Any], tmp_path: Path) -> None:
    save(content, tmp_path / "w")
    check(tmp_path / "w")


@SAVES
def test_transposed_views_are_followed(save: Any, tmp_path: Path) -> None:
    """Numbers that lie column by column, with the strides that say so."""
    save({name: np.asfortranarray(array) for name, array in STATE.items()}, tmp_path / "w")
    check(tmp_path / "w")


def test_big_endian_archive(tmp_path: Path) -> None:
    torch_writer.save_zip(STATE, tmp_path / "little")
    with zipfile.ZipFile(tmp_path / "little") as little, zipfile.ZipFile(tmp_path / "w", "w") as big:
        for name in little.namelist():
            content = little.read(name)
            if "/data/" in name:
                content = np.frombuffer(content, "<f4").astype(">f4").tobytes()
            big.writestr(name, b"big" if name.endswith("byteorder") else content)
    check(tmp_path / "w")


@SAVES
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64])
def test_other_types_are_named(save: Any, dtype: Any, tmp_path: Path) -> None:
    save({**STATE, "fc7.weight": STATE["fc7.weight"].astype(dtype)}, tmp_path / "w")
    with pytest.raises(StoreError, match=f"fc7.weight is {np.dtype(dtype)}, not float32"):
        layouts.read(tmp_path / "w", small_shapes)


@SAVES
@pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": {"conv1.weight": "text"}}])
def test_file_without_tensors(save: Any, content: dict[str, Any], tmp_path: Path) -> None:
    save(content, tmp_path / "w")
    with pytest.raises(StoreError, match="is no tensor"):
        layouts.read(tmp_path / "w", small_shapes)


def test_numbers_that_are_not_all_there(tmp_path: Path) -> None:
    torch_writer.save_zip(STATE, tmp_path / "whole")
    with zipfile.ZipFile(tmp_path / "whole") as whole, zipfile.ZipFile(tmp_path / "w", "w") as cut:
        for name in whole.namelist():
            cut.writestr(name, whole.read(name)[:-4] if name.endswith("data/4") else whole.read(name))
    with pytest.raises(StoreError, match="ends in the middle of its numbers"):
        layouts.read(tmp_path / "w", small_shapes)


def test_torch_itself_writes_what_is_read(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {name: torch.from_numpy(array.copy()) for name, array in STATE.items()}
    for name in ("zip", "legacy"):
        torch.save({"state_dict": state}, tmp_path / name, _use_new_zipfile_serialization=name == "zip")
        check(tmp_path / name)
    views = {name: value.t().contiguous().t() if value.ndim == 2 else value for name, value in state.items()}
    torch.save(views, tmp_path / "views")
    check(tmp_path / "views")
