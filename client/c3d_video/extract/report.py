"""How a run tells of itself: bars on a terminal, a line every 30 s elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from c3d_video.commandline import printable
from c3d_video.errors import C3DError
from c3d_video.extract.videos import Video, stat_of

NAME_WIDTH = 40  # of a bar's name, so that the bar finds room on a terminal of 80 columns


class Bars:
    """A bar for all videos, by bytes, and one for each video in flight."""

    def __init__(self, console: Console, num_videos: int, num_bytes: float) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, transient=True)
        self._all = self._progress.add_task(f"{num_videos} videos", total=num_bytes)
        self._tasks: dict[str, TaskID] = {}
        self._progress.start()

    def show(self, name: str, share: float) -> None:
        """The video's bar, at so much of it."""
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(escape(printable(name)[-NAME_WIDTH:]), total=1.0)
        self._progress.update(self._tasks[name], completed=share)

    def show_all(self, num_bytes: float) -> None:
        """The bar of all videos."""
        self._progress.update(self._all, completed=num_bytes)

    def remove(self, name: str) -> None:
        """The video is out of flight."""
        if name in self._tasks:
            self._progress.remove_task(self._tasks.pop(name))

    def stop(self) -> None:
        """Clear them away."""
        self._progress.stop()


class Report:
    """Counts, and what is said of them. ``videos``: those to do."""

    def __init__(self, videos: list[Video], *, quiet: bool, as_json: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._sizes = _sizes(videos)
        self._total = sum(self._sizes.values())
        self._quiet, self._as_json, self._clock = quiet, as_json, clock
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = clock()
        self._shares: dict[str, float] = {}  # of the videos in flight, 0 to 1
        self._bytes_done, self._num_clips = 0.0, 0
        self._num_done = self._num_failed = 0
        self._waits_for: C3DError | None = None
        self._warnings: Counter[str] = Counter()
        self._failures: list[dict[str, Any]] = []
        self._bars: Bars | None = None

    def begin(self) -> None:
        """The bars appear, where there is a terminal that can move its cursor."""
        if self._console.is_terminal and not self._console.is_dumb_terminal and not self._quiet and not self._as_json:
            self._bars = Bars(self._console, len(self._sizes), self._total)

    def started(self, video: Video) -> None:
        """A try of the video begins."""
        self._advance(video, 0.0)

    def advanced(self, video: Video, share: float) -> None:
        """One more clip of the video; ``share`` of it is done, 0 to 1."""
        self._num_clips += 1
        self._waits_for = None
        self._advance(video, share)

    def waiting(self, video: Video, error: C3DError) -> None:
        """The video is tried again later."""
        self._waits_for = error
        self._advance(video, 0.0)

    def done(self, video: Video, entry: dict[str, Any]) -> None:
        """Its output is in place."""
        self._num_done += 1
        self._warnings.update(entry["warnings"])
        self._gone(video, entry)

    def failed(self, video: Video, entry: dict[str, Any]) -> None:
        """It has none; the report ends with the reason."""
        self._num_failed += 1
        self._failures.append(entry)
        self._gone(video, entry)

    def line(self) -> None:
        """How far it has come, in one line, where there are no bars."""
        if self._bars or self._quiet or self._as_json:
            return
        elapsed, num_bytes = self._clock() - self._started, self._bytes()
        left = f", about {elapsed * (self._total - num_bytes) / num_bytes:.0f} s left" if num_bytes else ""
        waits = f"; waiting, the service says {self._waits_for.code}" if self._waits_for else ""
        counts = f"{self._num_done} done, {self._num_failed} failed of {len(self._sizes)}"
        self._say(f"{counts}; {self._num_clips / max(elapsed, 1e-9):.1f} clips/s{left}{waits}")

    def close(self) -> None:
        """No more bars."""
        if self._bars:
            self._bars.stop()

    def summary(self, num_before: int, num_failed_before: int) -> None:
        """The last words."""
        totals = {"done": self._num_done, "done_before": num_before, "failed": self._num_failed}
        totals["failed_before"] = num_failed_before
        if self._as_json:
            print(json.dumps({"summary": totals | {"warnings": dict(self._warnings)}}), flush=True)
        for entry in self._failures:
            self._console.print(escape(printable(f"failed: {entry['name']}: {entry['code']}: {entry['detail']}")))
        for code, count in self._warnings.most_common():
            self._say(f"warning: {code} ({count} of the videos)")
        before = f", {num_before} were done before" if num_before else ""
        failed = f", {num_failed_before} failed before (--retry-failed tries them again)" if num_failed_before else ""
        self._say(f"{self._num_done} done, {self._num_failed} failed{before}{failed}.")

    def _say(self, text: str) -> None:
        if not self._quiet:
            self._console.print(escape(printable(text)))

    def _bytes(self) -> float:
        return self._bytes_done + sum(self._sizes[name] * share for name, share in self._shares.items())

    def _advance(self, video: Video, share: float) -> None:
        self._shares[video.name] = share
        if self._bars:
            self._bars.show(video.name, share)
            self._bars.show_all(self._bytes())

    def _gone(self, video: Video, entry: dict[str, Any]) -> None:
        self._shares.pop(video.name, None)
        self._bytes_done += self._sizes[video.name]
        if self._as_json:
            print(json.dumps(entry), flush=True)
        if self._bars:
            self._bars.remove(video.name)
            self._bars.show_all(self._bytes())


def _sizes(videos: list[Video]) -> dict[str, float]:
    """Bytes by name; a URL's are not known, so it counts as the mean of the files."""
    known = {video.name: float(stat["size"]) for video in videos if (stat := stat_of(video))}
    mean = max(1.0, sum(known.values()) / len(known)) if known else 1.0
    return {video.name: known.get(video.name, mean) for video in videos}
