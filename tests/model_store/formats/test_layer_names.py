"""Names of layers and variables in the styles of other tools."""

from __future__ import annotations

import pytest

from model_store.formats.layer_names import WITH_WEIGHTS, canonical, preset_of


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("conv1/kernel", "conv1/kernel"),
        ("conv1/conv1/kernel:0", "conv1/kernel"),
        ("conv3a_W", "conv3a/kernel"),
        ("fc8_b", "fc8/bias"),
        ("conv2a/kernel", "conv2/kernel"),
        ("fc6-1/bias", "fc6/bias"),
        ("conv5b.weight", "conv5b/kernel"),
        ("module.conv5b.weight", "conv5b/kernel"),
        ("features.18.bias", "conv5b/bias"),
        ("classifier.3.weight", "fc7/kernel"),
        ("backbone.conv1a.conv.weight", "conv1/kernel"),
        ("module.backbone.fc6.bias", "fc6/bias"),
        ("cls_head.fc_cls.weight", "fc8/kernel"),
        ("features.1.weight", None),  # a ReLU
        ("conv1.running_mean", None),
        ("optimizer.conv1.weight", None),
        ("conv1", None),
        ("kernel", None),
        ("", None),
    ],
)
def test_canonical(name: str, ours: str | None) -> None:
    assert canonical(name) == ours


def test_layers() -> None:
    assert WITH_WEIGHTS == ("conv1", "conv2", "conv3a", "conv3b", "conv4a", "conv4b", "conv5a", "conv5b", "fc6", "fc7", "fc8")


@pytest.mark.parametrize(
    ("names", "beside", "preset"),
    [
        (["conv1.weight", "fc8.bias"], (), "c3d-pytorch"),
        (["module.conv1.weight"], (), "c3d-pytorch"),
        (["conv1.weight", "fc8.bias"], ("epoch", "opt_dict"), "jfzhang95"),
        (["features.0.weight", "classifier.0.bias"], (), "jfzhang95"),
        (["conv1a.conv.weight", "fc6.bias"], (), "mmaction2"),
        (["backbone.conv1a.conv.weight", "cls_head.fc_cls.bias"], ("meta",), "mmaction2"),
        (["conv1a/kernel"], (), None),
        (["conv1/conv1/kernel:0"], (), None),
    ],
)
def test_names_tell_the_preset(names: list[str], beside: tuple[str, ...], preset: str | None) -> None:
    assert preset_of(names, beside) == preset
