"""The card of a model: what it is and where it came from, in words and hashes that a user can check."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model_store import c3d
from model_store.download.manifest import Manifest, Source, load
from model_store.preprocessing import PRESETS, ChannelOrder, LongSide, Preprocessing
from model_store.tensors import StoreError
from model_store.wording import command

SPORTS1M, STAND_IN = "sports1m", "stand-in"  # the two values of Card.weights that have a meaning to the service

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # of a model: its directory, so no path and nothing hidden


# Fields of a card that change an answer's numbers, beside the weights: in the `model` block of every answer and in its id.
PICTURE = (
    "preprocessing", "keep_aspect", "frame_rows", "frame_columns", "crop_top", "crop_left", "long_side", "color_tags",
    "channel_order", "scale", "mean", "mean_sha256", "pool5",
)  # fmt: skip


UNAUTHENTICATED = "unauthenticated"  # nobody published a hash: anybody between us and the source may have made the bytes
WRITTEN = "The card was written by another version of this program."
SEAL = "card_sha256"  # the last field of card.json, over all others
DEFAULT: Preprocessing = "c3d-sports1m"
NUMBERS = re.compile(r"([\d.,]+) \([A-Z]{3}\)")  # a mean of three numbers, as a card names it
ColorTags = Literal["honour", "ignore"]


class OtherVersion(StoreError):
    """Another version of this program wrote the card. ``card`` is what it says, checked by nobody."""

    def __init__(self, sentence: str, card: dict[str, Any]) -> None:
        super().__init__(sentence)
        self.card = card


class Card(BaseModel):
    """What a model is. Shown by /info, and in part in the ``model`` block of every answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{NAME.pattern}$", description="Its directory in the store.")
    weights: str = Field(description='Whose weights: "sports1m", "stand-in", or the name given at import.')
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="`identity` of the tensors, never of a file.")
    num_classes: int = Field(ge=0, description="487 for Sports-1M; 0 where there is no class layer.")
    preprocessing: Preprocessing = Field(description="The preset that the numbers below come from.")
    keep_aspect: bool = Field(
        default=False, description="Whether frames keep their aspect: the short side becomes frame_rows, the crop is central."
    )
    frame_rows: int = Field(default=c3d.FRAME_SIZE[0], ge=c3d.CROP_SIZE, le=1024, description="Rows a frame is resized to.")
    frame_columns: int = Field(default=c3d.FRAME_SIZE[1], ge=c3d.CROP_SIZE, le=1024, description="Columns, likewise.")
    crop_top: int = Field(default=c3d.CROP_TOP, ge=0, description="Row of the resized frame where the crop of 112x112 starts.")
    crop_left: int = Field(ge=0, description="Column of the resized frame where the crop starts.")
    long_side: LongSide = Field(
        default="rounded", description="Where the aspect is kept, the other side is int(x + 0.5), or the `next`: int(x + 1)."
    )
    channel_order: ChannelOrder = Field(
        default="BGR", description="Of the network that was trained. The service's clips are BGR; RGB weights are turned round."
    )
    scale: float = Field(
        default=1.0, gt=0, allow_inf_nan=False, description="What grey levels are multiplied by behind the mean."
    )
    pool5: c3d.Pool5 = Field(default="caffe", description="caffe: padded on the right and bottom only; symmetric: all round.")
    color_tags: ColorTags = Field(
        default="honour", description="Whether a file's colour matrix is used, or BT.601 always, as OpenCV did up to 4.12."
    )
    mean: str = Field(description='Which mean cube: "sports1m", "ucf101", "stand-in", or a file\'s name.')
    mean_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    labels: str = Field(description='Which labels: "sports1m", "numbered", or a file\'s name.')
    labels_sha256: str | None = Field(default=None, description="Of labels.txt; null in cards of before there was one.")
    known_answer: int | None = Field(ge=0, description="The class of a clip of zeros behind the mean subtraction.")
    source: str = Field(description="Where the weights came from.")
    form: str = Field(description='What they were: "seeded", "keras-2-hdf5", "caffe", "pytorch", ...')
    file_sha256: str | None = Field(default=None, description="Of the file they were read from.")
    authenticity: str = Field(
        default=UNAUTHENTICATED,
        description='What proved them: the kind of a published hash, "tensors" for a published identity, "seeded" for stand-ins.',
    )
    licence: str
    created: str = Field(description="ISO 8601 date.")

    @model_validator(mode="after")
    def _crop_fits(self) -> Self:
        if self.crop_top + c3d.CROP_SIZE > self.frame_rows or self.crop_left + c3d.CROP_SIZE > self.frame_columns:
            raise ValueError("the crop of 112x112 does not fit into the frame")
        return self


def sealed(card: Card) -> str:
    """card.json: the card and its hash.

    Anybody who can write to the store can make a new hash too. C3D_MODEL=NAME@HASH protects against that: it lies elsewhere.
    The card holds the hashes of weights, mean and labels, so it stands for them.
    """
    return json.dumps({**card.model_dump(mode="json"), SEAL: card_sha256(card)}, indent=2, ensure_ascii=False) + "\n"


def card_sha256(card: Card) -> str:
    """Over all that the card says."""
    return _sha256(card.model_dump(mode="json"))


def unsealed(content: bytes) -> Card:
    """The card in card.json.

    Raises OtherVersion where another version wrote it: an older one without a seal, or one with other fields. Raises ValueError
    where it is no card, or was changed after it was written.
    """
    read = json.loads(content)
    if not isinstance(read, dict) or "name" not in read:
        raise ValueError("no card")
    if SEAL not in read:
        raise OtherVersion(WRITTEN, read)
    if read.pop(SEAL) != _sha256(read):
        raise ValueError("it was changed after it was written")
    try:
        return Card.model_validate(read)
    except ValidationError as error:
        raise OtherVersion(WRITTEN, read) from error


def _sha256(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def numbers_of(preprocessing: Preprocessing) -> dict[str, Any]:
    """The fields of a `Card` that belong to a preset."""
    numbers = PRESETS[preprocessing]._asdict()
    del numbers["mean"]
    return {"preprocessing": preprocessing, **numbers}


def preprocessing_of(card: Mapping[str, Any]) -> Preprocessing:
    """The preset that the card names, if there still is one of that name; else the original's."""
    return next((name for name in PRESETS if name == card.get("preprocessing")), DEFAULT)


def source_of(card: Mapping[str, Any], known: Manifest) -> Source | None:
    """Which source of the manifest the weights were pulled from; None where they were not."""
    if card.get("name") != SPORTS1M:
        return None
    return next((source for source in known.weights if source.url == card.get("source")), None)


def how_to_remake(card: Mapping[str, Any]) -> str:
    """The command that makes the model with this card again. ``card`` has a ``name``, and else what could be read of it."""
    name = str(card["name"])
    if name == STAND_IN:
        return command("model_store", "stand-in")
    preset = preprocessing_of(card)
    preprocessing = () if preset == DEFAULT else ("--preprocessing", preset)
    source = source_of(card, load())
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
