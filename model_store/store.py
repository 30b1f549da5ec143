"""Where models live: one directory each, with the weights in one canonical form, and the card that says what they are.

``<store>/<name>/`` holds four files that NumPy and a text editor read:

* ``card.json``: where the model came from and what it is (`Card`);
* ``weights.npz``: the tensors of `model_store.c3d.weight_shapes`, float32, uncompressed;
* ``mean.npy``: the mean cube, float32 (3, 16, 128, 171): channel (B, G, R), frame, row, column, as Caffe stores it; or, for
  a network that has it behind the crop, (3, 16, 112, 112);
* ``labels.txt``: one label a line, line 1 is class 0.

A model is written beside its place and renamed into it, so a reader sees a whole model or none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from model_store import c3d
from model_store.card import SPORTS1M, STAND_IN, Card, OtherVersion, card_sha256, how_to_remake, sealed, unsealed
from model_store.tensors import (
    Float32,
    ModelMissing,
    StoreError,
    check_labels,
    check_mean,
    check_tensor,
    tensor_sha256,
    update,
)
from model_store.wording import command, did_you_mean, size

MIN_PIN_DIGITS = 12  # of the card's hash in C3D_MODEL=NAME@HASH: enough that nobody finds another card with them by chance
CARD, WEIGHTS, MEAN, LABELS = "card.json", "weights.npz", "mean.npy", "labels.txt"
NEW, OLD = ".new.", ".old."  # prefixes of the directories that `write` works in; `model_store.lock` clears them up


class NoRoom(StoreError):
    """The disk is too full: trying another source would not help."""


def _again(card: Mapping[str, Any]) -> str:
    return f"Make it again: `{how_to_remake(card)}`."


class Model:
    """A model in the store: its card, mean and labels read, its weights still on disk.

    Attributes: ``card``; ``mean`` float32 (3, 16, 128, 171) or (3, 16, 112, 112); ``labels``, ``card.num_classes`` strings.
    """

    def __init__(self, directory: Path, name: str = "") -> None:
        """``name``: the model's, where it is not the directory's, as while it is written.

        Raises StoreError where the directory does not hold a whole model, OtherVersion where another version of this program
        made it.
        """
        self.directory = directory
        named = {"name": name or directory.name}
        try:
            self.card = unsealed((directory / CARD).read_bytes())
            self.card_sha256 = card_sha256(self.card)
            self.mean: Float32 = np.load(directory / MEAN, allow_pickle=False)
            self.labels = tuple((directory / LABELS).read_text(encoding="utf-8").splitlines())
        except OtherVersion as error:
            card = {**error.card, **named}
            made = f"The model in {directory} was made by another version of this program."
            raise OtherVersion(f"{made} {_again(card)}", card) from error
        except (OSError, ValueError, EOFError) as error:
            raise StoreError(f"The model in {directory} is not whole: {error}. {_again(named)}") from error
        if self.card.name != (name or directory.name):
            raise StoreError(f'The card in {directory} is that of "{self.card.name}". Import the model under its own name.')
        if self.card.labels_sha256 not in {None, labels_sha256(self.labels)}:
            raise StoreError(f"{directory / LABELS} was changed after the import. Import the model again, with --labels.")
        check_mean(self.mean)
        check_labels(self.labels, self.card.num_classes)
        if tensor_sha256({MEAN: self.mean}) != self.card.mean_sha256:
            raise StoreError(f"{directory / MEAN} is not the mean that its card names. {self._again()}")

    def __repr__(self) -> str:
        return f"Model({self.card.name!r}, weights={self.card.weights!r}, classes={self.card.num_classes})"

    def _again(self) -> str:
        return _again(self.card.model_dump())

    def cropped_mean(self) -> Float32:
        """The mean behind the crop, as clips are: float32 (16, 112, 112, 3), frame, row, column, channel."""
        card, mean = self.card, self.mean
        if mean.shape != c3d.MEAN_CROP_SHAPE:  # where the aspect is kept, it is the same everywhere
            rows = slice(card.crop_top, card.crop_top + c3d.CROP_SIZE)
            columns = slice(card.crop_left, card.crop_left + c3d.CROP_SIZE)
            mean = mean[:, :, rows, columns]
        return np.ascontiguousarray(mean.transpose(1, 2, 3, 0))

    def tensors(self) -> Iterator[tuple[str, Float32]]:
        """Each canonical tensor in order, one in memory at a time; hashed on the way.

        They apply to BGR grey levels behind the mean: of a network that was trained on RGB, or on scaled levels, the first
        convolution is given so that it gives the same for them. So clips, means and engines know one order and one scale.

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
                    yield name, self._for_bgr(tensor) if name == "conv1/kernel" else tensor
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise StoreError(f"{self.directory / WEIGHTS} cannot be read: {error}. {self._again()}") from error
        if digest.hexdigest() != self.card.weights_sha256:
            raise StoreError(f"{self.directory / WEIGHTS} holds other weights than its card names. {self._again()}")

    def _for_bgr(self, kernel: Float32) -> Float32:
        """The first kernel (3, 3, 3, 3, 64) for BGR grey levels; zeros behind the mean need no change of it."""
        kernel = kernel[:, :, :, ::-1] if self.card.channel_order == "RGB" else kernel
        return np.ascontiguousarray(kernel if self.card.scale == 1 else kernel * np.float32(self.card.scale))


def check_mean_fits(card: Card, mean: Float32) -> None:
    """Raises StoreError where a mean that varies over the picture is given for frames of another size than a cube's."""
    takes_cube = mean.shape == c3d.MEAN_CROP_SHAPE or (
        not card.keep_aspect and (card.frame_rows, card.frame_columns) == c3d.FRAME_SIZE
    )
    if not takes_cube and np.ptp(mean, axis=(1, 2, 3)).any():
        raise StoreError(f"Frames of {card.preprocessing} are not 128x171, so no mean cube fits: give three numbers with --mean.")


def write(store: Path, card: Card, tensors: Mapping[str, Float32], mean: Float32, labels: Iterable[str]) -> Model:
    """Put a model into the store under ``card.name``, in place of an older one, and read it back.

    Raises StoreError where the tensors, mean or labels are not those of a C3D or the disk is too full, OSError where it
    refuses.
    """
    check_mean_fits(card, mean)
    store.mkdir(parents=True, exist_ok=True)
    check_room(store, sum(tensor.nbytes for tensor in tensors.values()) + mean.nbytes)
    beside = Path(tempfile.mkdtemp(dir=store, prefix=NEW))
    try:
        beside.chmod(0o755)  # mkdtemp's 0700 would lock out a service that runs as another user
        labels = tuple(labels)
        write_card(beside, card.model_copy(update={"labels_sha256": labels_sha256(labels)}))
        np.save(beside / MEAN, mean, allow_pickle=False)
        (beside / LABELS).write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        np.savez(beside / WEIGHTS, allow_pickle=False, **tensors)
        for _ in Model(beside, card.name).tensors():
            pass  # reading checks and hashes: what is wrong is found before it replaces what was right
        _swap_in(beside, store / card.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Model(store / card.name)


@contextmanager
def scratch(store: Path) -> Iterator[Path]:
    """A directory to work in, in the store, until the block ends; `clear_up` removes what a killed process leaves."""
    store.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=store.resolve(), prefix=NEW) as directory:
        yield Path(directory)


def labels_sha256(labels: tuple[str, ...]) -> str:
    """The card's hash of the labels: of the lines of their file."""
    return hashlib.sha256("".join(f"{label}\n" for label in labels).encode()).hexdigest()


def check_room(directory: Path, needed_bytes: int) -> None:
    """Raises NoRoom unless the disk under ``directory`` has room for ``needed_bytes``."""
    free = shutil.disk_usage(directory).free
    if free < needed_bytes:
        raise NoRoom(
            f"{directory} needs {size(needed_bytes)} and its disk has {size(free)} free. Make room, or set C3D_MODEL_STORE to a "
            "directory on a larger disk."
        )


def record_answer(model: Model, known_answer: int) -> Model:
    """Write the class that the model gives for zeros behind the mean into its card, and read the model back.

    Weights with Sports-1M's 487 classes and its answer are Sports-1M's, whatever their name. To be called behind `hold`.
    Raises StoreError where another command has replaced the model since it was opened.
    """
    card = Model(model.directory).card
    if card.weights_sha256 != model.card.weights_sha256:
        raise StoreError(f'Another command has replaced "{card.name}". Run this one again.')
    is_sports1m = (card.num_classes, known_answer, card.pool5) == (c3d.NUM_CLASSES, c3d.KNOWN_ANSWER, "caffe")
    changes = {"known_answer": known_answer, "weights": SPORTS1M if is_sports1m else card.weights}
    write_card(model.directory, card.model_copy(update=changes))
    return Model(model.directory)


def write_card(directory: Path, card: Card) -> None:
    """Written beside and renamed: a reader sees the old card or the new one."""
    beside = directory / f"{NEW}{CARD}"
    beside.write_text(sealed(card), encoding="utf-8")
    os.replace(beside, directory / CARD)


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


def chosen(store: Path, name: str = "") -> str:
    """The model called ``name``; for "" the Sports-1M one, else the only one that is no stand-in, else the stand-in.

    What stands behind an "@" in ``name`` is `open_model`'s. Raises ModelMissing with the commands that help, StoreError where
    the choice is open.
    """
    present, name = names(store), name.partition("@")[0]
    if name:
        if name not in present:
            meant = did_you_mean(name, present)
            there = f"There are: {', '.join(present) or 'none'}."
            raise ModelMissing(" ".join(filter(None, [f'There is no model "{name}" in {store}.', meant, there])))
        return name
    if not present:
        raise ModelMissing(
            f"There are no weights in {store}. `{command('model_store', 'pull')}` downloads them; "
            f"`{command('model_store', 'stand-in')}` makes random ones, to try the service with."
        )
    real = [other for other in present if other != STAND_IN]
    if SPORTS1M in real or len(real) < 2:
        return SPORTS1M if SPORTS1M in real else [*real, STAND_IN][0]
    raise StoreError(f"Several models are in {store}: set C3D_MODEL to one of {', '.join(real)}.")


def open_model(store: Path, name: str = "") -> Model:
    """The model that `chosen` names.

    ``name`` may end in "@" and the first digits of the card's hash, which lies outside of the store then: the model is opened if
    its card, and so its weights, mean and labels, are those. Raises ModelMissing, StoreError as `chosen` does, and StoreError
    where the model is damaged or another one.
    """
    model = Model(store / chosen(store, name))
    pinned = name.partition("@")[2]
    if "@" in name and not (len(pinned) >= MIN_PIN_DIGITS and model.card_sha256.startswith(pinned)):
        raise StoreError(
            f'"{model.card.name}" has the card {model.card_sha256[:MIN_PIN_DIGITS]}..., and C3D_MODEL asks for {name}. '
            "Somebody has changed or replaced the model. `list` shows what is there."
        )
    return model


LOCK = ".lock"


@contextmanager
def hold(directory: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the store at ``directory`` (made where missing) for writing; wait for another writer, and say so.

    The kernel frees the lock when its process ends, however it ends. Raises OSError where the disk refuses.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / LOCK).open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"Another command is writing to {directory}; waiting for it to end.")
            fcntl.flock(file, fcntl.LOCK_EX)
        clear_up(directory)
        yield


def clear_up(directory: Path) -> None:
    """Remove what a killed `store.write` left; put back a model it had taken away and not yet replaced.

    Only while nobody else writes: behind `hold`.
    """
    for old in directory.glob(f"{OLD}*/*"):
        if not (directory / old.name).exists():
            os.rename(old, directory / old.name)
    for prefix in (OLD, NEW):
        for left in directory.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
