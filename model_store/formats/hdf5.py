"""What all readers of HDF5 need: to stay inside the file, and within the size of weights."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import Any

import h5py

from model_store.formats.canonical import Entry
from model_store.tensors import StoreError

MAX_CHUNK_BYTES = 1 << 28  # HDF5 takes as much memory for one chunk of an array; fc6 as a whole has 134 MB


def child(group: Any, path: str) -> Any:
    """What lies under the path. Raises StoreError where a link would lead elsewhere, perhaps into another file; KeyError."""
    for part in filter(None, path.split("/")):
        link = group.get(part, getlink=True)
        if not isinstance(link, h5py.HardLink | None):
            raise StoreError(f"{path} is a link to another place, which is not followed: save the weights in one file.")
        group = group[part]
    return group


def walk(group: Any) -> Iterator[tuple[str, Any]]:
    """All that lies in the group, by its path, each thing once. Raises StoreError as `child` does."""
    waiting, seen = deque([("", group)]), {hash(group.id)}
    while waiting:
        place, node = waiting.popleft()
        for name in node:
            inner, inside = f"{place}/{name}".lstrip("/"), child(node, name)
            yield inner, inside
            if isinstance(inside, h5py.Group) and hash(inside.id) not in seen:
                seen.add(hash(inside.id))
                waiting.append((inner, inside))


def entry(array: Any) -> Entry:
    """The dataset. Raises StoreError where its numbers lie in another file, which HDF5 would open, or in giant pieces."""
    if array.external or array.is_virtual:
        raise StoreError(f"{array.name} lies in another file, which is not opened: save the weights in one file.")
    if array.chunks and math.prod(array.chunks) * array.dtype.itemsize > MAX_CHUNK_BYTES:
        raise StoreError(f"{array.name} lies in pieces larger than weights: save it again without chunks.")
    return Entry(array.shape, array.dtype, partial(array.__getitem__, ()))
