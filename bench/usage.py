"""What a process has used, as /proc says it."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

SELF = os.getpid()
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
MIB = 1024.0  # KiB in /proc


def family(pid: int) -> list[int]:
    """The process and all below it that live now."""
    found, left = [], [pid]
    while left:
        each = left.pop()
        found.append(each)
        for children in Path(f"/proc/{each}/task").glob("*/children"):
            with suppress(OSError):  # a thread that has just ended
                left += map(int, children.read_text().split())
    return found


def cpu_s(pid: int) -> float:
    """Seconds of processor of one process so far, and of those children of it that have ended; 0 if it has itself."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / TICKS_PER_S  # utime, stime, cutime, cstime: proc(5)
    return 0.0


def family_cpu_s(pid: int) -> float:
    """Seconds of processor of a process and all below it."""
    return sum(map(cpu_s, family(pid)))


def idle_share(pid: int, seconds: float) -> float:
    """How much of one core a process and all below it take while nobody asks anything of them."""
    before, started = family_cpu_s(pid), time.perf_counter()
    time.sleep(seconds)
    return (family_cpu_s(pid) - before) / (time.perf_counter() - started)


def peak_mib(pid: int) -> float:
    """The most memory that a process has held at once, since its start or the last `forget_peak`."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / MIB
    return 0.0


def family_peak_mib(pid: int) -> float:
    """The sum of the peaks of a process and all below it: an upper bound, pages that they share count more than once."""
    return sum(map(peak_mib, family(pid)))


def forget_peak(pid: int) -> None:
    """Let `peak_mib` begin again, for a process and all below it."""
    for each in family(pid):
        Path(f"/proc/{each}/clear_refs").write_text("5")  # proc(5): resets the peak resident set size
