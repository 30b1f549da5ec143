"""Arrays as another tool stores them become the canonical tensors: the one place where axes are moved.

Canonical is what `model_store.c3d.weight_shapes` says: channels last, convolutions (time, row, column, inputs, filters), dense
layers (inputs, outputs), the rows of fc6 in (row, column, channel) order; cross-correlation, no kernel flip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from model_store import c3d
from model_store.formats.layer_names import canonical
from model_store.preprocessing import Preprocessing
from model_store.tensors import Float32, StoreError, check_tensor
from model_store.wording import command

ShapesOf = Callable[[int], dict[str, tuple[int, ...]]]  # the tensors of a network with so many classes: `c3d.weight_shapes`
T = TypeVar("T")
MAX_ENTRIES = 10_000  # arrays of a file: a training state has three for each of the 22
BFLOAT16 = np.dtype([("bfloat16", "u2")])  # NumPy has none
POOL5 = next(layer.output[:3] for layer in c3d.LAYERS if layer.name == "pool5")  # (1, 4, 4): frames, rows, columns


Kernels = Literal["plain", "mirrored"]
Fc6Rows = Literal["channels-first", "channels-last"]


class Entry(NamedTuple):
    """One array of a file, not read yet. ``load`` gives it in ``shape`` and ``dtype``."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    load: Callable[[], NDArray[Any]]


class Order(NamedTuple):
    """How a tool lays its axes. All False is canonical."""

    filters_first: bool = False  # convolutions (filters, inputs, time, row, column)
    flipped: bool | None = False  # mirrored in time, row and column: true convolution, as Theano's; None: nothing tells
    outputs_first: bool = False  # dense layers (outputs, inputs)
    channel_rows: bool = False  # the inputs of fc6 in (channel, row, column) order


KERAS = Order()
CAFFE = Order(filters_first=True, outputs_first=True, channel_rows=True)  # and PyTorch


class Found(NamedTuple):
    """What a file holds: its form's name for the card, its arrays under the file's own names, how their axes lie."""

    form: str
    entries: Mapping[str, Entry]
    order: Order
    beside: tuple[str, ...] = ()  # names of what the file also holds and an import leaves out
    preset: Preprocessing | None = None  # where the form, rather than the arrays' names, tells whose network it is
    assumed: tuple[str, ...] = ()  # of the order of fc6's rows, where the form does not tell it: sentences for a user


def told_by_shapes(entries: Mapping[str, Entry]) -> Order:
    """The order of arrays that come without a word on it: Keras's, or Caffe's, which may be mirrored or not."""
    shapes = {canonical(name): entry.shape for name, entry in entries.items()}
    if shapes.get("conv1/kernel", ())[:3] == (3, 3, 3):
        return KERAS
    inputs_outputs = shapes.get("fc6/kernel", ())
    return Order(filters_first=True, flipped=None, outputs_first=inputs_outputs[:1] < inputs_outputs[1:], channel_rows=True)


def told_by_names(entries: Mapping[str, Entry]) -> Order:
    """As `told_by_shapes`; where those leave it open whether kernels are mirrored, by the tool whose names these are."""
    order = told_by_shapes(entries)
    own_name = next((name for name in entries if canonical(name) == "conv1/kernel"), "")
    plain = own_name.endswith((".weight", "/W"))  # PyTorch's and Chainer's
    return order._replace(flipped=False) if order.flipped is None and plain else order


def bounded(items: Iterable[T]) -> Iterator[T]:
    """The items. Raises StoreError where there are more than any file of weights has arrays: it was made to keep us busy."""
    for count, item in enumerate(items):
        if count == MAX_ENTRIES:
            raise StoreError(f"The file holds more than {MAX_ENTRIES:,} arrays: these are not the weights of a C3D.")
        yield item


def converted(entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Which types other than float32 the weights have: "float16", "bfloat16", "float64"."""
    names = {"bfloat16" if entry.dtype.names else entry.dtype.name for entry in entries.values()}
    return tuple(sorted(names - {"float32"}))


def tensors(found: Found, shapes_of: ShapesOf = c3d.weight_shapes) -> dict[str, Float32]:
    """Read all arrays, one at a time, and give the canonical tensors: float32, contiguous, in their order.

    Raises StoreError, naming the layer, where one is missing, unknown, there twice, of another dtype or shape, or not
    finite. Without fc8 the weights are for descriptors only.
    """
    if found.order.flipped is None:
        raise StoreError(
            "The file's convolutions have their filters first, and nothing in it says whether they are mirrored, as Theano's are "
            "(also Lasagne's, unless flip_filters is off). Import it with --kernels mirrored or --kernels plain; "
            f"`{command('service', 'verify')}` tells which was right where the known answer is known."
        )
    entries = _by_canonical_name(found.entries)
    shapes = shapes_of(_num_classes(entries))
    if missing := [name for name in shapes if name not in entries]:
        raise StoreError(f"{', '.join(missing)} missing: these are not the whole weights of a C3D.")
    made = {}
    for name, shape in shapes.items():
        own_name, entry = entries[name]
        _check(own_name, entry, _foreign_shape(shape, found.order))
        made[name] = _moved(name, _float32(entry.load()), found.order)
        check_tensor(own_name, made[name], shape)
    return made


def _by_canonical_name(entries: Mapping[str, Entry]) -> dict[str, tuple[str, Entry]]:
    found: dict[str, tuple[str, Entry]] = {}
    for own_name, entry in entries.items():
        name = canonical(own_name)
        if name is None:
            raise StoreError(f"{own_name} is not a layer of C3D. Its layers are conv1 ... conv5b, fc6, fc7 and fc8.")
        if name in found:
            raise StoreError(f"{own_name} and {found[name][0]} are both {name}. Import a file with one set of weights.")
        found[name] = own_name, entry
    return found


def _num_classes(entries: Mapping[str, tuple[str, Entry]]) -> int:
    """0 without a class layer. Half a class layer counts as one, so that its other half is found missing."""
    if "fc8/bias" in entries:
        return max(1, *entries["fc8/bias"][1].shape, 1)
    return int("fc8/kernel" in entries)


def _foreign_shape(shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    if len(shape) == 5 and order.filters_first:
        return (shape[4], shape[3], *shape[:3])
    return shape[::-1] if len(shape) == 2 and order.outputs_first else shape


def _check(name: str, entry: Entry, shape: tuple[int, ...]) -> None:
    if entry.dtype.kind != "f" and entry.dtype.names != BFLOAT16.names:
        raise StoreError(f"{name} is {entry.dtype}: weights are float32, float64, float16 or bfloat16.")
    if entry.shape != shape:
        raise StoreError(f"{name} has the shape {entry.shape}, not {shape}.")


def _float32(array: NDArray[Any]) -> Float32:
    """The numbers as float32: float16's and bfloat16's exactly, float64's rounded."""
    if array.dtype.names == BFLOAT16.names:
        return (array["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, which `check_tensor` refuses
        return array.astype(np.float32, copy=False)


def _moved(name: str, array: Float32, order: Order) -> Float32:
    if array.ndim == 5 and order.flipped:
        array = np.flip(array, (2, 3, 4) if order.filters_first else (0, 1, 2))
    if array.ndim == 5 and order.filters_first:
        array = array.transpose(2, 3, 4, 1, 0)
    if name == "fc6/kernel" and order.channel_rows:
        return _spatial_rows(array, outputs_first=order.outputs_first)
    if array.ndim == 2 and order.outputs_first:
        array = array.T
    return np.ascontiguousarray(array)


def _spatial_rows(array: Float32, *, outputs_first: bool) -> Float32:
    """fc6 with inputs in (channel, row, column) order to float32 (inputs, outputs) in (row, column, channel) order.

    Row (h * 4 + w) * 512 + c comes from input c * 16 + h * 4 + w. One copy, of 134 MB.
    """
    inputs = array.shape[1] if outputs_first else array.shape[0]
    channels = inputs // int(np.prod(POOL5))
    if outputs_first:
        moved = array.reshape(-1, channels, *POOL5).transpose(2, 3, 4, 1, 0)
    else:
        moved = array.reshape(channels, *POOL5, -1).transpose(1, 2, 3, 0, 4)
    return np.ascontiguousarray(moved).reshape(inputs, -1)
