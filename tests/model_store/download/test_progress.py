"""What is said of a download while it runs."""

from __future__ import annotations

import io

from model_store.download.progress import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def said(out: io.StringIO, total: int | None) -> str:
    shown = progress(out, "w.h5", total, 1024)
    for _ in range(3):
        shown.update(1024)
    shown.close()
    return out.getvalue()


def test_a_terminal_renews_one_line() -> None:
    text = said(Terminal(), 4096)
    assert (text.count("\n"), text.count("\r") > 1) == (1, True)
    assert "100%" in text


def test_a_log_gets_plain_lines_and_the_last_one_says_all() -> None:
    lines = said(io.StringIO(), 4096).splitlines()
    assert 1 <= len(lines) <= 2
    assert lines[-1].startswith("w.h5: 100% 4.00k/4.00k")
    assert "\r" not in "".join(lines)


def test_without_a_total_the_bytes_are_said() -> None:
    assert said(io.StringIO(), None).splitlines()[-1].startswith("w.h5: 4.00kB")
