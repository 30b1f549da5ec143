"""The compiled library: which one this CPU can run, where it is, and why there is none."""

from __future__ import annotations

import ctypes
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")
DIRECTORY = Path(__file__).parent

# What the compiler may use for x86-64-v4 and v3 (System V ABI, x86-64 psABI 1.0, table 3.1) beside what every x86-64 has, in the
# words of /proc/cpuinfo, where lzcnt is called abm and sse3 pni. Best first.
V3 = {"abm", "avx", "avx2", "bmi1", "bmi2", "cx16", "f16c", "fma", "movbe", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3", "xsave"}
INSTRUCTION_SETS = {"avx512": V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}, "avx2": V3}

# Load a library and run a small network in it: a 3x3x3 convolution (kernel, bias) over four frames of 4x4 with 32 channels. Exit
# status 0 where all of that went well.
TRIAL = """
import ctypes, sys
library, network = ctypes.CDLL(sys.argv[1]), ctypes.c_void_p()
floats = lambda count: (ctypes.c_float * count)()
sys.exit(
    library.winograd_new(2, 1, ctypes.byref(network))
    or library.winograd_add_frames(network, 32, 4, 4)
    or library.winograd_add_convolution(network, 32, 1, 1, floats(27 * 32 * 32), floats(32))
    or library.winograd_run_frames(network, floats(4 * 4 * 4 * 32), 1)
)
"""
TRIAL_TIMEOUT_S = 30.0  # it takes a tenth of a second


def instruction_sets(cpu_info: str) -> list[str]:
    """Those of `INSTRUCTION_SETS` that the CPU has which /proc/cpuinfo describes so, best first."""
    line = next((line for line in cpu_info.splitlines() if line.startswith("flags")), "")
    return [name for name, needed in INSTRUCTION_SETS.items() if needed <= set(line.split())]


def find(cpu_info: Path = CPU_INFO, directory: Path = DIRECTORY) -> Path:
    """The best library that is built and that this CPU can run. Raises ImportError, which says what is missing."""
    can = instruction_sets(cpu_info.read_text()) if cpu_info.exists() else []
    if not can:
        raise ImportError("the winograd engine needs an x86-64 CPU with AVX2 or AVX-512")
    for name in can:
        path = directory / f"{name}.so"
        if path.exists():
            return path
    raise ImportError(
        "the winograd engine is not built: install a C++ compiler (Debian, Ubuntu: apt install g++) and run `make install`"
    )


def threads(limit: Path = CPU_LIMIT) -> int:
    """The CPUs that this process may use: those it may run on, or fewer where a container's share is smaller."""
    count = len(os.sched_getaffinity(0))
    try:
        quota, period = limit.read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, math.ceil(int(quota) / int(period))))


def try_out(path: Path) -> None:
    """Run the library in a process of its own. Raises ImportError where it cannot be loaded, or crashes.

    A file that was cut off, or was built for another CPU, would end the process that loads it (SIGBUS, SIGILL).
    """
    command = [sys.executable, "-I", "-c", TRIAL, str(path)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_TIMEOUT_S, check=False)  # noqa: S603 (ours)
    except subprocess.TimeoutExpired as error:
        raise ImportError(f"{path.name} does not run on this machine. Run `make install` to build it again") from error
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2] or f"it ended with {done.returncode}"
        raise ImportError(f"the winograd engine's library does not run here ({why}). Run `make install` to build it again")


@cache
def load(path: Path) -> ctypes.CDLL:
    """The library, its functions declared. Every one but `winograd_free` returns a code (winograd.cpp). Raises ImportError."""
    try_out(path)
    library = ctypes.CDLL(str(path))
    pointer, integer = ctypes.c_void_p, ctypes.c_int
    functions = {
        "new": [integer, integer, ctypes.POINTER(pointer)],
        "free": [pointer],
        "add_clips": [pointer],
        "add_frames": [pointer, integer, integer, integer],
        "add_convolution": [pointer, integer, integer, integer, pointer, pointer],
        "add_pool": [pointer, integer, integer],
        "add_dense": [pointer, integer, integer, pointer, pointer],
        "run_clips": [pointer, pointer, pointer, integer],
        "run_frames": [pointer, pointer, integer],
        "read": [pointer, integer, pointer, ctypes.c_size_t],
    }
    for name, arguments in functions.items():
        function = getattr(library, f"winograd_{name}", None)
        if function is None:
            raise ImportError(f"{path.name} was built from other sources: run `make install`")
        function.argtypes, function.restype = arguments, None if name == "free" else integer
    return library
