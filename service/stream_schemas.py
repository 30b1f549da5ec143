"""The lines of a streamed answer, with the descriptions and examples that become the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from service.api.schemas import (
    Answer,
    ClipLabels,
    Identified,
    Labels,
    ModelOut,
    ProblemOut,
    SegmentOut,
    SpanOut,
    Vector,
    VideoSaid,
    WarningOut,
)


class NumFramesClaimed(BaseModel):
    """What the file says before it has been read."""

    header: int | None = Field(description="Null where it claims nothing.", examples=[164])


class VideoOpened(VideoSaid):
    """The video as its file describes it."""

    num_frames: NumFramesClaimed


class VideoLine(Identified):
    """The first line of a stream."""

    type: Literal["video"] = Field(description="Of the line.", examples=["video"])
    model: ModelOut
    video: VideoOpened
    warnings: list[WarningOut] = Field(description="What is odd already; the summary has all.")
    num_clips: int = Field(ge=1, description="How many will come, if the file says the truth.", examples=[19])


class ClipLine(SpanOut):
    """A clip, as soon as it is computed."""

    type: Literal["clip"] = Field(description="Of the line.", examples=["clip"])
    predictions: ClipLabels | None = Field(None, description="On /classify, or with include=predictions.")
    descriptor: Vector | None = Field(None, description="On /features, or with include=features.", examples=[[0.0, 1.52, 0.31]])
    progress: float = Field(ge=0, le=1, description="The part of the clips that is done.", examples=[0.0526])


class HeartbeatLine(BaseModel):
    """Nothing new, and the work goes on."""

    type: Literal["heartbeat"] = Field(description="Of the line.", examples=["heartbeat"])


class SummaryLine(Answer):
    """The last line: the answer, without its clips."""

    type: Literal["summary"] = Field(description="Of the line.", examples=["summary"])
    predictions: Labels | None = Field(None, description="On /classify, or with include=predictions.")
    descriptor: Vector | None = Field(
        None, description="On /features, or with include=features.", examples=[[0.0, 0.0213, 0.0087]]
    )
    segments: list[SegmentOut] | None = Field(None, description="With include=segments.")


class ErrorLine(BaseModel):
    """The last line where something went wrong."""

    type: Literal["error"] = Field(description="Of the line.", examples=["error"])
    error: ProblemOut


Line = Annotated[
    VideoLine | ClipLine | HeartbeatLine | SummaryLine | ErrorLine, Field(discriminator="type", description="A line.")
]
