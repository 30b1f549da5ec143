"""The authors' Caffe files: weights (NetParameter) and the mean cube (BlobProto).

The message numbers are those of C3D's own caffe.proto; stock Caffe's differ, and a stock caffe_pb2 misreads these files.
Proto2, row-major, all floats packed:

    NetParameter    name = 1, layers = 2
    LayerParameter  name = 4, blobs = 6 (weight, bias)
    BlobProto       num = 1, channels = 2, length = 3, height = 4, width = 5, data = 6

Weights are read one layer at a time, and packed floats as the bytes they are: 320 MB as Python floats would be gigabytes.
"""

from __future__ import annotations

import math
import mmap
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from model_store.formats.canonical import CAFFE, Entry, Found
from model_store.tensors import Float32, StoreError

LAYERS = 2 << 3 | 2  # what stands before each layer of a NetParameter: field 2, a message
AXES = ("num", "channels", "length", "height", "width")
FLOAT = np.dtype(np.float32)
_Field = descriptor_pb2.FieldDescriptorProto


def _messages(data_type: int, package: str) -> tuple[Any, Any]:
    """The classes of BlobProto and LayerParameter, with `data` as packed floats or as the bytes that hold them."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    blob, layer = file.message_type.add(name="BlobProto"), file.message_type.add(name="LayerParameter")
    for number, name in enumerate(AXES, start=1):
        blob.field.add(name=name, number=number, type=_Field.TYPE_INT32, label=_Field.LABEL_OPTIONAL)
    label = _Field.LABEL_REPEATED if data_type == _Field.TYPE_FLOAT else _Field.LABEL_OPTIONAL
    blob.field.add(name="data", number=6, type=data_type, label=label)
    layer.field.add(name="name", number=4, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    layer.field.add(
        name="blobs", number=6, type=_Field.TYPE_MESSAGE, label=_Field.LABEL_REPEATED, type_name=f".{package}.BlobProto"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = (message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{m.name}")) for m in (blob, layer))
    return next(made), next(made)


Blob, Layer = _messages(_Field.TYPE_BYTES, "c3d_packed")
PlainBlob, PlainLayer = _messages(_Field.TYPE_FLOAT, "c3d_plain")  # for writers that do not pack


def found(path: Path) -> Found | None:
    """What the file holds; None where it is no NetParameter. Raises StoreError where a layer is damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        spans = _layer_spans(content)
    if not spans:
        return None
    entries = {}
    for number, span in enumerate(spans):
        layer = _layer(path, span)
        for index, blob in enumerate(layer.blobs):
            variable = ("kernel", "bias")[index] if index < 2 else f"blob {index}"
            name = f"{layer.name or f'layer {number}'}/{variable}"
            load = partial(_load, path, span, index, name)
            entries[name if name not in entries else f"{name} of layer {number}"] = Entry(_shape(blob), FLOAT, load)
    return Found("caffe", entries, CAFFE)


def mean(content: bytes) -> Float32 | None:
    """The float32 array of a mean binaryproto, (3, 16, 128, 171) or whatever else it holds; None where it is none."""
    try:
        blob = Blob.FromString(content)
        blob = blob if blob.data else PlainBlob.FromString(content)
    except DecodeError:
        return None
    return _array(blob, "The mean") if blob.data else None


def _load(path: Path, span: tuple[int, int], index: int, name: str) -> Float32:
    return _array(_layer(path, span).blobs[index], name)


def _layer(path: Path, span: tuple[int, int]) -> Any:
    begin, end = span
    with path.open("rb") as file:
        file.seek(begin)
        content = file.read(end - begin)
    try:
        layer = Layer.FromString(content)
        return layer if all(blob.data for blob in layer.blobs) else PlainLayer.FromString(content)
    except DecodeError as error:
        raise StoreError(f"The Caffe layer at byte {begin} is damaged ({error}): get the file again.") from error


def _shape(blob: Any) -> tuple[int, ...]:
    """Caffe gives everything five axes: convolutions (filters, inputs, 3, 3, 3), dense (1, 1, 1, n, k), bias (1, 1, 1, 1, n)."""
    axes = tuple(max(1, getattr(blob, name)) for name in AXES)
    dense = 1 if axes[:4] == (1, 1, 1, 1) else 2
    return axes[-dense:] if axes[:3] == (1, 1, 1) else axes


def _array(blob: Any, name: str) -> Float32:
    array = np.frombuffer(blob.data, "<f4") if isinstance(blob, Blob) else np.fromiter(blob.data, FLOAT, len(blob.data))
    shape = _shape(blob)
    if array.size != math.prod(shape):
        raise StoreError(f"{name} says {shape} and holds {array.size:,} numbers: the file is damaged, get it again.")
    return array.reshape(shape)


def _layer_spans(content: mmap.mmap) -> list[tuple[int, int]] | None:
    """First byte and end of each layer; None where the bytes are no protobuf message from beginning to end."""
    spans, at = [], 0
    try:
        while at < len(content):
            tag, at = _varint(content, at)
            length, begin = _varint(content, at) if tag & 7 in {0, 2} else ({1: 8, 5: 4}[tag & 7], at)
            at = begin + (0 if tag & 7 == 0 else length)
            if tag == LAYERS:
                spans.append((begin, at))
    except (IndexError, KeyError):
        return None
    return spans if at == len(content) else None


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    """The number at ``at`` and the place behind it. Raises IndexError behind the end or where it is no number."""
    value = 0
    for place in range(10):
        byte = content[at + place]
        value |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return value, at + place + 1
    raise IndexError(at)
