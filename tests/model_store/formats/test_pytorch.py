"""State dicts in both of torch.save's formats, and what training scripts put around them."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.formats import layouts, pytorch
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
def test_other_types_are_converted(save: Any, tmp_path: Path) -> None:
    changed: dict[str, Any] = {
        "fc7.weight": STATE["fc7.weight"].astype(np.float16),
        "fc6.bias": STATE["fc6.bias"].astype(np.float64),
    }
    save({**STATE, **changed}, tmp_path / "w")
    read = layouts.read(tmp_path / "w", small_shapes).tensors
    np.testing.assert_array_equal(read["fc7/kernel"], changed["fc7.weight"].astype(np.float32).T)
    np.testing.assert_array_equal(read["fc6/bias"], STATE["fc6.bias"])


@SAVES
def test_whole_numbers_are_no_weights(save: Any, tmp_path: Path) -> None:
    save({**STATE, "fc7.weight": STATE["fc7.weight"].astype(np.int64)}, tmp_path / "w")
    with pytest.raises(StoreError, match=r"fc7.weight is int64: weights are float32, float64, float16 or bfloat16"):
        layouts.read(tmp_path / "w", small_shapes)


@pytest.mark.parametrize("prefix", ["net.", "module.", "model.", "backbone.", "a.b.net.module."])
@pytest.mark.parametrize("key", [None, "net", "weights", "model", "state_dict", "generator"])
def test_any_common_prefix(prefix: str, key: str | None, tmp_path: Path) -> None:
    state = torch_writer.davidea(as_pytorch(TENSORS), prefix)
    torch_writer.save_zip(state if key is None else {"epoch": 3, key: state}, tmp_path / "w")
    check(tmp_path / "w")


def test_what_stands_beside_the_weights_is_left_out_and_named(tmp_path: Path) -> None:
    """mmengine's checkpoint: a preprocessor's mean, the optimizer's copies of every tensor, a log of unknown classes."""
    state = torch_writer.mmaction2(as_pytorch(TENSORS)) | {"data_preprocessor.mean": np.zeros(3, np.float32)}
    history = torch_writer.name("mmengine.logging.history_buffer", "HistoryBuffer") + b")\x81}b"
    optimizer = {"state": {str(i): {"exp_avg": array} for i, array in enumerate(state.values())}}
    content = {"meta": {"seed": 1}, "state_dict": state, "message_hub": {"log": history}, "optimizer": optimizer}
    torch_writer.save_zip(content, tmp_path / "w")
    check(tmp_path / "w")
    read = layouts.read(tmp_path / "w", small_shapes)
    assert set(read.beside) == {"data_preprocessor", "optimizer", "meta", "message_hub"}
    assert read.preset == "mmaction2"


def test_a_network_with_more_in_it_is_another_network(tmp_path: Path) -> None:
    torch_writer.save_zip({**STATE, "bn1.weight": np.ones(4, np.float32)}, tmp_path / "w")
    with pytest.raises(StoreError, match=r"bn1.weight is not a layer of C3D"):
        layouts.read(tmp_path / "w", small_shapes)


def test_two_sets_of_weights_are_asked_about(tmp_path: Path) -> None:
    torch_writer.save_zip({"student": STATE, "teacher": STATE}, tmp_path / "w")
    with pytest.raises(StoreError, match=r"several sets of weights: student, teacher"):
        layouts.read(tmp_path / "w", small_shapes)
    torch_writer.save_zip({"ema": STATE, "state_dict": STATE}, tmp_path / "w")
    assert layouts.read(tmp_path / "w", small_shapes).beside == ("ema",)


def test_a_whole_module(tmp_path: Path) -> None:
    """torch.save(model): objects of unknown classes, whose weights are those of the state dict."""

    def module(state: dict[str, Any]) -> bytes:
        opcodes, found = torch_writer.program(state, legacy=False, first=len(storages))
        storages.update(found)
        return torch_writer.name("C3D_model", "C3D") + b")\x81" + opcodes[2:-1] + b"b"

    storages: dict[str, Any] = {}
    layers = {
        layer: module({"_parameters": {"weight": pair[0], "bias": pair[1]}, "training": 0})
        for layer, pair in as_pytorch(TENSORS).items()
    }
    whole = module({"_parameters": {}, "_modules": layers, "training": 0})
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + whole + b".")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes("A"))
    check(tmp_path / "w")


@SAVES
@pytest.mark.parametrize("content", [{"epoch": 3}, {"state_dict": {"conv1.weight": "text"}}])
def test_file_without_tensors(save: Any, content: dict[str, Any], tmp_path: Path) -> None:
    save(content, tmp_path / "w")
    with pytest.raises(StoreError, match="holds no tensors"):
        layouts.read(tmp_path / "w", small_shapes)


def test_torchscript_is_named(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("c3d/constants.pkl", b"\x80\x02).")
        archive.writestr("c3d/data.pkl", b"\x80\x02).")
    with pytest.raises(StoreError, match="is TorchScript: a program, which is not run here"):
        layouts.read(tmp_path / "w")


def test_a_storage_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pytorch, "MAX_STORAGE_BYTES", 1000)
    torch_writer.save_zip(STATE, tmp_path / "w")
    with pytest.raises(StoreError, match="more than weights have: refused"):
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
