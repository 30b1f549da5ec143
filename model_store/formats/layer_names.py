"""What other tools call the layers of C3D and their variables, and what we call them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from model_store import c3d
from model_store.preprocessing import Preprocessing

WITH_WEIGHTS = tuple(layer.name for layer in c3d.LAYERS if layer.parameters)  # conv1 ... conv5b, fc6, fc7, fc8

LAYERS = {
    **{name: name for name in WITH_WEIGHTS},  # Keras ports, DavideA/c3d-pytorch
    "conv1a": "conv1", "conv2a": "conv2",  # Caffe, mmaction2
    "fc6-1": "fc6", "fc7-1": "fc7", "fc8-1": "fc8",  # Caffe
    **dict(zip((f"features.{i}" for i in (0, 3, 6, 8, 11, 13, 16, 18)), WITH_WEIGHTS, strict=False)),  # jfzhang95
    "classifier.0": "fc6", "classifier.3": "fc7", "classifier.6": "fc8",  # jfzhang95
    "cls_head.fc_cls": "fc8",  # mmaction2, fine-tuned
}  # fmt: skip
VARIABLES = {
    "kernel": "kernel", "weight": "kernel", "weights": "kernel", "W": "kernel", "0": "kernel",  # 0 and 1: of a pair in a list
    "bias": "bias", "biases": "bias", "b": "bias", "1": "bias",
}  # fmt: skip
PREFIXES = {"module", "backbone", "model", "predictor", "net"}  # of DataParallel, mmaction2, Lightning, Chainer


def canonical(name: str) -> str | None:
    """ "conv1/kernel" and the like for another tool's name of the same; None for the name of something else.

    >>> [canonical(n) for n in ("module.features.0.weight", "backbone.conv1a.conv.bias", "conv1/conv1/kernel:0", "fc6-1_b")]
    ['conv1/kernel', 'conv1/bias', 'conv1/kernel', 'fc6/bias']
    """
    parted = split(name)
    return parted[1] if parted and set(filter(None, parted[0].split("."))) <= PREFIXES else None


def split(name: str) -> tuple[str, str] | None:
    """What stands before the layer in another tool's name, and the canonical name; None for the name of something else.

    >>> split("state_dict.backbone.conv1a.conv.weight"), split("net.fc6.bias")
    (('state_dict', 'conv1/kernel'), ('net', 'fc6/bias'))
    """
    parts = [part for part in re.split(r"[./]", name.removesuffix(":0")) if part]
    if parts and (joined := re.fullmatch(r"(.+)_(kernel|weight|W|bias|b)", parts[-1])):
        parts[-1:] = joined.groups()
    if not parts or parts[-1] not in VARIABLES:
        return None
    *path, variable = parts
    if path and path[-1] == "conv":  # mmaction2's ConvModule
        path.pop()
    if len(path) >= 2 and path[-2] == path[-1]:  # Keras 2 writes the layer's name twice
        path.pop()
    for length in (2, 1):
        if layer := LAYERS.get(".".join(path[-length:])):
            before = [part for part in path[:-length] if part != "backbone"]  # mmaction2's head stands beside it
            return ".".join(before), f"{layer}/{VARIABLES[variable]}"
    return None


def preset_of(names: Iterable[str], beside: Iterable[str] = ()) -> Preprocessing | None:
    """Whose network the names of a file's arrays, and of what it holds beside them, belong to; None where they do not tell.

    DavideA's and jfzhang95's networks name their layers alike, as the original does without its "a" and "-1"; jfzhang95's
    training also saves ``opt_dict``, and its pretrained file counts the layers: ``features.0``.
    """
    parts = {part for name in names for part in re.split(r"[./]", name)}
    dotted = any(name.endswith(("conv1.weight", "features.0.weight")) for name in names)
    if "conv" in parts and "conv1a" in parts:
        return "mmaction2"
    if "features" in parts or (dotted and "opt_dict" in set(beside)):
        return "jfzhang95"
    return "c3d-pytorch" if dotted else None
