"""How a run tells of itself: bars on a terminal, a line every 30 s elsewhere, JSON lines for programs."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from c3d_video.commandline import printable
from c3d_video.errors import C3DError
from c3d_video.extract.run import stat_of
from c3d_video.extract.videos import Video

EVERY_S = 30.0


class Report:
    """Counts, and what everybody is told; the bars and the lines come on top of it."""

    def __init__(self, videos: list[Video], *, quiet: bool, as_json: bool) -> None:
        self._sizes = {video.name: max(1, stat_of(video).get("size", 1)) for video in videos}
        self._quiet, self._as_json = quiet, as_json
        self.console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._started = self._last = time.monotonic()
        self._bytes, self._clips = 0, 0
        self._num_done = self._num_failed = 0
        self._warnings: Counter[str] = Counter()
        self._failures: list[dict[str, Any]] = []
        self._bars: Progress | None = None
        self._all: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}
        if self.console.is_terminal and not quiet and not as_json:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
            )
            self._bars = Progress(*columns, console=self.console, transient=True)
            self._all = self._bars.add_task(f"{len(videos)} videos", total=sum(self._sizes.values()))

    def begin(self) -> None:
        """The bars appear."""
        if self._bars:
            self._bars.start()

    def started(self, video: Video) -> None:
        """A bar of its own."""
        if self._bars and video.name not in self._tasks:
            self._tasks[video.name] = self._bars.add_task(escape(printable(video.name)[-40:]), total=1.0)

    def advanced(self, video: Video, share: float) -> None:
        """Its bar grows."""
        self._clips += 1
        if self._bars:
            self._bars.update(self._tasks[video.name], completed=share)
        self._now_and_then()

    def waiting(self, video: Video, error: C3DError) -> None:
        """Its bar starts again."""
        if self._bars:
            self._bars.update(self._tasks[video.name], completed=0)
        self._now_and_then()

    def done(self, video: Video, entry: dict[str, Any]) -> None:
        """Its bar goes."""
        self._num_done += 1
        self._warnings.update(entry["warnings"])
        self._gone(video, entry)

    def failed(self, video: Video, entry: dict[str, Any]) -> None:
        """Its bar goes; the reason is told at the end."""
        self._num_failed += 1
        self._failures.append(entry)
        self._gone(video, entry)

    def close(self) -> None:
        """No more bars."""
        if self._bars:
            self._bars.stop()

    def say(self, text: str) -> None:
        """A line for the person at the screen."""
        if not self._quiet:
            self.console.print(escape(printable(text)))

    def summary(self, num_before: int, num_failed_before: int) -> None:
        """The last words."""
        totals = {"done": self._num_done, "done_before": num_before, "failed": self._num_failed}
        totals["failed_before"] = num_failed_before
        if self._as_json:
            print(json.dumps({"summary": totals | {"warnings": dict(self._warnings)}}), flush=True)
        for entry in self._failures:
            self.console.print(escape(printable(f"failed: {entry['name']}: {entry['code']}: {entry['detail']}")))
        for code, count in self._warnings.most_common():
            self.say(f"warning: {code} ({count} of the videos)")
        before = f", {num_before} were done before" if num_before else ""
        failed = f", {num_failed_before} failed before (--retry-failed tries them again)" if num_failed_before else ""
        self.say(f"{self._num_done} done, {self._num_failed} failed{before}{failed}.")

    def _gone(self, video: Video, entry: dict[str, Any]) -> None:
        self._bytes += self._sizes[video.name]
        if self._as_json:
            print(json.dumps(entry), flush=True)
        if self._bars and self._all is not None:
            if video.name in self._tasks:
                self._bars.remove_task(self._tasks.pop(video.name))
            self._bars.update(self._all, completed=self._bytes)
        self._now_and_then()

    def _now_and_then(self) -> None:
        now = time.monotonic()
        if self._bars or self._quiet or now - self._last < EVERY_S:
            return
        self._last = now
        total, elapsed = sum(self._sizes.values()), now - self._started
        left = f", about {elapsed * (total - self._bytes) / self._bytes:.0f} s left" if self._bytes else ""
        counts = f"{self._num_done} done, {self._num_failed} failed of {len(self._sizes)}"
        self.say(f"{counts}; {self._clips / elapsed:.1f} clips/s{left}")
