"""What `list` and `summary` print: the models in a store, and the layers of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from model_store import c3d, calibration, store
from model_store.card import Card
from model_store.tensors import StoreError
from model_store.wording import command, size

SERVED = "*"  # the mark of the model that the service would serve


def rows(directory: Path, wanted: str = "") -> list[dict[str, Any]]:
    """A row for each model: its card's fields, ``name``, ``served``, ``bytes`` on disk and ``int8``, whether it is calibrated.

    ``wanted`` is the service's C3D_MODEL. A model that is not whole has ``name``, ``served`` and ``error`` alone.
    """
    try:
        served = store.chosen(directory, wanted)
    except StoreError:
        served = ""
    return [{"name": name, "served": name == served, **_about(directory / name)} for name in store.names(directory)]


def _about(place: Path) -> dict[str, Any]:
    try:
        card = store.Model(place).card
    except StoreError as error:
        return {"error": str(error)}
    num_bytes = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    return {**card.model_dump(), "bytes": num_bytes, "int8": (place / calibration.PLACE).exists()}


def table(found: Sequence[dict[str, Any]], directory: Path, wanted: str = "") -> list[str]:
    """The rows as lines for people, and below them what the mark means, or why there is none."""
    if not found:
        return [f"There are no models in {directory}. `{command('model_store', 'pull')}` downloads one."]
    head = ("", "NAME", "WEIGHTS", "CLASSES", "PREPROCESSING", "MEAN", "INT8", "SIZE")
    lines = _columns([head, *(_cells(row) for row in found if "error" not in row)])
    lines += [f"{row['name']} is damaged. {row['error']}" for row in found if "error" in row]
    return [*lines, _mark(directory, wanted)]


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    classes = str(row["num_classes"] or "descriptors only")
    mark, int8 = SERVED if row["served"] else "", "yes" if row["int8"] else "no"
    return (mark, row["name"], row["weights_sha256"][:12], classes, row["preprocessing"], row["mean"], int8, size(row["bytes"]))


def _mark(directory: Path, wanted: str) -> str:
    try:
        store.chosen(directory, wanted)
    except StoreError as error:
        return f"The service would not start. {error}"
    others = [name for name in store.names(directory) if name != store.chosen(directory, wanted)]
    other = f" Another one: {command('service', C3D_MODEL=others[0])}" if others else ""
    return f"{SERVED} is what the service serves.{other}"


def line(card: Card) -> str:
    """A model in one line, for what has just been made."""
    classes = f"{card.num_classes} classes" if card.num_classes else "descriptors only"
    return f"{card.name} ({classes}, {card.preprocessing}, mean {card.mean}, from {card.form} {card.source})"


def summary(num_classes: int = c3d.NUM_CLASSES, pool5: c3d.Pool5 = "caffe") -> list[str]:
    """The layers of the network, in the order of the paper's figure 3: what each does, its output's shape, its parameters."""
    shapes = c3d.weight_shapes(num_classes)
    layers = [layer for layer in c3d.layers(pool5) if layer.kind != "softmax" or num_classes]
    table = [("LAYER", "WHAT IT DOES", "OUTPUT", "PARAMETERS"), ("clip", "input, BGR", _shape(c3d.CLIP_SHAPE), "")]
    total = 0
    for layer in layers:
        parameters = sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(f"{layer.name}/"))
        output = (num_classes,) if layer.kind == "softmax" else layer.output
        table.append((layer.name, _does(layer, num_classes), _shape(output), f"{parameters:,}" if parameters else ""))
        total += parameters
    widths = _columns([(*row[:3], row[3].rjust(11)) for row in table])
    return [*widths, f"{total:,} parameters in float32: {size(4 * total)}"]


def _does(layer: c3d.Layer, num_classes: int) -> str:
    argument: Any = layer.argument
    match layer.kind:
        case "conv":
            return f"3x3x3 convolution, {argument} filters, ReLU"
        case "pool":
            return f"max pooling {_shape(argument)}"
        case "pad":
            return "zeros: " + ", ".join(
                f"{before}+{after} {axis}" for axis, (before, after) in zip(("frames", "rows", "columns"), argument, strict=True)
            )
        case "flatten":
            return "row, column, channel in one row"
        case "dense":
            return f"fully connected, {argument} outputs, ReLU"
        case _:
            return f"fully connected, {num_classes} classes, softmax"


def _shape(numbers: Iterable[int]) -> str:
    return "x".join(map(str, numbers))


def _columns(table: Sequence[Sequence[str]]) -> list[str]:
    """Each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
