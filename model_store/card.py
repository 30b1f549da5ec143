"""The card of a model: what it is and where it came from, in words and hashes that a user can check."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from model_store import c3d

SPORTS1M, STAND_IN = "sports1m", "stand-in"  # the two values of Card.weights that have a meaning to the service

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")  # of a model: its directory, so no path and nothing hidden

Preprocessing = Literal["c3d-sports1m", "c3d-ucf101-mean"]
# Column of the 171 where the crop starts. 29 is the original; 30 is what the Keras and PyTorch ports use together with the
# mean cube of UCF101 (axon-research/c3d-keras: rows 8..119, columns 30..141).
CROP_LEFT: dict[Preprocessing, int] = {"c3d-sports1m": c3d.CROP_LEFT, "c3d-ucf101-mean": 30}


class Card(BaseModel):
    """What a model is. Shown by /info, and in part in the ``model`` block of every answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=f"^{NAME.pattern}$", description="Its directory in the store.")
    weights: str = Field(description='Whose weights: "sports1m", "stand-in", or the name given at import.')
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="`identity` of the tensors, never of a file.")
    num_classes: int = Field(ge=0, description="487 for Sports-1M; 0 where there is no class layer.")
    preprocessing: Preprocessing = Field(description="Crop column and mean belong to it.")
    crop_left: int = Field(ge=0, le=c3d.FRAME_SIZE[1] - c3d.CROP_SIZE, description="Column of the 171 where the crop starts.")
    channel_order: Literal["BGR"] = "BGR"
    color_tags: Literal["honour", "ignore"] = Field(
        default="honour", description="Whether a file's colour matrix is used, or BT.601 always, as OpenCV did up to 4.12."
    )
    mean: str = Field(description='Which mean cube: "sports1m", "ucf101", "stand-in", or a file\'s name.')
    mean_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    labels: str = Field(description='Which labels: "sports1m", "numbered", or a file\'s name.')
    known_answer: int | None = Field(ge=0, description="The class of a clip of zeros behind the mean subtraction.")
    source: str = Field(description="Where the weights came from.")
    form: str = Field(description='What they were: "seeded", "keras-2-hdf5", "caffe", "pytorch", ...')
    file_sha256: str | None = Field(default=None, description="Of the file they were read from.")
    licence: str
    created: str = Field(description="ISO 8601 date.")
