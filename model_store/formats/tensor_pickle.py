"""The pickles that hold weights, read without the libraries that wrote them and without running anything.

A pickle is a program. This one gets to see a handful of names, the containers, tensors and arrays that weights are made of, each
of them something of ours that it cannot change. Whatever else it names becomes an `Inert`: never imported, never called.
"""

from __future__ import annotations

import collections
import math
import pickle
import pickletools
from collections.abc import Callable, Iterator
from typing import IO, Any, NamedTuple

import numpy as np

from model_store.tensors import StoreError

MAX_OPCODES = 2_000_000  # a state dict has hundreds, a whole training state with its log tens of thousands
MAX_VALUES = 1_000_000  # that `leaves` looks at, and that functions are given
MAX_AXES = 32  # of an array; weights have at most five
MAX_NAME_LETTERS = 1_000  # of a name that leads to an array
TOO_LARGE = "The file's pickle is larger than that of any weights: refused."
OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}


class StorageType(NamedTuple):
    """What stands for torch.FloatStorage and its kind."""

    dtype: Any  # as np.dtype takes it, byte order left open


class Storage(NamedTuple):
    """A row of numbers elsewhere in the file: under which key, of what type, how many."""

    key: str
    dtype: np.dtype[Any]
    length: int


class Tensor(NamedTuple):
    """A view of a storage: its first number, its axes, and how many numbers further the next one of each axis is."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class Function:
    """What a pickle may call and cannot change: it has no attributes to set."""

    __slots__ = ("_function",)
    _function: Callable[..., Any]

    def __init__(self, function: Callable[..., Any]) -> None:
        object.__setattr__(self, "_function", function)

    def __call__(self, *arguments: Any) -> Any:
        """What the function gives."""
        return self._function(*arguments)

    def __setattr__(self, name: str, value: object) -> None:
        """Raises AttributeError, always."""
        raise AttributeError(name)


class _Fixed(type):
    """The class of `Inert` and of what is made of it: a pickle cannot set its attributes."""

    def __setattr__(cls, name: str, value: object) -> None:
        raise AttributeError(name)


class Inert(metaclass=_Fixed):
    """What stands for an object of a class that is not known: it keeps its state, and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> Inert:
        """Made of anything, which is forgotten."""
        made = super().__new__(cls)
        object.__setattr__(made, "state", None)
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    state: Any

    def __setstate__(self, state: Any) -> None:
        """Called by pickle with the object's attributes."""
        object.__setattr__(self, "state", state)

    def __setitem__(self, key: Any, value: Any) -> None:
        """Called by pickle for what the object held, were it a dict."""

    def append(self, value: Any) -> None:
        """Called by pickle for what the object held, were it a list."""

    def extend(self, values: Any) -> None:
        """Likewise."""

    def __setattr__(self, name: str, value: object) -> None:
        """Raises AttributeError, always."""
        raise AttributeError(name)


class Dtype:
    """What stands for a numpy.dtype: its letters, then its byte order."""

    def __init__(self, letters: Any) -> None:
        self._letters, self._order = _text(letters), "<"

    def __setstate__(self, state: Any) -> None:
        """Called by pickle with (version, byte order, ...)."""
        self._order = _text(state[1]).replace("|", "<")

    def made(self) -> np.dtype[Any]:
        """The numbers' type. Raises TypeError for what are no numbers."""
        return np.dtype(self._letters).newbyteorder(self._order)  # type: ignore[arg-type]


class PickledArray:
    """What stands for a numpy.ndarray. ``shape``, and ``data``: its bytes, or a list of objects."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = ()
        self.data: Any = b""
        self.dtype: Any = None
        self._fortran = False

    def __setstate__(self, state: Any) -> None:
        """Called by pickle with (version, shape, dtype, column by column, bytes)."""
        _, shape, self.dtype, self._fortran, self.data = state
        if len(shape) > MAX_AXES or any(type(length) is not int or length < 0 for length in shape):
            raise pickle.UnpicklingError("an array with impossible axes")
        self.shape = tuple(shape)

    def numbers(self) -> np.ndarray[Any, Any]:
        """The array. Raises UnpicklingError where its bytes are not as many as its axes say."""
        dtype = self.dtype.made()
        if not isinstance(self.data, bytes | bytearray) or len(self.data) != math.prod(self.shape) * dtype.itemsize:
            raise pickle.UnpicklingError("an array without its numbers")
        return np.frombuffer(self.data, dtype).reshape(self.shape, order="F" if self._fortran else "C")


def _text(value: Any) -> str:
    """Python 2 pickled text as bytes; keys may be numbers. What else there is has no short name, and may have a very long one."""
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str | int | float):
        raise pickle.UnpicklingError(f"{type(value).__name__} in place of a name")
    return str(value)


def _from_buffer(content: Any, dtype: Any, shape: Any, order: Any) -> PickledArray:
    """numpy.core.numeric._frombuffer, as NumPy pickles arrays since protocol 5."""
    array = PickledArray()
    array.__setstate__((1, shape, dtype, order == "F", content))
    return array


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> Tensor:
    """torch._utils._rebuild_tensor_v2; what follows (requires_grad, hooks) does not matter here."""
    if not isinstance(storage, Storage) or not len(shape) == len(strides) <= MAX_AXES:
        raise pickle.UnpicklingError("a tensor without numbers")
    if any(type(number) is not int or number < 0 for number in (offset, *shape, *strides)):
        raise pickle.UnpicklingError("a tensor with impossible axes")
    last = offset + sum((length - 1) * step for length, step in zip(shape, strides, strict=True))
    if math.prod(shape) and last >= storage.length:
        raise pickle.UnpicklingError("a tensor that reaches beyond its numbers")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


DTYPES = {
    "FloatStorage": "f4", "DoubleStorage": "f8", "HalfStorage": "f2", "BFloat16Storage": [("bfloat16", "u2")],
    "ByteStorage": "u1", "CharStorage": "i1", "ShortStorage": "i2", "IntStorage": "i4", "LongStorage": "i8",
    "BoolStorage": "?",
}  # fmt: skip
ALLOWED: dict[tuple[str, str], Any] = {
    ("torch._utils", "_rebuild_tensor_v2"): Function(_tensor),
    ("torch._utils", "_rebuild_tensor"): Function(_tensor),
    ("torch._utils", "_rebuild_parameter"): Function(lambda tensor, *_: tensor),
    **{("torch", name): StorageType(dtype) for name, dtype in DTYPES.items()},
    **{(f"numpy.{core}.multiarray", "_reconstruct"): Function(PickledArray) for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): Function(_from_buffer) for core in ("core", "_core")},
    ("numpy", "dtype"): Function(lambda letters, *_: Dtype(letters)),
}


class _Reader(pickle.Unpickler):
    def __init__(self, file: IO[bytes], size: int, storages: dict[str, Storage]) -> None:
        super().__init__(file, encoding="bytes")
        self._storages = storages
        self._bytes_left, self._values_left = size, MAX_VALUES
        self._functions = {
            ("collections", "OrderedDict"): Function(self._ordered_dict),
            ("_codecs", "encode"): Function(self._encoded),
        }

    def find_class(self, module: str, name: str) -> Any:
        """Called by pickle for every name. What is not known becomes a class of its own that does nothing."""
        return ALLOWED.get((module, name)) or self._functions.get((module, name)) or _Fixed(name, (Inert,), {})

    def _ordered_dict(self, items: Any = ()) -> dict[Any, Any]:
        """OrderedDict, empty or of pairs. Raises StoreError where one list is made into more of them than a file has room for."""
        self._values_left -= len(items)
        if self._values_left < 0:
            raise StoreError(TOO_LARGE)
        return collections.OrderedDict(items)

    def _encoded(self, text: Any, *_: Any) -> bytes:
        """_codecs.encode, by which Python 3 keeps bytes in protocols 0 to 2. Raises StoreError as `_ordered_dict` does."""
        if not isinstance(text, str):
            raise pickle.UnpicklingError("bytes made of something else than text")
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise StoreError(TOO_LARGE)
        return text.encode("latin1")

    def persistent_load(self, pid: Any) -> Any:
        """Called by pickle for what lies outside of it: ("storage", type, key, device, count) and, before 1.6, a view.

        Also ("module", class, file, source) of a whole module: the class.
        """
        kind = _text(pid[0])
        if kind == "module":
            return pid[1]
        _, storage_type, key, _, count, *view = pid
        if kind != "storage" or not isinstance(storage_type, StorageType) or type(count) is not int or any(view):
            raise pickle.UnpicklingError("something else than numbers")
        key = _text(key)
        return self._storages.setdefault(key, Storage(key, np.dtype(storage_type.dtype), count))


def load(file: IO[bytes], storages: dict[str, Storage] | None = None) -> Any:
    """The next pickle in the file: numbers, strings, containers, `Tensor`, `PickledArray`, `Inert`.

    What it keeps elsewhere goes into ``storages``. Raises StoreError where it is too large, and what pickle raises where it is
    damaged.
    """
    return _Reader(file, _checked_size(file), {} if storages is None else storages).load()


def _checked_size(file: IO[bytes]) -> int:
    """Bytes of the next pickle. Raises StoreError where it has too many steps, or a memo with holes of gigabytes."""
    begin = file.tell()
    for count, (name, argument) in enumerate(_opcodes(file)):
        if count > MAX_OPCODES or ("PUT" in name and int(argument or 0) > MAX_OPCODES):
            raise StoreError(TOO_LARGE)
    size = file.tell() - begin
    file.seek(begin)
    return size


def _opcodes(file: IO[bytes]) -> Iterator[tuple[str, Any]]:
    """Names and arguments. As `pickletools.genops`, which stops at Python 2's protocol 0: it expects text where bytes are."""
    name = ""
    while name != "STOP":
        opcode = OPCODES.get(file.read(1))
        if opcode is None:
            raise pickle.UnpicklingError("no pickle, or a cut off one")
        name, argument = opcode.name, None
        if name == "STRING":
            file.readline()
        elif opcode.arg:
            argument = opcode.arg.reader(file)
        yield name, argument


def leaves(content: Any) -> Iterator[tuple[str, Tensor | PickledArray]]:
    """The tensors and arrays in what `load` gave, and the names that lead to them, with dots.

    A whole module's names are those of its state dict. What contains itself is gone through once.
    """
    waiting, seen = [("", content)], set[int]()
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Tensor) or (isinstance(value, PickledArray) and isinstance(value.data, bytes | bytearray)):
            yield name, value
            continue
        if id(value) in seen or len(seen) > MAX_VALUES or len(name) > MAX_NAME_LETTERS:
            continue
        inner = _inner(value)
        if inner:
            seen.add(id(value))
            waiting.extend((_joined(name, key), each) for key, each in reversed(inner))


def _inner(value: Any) -> list[tuple[str, Any]]:
    if isinstance(value, Inert):
        value = value.state
    if isinstance(value, PickledArray):
        value = value.data
    if isinstance(value, dict):
        return [(_text(key), each) for key, each in value.items()]
    return [(str(index), each) for index, each in enumerate(value)] if isinstance(value, list | tuple) else []


def _joined(name: str, key: str) -> str:
    if key in {"_modules", "_parameters", "_buffers"}:
        return name
    return f"{name}.{key}" if name else key
