"""How far a download is: tqdm's bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

from typing import Any, TextIO

from tqdm import tqdm

LOG_S = 10.0  # seconds between two lines in a log


def progress(out: TextIO, name: str, total: int | None, had: int) -> Any:
    """A `tqdm` of ``total`` bytes (None: unknown), of which ``had`` were there before; to be closed."""
    size: dict[str, Any] = {"total": total, "initial": had, "unit": "B", "unit_scale": True, "unit_divisor": 1024}
    if out.isatty():
        return tqdm(desc=name, file=out, dynamic_ncols=True, **size)
    return tqdm(desc=name, file=_Lines(out), mininterval=LOG_S, maxinterval=LOG_S, ncols=0, **size)


class _Lines:
    """A file for tqdm: what renews one line on a terminal becomes a line of its own."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, text: str) -> None:
        """Write the text as a line, without what only moves the cursor."""
        if line := text.strip():
            print(line, file=self._out)

    def flush(self) -> None:
        """Called by tqdm after each write."""
        self._out.flush()
