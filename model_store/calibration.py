"""The calibration of a model for int8: the quantised graph beside its weights, and the card that says what it is and how good.

``<store>/<name>/int8/`` holds ``calibration.json`` (`Calibration`) and the graph as OpenVINO keeps it, ``network.xml`` and
``network.bin``. It goes when its model is replaced.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from model_store import c3d
from model_store.card import PICTURE, Card
from model_store.store import NEW, Model
from model_store.tensors import StoreError
from model_store.wording import command

PLACE, CARD, GRAPH, WEIGHTS = "int8", "calibration.json", "network.xml", "network.bin"


class Drift(BaseModel):
    """How far outputs are from float32's of the same clips. Errors are those of fc6, one figure a clip."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    num_clips: int = Field(ge=1)
    relative_l2_median: float = Field(description="Length of the difference over the length of float32's vector.")
    relative_l2_max: float
    cosine_min: float
    top1_agreement: float | None = Field(description="Share of the clips with the same first class; null without classes.")

    def __str__(self) -> str:
        top1 = "no classes" if self.top1_agreement is None else f"the first class is the same in {self.top1_agreement:.1%}"
        return (
            f"fc6 of {self.num_clips} clips: relative L2 {self.relative_l2_median:.2g} (median), {self.relative_l2_max:.2g} "
            f"(largest), cosine at least {self.cosine_min:.5f}; {top1}"
        )


class Calibration(BaseModel):
    """What was calibrated, on what, and what came of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="`identity` of the graph and of the model it belongs to.")
    model: dict[str, JsonValue] = Field(description="What of the model's card the graph was made for: `numbers_of`.")
    videos_sha256: tuple[str, ...] = Field(description="Of the files it was calibrated on.")
    num_clips: int = Field(ge=1, description="Clips it was calibrated on. The drift is that of others, of the same videos.")
    drift: Drift
    max_drift: float = Field(description="The bound on the largest error that it was accepted under.")
    made_by: str = Field(description="Libraries and versions.")
    created: str = Field(description="ISO 8601 date.")


def drift(found: c3d.ClipOutputs, expected: c3d.ClipOutputs) -> Drift:
    """Of outputs from float32's for the same clips, one row a clip."""
    ours, theirs = found.fc6.astype(np.float64), expected.fc6.astype(np.float64)
    lengths = np.linalg.norm(ours, axis=1), np.linalg.norm(theirs, axis=1)
    errors: NDArray[np.float64] = np.linalg.norm(ours - theirs, axis=1) / lengths[1]
    top1 = found.probabilities.argmax(1) == expected.probabilities.argmax(1) if expected.probabilities.size else None
    return Drift(
        num_clips=len(ours),
        relative_l2_median=float(np.median(errors)),
        relative_l2_max=float(errors.max()),
        cosine_min=float(((ours * theirs).sum(axis=1) / (lengths[0] * lengths[1])).min()),
        top1_agreement=None if top1 is None else float(top1.mean()),
    )


def numbers_of(card: Card) -> dict[str, JsonValue]:
    """What of a card changes a network's numbers."""
    return {name: getattr(card, name) for name in ("weights_sha256", *PICTURE)}


def identity(model: Model, directory: Path) -> str:
    """SHA-256 over what decides the numbers: the graph's two files, and the weights, mean and crop they were made for."""
    digest = hashlib.sha256(json.dumps(numbers_of(model.card), sort_keys=True).encode())
    for name in (GRAPH, WEIGHTS):
        with (directory / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def write(model: Model, save: Callable[[Path], None], describe: Callable[[str], Calibration]) -> Calibration:
    """Put a calibration beside the model's weights, in place of an older one.

    ``save`` writes the graph to the path it is given, its weights beside it; ``describe`` makes the card for an identity.
    Raises OSError where the disk refuses. To be called behind `store.hold`.
    """
    beside = Path(tempfile.mkdtemp(dir=model.directory.parent, prefix=NEW))
    try:
        beside.chmod(0o755)  # mkdtemp's 0700 would lock out a service that runs as another user
        save(beside / GRAPH)
        card = describe(identity(model, beside))
        (beside / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
        place = model.directory / PLACE
        if place.exists():
            shutil.rmtree(place)
        os.rename(beside, place)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return card


def again() -> str:
    """What to do where a calibration cannot be used."""
    return f"Calibrate again: `{command('service', 'calibrate', 'VIDEO')}`."


def read(model: Model) -> tuple[Path, Calibration]:
    """The calibrated graph's path and its card.

    Raises StoreError where there is none, it was made for another model, or it is damaged.
    """
    directory = model.directory / PLACE
    try:
        card = Calibration.model_validate_json((directory / CARD).read_bytes())
        found = identity(model, directory)
    except FileNotFoundError as error:
        raise StoreError(
            f'"{model.card.name}" is not calibrated for int8. Calibrate it on your own videos: '
            f"`{command('service', 'calibrate', 'VIDEO')}`."
        ) from error
    except (OSError, ValidationError) as error:
        raise StoreError(f"The calibration in {directory} cannot be read: {error}. {again()}") from error
    if card.model != numbers_of(model.card):
        raise StoreError(
            f"The calibration in {directory} belongs to other weights, another mean or another preprocessing. {again()}"
        )
    if found != card.sha256:
        raise StoreError(f"The calibration in {directory} is not the one that its card names. {again()}")
    return directory / GRAPH, card


def check_drift(found: Drift, max_drift: float) -> None:
    """Raises StoreError where the largest error is over the bound (or is no number)."""
    if not found.relative_l2_max <= max_drift:
        raise StoreError(
            f"int8 drifts too far from float32: {found}. The bound on the largest is {max_drift:g}. Calibrate on more videos, "
            "and more typical ones; or, if these answers are good enough for you, raise the bound with --max-drift."
        )
