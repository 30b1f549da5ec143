"""The authors' Caffe files: weights (NetParameter) and the mean cube (BlobProto).

The message numbers are those of C3D's own caffe.proto, or of BVLC's, which video-caffe, C3D-v1.1 and R-C3D write: each misreads
the other's files. Proto2, row-major, all floats packed:

                    C3D-v1.0                                                              BVLC
    NetParameter    name = 1, layers = 2                                                  name = 1, layer = 100
    LayerParameter  name = 4, blobs = 6 (weight, bias)                                    name = 1, blobs = 7
    BlobProto       num = 1, channels = 2, length = 3, height = 4, width = 5, data = 6    data = 5, shape = 7 (dim = 1)

Weights are read one layer at a time, and packed floats as the bytes they are: 320 MB as Python floats would be gigabytes.
"""

from __future__ import annotations

import math
import mmap
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from model_store.formats.canonical import CAFFE, Entry, Found, bounded
from model_store.formats.protobuf import spans
from model_store.tensors import Float32, StoreError

OWN, BVLC = 2, 100  # the field of a NetParameter that holds a layer
AXES = ("num", "channels", "length", "height", "width")
FLOAT = np.dtype(np.float32)
_Field = descriptor_pb2.FieldDescriptorProto


class _Numbers(NamedTuple):
    """The numbers of the fields that differ."""

    name: int
    blobs: int
    axes: dict[str, int]
    data: int


NUMBERS = {
    OWN: _Numbers(4, 6, {name: number for number, name in enumerate(AXES, start=1)}, 6),
    BVLC: _Numbers(1, 7, {"shape": 7}, 5),
}


def _messages(data_type: int, package: str, numbers: _Numbers) -> tuple[Any, Any]:
    """The classes of BlobProto and LayerParameter, with `data` as packed floats or as the bytes that hold them."""
    file = descriptor_pb2.FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto2")
    shape = file.message_type.add(name="BlobShape")
    shape.field.add(name="dim", number=1, type=_Field.TYPE_INT64, label=_Field.LABEL_REPEATED)
    blob, layer = file.message_type.add(name="BlobProto"), file.message_type.add(name="LayerParameter")
    for name, number in numbers.axes.items():
        message = (
            {"type": _Field.TYPE_MESSAGE, "type_name": f".{package}.BlobShape"}
            if name == "shape"
            else {"type": _Field.TYPE_INT32}
        )
        blob.field.add(name=name, number=number, label=_Field.LABEL_OPTIONAL, **message)
    label = _Field.LABEL_REPEATED if data_type == _Field.TYPE_FLOAT else _Field.LABEL_OPTIONAL
    blob.field.add(name="data", number=numbers.data, type=data_type, label=label)
    layer.field.add(name="name", number=numbers.name, type=_Field.TYPE_STRING, label=_Field.LABEL_OPTIONAL)
    layer.field.add(
        name="blobs",
        number=numbers.blobs,
        type=_Field.TYPE_MESSAGE,
        label=_Field.LABEL_REPEATED,
        type_name=f".{package}.BlobProto",
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    made = (message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.{m.name}")) for m in (blob, layer))
    return next(made), next(made)


# Of each layout: with data as bytes, and for writers that do not pack.
PACKED = {field: _messages(_Field.TYPE_BYTES, f"packed_{field}", numbers) for field, numbers in NUMBERS.items()}
PLAIN = {field: _messages(_Field.TYPE_FLOAT, f"plain_{field}", numbers) for field, numbers in NUMBERS.items()}


class _Span(NamedTuple):
    """Where a layer lies in the file, and in which layout."""

    field: int
    begin: int
    end: int


def found(path: Path) -> Found | None:
    """What the file holds; None where it is no NetParameter. Raises StoreError where a layer is damaged."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        layers = _layer_spans(content)
    if not layers:
        return None
    entries = {}
    for number, span in enumerate(layers):
        layer = _layer(path, span)
        for index, blob in enumerate(layer.blobs):
            variable = ("kernel", "bias")[index] if index < 2 else f"blob {index}"
            name = f"{layer.name or f'layer {number}'}/{variable}"
            load = partial(_load, path, span, index, name)
            entries[name if name not in entries else f"{name} of layer {number}"] = Entry(_shape(blob), FLOAT, load)
    return Found("caffe" if layers[0].field == OWN else "caffe-bvlc", entries, CAFFE)


def mean(content: bytes) -> Float32 | None:
    """The float32 array of a mean binaryproto, (3, 16, 128, 171) or whatever else it holds; None where it is none."""
    try:
        blobs = [kind[field][0].FromString(content) for field in NUMBERS for kind in (PACKED, PLAIN)]
    except DecodeError:
        return None
    whole = [blob for blob in blobs if blob.data and _size(blob) == math.prod(_shape(blob))]
    return _array(whole[0], "The mean") if whole else None


def _load(path: Path, span: _Span, index: int, name: str) -> Float32:
    return _array(_layer(path, span).blobs[index], name)


def _layer(path: Path, span: _Span) -> Any:
    with path.open("rb") as file:
        file.seek(span.begin)
        content = file.read(span.end - span.begin)
    try:
        layer = PACKED[span.field][1].FromString(content)
        return layer if all(blob.data for blob in layer.blobs) else PLAIN[span.field][1].FromString(content)
    except DecodeError as error:
        raise StoreError(f"The Caffe layer at byte {span.begin} is damaged ({error}): get the file again.") from error


def _shape(blob: Any) -> tuple[int, ...]:
    """Caffe gives everything five axes: convolutions (filters, inputs, 3, 3, 3), dense (1, 1, 1, n, k), bias (1, 1, 1, 1, n)."""
    if not hasattr(blob, "num"):
        return tuple(blob.shape.dim)  # BVLC's, which says the true axes
    axes = tuple(max(1, getattr(blob, name)) for name in AXES)
    dense = 1 if axes[:4] == (1, 1, 1, 1) else 2
    return axes[-dense:] if axes[:3] == (1, 1, 1) else axes


def _array(blob: Any, name: str) -> Float32:
    packed = isinstance(blob.data, bytes)
    array = np.frombuffer(blob.data, "<f4") if packed else np.fromiter(blob.data, FLOAT, len(blob.data))
    shape = _shape(blob)
    if array.size != math.prod(shape):
        raise StoreError(f"{name} says {shape} and holds {array.size:,} numbers: the file is damaged, get it again.")
    return array.reshape(shape)


def _size(blob: Any) -> int:
    return len(blob.data) // 4 if isinstance(blob.data, bytes) else len(blob.data)


def _layer_spans(content: mmap.mmap) -> list[_Span] | None:
    """First byte and end of each layer; None where the bytes are no protobuf message from beginning to end."""
    try:
        layers = (_Span(number, begin, end) for number, kind, begin, end in spans(content) if number in NUMBERS and kind == 2)
        return list(bounded(layers))
    except (IndexError, KeyError):
        return None
