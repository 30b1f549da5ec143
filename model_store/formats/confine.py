"""A process that reads foreign bytes gives up what it does not need: other files, the network, memory and time without end.

Landlock takes files and TCP away; where the kernel has none, the limits remain.
"""

from __future__ import annotations

import resource
from collections.abc import Iterable
from pathlib import Path

from model_store.formats import kernel

MAX_MEMORY_BYTES = 6 << 30  # of address space; the largest published file takes 1.2 GB to read, its pickle of protocol 0 about 3
MAX_CPU_S = 600  # reading 320 MB takes some seconds, and the text of a pickle of protocol 0 a minute
MAX_FILE_BYTES = 3 << 30  # what an archive may unpack to, and some more
MAX_FILES = 64


def limit(max_memory_bytes: int = MAX_MEMORY_BYTES, max_cpu_s: int = MAX_CPU_S) -> None:
    """Bound this process. What it asks for beyond is a MemoryError, or ends it."""
    for kind, most in (
        (resource.RLIMIT_AS, max_memory_bytes),
        (resource.RLIMIT_CPU, max_cpu_s),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)  # noqa: PLW2901 (the same limit, as far as it goes)
        resource.setrlimit(kind, (most, most))


def confine(readable: Iterable[Path], writable: Path) -> bool:
    """From now on this process reads below these directories, writes below the other, and speaks no TCP. For ever.

    False where the kernel has no Landlock. Raises OSError where it refuses.
    """
    if not kernel.landlock_version():
        return False
    rules = [(each, kernel.READ_FILE | kernel.READ_DIR) for each in readable]
    kernel.enter_landlock([*rules, (writable, kernel.ALL_RIGHTS)])
    return True
