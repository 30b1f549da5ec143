"""Where models live: one directory each, with the weights in one canonical form, and the card that says what they are.

``<store>/<name>/`` holds four files that NumPy and a text editor read:

* ``card.json``: where the model came from and what it is (`Card`);
* ``weights.npz``: the tensors of `service.c3d.weight_shapes`, float32, uncompressed;
* ``mean.npy``: the mean cube, float32 (3, 16, 128, 171): channel (B, G, R), frame, row, column, as Caffe stores it;
* ``labels.txt``: one label a line, line 1 is class 0.

A model is written beside its place and renamed into it, so a reader sees a whole model or none.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from model_store.tensors import Float32, ModelMissing, StoreError
from model_store.tensors import check_labels, check_mean, check_tensor, identity, num_classes, tensor_sha256, update
from service import c3d

__all__ = [
    "CROP_LEFT", "SPORTS1M", "STAND_IN", "Card", "Float32", "Model", "ModelMissing", "Preprocessing", "StoreError",
    "check_labels", "check_mean", "check_tensor", "identity", "names", "num_classes", "open_model", "tensor_sha256",
    "write",
]  # fmt: skip

CARD, WEIGHTS, MEAN, LABELS = "card.json", "weights.npz", "mean.npy", "labels.txt"
SPORTS1M, STAND_IN = "sports1m", "stand-in"  # the two values of Card.weights that have a meaning to the service
NEW, OLD = ".new.", ".old."  # prefixes of the directories that `write` works in; `model_store.lock` clears them up

Preprocessing = Literal["c3d-sports1m", "c3d-ucf101-mean"]
# Column of the 171 where the crop starts. 29 is the original; 30 is what the Keras and PyTorch ports use together with the
# mean cube of UCF101 (axon-research/c3d-keras: rows 8..119, columns 30..141).
CROP_LEFT: dict[Preprocessing, int] = {"c3d-sports1m": c3d.CROP_LEFT, "c3d-ucf101-mean": 30}


class Card(BaseModel):
    """What a model is. Shown by /info, and in part in the ``model`` block of every answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Its directory in the store.")
    weights: str = Field(description='Whose weights: "sports1m", "stand-in", or the name given at import.')
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="`identity` of the tensors, never of a file.")
    num_classes: int = Field(ge=0, description="487 for Sports-1M; 0 where there is no class layer.")
    preprocessing: Preprocessing = Field(description="Crop column and mean belong to it.")
    crop_left: int = Field(ge=0, le=c3d.FRAME_SIZE[1] - c3d.CROP_SIZE, description="Column of the 171 where the crop starts.")
    channel_order: Literal["BGR"] = "BGR"
    mean: str = Field(description='Which mean cube: "sports1m", "ucf101", "stand-in", or a file\'s name.')
    mean_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    labels: str = Field(description='Which labels: "sports1m", "numbered", or a file\'s name.')
    known_answer: int | None = Field(ge=0, description="The class of a clip of zeros behind the mean subtraction.")
    source: str = Field(description="Where the weights came from.")
    form: str = Field(description='What they were: "seeded", "keras-2-hdf5", "caffe", "pytorch", ...')
    file_sha256: str | None = Field(default=None, description="Of the file they were read from.")
    licence: str
    created: str = Field(description="ISO 8601 date.")


class Model:
    """A model in the store: its card, mean and labels read, its weights still on disk.

    Attributes: ``card``; ``mean`` float32 (3, 16, 128, 171); ``labels``, ``card.num_classes`` strings.
    """

    def __init__(self, directory: Path) -> None:
        """Raises StoreError where the directory does not hold a whole model."""
        self.directory = directory
        try:
            self.card = Card.model_validate_json((directory / CARD).read_bytes())
            self.mean: Float32 = np.load(directory / MEAN, allow_pickle=False)
            self.labels = tuple((directory / LABELS).read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError) as error:
            raise StoreError(f"The model in {directory} is not whole: {error}") from error
        check_mean(self.mean)
        check_labels(self.labels, self.card.num_classes)
        if tensor_sha256({MEAN: self.mean}) != self.card.mean_sha256:
            raise StoreError(f"{directory / MEAN} is not the mean that its card names. Make the model anew.")

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, weights={self.card.weights!r}, classes={self.card.num_classes})"

    def tensors(self) -> Iterator[tuple[str, Float32]]:
        """Each canonical tensor in order, one in memory at a time; hashed on the way.

        Raises StoreError where one is missing or misshapen, or the whole is not what the card names.
        """
        shapes = c3d.weight_shapes(self.card.num_classes)
        digest = hashlib.sha256()
        try:
            with np.load(self.directory / WEIGHTS, allow_pickle=False) as file:
                for name, shape in shapes.items():
                    tensor = file[name]
                    check_tensor(name, tensor, shape)
                    update(digest, name, tensor)
                    yield name, tensor
        except (OSError, ValueError, KeyError) as error:
            raise StoreError(f"{self.directory / WEIGHTS} cannot be read: {error}. Make the model anew.") from error
        if digest.hexdigest() != self.card.weights_sha256:
            raise StoreError(f"{self.directory / WEIGHTS} holds other weights than its card names. Make the model anew.")


def write(
    store: Path,
    card: Card,
    tensors: Mapping[str, Float32],
    mean: Float32,
    labels: Iterable[str],
    prove: Callable[[Model], Card] = lambda model: model.card,
) -> Model:
    """Put a model into the store under ``card.name``, in place of an older one, and read it back.

    ``prove`` is given the model as it lies on disk, before it takes its place, and returns the card to keep (same
    name); what it raises leaves the store as it was.
    Raises StoreError where the tensors, mean or labels are not those of a C3D or the disk is too full, OSError where it
    refuses.
    """
    store.mkdir(parents=True, exist_ok=True)
    check_room(store, sum(tensor.nbytes for tensor in tensors.values()) + mean.nbytes)
    beside = Path(tempfile.mkdtemp(dir=store, prefix=NEW))
    try:
        beside.chmod(0o755)  # mkdtemp's 0700 would lock out a service that runs as another user
        _write_card(beside, card)
        np.save(beside / MEAN, mean, allow_pickle=False)
        (beside / LABELS).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        np.savez(beside / WEIGHTS, allow_pickle=False, **tensors)
        for _ in Model(beside).tensors():
            pass  # reading checks and hashes: what is wrong is found before it replaces what was right
        _write_card(beside, prove(Model(beside)))
        _swap_in(beside, store / card.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Model(store / card.name)


def check_room(directory: Path, needed_bytes: int) -> None:
    """Raises StoreError unless the disk under ``directory`` has room for ``needed_bytes``."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise StoreError(
            f"{directory} needs {needed_bytes / 2**20:,.0f} MiB and its disk has {free / 2**20:,.0f} MiB free. Make room, or "
            "set C3D_MODEL_STORE to a directory on a larger disk."
        )


def _write_card(directory: Path, card: Card) -> None:
    (directory / CARD).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _swap_in(new: Path, place: Path) -> None:
    old = Path(tempfile.mkdtemp(dir=place.parent, prefix=OLD))
    try:
        if place.exists():
            os.rename(place, old / place.name)
        os.rename(new, place)
    finally:
        shutil.rmtree(old, ignore_errors=True)


def names(store: Path) -> list[str]:
    """The models in the store, sorted."""
    return sorted(card.parent.name for card in store.glob(f"[!.]*/{CARD}"))


def open_model(store: Path, name: str = "") -> Model:
    """The model called ``name``; for "" the Sports-1M one, else the only one that is no stand-in, else the stand-in.

    Raises ModelMissing with the commands that help, StoreError where the model is damaged or the choice is open.
    """
    present = names(store)
    if name:
        if name not in present:
            raise ModelMissing(f'There is no model "{name}" in {store}; there are: {", ".join(present) or "none"}.')
        return Model(store / name)
    if not present:
        raise ModelMissing(
            f"There are no weights in {store}. Run `python -m model_store pull` to download them, or `python -m model_store "
            "stand-in` to try the service with seeded random weights."
        )
    real = [other for other in present if other != STAND_IN]
    if SPORTS1M in real or len(real) < 2:
        return Model(store / (SPORTS1M if SPORTS1M in real else [*real, STAND_IN][0]))
    raise StoreError(f"Several models are in {store}: set C3D_MODEL to one of {', '.join(real)}.")
