"""HDF5 as Keras 1 and 2 write it, and Keras 3 under a name ending in .h5: weights only or a whole model.

The root, or the group ``model_weights`` of a whole model, has the attribute ``layer_names``; each layer is a group with the
attribute ``weight_names``, the paths of its arrays in it: ``conv1/kernel:0`` (Keras 2), ``conv1_W`` (Keras 1),
``sequential/conv1/kernel`` (Keras 3).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import h5py

from model_store.formats.canonical import Entry, Found, Order, bounded
from model_store.formats.hdf5 import child, entry
from model_store.formats.layer_names import VARIABLES, WITH_WEIGHTS, canonical


def found(file: h5py.File) -> Found | None:
    """What the open file holds; None where it is not of this form."""
    group = child(file, "model_weights") if "model_weights" in file else file
    if "layer_names" not in group.attrs:
        return None
    entries = _named(list(bounded(_arrays(group))))
    config = _text(file.attrs.get("model_config", "{}"))
    backend = _text(group.attrs.get("backend", file.attrs.get("backend", "")))
    order = _order(entries, json.loads(config), backend)
    return Found(_form(group, file) + (", theano order" if order.filters_first else ""), entries, order)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _form(group: Any, file: h5py.File) -> str:
    version = _text(group.attrs.get("keras_version", file.attrs.get("keras_version", "1")))  # Keras 1 says nothing
    return f"keras-{version.split('.')[0]}-hdf5"


def _arrays(group: Any) -> Iterator[tuple[str, str, Entry]]:
    """(layer, path of the array in it, the array), in the model's order."""
    for layer in map(_text, group.attrs["layer_names"]):
        place = child(group, layer)
        for path in map(_text, place.attrs["weight_names"]):
            yield layer, path, entry(child(place, path))


def _named(arrays: list[tuple[str, str, Entry]]) -> Mapping[str, Entry]:
    """Arrays by a name that says which layer: the group's, or the path's where models lie in models.

    A model whose layers nobody named (conv3d_1, dense_2) is read by their order, if it has as many as C3D.
    """
    named = {}
    for layer, path, array in arrays:
        *above, variable = path.split("/")
        candidates = (f"{layer}/{variable}", f"{above[-1]}/{variable}" if above else variable, variable)
        name = next((candidate for candidate in candidates if canonical(candidate)), f"{layer}/{path}")
        named[name if name not in named else f"{layer}/{path}"] = array
    if any(canonical(name) for name in named) or len(arrays) not in {2 * len(WITH_WEIGHTS), 2 * len(WITH_WEIGHTS) - 2}:
        return named
    return {f"{WITH_WEIGHTS[i // 2]}/{_variable(path)}": array for i, (_, path, array) in enumerate(arrays)}


def _variable(path: str) -> str:
    last = path.removesuffix(":0").replace("_", "/").split("/")[-1]
    return VARIABLES.get(last, last)


def _order(entries: Mapping[str, Entry], config: Any, backend: str) -> Order:
    """How the axes lie.

    Convolutions with the filters first are Keras 1's "th" ordering. Theano computes true convolutions, so its kernels are
    mirrored: the attribute ``backend`` says so, which Keras 1 does not write; then filters first means Theano.
    """
    shape = next((array.shape for name, array in entries.items() if canonical(name) == "conv1/kernel"), ())
    filters_first = len(shape) == 5 and shape[:3] != (3, 3, 3)
    flipped = backend == "theano" if backend else filters_first
    return Order(filters_first, flipped, outputs_first=False, channel_rows=filters_first or _channels_first(config))


def _channels_first(config: Any) -> bool:
    """Whether a whole model's Flatten meets its channels before rows and columns.

    Flatten itself puts the channels last where "channels_first" is set (since Keras 2.2).
    """
    layers = list(_layers(config))
    first = any(
        layer.get("data_format") == "channels_first" or layer.get("dim_ordering") == "th"
        for kind, layer in layers
        if kind in {"Conv3D", "Convolution3D"}
    )
    mended = any(kind == "Flatten" and layer.get("data_format") == "channels_first" for kind, layer in layers)
    return first and not mended


def _layers(config: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(config, dict):
        if isinstance(config.get("config"), dict):
            yield str(config.get("class_name")), config["config"]
        config = list(config.values())
    if isinstance(config, list):
        for inner in config:
            yield from _layers(inner)
