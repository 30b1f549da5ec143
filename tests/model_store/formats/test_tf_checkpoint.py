"""TensorFlow 1 checkpoints, written by TensorFlow, of hx173149/C3D-tensorflow's variables."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from model_store.formats import layouts
from model_store.formats.tf_checkpoint import VARIABLES
from model_store.tensors import StoreError
from tests.support import layout_writers
from tests.support.layout_writers import small_shapes

TENSORS = layout_writers.seeded(small_shapes())
PROGRAM = """
import sys
import numpy as np
import tensorflow as tf
arrays = np.load(sys.argv[1])
tf.compat.v1.disable_eager_execution()
made = [tf.compat.v1.get_variable(f"var_name/{name}", initializer=arrays[name]) for name in arrays.files]
made.append(tf.compat.v1.get_variable("var_name/wc1/Adam", initializer=arrays["wc1"]))
made.append(tf.compat.v1.get_variable("global_step", initializer=np.int64(7)))
with tf.compat.v1.Session() as session:
    session.run(tf.compat.v1.global_variables_initializer())
    for version in (1, 2):
        saver = tf.compat.v1.train.Saver(made, write_version=version)
        saver.save(session, f"{sys.argv[2]}/v{version}", write_meta_graph=False)
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """v1, a file; v2.index and v2.data-00000-of-00001."""
    made = tmp_path_factory.mktemp("checkpoints")
    ours = {ours: name for name, ours in VARIABLES.items()}
    arrays = {ours[name]: tensor for name, tensor in TENSORS.items()}
    arrays["wd1"] = layout_writers.channel_rows(arrays["wd1"])
    np.savez(made / "w.npz", allow_pickle=False, **arrays)
    subprocess.run([sys.executable, "-c", PROGRAM, made / "w.npz", made], check=True, capture_output=True)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v1", "v2.index"])
def test_both_versions(name: str, directory: Path) -> None:
    read = layouts.read(directory / name, small_shapes)
    for tensor in TENSORS:
        np.testing.assert_array_equal(read.tensors[tensor], TENSORS[tensor], err_msg=tensor)
    assert read.form == "tensorflow-1-checkpoint"
    assert set(read.beside) == {"var_name/wc1/Adam", "global_step"}


@pytest.mark.slow
def test_a_missing_or_cut_data_file_is_named(directory: Path, tmp_path: Path) -> None:
    (tmp_path / "v2.index").write_bytes((directory / "v2.index").read_bytes())
    with pytest.raises(StoreError, match=r"v2.data-00000-of-00001 holds them: put it beside"):
        layouts.read(tmp_path / "v2.index", small_shapes)
    content = (directory / "v2.data-00000-of-00001").read_bytes()
    (tmp_path / "v2.data-00000-of-00001").write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="ends in the middle of its numbers"):
        layouts.read(tmp_path / "v2.index", small_shapes)
    with pytest.raises(StoreError, match=r"import its .index file"):
        layouts.read(tmp_path / "v2.data-00000-of-00001", small_shapes)
