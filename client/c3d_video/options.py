"""What a request may ask for, as types: an editor completes the names, a type checker finds a wrong one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypedDict


class Options(TypedDict, total=False):
    """Options of POST /features and /classify; docs/http-api.md says what each means. None is as good as left out."""

    clip_stride: int | None  # frames between clip starts
    fps: float | None
    tail: Literal["drop", "pad"] | None
    start_sec: float | None
    end_sec: float | None
    max_clips: int | None
    include: str | Sequence[str] | None
    timeout_s: float | None
    custom_id: str | None
    layer: str | Sequence[str] | None  # of features
    vectors: Literal["all", "video"] | None  # of features: of the clips too, or of the video alone
    normalize: Literal["l2", "none"] | None  # of features
    top_k: int | None  # of predictions
    score_threshold: float | None  # of predictions, 0 to 1
