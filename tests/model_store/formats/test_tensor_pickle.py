"""Pickles that want to run something, and damaged ones, get nowhere."""

from __future__ import annotations

import io
import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_store.formats import layouts, tensor_pickle
from model_store.formats.tensor_pickle import Inert, leaves, load
from model_store.tensors import StoreError
from tests.support import torch_writer


class Evil:
    """What everybody tries: a command as a constructor."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (self.command,)


@pytest.mark.parametrize("save", [torch_writer.save_zip, torch_writer.save_legacy])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_command_in_a_state_dict_does_not_run(save: Any, protocol: int, tmp_path: Path) -> None:
    attack = pickle.dumps(Evil(f"touch {tmp_path / 'ran'}"), protocol)
    body = attack.removeprefix(b"\x80\x02")[:-1] if protocol < 4 else attack[11:-1]
    save({"state_dict": {"conv1.weight": np.zeros((2, 3, 3, 3, 3), np.float32), "conv1.bias": body}}, tmp_path / "w")
    with pytest.raises(StoreError, match=r"conv1/bias, .* missing: these are not the whole weights"):
        layouts.read(tmp_path / "w")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("module", "attribute"),
    [
        ("builtins", "eval"),
        ("builtins", "getattr"),
        ("os", "system"),
        ("torch", "load"),
        ("torch.hub", "load"),
        ("torch.jit", "load"),
        ("numpy", "load"),
        ("model_store.formats.tensor_pickle", "load"),
        ("collections", "OrderedDict.__init__"),
        ("collections", "namedtuple"),
        ("c3d", "C3D"),
    ],
)
def test_other_names_become_what_does_nothing(module: str, attribute: str) -> None:
    """Named, called with arguments, and given a state: nothing of the true name is imported or run."""
    before = set(sys.modules)
    program = b"\x80\x02" + torch_writer.name(module, attribute) + b"(X\x03\x00\x00\x001+1tR}X\x01\x00\x00\x00aK\x01sb."
    made = load(io.BytesIO(program))
    assert isinstance(made, Inert)
    assert made.state == {"a": 1}
    assert set(sys.modules) == before


@pytest.mark.parametrize(
    "program",
    [
        torch_writer.name("os", "system") + b"}X\x0c\x00\x00\x00__setstate__K\x01sb.",  # its class, changed
        torch_writer.name("os", "system") + b")\x81N}X\x0c\x00\x00\x00__setstate__K\x01s\x86b0" + b"Q.",
        torch_writer.name("os", "system") + b")\x81)R.",  # what was made of it, called
    ],
)
def test_what_stands_for_a_name_cannot_be_changed_or_called(program: bytes) -> None:
    before = dict(vars(Inert))
    with pytest.raises((AttributeError, TypeError, pickle.UnpicklingError, ValueError)):
        load(io.BytesIO(b"\x80\x02" + program))
    assert dict(vars(Inert)) == before


@pytest.mark.parametrize("program", [b"K\x01r\xff\xff\xff\x7f.", b"K\x01p2147483647\n."])
def test_a_memo_with_a_hole_of_gigabytes_is_refused(program: bytes) -> None:
    with pytest.raises(StoreError, match="larger than that of any weights"):
        load(io.BytesIO(b"\x80\x02" + program))


def test_what_contains_itself_or_doubles_is_gone_through_once() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    doubled: list[Any] = []
    for _ in range(64):
        doubled = [doubled, doubled]
    assert list(leaves([loop, doubled])) == []


@pytest.mark.parametrize("target", sorted(tensor_pickle.ALLOWED))
@pytest.mark.parametrize("state", [b"}X\x01\x00\x00\x00aK\x01s", b"N}X\x09\x00\x00\x00_functionNs\x86", b"(K\x01K\x02K\x03t"])
def test_what_a_pickle_gets_it_cannot_change(target: tuple[str, str], state: bytes) -> None:
    before = repr(tensor_pickle.ALLOWED[target])
    with pytest.raises((AttributeError, pickle.UnpicklingError, TypeError)):
        load(io.BytesIO(b"\x80\x02" + torch_writer.name(*target) + state + b"b."))
    assert repr(tensor_pickle.ALLOWED[target]) == before


STORAGE = (
    b"(" + torch_writer.text("storage") + torch_writer.name("torch", "FloatStorage") + torch_writer.text("0")
    + torch_writer.text("cpu") + b"K\x06tQ"
)  # fmt: skip


def rebuilt(offset: bytes, shape: bytes, strides: bytes, storage: bytes = STORAGE) -> bytes:
    start = b"\x80\x02" + torch_writer.name("torch._utils", "_rebuild_tensor_v2")
    return start + b"(" + storage + offset + b"(" + shape + b"t(" + strides + b"t\x89NtR."


def test_tensor() -> None:
    seen: dict[str, tensor_pickle.Storage] = {}
    tensor = load(io.BytesIO(rebuilt(b"K\x01", b"K\x02K\x02", b"K\x02K\x01")), seen)
    assert tensor == tensor_pickle.Tensor(seen["0"], 1, (2, 2), (2, 1))
    assert seen["0"] == ("0", np.dtype(np.float32), 6)


@pytest.mark.parametrize(
    "program",
    [
        rebuilt(b"K\x03", b"K\x02K\x02", b"K\x02K\x01"),  # beyond the storage
        rebuilt(b"J\xff\xff\xff\xff", b"K\x02", b"K\x01"),  # before it
        rebuilt(b"K\x00", b"K\x02", b"J\xff\xff\xff\xff"),  # backwards
        rebuilt(b"K\x00", b"K\x02K\x02", b"K\x01"),  # axes without strides
        rebuilt(b"K\x00", b"G?\xf0\x00\x00\x00\x00\x00\x00", b"K\x01"),  # a float for a length
        rebuilt(b"K\x00", b"K\x02", b"K\x01", storage=b"N"),
        b"\x80\x02(X\x07\x00\x00\x00storageX\x02\x00\x00\x00f4X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x06tQ.",
        b"\x80\x02K\x01Q.",
        b"\x80\x02",
    ],
)
def test_impossible_tensors_are_errors(program: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, TypeError, ValueError, EOFError)):
        load(io.BytesIO(program))
