"""Every published form of C3D weights, written from one set of canonical tensors, sharing no code with what reads them.

Each writer takes canonical tensors (channels last, Keras's axes; full size, or shrunken as `small_shapes` has them) and a path.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from tests.support import torch_writer

Tensors = Mapping[str, NDArray[np.float32]]
Pairs = Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]]  # layer -> (weight, bias)
Writer = Callable[[Tensors, Path], None]

CONVS = ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b")


def small_shapes(num_classes: int = 5) -> dict[str, tuple[int, ...]]:
    """C3D with a handful of filters: `model_store.c3d.weight_shapes`, but kilobytes. fc7 is square, as in the real one."""
    shapes: dict[str, tuple[int, ...]] = {}
    filters = (2, 4, 5, 5, 6, 6, 7, 8)
    for name, inputs, outputs in zip(CONVS, (3, *filters), filters, strict=False):
        shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (3, 3, 3, inputs, outputs), (outputs,)
    for name, inputs, outputs in (("fc6", 128, 9), ("fc7", 9, 9), ("fc8", 9, num_classes)):
        if outputs:
            shapes[f"{name}/kernel"], shapes[f"{name}/bias"] = (inputs, outputs), (outputs,)
    return shapes


def seeded(shapes: Mapping[str, tuple[int, ...]], seed: int = 3) -> dict[str, NDArray[np.float32]]:
    """float32 tensors of these shapes, all numbers different."""
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def layers(tensors: Tensors) -> list[str]:
    """conv1 ... fc8 (or fc7), in order."""
    return [name.removesuffix("/kernel") for name in tensors if name.endswith("/kernel")]


def channel_rows(kernel: NDArray[np.float32]) -> NDArray[np.float32]:
    """fc6 (inputs, outputs) with its inputs put into (channel, row, column) order."""
    channels = kernel.shape[0] // 16
    order = [(h * 4 + w) * channels + c for c in range(channels) for h in range(4) for w in range(4)]
    return kernel[order]


def as_pytorch(tensors: Tensors) -> Pairs:
    """Layer -> (weight, bias) with PyTorch's and Caffe's axes: (filters, inputs, time, row, column) and (outputs, inputs)."""
    made = {}
    for layer in layers(tensors):
        kernel = tensors[f"{layer}/kernel"]
        kernel = channel_rows(kernel) if layer == "fc6" else kernel
        moved = kernel.transpose(4, 3, 0, 1, 2) if kernel.ndim == 5 else kernel.T
        made[layer] = np.ascontiguousarray(moved), tensors[f"{layer}/bias"]
    return made


def as_theano(tensors: Tensors) -> Pairs:
    """Layer -> (kernel, bias) as Keras 1 has them on Theano: filters first and mirrored, dense (inputs, outputs)."""
    made = {}
    for layer, (weight, bias) in as_pytorch(tensors).items():
        made[layer] = (weight[:, :, ::-1, ::-1, ::-1] if weight.ndim == 5 else weight.T), bias
    return made


def as_keras(tensors: Tensors) -> Pairs:
    """Layer -> (kernel, bias), canonical."""
    return {layer: (tensors[f"{layer}/kernel"], tensors[f"{layer}/bias"]) for layer in layers(tensors)}


def keras_hdf5(
    pairs: Pairs,
    path: Path,
    names: tuple[str, str] = ("{}/kernel:0", "{}/bias:0"),
    attributes: Mapping[str, str] | None = None,
    config: object = None,
) -> None:
    """Keras's HDF5. ``names``: the arrays' paths in their layer's group; ``config`` makes it a whole model."""
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if config else file
        if config:
            file.attrs["model_config"] = json.dumps(config).encode()
            file.create_group("optimizer_weights").attrs["weight_names"] = []
        group.attrs["layer_names"] = [name.encode() for name in ("input_1", *pairs, "dropout_1")]
        for key, value in (attributes or {}).items():
            group.attrs[key] = value.encode()
        for layer in ("input_1", "dropout_1"):
            group.create_group(layer).attrs["weight_names"] = []
        for layer, pair in pairs.items():
            inner = group.create_group(layer)
            inner.attrs["weight_names"] = [name.format(layer).encode() for name in names]
            for name, array in zip(names, pair, strict=True):
                inner.create_dataset(name.format(layer), data=array)


KERAS_1 = ("{}_W", "{}_b")
KERAS_2 = {"backend": "tensorflow", "keras_version": "2.2.4"}


def keras_3_weights(pairs: Pairs, path: Path, *, named: bool = True) -> None:
    """Keras 3's .weights.h5; ``named``: with the layers' names, as 3.15 writes them."""
    with h5py.File(path, "w") as file:
        counts = {"conv3d": 0, "dense": 0}
        for layer, pair in pairs.items():
            kind = "conv3d" if pair[0].ndim == 5 else "dense"
            number = f"_{counts[kind]}" if counts[kind] else ""
            counts[kind] += 1
            group = file.create_group(f"layers/{kind}{number}/vars")
            if named:
                group.attrs["name"] = layer
            group["0"], group["1"] = pair
        file.create_group("layers/dropout/vars").attrs["name"] = "dropout"
        file.create_group("optimizer/vars")["0"] = np.int64(7)


def npz(tensors: Tensors, path: Path) -> None:
    """Canonical names and axes."""
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **tensors)


def npz_of_pytorch(tensors: Tensors, path: Path) -> None:
    """PyTorch's names and axes, compressed."""
    named = {f"{k}.{v}": a for k, pair in as_pytorch(tensors).items() for v, a in zip(("weight", "bias"), pair, strict=True)}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **named)


def varint(number: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def field(number: int, content: bytes | int) -> bytes:
    """A protobuf field: a varint, or what has a length."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def blob(array: NDArray[Any], *, packed: bool = True) -> bytes:
    """C3D's BlobProto: five axes, ones in front, then the numbers."""
    axes = (*(1,) * (5 - array.ndim), *array.shape)
    head = b"".join(field(number, size) for number, size in enumerate(axes, start=1))
    content = array.astype("<f4").tobytes()
    if packed:
        return head + field(6, content)
    return head + b"".join(varint(6 << 3 | 5) + content[at : at + 4] for at in range(0, len(content), 4))


def caffe(tensors: Tensors, path: Path, *, packed: bool = True) -> None:
    """The authors' NetParameter, layers without weights in between."""
    out = [field(1, b"deepnetA"), field(2, field(4, b"data") + field(5, 39))]
    for layer, pair in as_pytorch(tensors).items():
        name = {"conv1": "conv1a", "conv2": "conv2a"}.get(layer, layer if "conv" in layer else f"{layer}-1").encode()
        kind = 30 if "conv" in layer else 14
        body = field(2, b"below") + field(3, name) + field(4, name) + field(5, kind)
        out.append(field(2, body + b"".join(field(6, blob(array, packed=packed)) for array in pair)))
        out.append(field(2, field(4, b"relu") + field(5, 18)))
    path.write_bytes(b"".join(out))


def caffe_bvlc(tensors: Tensors, path: Path) -> None:
    """BVLC's NetParameter, as video-caffe and C3D-v1.1 write it: true axes, other numbers."""
    out = [field(1, b"c3d")]
    for layer, pair in as_pytorch(tensors).items():
        name = {"conv1": "conv1a", "conv2": "conv2a"}.get(layer, layer).encode()
        blobs = (field(7, field(1, b"".join(map(varint, a.shape)))) + field(5, a.astype("<f4").tobytes()) for a in pair)
        out.append(field(100, field(1, name) + field(2, b"kind") + b"".join(field(7, each) for each in blobs)))
    path.write_bytes(b"".join(out))


def chainer_npz(tensors: Tensors, path: Path) -> None:
    """chainer.serializers.save_npz: conv1/W ..., the axes of PyTorch."""
    with path.open("wb") as file:
        arrays = {f"{layer}/{v}": a for layer, pair in as_pytorch(tensors).items() for v, a in zip("Wb", pair, strict=True)}
        np.savez(file, allow_pickle=False, **arrays)


ALL: dict[str, Writer] = {
    "keras 2": lambda t, p: keras_hdf5(as_keras(t), p, attributes=KERAS_2),
    "keras 2, names twice": lambda t, p: keras_hdf5(as_keras(t), p, ("{0}/{0}/kernel:0", "{0}/{0}/bias:0"), KERAS_2),
    "keras 2, whole": lambda t, p: keras_hdf5(as_keras(t), p, attributes=KERAS_2, config={"class_name": "Sequential"}),
    "keras 1": lambda t, p: keras_hdf5(as_keras(t), p, KERAS_1),
    "keras 1, theano": lambda t, p: keras_hdf5(as_theano(t), p, KERAS_1),
    "keras 1, theano, whole": lambda t, p: keras_hdf5(as_theano(t), p, KERAS_1, config={"class_name": "Model"}),
    "keras 3 weights": lambda t, p: keras_3_weights(as_keras(t), p),
    "keras 3 weights, unnamed": lambda t, p: keras_3_weights(as_keras(t), p, named=False),
    "caffe": caffe,
    "caffe-bvlc": caffe_bvlc,
    "npz": npz,
    "npz of chainer": chainer_npz,
    "npz of pytorch": npz_of_pytorch,
    "pytorch zip, DavideA": lambda t, p: torch_writer.save_zip(torch_writer.davidea(as_pytorch(t)), p),
    "pytorch zip, mmaction2": lambda t, p: torch_writer.save_zip({"state_dict": torch_writer.mmaction2(as_pytorch(t))}, p),
    "pytorch legacy, jfzhang95": lambda t, p: torch_writer.save_legacy({"state_dict": torch_writer.jfzhang95(as_pytorch(t))}, p),
    "pytorch legacy, DataParallel": lambda t, p: torch_writer.save_legacy(torch_writer.davidea(as_pytorch(t), "module."), p),
}
