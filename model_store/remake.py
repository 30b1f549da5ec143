"""How a model is made again that cannot be used as it is: from what its card says, also one of another version."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from model_store.card import SPORTS1M, STAND_IN
from model_store.download import manifest
from model_store.download.manifest import Manifest, Source
from model_store.preprocessing import PRESETS, Preprocessing
from model_store.wording import command

DEFAULT: Preprocessing = "c3d-sports1m"
NUMBERS = re.compile(r"([\d.,]+) \([A-Z]{3}\)")  # a mean of three numbers, as a card names it


def preprocessing_of(card: Mapping[str, Any]) -> Preprocessing:
    """The preset that the card names, if there still is one of that name; else the original's."""
    return next((name for name in PRESETS if name == card.get("preprocessing")), DEFAULT)


def source_of(card: Mapping[str, Any], known: Manifest) -> Source | None:
    """Which source of the manifest the weights were pulled from; None where they were not."""
    if card.get("name") != SPORTS1M:
        return None
    return next((source for source in known.weights if source.url == card.get("source")), None)


def how(card: Mapping[str, Any]) -> str:
    """The command that makes the model with this card again. ``card`` has a ``name``, and else what could be read of it."""
    name = str(card["name"])
    if name == STAND_IN:
        return command("model_store", "stand-in")
    preset = preprocessing_of(card)
    preprocessing = () if preset == DEFAULT else ("--preprocessing", preset)
    source = source_of(card, manifest.load())
    if source or (name == SPORTS1M and "source" not in card):
        only = ("--source", source.name) if source and source.only_when_asked else ()
        return command("model_store", "pull", *only, *preprocessing)
    return command(
        "model_store",
        "import",
        str(card.get("source", "FILE")),
        "--name",
        name,
        *preprocessing,
        *_mean(card, preset),
        *_others(card),
    )


def _mean(card: Mapping[str, Any], preset: Preprocessing) -> tuple[str, ...]:
    """The option for a mean that is not the preset's own."""
    mean = str(card.get("mean", PRESETS[preset].mean))
    mean = numbers[1] if (numbers := NUMBERS.fullmatch(mean)) else mean
    return () if mean == PRESETS[preset].mean else ("--mean", mean)


def _others(card: Mapping[str, Any]) -> tuple[str, ...]:
    """The options for what is not as it is without them."""
    given = []
    if card.get("labels", "none") not in {SPORTS1M, "numbered", "none"}:
        given += ["--labels", str(card["labels"])]
    if card.get("scale", 1.0) != 1.0:
        given += ["--scale", str(card["scale"])]
    if card.get("color_tags", "honour") != "honour":
        given += ["--color-tags", str(card["color_tags"])]
    if card.get("licence", "not stated") != "not stated":
        given += ["--licence", str(card["licence"])]
    return tuple(given)
