"""A download under its temporary name, and beside it what its server said of it: total size and validator."""

from __future__ import annotations

import http
import json
from pathlib import Path

from model_store.download.web import Answer


class Part:
    """One file of one source: each has its own, so that never half of one file is continued with half of another."""

    def __init__(self, path: Path) -> None:
        self.path, self._notes = path, path.with_name(path.name + ".json")

    def size(self) -> int:
        """Bytes that are there."""
        return self.path.stat().st_size if self.path.exists() else 0

    def forget(self) -> None:
        """Begin again next time."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def is_whole(self) -> bool:
        """Whether all bytes that the server promised are there; a run was killed just before it could rename them."""
        return 0 < self.size() == self._said()[0]

    def resume_headers(self) -> dict[str, str]:
        """What asks the server for the rest, if it still has the same file; nothing where there is nothing to resume."""
        total, validator = self._said()
        if not self.size() or total is None:
            return {}
        return {"Range": f"bytes={self.size()}-", **({"If-Range": validator} if validator else {})}

    def begin(self, answer: Answer) -> tuple[int, int | None] | None:
        """First byte that the answer sends, and the size of the whole file where it is known.

        What is there is thrown away where the answer begins at the beginning. None where it continues another file than
        the one that is there: nothing is changed then, and nothing of the answer is of use.
        """
        validator = answer.headers.get("ETag", "")
        if not validator or validator.startswith("W/"):  # a weak one may not be used with If-Range
            validator = answer.headers.get("Last-Modified", "")
        if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
            length = answer.headers.get("Content-Length", "")
            total = int(length) if length.isdigit() else None
            self.path.write_bytes(b"")
            self._notes.write_text(json.dumps({"total": total, "validator": validator}), encoding="utf-8")
            return 0, total
        span, _, whole = answer.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        said = self._said()
        fits = span.split("-")[0] == str(self.size()) and whole == str(said[0]) and validator == said[1]
        return (self.size(), said[0]) if fits else None

    def _said(self) -> tuple[int | None, str]:
        try:
            notes = json.loads(self._notes.read_text(encoding="utf-8"))
            return notes["total"], notes["validator"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):  # none yet, or cut off by a kill: begin again
            return None, ""
