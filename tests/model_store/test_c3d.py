"""The layer table adds up."""

from __future__ import annotations

import numpy as np
import pytest

from model_store import c3d


def test_parameters_add_up() -> None:
    assert sum(layer.parameters for layer in c3d.LAYERS) == c3d.NUM_PARAMETERS
    by_shape = {name: int(np.prod(shape)) for name, shape in c3d.weight_shapes().items()}
    assert sum(by_shape.values()) == c3d.NUM_PARAMETERS
    for layer in c3d.LAYERS:
        assert by_shape.get(f"{layer.name}/kernel", 0) + by_shape.get(f"{layer.name}/bias", 0) == layer.parameters, layer.name


def test_every_output_follows_from_the_one_before() -> None:
    shape: tuple[int, ...] = c3d.CLIP_SHAPE
    for layer in c3d.LAYERS:
        match layer.kind, layer.argument:
            case "conv", int(filters):
                shape = (*shape[:3], filters)
            case "pool", (int(t), int(h), int(w)):
                shape = (shape[0] // t, shape[1] // h, shape[2] // w, shape[3])
            case "pad", (a, b, c):
                shape = (*(n + sum(side) for n, side in zip(shape, (a, b, c), strict=False)), shape[3])  # type: ignore[arg-type]
            case "flatten", None:
                shape = (int(np.prod(shape)),)
            case "dense" | "softmax", int(outputs):
                shape = (outputs,)
            case other:
                pytest.fail(f"unknown layer {other}")
        assert shape == layer.output, layer.name


def test_crop_is_caffes() -> None:
    assert (c3d.CROP_TOP, c3d.CROP_LEFT) == (8, 29)


@pytest.mark.parametrize(("classes", "tensors"), [(487, 22), (101, 22), (0, 20)])
def test_weight_shapes_know_other_classes_and_none(classes: int, tensors: int) -> None:
    shapes = c3d.weight_shapes(classes)
    assert len(shapes) == tensors
    assert shapes["conv1/kernel"] == (3, 3, 3, 3, 64)
    assert shapes["fc6/kernel"] == (8192, 4096)
    assert shapes.get("fc8/bias", (0,)) == (classes,)


def test_symmetric_pool5_has_the_same_shapes_behind_it() -> None:
    padded = {layer.name: layer for layer in c3d.layers("symmetric")}
    assert padded["zeropad5"].argument == ((0, 0), (1, 1), (1, 1))
    assert [layer for layer in c3d.layers("symmetric") if layer.name != "zeropad5"] == [
        layer for layer in c3d.LAYERS if layer.name != "zeropad5"
    ]
    assert c3d.layers() == c3d.LAYERS
