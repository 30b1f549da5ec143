"""What a request may ask for, with the descriptions that become the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_serializer, field_validator, model_validator

from model_store import c3d
from service.errors import InvalidOption, invalid_option, printable
from service.video.messages import Tail

MAX_PARTS = 16  # of `include` or `layer`: each of them twice, and some more

AnyOptions = TypeVar("AnyOptions", bound="Options")
LISTS = ("include", "layer")  # options that take several values: repeated, or with commas


class Options(BaseModel):
    """What both endpoints take, in the query, as form fields or in JSON."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    clip_stride: int = Field(
        c3d.CLIP_STRIDE,
        ge=1,
        le=100_000,
        description="Frames between clip starts. The paper's 16-frame clips overlap by 8 frames.",
    )
    tail: Tail = Field(
        "drop",
        description="The frames behind the last whole clip: `drop` them, or `pad` one more clip by repeating the last frame.",
    )
    start_sec: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Only the part from here on, in seconds from the first frame."
    )
    end_sec: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Only the part before here, in seconds: frames that start earlier.",
    )
    fps: float | None = Field(
        None,
        gt=0,
        le=240,
        allow_inf_nan=False,
        description="Resample to so many frames a second, as 30, before clips are cut: at each tick the frame shown then.",
    )
    max_clips: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="At most this many clips, evenly spaced over the part asked for. Reading ends soon after the last one.",
    )
    timeout_s: float | None = Field(
        None,
        gt=0,
        allow_inf_nan=False,
        description="Seconds the request may take once its body is here, if that is less than the server allows.",
    )
    custom_id: str | None = Field(None, max_length=256, description="Your own name for this video. The answer repeats it.")
    top_k: int = Field(5, ge=1, le=c3d.NUM_CLASSES, description="How many labels, the most probable first.")
    score_threshold: float = Field(
        0.0, ge=0, le=1, description="Only labels at least this probable. A clip without one belongs to no segment."
    )
    layer: Sequence[c3d.FeatureLayer] = Field(
        ("fc6",),
        min_length=1,
        description="The layer whose output, after its ReLU, is the descriptor: `fc6`, `fc7` (4,096 numbers each) or `pool5` "
        "(8,192, in Caffe's order: 512 channels of 4 rows and 4 columns). Several, as `fc6,fc7`, come from one pass, as objects "
        "by the layer's name.",
    )
    normalize: Literal["l2", "none"] = Field(
        "l2",
        description="`l2`: the mean over clips, divided by its L2 norm. `none`: the plain mean. Clips are never normalised.",
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="Vectors in JSON as numbers, or as the `base64` of little-endian float32: half the size, exact."
    )
    vectors: Literal["all", "video"] = Field(
        "all",
        description="`all`: of the video and, where clips are answered, of each of them. `video`: of the video alone, so that "
        "the lines of a stream stay short.",
    )
    include: Sequence[str] = ()
    gives: ClassVar[str]  # what the endpoint is for

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: Any) -> Any:
        """A known option whose value is empty is not given: HTML forms and Swagger UI send all their fields."""
        known = cls.model_fields
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if name not in known or value not in ("", None, [""])}

    @field_validator(*LISTS, mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``include=a,b`` is ``include=a&include=b``. The descriptor's own name means "features"."""
        if not isinstance(value, list):
            return value
        parts = [part for item in value for part in item.split(",") if part]
        if len(parts) > MAX_PARTS:
            raise ValueError(f"it names {len(parts)} parts, and there are not that many")
        return ["features" if part == "descriptor" else part for part in parts if part != "descriptor" or cls.gives != "features"]

    @field_validator("layer", mode="after")
    @classmethod
    def _in_the_networks_order(cls, value: Sequence[c3d.FeatureLayer]) -> Sequence[c3d.FeatureLayer]:
        """Each once: however they are written, the same layers are the same question."""
        return tuple(layer for layer in c3d.FEATURE_SIZES if layer in value)

    @field_serializer("layer")
    def _as_it_is_written(self, value: Sequence[c3d.FeatureLayer]) -> str:
        return ",".join(value)

    @model_validator(mode="after")
    def _has_a_part(self) -> Self:
        if self.end_sec is not None and self.end_sec <= self.start_sec:
            raise ValueError("end_sec must be after start_sec")
        return self

    def layer_sizes(self) -> dict[str, int]:
        """The layers asked for, and how many numbers a vector of each has."""
        return {layer: c3d.FEATURE_SIZES[layer] for layer in self.layer}

    def wants_clip_vectors(self) -> bool:
        """Whether what is said of a clip holds its vectors."""
        return self.wants("features") and self.vectors == "all"

    def wants(self, what: str) -> bool:
        """Whether the answer shall hold "predictions", "features", "clips", "segments" or "pictures"; those are of clips."""
        return what == self.gives or what in self.include or (what == "clips" and "pictures" in self.include)


PICTURES = (
    "`pictures`: the clips, each with its middle frame as the network sees it (resized, cropped, upright), a JPEG of 112x112 "
    "pixels in base64."
)


class ClassifyOptions(Options):
    """What POST /classify takes."""

    gives = "predictions"
    include: Sequence[Literal["clips", "segments", "features", "pictures"]] = Field(
        [],
        description="`clips`: one entry for each clip, with its place in frames and seconds and its own labels. `segments`: "
        "neighbouring clips of one label, merged; the border between two lies in the middle. `features` (or `descriptor`): the "
        "descriptor too, from the same pass. " + PICTURES,
    )


class FeaturesOptions(Options):
    """What POST /features takes."""

    gives = "features"
    include: Sequence[Literal["clips", "predictions", "pictures"]] = Field(
        [],
        description="`clips`: one entry for each clip, with its place in frames and seconds and its own vector. "
        "`predictions`: the labels too, from the same pass. " + PICTURES,
    )


# What an option is about. One that would do nothing is more likely a mistake than meant so.
ABOUT = {
    **dict.fromkeys(("top_k", "score_threshold"), "predictions"),
    **dict.fromkeys(("layer", "normalize", "encoding_format", "vectors"), "features"),
}


def read_options(kind: type[AnyOptions], given: Iterable[tuple[str, str]]) -> AnyOptions:
    """Options from the query and the body together.

    Raises InvalidOption for an unknown name, a value out of range, one name with two values, or an option of what is not asked
    for.
    """
    values: dict[str, Any] = {}
    for name, value in given:
        if name in LISTS:
            values.setdefault(name, []).append(value)
        elif name not in values or _is_empty_or_default(kind, name, values[name]):
            values[name] = value
        elif values[name] != value and not _is_empty_or_default(kind, name, value):
            raise InvalidOption(f"{printable(name)} was given twice, with different values. Give it once.")
    try:
        options = kind.model_validate(values)
    except ValidationError as error:
        raise invalid_option(error.errors(), kind.model_fields) from None
    for name in sorted(options.model_fields_set & ABOUT.keys()):
        is_default = getattr(options, name) == kind.model_fields[name].default  # which generated clients send unasked
        if not is_default and not options.wants(ABOUT[name]):
            raise InvalidOption(f"{name} is about {ABOUT[name]}. Add include={ABOUT[name]}.")
    return options


def _is_empty_or_default(kind: type[Options], name: str, value: str) -> bool:
    """Generated clients and Swagger UI send defaults unasked, in the query too: another value beside one is what was meant."""
    default = kind.model_fields[name].default if name in kind.model_fields else None
    if isinstance(default, int | float):
        try:
            return float(value) == default
        except ValueError:
            return not value
    return value in ("", default)


JSON, NDJSON, NPY, NPZ = "application/json", "application/x-ndjson", "application/x-npy", "application/zip"
