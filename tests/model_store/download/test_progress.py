"""The line that says how far a download is."""

from __future__ import annotations

import io

import pytest

from model_store.download import progress

MIB = 2**20


@pytest.mark.parametrize(
    ("have", "total", "came", "line"),
    [
        (50 * MIB, 100 * MIB, (20 * MIB, 10.0), "w [###############               ] 50.0 of 100.0 MiB, 2.0 MiB/s, 25 s left"),
        (100 * MIB, 100 * MIB, (100 * MIB, 10.0), "w [##############################] 100.0 of 100.0 MiB, 10.0 MiB/s"),
        (
            10 * MIB,
            100 * MIB,
            (10 * MIB, 10.0),
            "w [###                           ] 10.0 of 100.0 MiB, 1.0 MiB/s, 1 min 30 s left",
        ),
        (1 * MIB, 101 * MIB, (MIB, 100.0), "w [                              ] 1.0 of 101.0 MiB, 0.0 MiB/s, 2 h 46 min left"),
        (1 * MIB, 2 * MIB, (0, 0.0), "w [###############               ] 1.0 of 2.0 MiB, 0.0 MiB/s"),
        (3 * MIB, None, (3 * MIB, 2.0), "w 3.0 MiB, 1.5 MiB/s"),
        (0, 0, (0, 0.0), "w [                              ] 0.0 of 0.0 MiB, 0.0 MiB/s"),
    ],
)
def test_describe(have: int, total: int | None, came: tuple[int, float], line: str) -> None:
    assert progress.describe("w", have, total, came) == line


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("out", "renewed", "ends"), [(io.StringIO(), 0, 3), (Terminal(), 101, 1)])
def test_a_terminal_renews_one_line_and_a_log_hears_one_now_and_then(out: io.StringIO, renewed: int, ends: int) -> None:
    now = [0.0]
    told = progress.Progress(out, "w", 100 * MIB, 0, lambda: now[0])
    for step in range(1, 101):
        now[0] = step / 4  # seconds
        told.update(step * MIB)
    told.end(100 * MIB)
    assert (out.getvalue().count("\r"), out.getvalue().count("\n")) == (renewed, ends)
