"""Models and cards for tests of the model store that need no 320 MB of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_store import c3d, store
from model_store.card import Card
from model_store.formats import mean
from model_store.importer import numbered_labels


def cube(level: float = 100.0) -> NDArray[np.float32]:
    """A mean cube, float32 (3, 16, 128, 171), no two numbers of an axis alike."""
    return (level + np.arange(np.prod(c3d.MEAN_SHAPE)).reshape(c3d.MEAN_SHAPE) / 2**18).astype(np.float32)


def card(name: str, **changes: Any) -> Card:
    """A card for `cube` and numbered labels; its weights' hash is that of none."""
    given = {
        "name": name,
        "weights": name,
        "weights_sha256": "0" * 64,
        "num_classes": c3d.NUM_CLASSES,
        "preprocessing": "c3d-sports1m",
        "crop_left": 29,
        "mean": "test",
        "mean_sha256": mean.sha256(cube()),
        "labels": "numbered",
        "known_answer": None,
        "source": "a test",
        "authenticity": "sha256",
        "form": "none",
        "licence": "none",
        "created": "2026-01-01",
    }
    return Card.model_validate({**given, **changes})


def model(directory: Path, name: str, **changes: Any) -> store.Model:
    """A model whose weights are missing: enough for everything but running it."""
    made = card(name, **changes)
    place = directory / name
    place.mkdir(parents=True)
    store.write_card(place, made)
    np.save(place / store.MEAN, cube())
    (place / store.LABELS).write_text("".join(f"{label}\n" for label in numbered_labels(made.num_classes)))
    return store.Model(place)
