"""Files that the tools themselves wrote (tests/support/real_files.py), all of the same numbers."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from model_store import importer
from model_store.formats import layouts
from model_store.formats.canonical import Kernels
from model_store.tensors import StoreError, tensor_sha256
from tests.support import layout_writers, real_files

ARCHIVE = Path(__file__).with_name("real_files.tar.xz")
TENSORS = real_files.eighths(layout_writers.small_shapes())
with tarfile.open(ARCHIVE) as archive:
    NAMES = sorted(name for name in archive.getnames() if "/" not in name and ".data-" not in name)
FILTERS_FIRST = ("lasagne", "python2_dict", "python3_dict")  # nothing in these says whether kernels are mirrored


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("real")
    with tarfile.open(ARCHIVE) as packed:
        packed.extractall(directory, filter="data")
    return directory


def read(path: Path, kernels: Kernels | None = None) -> layouts.Weights:
    return layouts.read(path, layout_writers.small_shapes, layouts.Asked(kernels))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "torch_script.pt"])
def test_the_same_numbers_whatever_the_tool(name: str, files: Path) -> None:
    if name.startswith(FILTERS_FIRST):
        with pytest.raises(StoreError, match="--kernels mirrored or --kernels plain"):
            read(files / name)
    found = read(files / name, "plain" if name.startswith(FILTERS_FIRST) else None)
    for key, tensor in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[key], tensor, err_msg=key)
    assert tensor_sha256(found.tensors) == tensor_sha256(TENSORS)


@pytest.mark.parametrize(
    ("name", "preset", "beside"),
    [
        ("torch_state_dict.pth", "c3d-pytorch", ()),
        ("torch_data_parallel_legacy.pth", "c3d-pytorch", ()),
        ("torch_whole_data_parallel.pth", "c3d-pytorch", ()),
        ("torch_training.pth", "jfzhang95", ("opt_dict", "epoch")),
        ("torch_jfzhang95.pth", "jfzhang95", ()),
        ("mmengine.pth", "mmaction2", ("data_preprocessor", "optimizer", "meta", "message_hub", "param_schedulers")),
        ("lasagne_recipe.pkl", None, ("mean image",)),
        ("keras_whole.h5", None, ()),
        ("tensorflow_v2.ckpt.index", "c3d-tensorflow", None),
    ],
)
def test_whose_they_seem_to_be_and_what_is_left_out(
    name: str, preset: str | None, beside: tuple[str, ...] | None, files: Path
) -> None:
    found = read(files / name, "plain" if name.startswith(FILTERS_FIRST) else None)
    assert found.preset == preset
    assert beside is None or found.beside == beside


def test_fc6_rows_are_taken_as_asked(files: Path) -> None:
    """hx173149's README: one of its files has them in the order that its code does not expect."""
    found = layouts.read(files / "tensorflow_v1.ckpt", layout_writers.small_shapes, layouts.Asked(fc6_rows="channels-last"))
    np.testing.assert_array_equal(found.tensors["fc6/kernel"], layout_writers.channel_rows(TENSORS["fc6/kernel"]))
    assert found.assumed == ()


@pytest.mark.parametrize(
    ("name", "converted"),
    [
        ("torch_state_dict.pth", ()),
        ("torch_float16.pth", ("float16",)),
        ("torch_bfloat16_legacy.pth", ("bfloat16",)),
        ("torch_float64.pth", ("float64",)),
        ("torch_mixed.pth", ("float16",)),
        ("safetensors_bfloat16.safetensors", ("bfloat16",)),
    ],
)
def test_which_types_became_float32(name: str, converted: tuple[str, ...], files: Path) -> None:
    assert read(files / name).converted == converted


def test_torchscript_is_not_run(files: Path) -> None:
    with pytest.raises(StoreError, match="is TorchScript"):
        read(files / "torch_script.pt")


def test_a_checkpoint_is_found_by_tensorflows_name_of_it(files: Path) -> None:
    assert tensor_sha256(read(files / "tensorflow_v2.ckpt").tensors) == tensor_sha256(TENSORS)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("torch_float16.pth", "Converted from float16 to float32, exactly: every number is the same."),
        ("torch_float64.pth", "Converted from float64 to float32, rounded."),
        (
            "mmengine.pth",
            "data_preprocessor, optimizer, meta, message_hub, param_schedulers.",
        ),
        ("tensorflow_v1.ckpt", "var_name/bc5a/Adam and 15 more."),
        ("tensorflow_v2.ckpt", "import that with --fc6-rows channels-last."),
    ],
)
def test_what_an_import_says_of_it(name: str, said: str, files: Path) -> None:
    assert any(line.endswith(said) for line in importer.notes(read(files / name)))
