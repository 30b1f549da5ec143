"""What of Linux holds a process that reads foreign bytes, where Python has no function for it: prctl, system calls, Landlock.

Landlock (Linux 5.13) takes away files, TCP and, from its sixth version on, signals and abstract sockets, whatever the process's
user may do (https://docs.kernel.org/userspace-api/landlock.html).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
# Landlock's system calls have these numbers on every architecture: linux/landlock.h
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
CREATE_RULESET_VERSION, RULE_PATH_BENEATH = 1, 1
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many there are, by Landlock's version; as many from the sixth on
TCP = 0b11  # binding and connecting; since version 4
SCOPES = 0b11  # abstract Unix sockets and signals; since version 6
READ_FILE, READ_DIR, ALL_RIGHTS = 1 << 2, 1 << 3, (1 << 64) - 1  # of files


def checked(result: int) -> int:
    """The result of a call. Raises OSError where it is negative."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option: int, value: int) -> None:
    """Change this process by prctl(2). Raises OSError."""
    checked(_libc().prctl(option, value, 0, 0, 0))


def syscall(number: int, *arguments: int | bytes | None) -> int:
    """A system call by its number: its result, negative where it failed, with the reason in ``ctypes.get_errno()``."""
    typed = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return int(_libc().syscall(ctypes.c_long(number), *typed))


def landlock_version() -> int:
    """Of this kernel's Landlock; 0 where there is none."""
    return max(syscall(CREATE_RULESET, None, 0, CREATE_RULESET_VERSION), 0)


def enter_landlock(rules: Iterable[tuple[Path, int]] = (), *, scoped: bool = False) -> None:
    """Take away, for ever, all rights to files and TCP that this kernel knows, but for the ``rules``.

    A rule is a directory and the rights that remain below it. ``scoped``: signals and abstract sockets are taken away too, where
    the kernel can. Raises OSError.
    """
    version = landlock_version()
    rights = (1 << FILE_RIGHTS.get(version, max(FILE_RIGHTS.values()))) - 1
    fields = [rights] + [TCP] * (version >= 4) + [SCOPES] * (scoped and version >= 6)
    attributes = struct.pack(f"={len(fields)}Q", *fields)
    ruleset = checked(syscall(CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for directory, allowed in rules:
            _allow(ruleset, directory, allowed & rights)
        prctl(PR_SET_NO_NEW_PRIVS, 1)  # else Landlock is not for processes without privileges
        checked(syscall(RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, directory: Path, rights: int) -> None:
    descriptor = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        checked(syscall(ADD_RULE, ruleset, RULE_PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0))
    finally:
        os.close(descriptor)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
