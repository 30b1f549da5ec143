"""Sports-1M: how often the most probable labels hold one of a video's true ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from c3d_video.evaluate.measures import Share, wilson
from c3d_video.evaluate.vectors import Extracted

TOP = 5  # of hit@5; as many labels are asked for


@dataclass(frozen=True)
class Hits:
    """``clip_1``, ``video_1``, ``video_5``: shares. ``right``: by video, whether its first label is a true one."""

    clip_1: Share
    video_1: Share
    video_5: Share
    right: dict[str, bool]
    first: dict[str, int]


def count(truth: Mapping[str, frozenset[int]], extracted: Extracted) -> Hits:
    """Over all videos of ``truth`` that were to be had. One that failed counts as wrong, of one clip."""
    num_clips, clip_hits, video_5 = 0, 0, 0
    right: dict[str, bool] = {}
    first: dict[str, int] = {}
    for key in [*extracted.outputs, *extracted.failed]:
        true = truth.get(key)
        if true is None:
            continue
        if key not in extracted.outputs:
            right[key], num_clips = False, num_clips + 1
            continue
        ranked, clips = extracted.classes(key)
        right[key], first[key] = int(ranked[0]) in true, int(ranked[0])
        video_5 += any(int(each) in true for each in ranked[:TOP])
        clip_hits += sum(int(each) in true for each in clips)
        num_clips += len(clips)
    return Hits(wilson(clip_hits, num_clips), wilson(sum(right.values()), len(right)), wilson(video_5, len(right)), right, first)
