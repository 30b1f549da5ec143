"""A process that reads foreign bytes gives up what it does not need: other files, the network, memory and time without end.

Landlock (Linux 5.13) takes files and TCP away, whatever the process's user may do; where the kernel has none, the limits remain.
"""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Iterable
from pathlib import Path

MAX_MEMORY_BYTES = 6 << 30  # of address space; the largest published file takes 1.2 GB to read, its pickle of protocol 0 about 3
MAX_CPU_S = 600  # reading 320 MB takes some seconds, and the text of a pickle of protocol 0 a minute
MAX_FILE_BYTES = 3 << 30  # what an archive may unpack to, and some more
MAX_FILES = 64

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, the same on all machines
GET_VERSION, PATH_BENEATH = 1, 1
NO_NEW_PRIVILEGES = 38  # of prctl
READ_FILE, READ_DIR = 1 << 2, 1 << 3
FILE_BITS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many kinds of access a version knows; 16 since version 5
TCP_BITS = 0b11  # bind and connect, since version 4


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("network", ctypes.c_uint64))


class _Path(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("descriptor", ctypes.c_int32))


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
    libc = ctypes.CDLL(None, use_errno=True)
    version = libc.syscall(CREATE_RULESET, None, 0, GET_VERSION)
    if version < 1:
        return False
    every = (1 << FILE_BITS.get(version, 16)) - 1
    rules = _Ruleset(every, TCP_BITS if version > 3 else 0)
    ruleset = _done(libc.syscall(CREATE_RULESET, ctypes.byref(rules), 16 if version > 3 else 8, 0))
    for directory, allowed in (*((each, READ_FILE | READ_DIR) for each in readable), (writable, every)):
        descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
        _done(libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, ctypes.byref(_Path(allowed, descriptor)), 0))
        os.close(descriptor)
    _done(libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0))
    _done(libc.syscall(RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)
    return True


def _done(result: int) -> int:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result
