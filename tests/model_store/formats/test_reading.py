"""A weights file is read in a confined process: bombs end, nothing else is seen, and the answer is that of reading it here."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from model_store import c3d
from model_store.formats import confine, layouts, reading
from model_store.tensors import StoreError, tensor_sha256
from tests.conftest import ROOT
from tests.support import layout_writers, torch_writer

pytestmark = pytest.mark.slow  # each starts a process


def request(path: Path, **changes: Any) -> reading.Request:
    work = path.parent / "work"
    work.mkdir(exist_ok=True)
    return reading.Request.model_validate({"path": path, "work": work, **changes})


@pytest.fixture(scope="module")
def full() -> layout_writers.Tensors:
    return {name: np.full(shape, 0.5, np.float32) for name, shape in c3d.weight_shapes(3).items()}


def test_what_comes_back_is_what_was_read(full: layout_writers.Tensors, tmp_path: Path) -> None:
    path = tmp_path / "w"
    torch_writer.save_zip({"epoch": 3, "state_dict": torch_writer.davidea(layout_writers.as_pytorch(full))}, path)
    found, here = reading.read(request(path)), layouts.read(path)
    assert tensor_sha256(found.tensors) == tensor_sha256(here.tensors) == tensor_sha256(full)
    assert found._replace(tensors={}) == here._replace(tensors={})


def nested_key(path: Path) -> None:
    """A dict's key that is a tuple of twice the same tuple, and so on: its hash would take years."""
    key = b"K\x01q\x00" + b"".join(b"h" + bytes([i]) + b"\x86q" + bytes([i + 1]) for i in range(64))
    path.write_bytes(b"\x80\x02}(" + key + b"K\x01u.")


def deep_key(path: Path) -> None:
    """A key so deep that its hash leaves the stack, and with it the process."""
    path.write_bytes(b"\x80\x02}" + b"K\x01" + b"\x85" * 1_000_000 + b"K\x01s.")


def encoded_again_and_again(path: Path) -> None:
    """One text of a megabyte, made into bytes once for each step."""
    text = b"X" + (1 << 20).to_bytes(4, "little") + b"a" * (1 << 20) + b"q\x00"
    encode = torch_writer.name("_codecs", "encode") + b"q\x01"
    path.write_bytes(b"\x80\x02]" + text + b"0" + encode + b"0(" + b"h\x01h\x00\x85R" * 100_000 + b"e.")


def dicts_of_one_list(path: Path) -> None:
    pairs = b"](" + b"(K\x01K\x02t" * 1000 + b"eq\x00"
    ordered = torch_writer.name("collections", "OrderedDict") + b"q\x01"
    path.write_bytes(b"\x80\x02]" + pairs + b"0" + ordered + b"0(" + b"h\x01h\x00\x85R" * 100_000 + b"e.")


def empty_caffe_layers(path: Path) -> None:
    path.write_bytes(b"\x12\x00" * 5_000_000)


def a_large_chunk(path: Path) -> None:
    """An array of gigabytes that compresses to nothing, under the first layer's name."""
    with h5py.File(path, "w") as file:
        group = file.create_group("conv1")
        group.attrs["weight_names"] = ["conv1/kernel:0", "conv1/bias:0"]
        file.attrs["layer_names"] = ["conv1"]
        for name in ("conv1/kernel:0", "conv1/bias:0"):
            group.create_dataset(name, (1 << 28,), np.float32, maxshape=(None,), chunks=(1 << 28,), compression="gzip")


def a_row_of_groups(path: Path) -> None:
    with h5py.File(path, "w", libver="latest") as file:
        for number in range(20_000):
            file.create_group(str(number))


def a_row_of_members(path: Path) -> None:
    content = {f"a{number}": np.zeros(0, np.float32) for number in range(10_001)}
    with path.open("wb") as out:
        np.savez(out, allow_pickle=False, **content)


BOMBS = [deep_key, encoded_again_and_again, dicts_of_one_list, empty_caffe_layers, a_large_chunk, a_row_of_groups,
         a_row_of_members]  # fmt: skip


@pytest.mark.parametrize("bomb", BOMBS, ids=[bomb.__name__ for bomb in BOMBS])
def test_a_bomb_is_refused(bomb: Callable[[Path], None], tmp_path: Path) -> None:
    bomb(tmp_path / "w")
    with pytest.raises(StoreError):
        reading.read(request(tmp_path / "w", max_cpu_s=10, max_memory_bytes=2 << 30))
    assert list((tmp_path / "work").iterdir()) == []


def test_what_ends_the_process_is_said(tmp_path: Path) -> None:
    nested_key(tmp_path / "w")
    with pytest.raises(StoreError, match="w takes more memory or time to read than any weights: refused"):
        reading.read(request(tmp_path / "w", max_cpu_s=3))


def test_nothing_a_file_says_reaches_the_terminal_as_a_command(full: layout_writers.Tensors, tmp_path: Path) -> None:
    state = torch_writer.davidea(layout_writers.as_pytorch(full))
    torch_writer.save_zip({**state, "\x1b[2J": np.ones(3, np.float32)}, tmp_path / "w")
    with pytest.raises(StoreError, match=r"^\?\[2J is not a layer of C3D"):
        reading.read(request(tmp_path / "w"))


CODE = """
import os, socket, sys
from pathlib import Path
from model_store.formats import confine
confine.limit()
if not confine.confine([Path(sys.argv[1]) / "in"], Path(sys.argv[1]) / "work"):
    sys.exit(77)
def fails(work):
    try:
        work()
    except PermissionError:
        return True
    return False
def connect():
    with socket.socket() as made:
        made.connect(("127.0.0.1", 9))
inside = Path(sys.argv[1])
(inside / "work" / "mine").write_text("made")
print([
    (inside / "in" / "w").read_text() == "weights",
    fails(lambda: (inside / "secret").read_text()), fails(lambda: (inside / "in" / "w").write_text("")),
    fails(lambda: (inside / "in" / "w").unlink()), fails(lambda: (inside / "new").write_text("")),
    fails(lambda: Path("/etc/passwd").read_text()), fails(lambda: Path("/proc/1/environ").read_bytes()),
    fails(lambda: os.execv("/bin/true", ["true"])), fails(connect),
])
"""


def test_a_confined_process_sees_its_file_and_nothing_else(tmp_path: Path) -> None:
    for name in ("in", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "in" / "w").write_text("weights")
    (tmp_path / "secret").write_text("key")
    done = subprocess.run([sys.executable, "-c", CODE, str(tmp_path)], capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    assert done.stdout == f"{[True] * 9}\n", done.stderr


def test_the_process_gets_none_of_our_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A library that were made to run code finds no key there; here a startup hook of Python's stands for the code."""
    (tmp_path / "w").write_bytes(pickle.dumps([1]))
    (tmp_path / "hook").mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').write('')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "hook"))
    monkeypatch.setenv("C3D_API_KEY", "secret")
    with pytest.raises(StoreError):
        reading.read(request(tmp_path / "w"))
    assert not (tmp_path / "ran").exists()


def test_limits_are_no_higher_than_they_were(tmp_path: Path) -> None:
    code = "from resource import *; from model_store.formats import confine; setrlimit(RLIMIT_CPU, (9, 9)); confine.limit()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert confine.MAX_CPU_S > 9
