"""What a request may ask for, with the descriptions that become the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, Self, TypeVar

import mimeparse
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from model_store import c3d
from service.errors import InvalidOption, NotAcceptable, invalid_option, printable
from service.video.messages import Tail

AnyOptions = TypeVar("AnyOptions", bound="Options")


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
        description="Only the part before here, as 12.5: half-open, by the frames' start times.",
    )
    max_clips: int | None = Field(
        None, ge=1, le=1_000_000, description="At most so many clips, as 32, evenly spaced over the part asked for."
    )
    timeout_s: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Seconds the request may take, as 30, if less than the server's."
    )
    custom_id: str | None = Field(
        None, max_length=256, description="Your own name for this video, as `clip 17`; the answer repeats it."
    )
    top_k: int = Field(5, ge=1, le=c3d.NUM_CLASSES, description="How many labels, most probable first.")
    score_threshold: float = Field(0.0, ge=0, le=1, description="Only labels that are at least so probable.")
    layer: Literal["fc6", "fc7"] = Field("fc6", description="The layer whose output, after its ReLU, is the descriptor.")
    normalize: Literal["l2", "none"] = Field(
        "l2",
        description="`l2`: the mean over clips, divided by its L2 norm. `none`: the plain mean. Clips are never normalised.",
    )
    encoding_format: Literal["float", "base64"] = Field(
        "float", description="Vectors in JSON as numbers, or as the `base64` of little-endian float32: half the size, exact."
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

    @field_validator("include", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        """``include=a,b`` is ``include=a&include=b``. The descriptor's own name means "features"."""
        if not isinstance(value, list):
            return value
        parts = [part for item in value for part in item.split(",") if part]
        named = ["features" if part == "descriptor" else part for part in parts]
        return [part for part, given in zip(named, parts, strict=True) if part == given or part != cls.gives]

    @model_validator(mode="after")
    def _has_a_part(self) -> Self:
        if self.end_sec is not None and self.end_sec <= self.start_sec:
            raise ValueError("end_sec must be after start_sec")
        return self

    def wants(self, what: str) -> bool:
        """Whether the answer shall hold "predictions", "features", "clips", "segments" or "pictures"; those are of clips."""
        return what == self.gives or what in self.include or (what == "clips" and "pictures" in self.include)


class ClassifyOptions(Options):
    """What POST /classify takes."""

    gives = "predictions"
    include: Sequence[Literal["clips", "segments", "features", "pictures"]] = Field(
        [],
        description="`clips`: one entry for each clip. `segments`: neighbouring clips of one label, merged. `features`: the "
        "descriptor too, from the same pass. `pictures`: the clips, each with what the network sees of it.",
    )


class FeaturesOptions(Options):
    """What POST /features takes."""

    gives = "features"
    include: Sequence[Literal["clips", "predictions", "pictures"]] = Field(
        [],
        description="`clips`: one entry for each clip. `predictions`: the labels too, from the same pass. `pictures`: the clips, "
        "each with what the network sees of it.",
    )


# What an option is about. One that would do nothing is more likely a mistake than meant so.
ABOUT = {
    **dict.fromkeys(("top_k", "score_threshold"), "predictions"),
    **dict.fromkeys(("layer", "normalize", "encoding_format"), "features"),
}


def read_options(kind: type[AnyOptions], given: Iterable[tuple[str, str]]) -> AnyOptions:
    """Options from the query and the body together.

    Raises InvalidOption for an unknown name, a value out of range, one name with two values, or an option of what is not asked
    for.
    """
    values: dict[str, Any] = {}
    for name, value in given:
        if name == "include":
            values.setdefault(name, []).append(value)
        elif name not in values or _is_empty_or_default(kind, name, values[name]):
            values[name] = value
        elif values[name] != value and not _is_empty_or_default(kind, name, value):
            raise InvalidOption(f"{printable(name)} was given twice, with different values. Give it once.")
    try:
        options = kind.model_validate(values)
    except ValidationError as error:
        raise invalid_option(error.errors()) from None
    for name in sorted(options.model_fields_set & ABOUT.keys()):
        is_default = getattr(options, name) == kind.model_fields[name].default  # which generated clients send unasked
        if not is_default and not options.wants(ABOUT[name]):
            raise InvalidOption(f"{name}: it is about {ABOUT[name]}; add include={ABOUT[name]}.")
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


def media_type(accept: str) -> str:
    """One of the four. JSON where ``accept`` is empty. Raises NotAcceptable where the client wants none of them."""
    if not accept.strip(" ,"):
        return JSON
    try:
        chosen: str = mimeparse.best_match([NPZ, NPY, NDJSON, JSON], accept.lower())  # of equals the last one
    except mimeparse.MimeTypeParseException:
        chosen = ""
    if not chosen:
        raise NotAcceptable(f"The header Accept asks for what is not made here. There is {JSON}, {NDJSON}, {NPY} and {NPZ}.")
    return chosen
