"""What `import` was given, and what stands in for what it was not: mean, labels, name."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from model_store import c3d, importer, store
from model_store.card import NAME, SPORTS1M, STAND_IN, UNAUTHENTICATED, ColorTags
from model_store.download import manifest
from model_store.download.manifest import Manifest, Source
from model_store.formats import layouts, mean
from model_store.formats.canonical import Fc6Rows, Kernels
from model_store.preprocessing import PRESETS, Preprocessing
from model_store.pull import Puller
from model_store.tensors import StoreError


class Given(NamedTuple):
    """The command line of `import`; None where it says nothing."""

    file: Path
    mean: str | None = None  # a file's name, or three numbers
    labels: Path | None = None
    name: str | None = None
    licence: str | None = None
    preprocessing: Preprocessing | None = None
    kernels: Kernels | None = None
    fc6_rows: Fc6Rows | None = None
    scale: float | None = None
    color_tags: ColorTags | None = None


def take(directory: Path, given: Given, puller: Puller, known: Manifest) -> store.Model:
    """Import the file into the store at ``directory``. What was not given is fetched with ``puller`` where it can be.

    Raises StoreError where the file is no C3D, no mean can be had, or the model cannot be the Sports-1M one that it claims
    to be; OSError.
    """
    file = layouts.checkpoint(given.file)
    if not file.is_file():
        raise StoreError(f"There is no file {file}.")
    published = _published(file, known.weights)
    licence = given.licence or (published.licence if published else "not stated")
    asked = layouts.Asked(given.kernels, given.fc6_rows)
    origin = importer.Origin(
        name_of(given), given.file.name, licence, given.preprocessing, asked, given.scale or 1.0, given.color_tags or "honour",
        authenticity=published.hash[0] if published and published.hash else UNAUTHENTICATED,
    )  # fmt: skip

    def mean_for(preprocessing: Preprocessing) -> importer.Mean:
        return mean_of(given.mean, preprocessing, puller, known)

    def labels_for(classes: int) -> importer.Labels:
        return labels_of(given.labels, classes, puller, known)

    return importer.add(directory, file, origin, mean_for, labels_for, puller.say)


def notes(model: store.Model) -> list[str]:
    """What a user should know about a model just imported, a sentence each."""
    card, said = model.card, []
    if not card.num_classes:
        said.append("Note: there is no class layer (fc8). /features works, /classify answers 501 no_class_layer.")
    if card.mean == "ucf101" and card.preprocessing == "c3d-sports1m":
        said.append(
            f"Note: the mean is UCF101's cube, with the crop from column {card.crop_left}. The ports that use this cube crop "
            f"from column {PRESETS['c3d-ucf101-mean'].crop_left}: --preprocessing c3d-ucf101-mean does as they do."
        )
    return said


def name_of(given: Given) -> str:
    """The model's name: what was given, else made from the file's, which never claims to be one of ours.

    Raises StoreError where it cannot be one.
    """
    name = given.name or importer.default_name(given.file)
    if not given.name and name in {SPORTS1M, STAND_IN}:
        name = f"my-{name}"
    if not NAME.fullmatch(name) or name == STAND_IN:
        raise StoreError(
            f'"{name}" cannot be a model\'s name: use --name with up to 64 of a-z, 0-9, ".", "_" and "-", beginning with a '
            f'letter or digit, and not "{STAND_IN}".'
        )
    return name


def mean_of(given: str | None, preprocessing: Preprocessing, puller: Puller, known: Manifest) -> importer.Mean:
    """The mean in the file or the three numbers given, else the preprocessing's. Raises StoreError where there is none."""
    if given is None:
        try:
            return puller.mean(preprocessing)
        except store.NoRoom:
            raise
        except StoreError as error:
            raise StoreError(f"{error} Or give a mean with --mean: {mean.FORMS}.") from error
    file, preset = Path(given), PRESETS[preprocessing]
    if file.is_file():
        cube = mean.read(file, preset.channel_order)
        cube = mean.cropped(cube) if preset.mean_behind_crop else cube
        names = (name for name, sources in known.means.items() if _published(file, sources))
        return importer.Mean(cube, next(names, None) or mean.identify(cube) or file.name)
    numbers = mean.three_numbers(given, preset.channel_order)
    if numbers is None:
        raise StoreError(f"--mean {given} is neither a file nor three numbers {','.join(preset.channel_order)}.")
    return importer.Mean(numbers, importer.mean_name(given, preset.channel_order))


def labels_of(file: Path | None, classes: int, puller: Puller, known: Manifest) -> importer.Labels:
    """Those given; else Sports-1M's where the number of classes is theirs and they can be had; else numbers."""
    if not classes:
        return importer.Labels((), "none")
    if file is not None:
        published = _published(file, known.labels)
        return importer.Labels(importer.read_labels(file, classes), SPORTS1M if published else file.name)
    if classes == c3d.NUM_CLASSES:
        try:
            return puller.labels()
        except store.NoRoom:
            raise
        except StoreError as error:
            puller.say(f"{error} The classes are numbered instead; --labels FILE names them.")
    return importer.Labels(importer.numbered_labels(classes), "numbered")


def _published(file: Path, sources: tuple[Source, ...]) -> Source | None:
    return next((source for source in sources if manifest.is_source(file, source)), None)
