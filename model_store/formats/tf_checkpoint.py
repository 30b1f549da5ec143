"""TensorFlow's checkpoints, read without TensorFlow: of hx173149/C3D-tensorflow and its forks, and Keras's SavedModel.

Both versions keep a sorted table (LevelDB's format): version 1 holds the numbers in it, one file ``model.ckpt``; version 2 holds
only where they are, ``model.ckpt.index``, beside ``model.ckpt.data-00000-of-00001``. From TensorFlow's tensor_bundle.proto and
saved_tensor_slice.proto.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store.formats.canonical import KERAS, Entry, Found, Order, bounded
from model_store.formats.layer_names import WITH_WEIGHTS
from model_store.formats.protobuf import fields, varint
from model_store.tensors import StoreError

MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
FOOTER_BYTES = 48
DTYPES = {1: "f4", 2: "f8", 3: "i4", 9: "i8", 14: "V2", 19: "f2"}  # types.proto; 14 is bfloat16
OTHER = np.dtype("V1")  # text and the like: no weights
# Names of the variables in hx173149/C3D-tensorflow; what the optimizer adds ends in other words.
VARIABLES = {
    **{f"{short}c{block}": f"conv{block}/{long}" for block in ("1", "2", "3a", "3b", "4a", "4b", "5a", "5b")
       for short, long in (("w", "kernel"), ("b", "bias"))},
    "wd1": "fc6/kernel", "bd1": "fc6/bias", "wd2": "fc7/kernel", "bd2": "fc7/bias", "wout": "fc8/kernel", "bout": "fc8/bias",
}  # fmt: skip
# Convolutions as Keras has them; the network transposes pool5 before it flattens it, so fc6 has Caffe's rows.
ORDER = Order(channel_rows=True)
FC6_ROWS = (
    "The file does not tell the order of fc6's rows. Assumed: channel, row, column, as hx173149's code has it. Its README says "
    "that conv3d_deepnetA_sport1m_iter_1900000_TF.model is in the other order: import that with --fc6-rows channels-last."
)
# A SavedModel has no names: the variables are numbered (Keras 3), or the layers that have some are (Keras 2).
NUMBERED = re.compile(r"(?:variables/(\d+)|layer_with_weights-(\d+)/(kernel|bias))/\.ATTRIBUTES/VARIABLE_VALUE")


def is_table(path: Path) -> bool:
    """Whether the file ends as a table does."""
    with path.open("rb") as file:
        file.seek(0, 2)
        if file.tell() < FOOTER_BYTES:
            return False
        file.seek(-len(MAGIC), 2)
        return file.read() == MAGIC


def found(path: Path) -> Found | None:
    """What the checkpoint holds; None where the table is another's. Raises StoreError where the data file is missing."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        entries = dict(bounded(_bundle(path, content) if path.suffix == ".index" else _slices(path, content)))
    numbered = {_by_number(match): entries[name] for name in entries if (match := NUMBERED.fullmatch(name))}
    if numbered:
        return Found("tensorflow-saved-model", numbered, KERAS)
    named = {VARIABLES[last]: entry for name, entry in entries.items() if (last := name.rpartition("/")[2]) in VARIABLES}
    if not named:
        return None
    beside = tuple(name for name in entries if name.rpartition("/")[2] not in VARIABLES)
    return Found("tensorflow-1-checkpoint", named, ORDER, beside, "c3d-tensorflow", (FC6_ROWS,))


def _by_number(match: re.Match[str]) -> str:
    """ "conv1/bias" for variable 1, and for the bias of layer 0; a name that is no layer's for numbers beyond C3D's."""
    variable, layer, kind = match.groups()
    number = int(layer if variable is None else variable) // (1 if variable is None else 2)
    kind = kind or ("kernel", "bias")[int(variable) % 2]
    return f"{WITH_WEIGHTS[number]}/{kind}" if number < len(WITH_WEIGHTS) else match[0]


def _bundle(path: Path, content: mmap.mmap) -> Iterator[tuple[str, Entry]]:
    """Version 2. The first entry, without a name, says how many data files there are."""
    table = _table(content)
    num_shards = fields(next(table)[1]).get(1, [1])[0]
    for name, value in table:
        entry = fields(value)
        dtype = _dtype(entry[1][0])
        shape = tuple(fields(dim).get(1, [0])[0] for dim in fields(entry.get(2, [b""])[0]).get(2, []))
        shard = path.with_name(f"{path.stem}.data-{entry.get(3, [0])[0]:05d}-of-{num_shards:05d}")
        if not shard.is_file():
            raise StoreError(f"{path.name} says where the numbers are; {shard.name} holds them: put it beside.")
        offset, size = entry.get(4, [0])[0], entry.get(5, [0])[0]
        if dtype != OTHER and size != int(np.prod(shape, dtype=np.int64)) * dtype.itemsize:
            raise StoreError(f"{name.decode()} says {shape} and holds {size:,} bytes: the checkpoint is damaged, get it again.")
        yield name.decode(), Entry(shape, dtype, partial(_from_shard, shard, offset, dtype, shape))


def _from_shard(shard: Path, offset: int, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    count = int(np.prod(shape, dtype=np.int64))
    numbers = np.fromfile(shard, dtype, count, offset=offset)
    if numbers.size < count:
        raise StoreError(f"{shard.name} ends in the middle of its numbers: get it again.")
    return numbers.reshape(shape)


def _slices(path: Path, content: mmap.mmap) -> Iterator[tuple[str, Entry]]:
    """Version 1. The first entry says which variables there are; each of the others holds one."""
    table = _table(content)
    meta = fields(fields(next(table)[1]).get(1, [b""])[0])
    variables = {bytes(each[1][0]).decode(): each for each in map(fields, meta.get(1, []))}
    for key, value in table:
        data = fields(fields(value)[2][0])
        name = bytes(data[1][0]).decode()
        if name not in variables:
            raise StoreError(f"{name} is not in the list of variables: the checkpoint is damaged, get it again.")
        dtype = _dtype(variables[name].get(3, [1])[0])
        shape = tuple(fields(dim).get(1, [0])[0] for dim in fields(variables[name].get(2, [b""])[0]).get(2, []))
        yield name, Entry(shape, dtype, partial(_from_table, path, key, dtype, shape))


def _from_table(path: Path, key: bytes, dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        value = next(value for other, value in _table(content) if other == key)
        tensor = fields(fields(fields(value)[2][0])[3][0])
        numbers = np.frombuffer(bytes(tensor.get(4, [b""])[0] or tensor.get(5, [b""])[0]), dtype)
    if numbers.size != int(np.prod(shape, dtype=np.int64)):
        raise StoreError(f"A variable says {shape} and holds {numbers.size:,} numbers: the checkpoint is damaged, get it again.")
    return numbers.reshape(shape)


def _dtype(number: int) -> np.dtype[Any]:
    return np.dtype([("bfloat16", "u2")]) if number == 14 else np.dtype(DTYPES.get(number, OTHER))


def _table(content: mmap.mmap) -> Iterator[tuple[bytes, bytes]]:
    """The table's keys and values, in order."""
    footer = content[len(content) - FOOTER_BYTES :]
    at = 0
    handle: list[int] = []
    for _ in range(4):  # offset and size of two blocks: the unused one, then the index
        number, at = varint(footer, at)
        handle.append(number)
    for _, block in _block(content, *handle[2:]):
        offset, at = varint(block, 0)
        yield from _block(content, offset, varint(block, at)[0])


def _block(content: mmap.mmap, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """A block's keys, each sharing its beginning with the one before, and values. Raises StoreError where it is compressed."""
    if offset + size >= len(content):
        raise IndexError(offset)
    if content[offset + size]:
        raise StoreError("The checkpoint is compressed, which TensorFlow's own are not: save it again with tf.train.Saver.")
    end = offset + size - 4
    end -= 4 * int.from_bytes(content[end : end + 4], "little")  # the places where keys are whole again
    key, at = b"", offset
    number: Callable[[int], tuple[int, int]] = partial(varint, content)
    while at < end:
        shared, at = number(at)
        own, at = number(at)
        length, at = number(at)
        key = key[:shared] + content[at : at + own]
        yield key, content[at + own : at + own + length]
        at += own + length
