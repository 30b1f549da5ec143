"""A file of weights becomes a model in the store, with its card."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from model_store import c3d, store
from model_store.card import SPORTS1M, UNAUTHENTICATED, Card, ColorTags, numbers_of
from model_store.download import hashes
from model_store.download.manifest import Form
from model_store.formats import layouts, mean, reading
from model_store.preprocessing import PRESETS, ChannelOrder, Preprocessing, describe
from model_store.tensors import Float32, StoreError, check_labels, identity, num_classes


class Origin(NamedTuple):
    """What a file cannot say about itself."""

    name: str  # of the model in the store
    source: str  # address or file name, for the card
    licence: str
    preprocessing: Preprocessing | None  # None: by the names in the file
    asked: layouts.Asked = layouts.Asked()
    scale: float = 1.0  # this and the next: see the card
    color_tags: ColorTags = "honour"
    form: Form | None = None  # what the file must be; None: any form
    authenticity: str = UNAUTHENTICATED  # see the card
    pinned: str | None = None  # the `identity` that the tensors must have


class Mean(NamedTuple):
    """A mean cube, float32 (3, 16, 128, 171), and its name for the card."""

    cube: Float32
    name: str


def mean_name(numbers: str, channel_order: ChannelOrder) -> str:
    """What the card calls a mean of three numbers: them, and the order that they are in."""
    return f"{numbers} ({channel_order})"


class Labels(NamedTuple):
    """One label for each class, and their name for the card."""

    labels: tuple[str, ...]
    name: str


def add(
    directory: Path,
    file: Path,
    origin: Origin,
    mean_for: Callable[[Preprocessing], Mean],
    labels_for: Callable[[int], Labels],
    say: Callable[[str], None],
) -> store.Model:
    """Read the weights in ``file`` and write the model into the store at ``directory``.

    ``mean_for`` and ``labels_for`` are asked once the preset and the number of classes are known; ``say`` hears what the file
    did not tell, and what was left out. A model called "sports1m" claims to be just that: it
    has 487 classes, or none, and the card says which answer it must give. Of other models, `python -m service verify` finds
    out the known answer and records it.
    Raises StoreError where the file is no C3D or the claim cannot be true (the store is as it was then), OSError.
    """
    with store.scratch(directory) as work:
        read = reading.read(reading.Request(path=file.resolve(), work=work, asked=origin.asked, form=origin.form))
    tensors = read.tensors
    if origin.pinned not in {None, identity(tensors)}:
        raise StoreError(f"{file.name} holds other weights ({identity(tensors)}) than its source published ({origin.pinned}).")
    classes = num_classes(tensors)
    claims = origin.name == SPORTS1M
    if claims and classes not in {0, c3d.NUM_CLASSES}:
        raise StoreError(f"{file.name} has {classes} classes, Sports-1M {c3d.NUM_CLASSES}: give it another --name.")
    preprocessing = origin.preprocessing or read.preset or "c3d-sports1m"
    for line in (*notes(read), *_told(preprocessing, origin.preprocessing, read.preset)):
        say(line)
    means, labels = mean_for(preprocessing), labels_for(classes)
    card = Card(
        name=origin.name,
        weights=origin.name,
        weights_sha256=identity(tensors),
        num_classes=classes,
        **numbers_of(preprocessing),
        scale=origin.scale,
        color_tags=origin.color_tags,
        mean=means.name,
        mean_sha256=mean.sha256(means.cube),
        labels=labels.name,
        known_answer=c3d.KNOWN_ANSWER if claims and classes and PRESETS[preprocessing].pool5 == "caffe" else None,
        source=origin.source,
        authenticity=origin.authenticity if origin.pinned is None else "tensors",
        form=read.form,
        file_sha256=hashes.of_file(file, "sha256"),
        licence=origin.licence,
        created=dt.datetime.now(dt.UTC).date().isoformat(),
    )
    return store.write(directory, card, tensors, means.cube, labels.labels)


MAX_NAMED = 8  # of what was left out, in a line


def notes(read: layouts.Weights) -> Iterator[str]:
    """What a user should know of what was left out and what was changed."""
    if read.beside:
        more = len(read.beside) - MAX_NAMED
        named = ", ".join(read.beside[:MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
        yield f"Left out, because they are not weights: {named}."
    yield from read.assumed
    if read.converted:
        how = "rounded" if "float64" in read.converted else "exactly: every number is the same"
        yield f"Converted from {' and '.join(read.converted)} to float32, {how}."


def _told(chosen: Preprocessing, given: Preprocessing | None, by_names: Preprocessing | None) -> Iterator[str]:
    """What a user should know of the preset."""
    if given is None and by_names is None:
        yield (
            f"The file does not say which project's network it was trained in. Assumed: {chosen} ({describe(chosen)}). If it was "
            f"another one, import it again with --preprocessing and one of {', '.join(PRESETS)}."
        )
    elif given is None:
        yield (
            f"The names of its arrays are those of {by_names} ({describe(chosen)}). If these are Caffe's weights that were only "
            "converted, import them again with --preprocessing c3d-sports1m."
        )
    elif by_names not in {None, given}:
        yield f"The names of its arrays are those of {by_names}; you asked for {given} ({describe(given)})."


def default_name(file: Path) -> str:
    """A model's name from its file's: lower case, letters, digits, ".", "_" and "-"."""
    name = file.name.lower()
    for ending in (
        ".gz",
        ".zip",
        ".h5",
        ".hdf5",
        ".weights",
        ".tar",
        ".pth",
        ".pt",
        ".pickle",
        ".pkl",
        ".npz",
        ".npy",
        ".caffemodel",
        ".safetensors",
        ".index",
    ):
        name = name.removesuffix(ending)
    return re.sub(r"[^a-z0-9._-]+", "-", name).strip("._-")[:64] or "imported"


MAX_LABELS_BYTES = 1 << 20


def read_labels(path: Path, classes: int) -> tuple[str, ...]:
    """The labels in a UTF-8 text file. Raises StoreError where they are not one for each class, OSError."""
    with path.open("rb") as file:
        content = file.read(MAX_LABELS_BYTES)
    try:
        lines = content.decode("utf-8-sig").rstrip("\r\n").split("\n")
    except UnicodeDecodeError as error:
        raise StoreError(f"{path.name} is not UTF-8 text: labels are one a line, line 1 is class 0.") from error
    labels = tuple(line.strip() for line in lines)
    if "" in labels:
        raise StoreError(f"{path.name}, line {labels.index('') + 1} is empty: labels are one a line, line 1 is class 0.")
    check_labels(labels, classes)
    return labels


def numbered_labels(classes: int) -> tuple[str, ...]:
    """ "class 0", "class 1", ... where nobody knows better."""
    return tuple(f"class {index}" for index in range(classes))
