"""A process that reads foreign files locks itself in: it keeps what is open, and can open, reach, start or signal nothing more.

Two parts of Linux do it, and neither needs privileges. Landlock without a rule takes away the file system, TCP and, from its
sixth version on, signals and abstract sockets (https://docs.kernel.org/userspace-api/landlock.html). A seccomp filter leaves the
system calls that decoding takes and answers all others with EPERM (https://docs.kernel.org/userspace-api/seccomp_filter.html).
A bug in a library that reads the file then gives an attacker this process and this one file.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple

from model_store.formats import kernel

# prctl(2) and seccomp(2): linux/prctl.h, linux/seccomp.h
PR_SET_DUMPABLE = 4
SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC = 1, 1
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO = 0x7FFF0000, 0x00050000

CLONE_THREAD = 0x00010000  # linux/sched.h: what is started shares this process, so it is no new one
ANY, FIRST_IS_ZERO, FIRST_IS_SELF, FIRST_HAS_THREAD_FLAG = range(4)  # what is asked of a system call's first argument

# What CPython, NumPy, OpenCV and FFmpeg call while they decode what is open already: (x86_64, aarch64) numbers, asm/unistd.h.
# clone3 is missing, and with it answered ENOSYS glibc starts threads by clone, whose flags a filter can see.
ALLOWED: dict[str, tuple[int, int, int]] = {
    "read": (0, 63, ANY), "write": (1, 64, ANY), "readv": (19, 65, ANY), "writev": (20, 66, ANY),
    "pread64": (17, 67, ANY), "pwrite64": (18, 68, ANY), "lseek": (8, 62, ANY), "close": (3, 57, ANY), "dup": (32, 23, ANY),
    "fstat": (5, 80, ANY), "newfstatat": (262, 79, ANY),  # since glibc 2.33 fstat is newfstatat; it gives sizes, no contents
    "fcntl": (72, 25, ANY), "poll": (7, 73, ANY), "ppoll": (271, 73, ANY), "recvmsg": (47, 212, ANY),
    "mmap": (9, 222, ANY), "munmap": (11, 215, ANY), "mremap": (25, 216, ANY), "mprotect": (10, 226, ANY),
    "madvise": (28, 233, ANY), "brk": (12, 214, ANY), "futex": (202, 98, ANY), "sched_yield": (24, 124, ANY),
    "sched_getaffinity": (204, 123, ANY), "membarrier": (324, 283, ANY), "rseq": (334, 293, ANY),
    "set_robust_list": (273, 99, ANY), "set_tid_address": (218, 96, ANY), "clone": (56, 220, FIRST_HAS_THREAD_FLAG),
    "rt_sigaction": (13, 134, ANY), "rt_sigprocmask": (14, 135, ANY), "rt_sigreturn": (15, 139, ANY),
    "sigaltstack": (131, 132, ANY), "tgkill": (234, 131, FIRST_IS_SELF),  # abort() signals its own process
    "restart_syscall": (219, 128, ANY), "exit": (60, 93, ANY), "exit_group": (231, 94, ANY),
    "getpid": (39, 172, ANY), "gettid": (186, 178, ANY), "getrusage": (98, 165, ANY), "times": (100, 153, ANY),
    "sysinfo": (99, 179, ANY), "uname": (63, 160, ANY), "prlimit64": (302, 261, FIRST_IS_ZERO),  # of this process alone
    "clock_gettime": (228, 113, ANY), "clock_getres": (229, 114, ANY), "clock_nanosleep": (230, 115, ANY),
    "nanosleep": (35, 101, ANY), "getrandom": (318, 278, ANY),
}  # fmt: skip
CLONE3 = 435  # on every architecture


class Machine(NamedTuple):
    """What a filter has to know of an architecture: its audit name, its column in ALLOWED, the number of seccomp(2)."""

    audit: int  # linux/audit.h
    column: int
    seccomp: int


MACHINES = {"x86_64": Machine(0xC000003E, 0, 317), "aarch64": Machine(0xC00000B7, 1, 277)}


class Sandbox(NamedTuple):
    """What a kernel offers to hold a process by: Landlock's version, 0 without it, and whether seccomp filters work."""

    landlock: int
    seccomp: bool

    def __str__(self) -> str:
        """`landlock 7, seccomp`, or `none`."""
        parts = [f"landlock {self.landlock}"] * (self.landlock > 0) + ["seccomp"] * self.seccomp
        return ", ".join(parts) or "none"

    @property
    def is_whole(self) -> bool:
        """Whether both parts are there."""
        return self.landlock > 0 and self.seccomp


NONE = Sandbox(0, seccomp=False)


def hide() -> None:
    """Let no other process of this user, unless it has the right to trace all, read this one's memory or environment."""
    kernel.prctl(PR_SET_DUMPABLE, 0)


def available() -> Sandbox:
    """What this kernel lets a process lock itself in with. Changes nothing."""
    landlock = kernel.landlock_version()
    machine = MACHINES.get(platform.machine())
    if machine is None:
        return Sandbox(landlock, seccomp=False)
    # A filter at address 0 is EFAULT where filters can be set, and EINVAL or ENOSYS where they cannot.
    refused = kernel.syscall(machine.seccomp, SECCOMP_SET_MODE_FILTER, 0, None) < 0
    return Sandbox(landlock, seccomp=refused and ctypes.get_errno() == errno.EFAULT)


def enter() -> Sandbox:
    """Lock this process in, for ever, as far as the kernel can. To be called while it has one thread.

    Files, pipes and memory that are open stay usable. Imports that have not happened fail from now on. Raises OSError where a
    part that `available` promised is refused.
    """
    found = available()
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)  # else neither part is for processes without privileges
    if found.landlock:
        kernel.enter_landlock(scoped=True)  # without a rule that would give a right back
    if found.seccomp:
        _enter_seccomp(MACHINES[platform.machine()])
    return found


def _enter_seccomp(machine: Machine) -> None:
    instructions = _filter(machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(instructions))
    program = struct.pack("@HP", len(instructions), ctypes.addressof(code))  # struct sock_fprog
    kernel.checked(kernel.syscall(machine.seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, program))


def _filter(machine: Machine, pid: int) -> list[bytes]:
    """The program in classic BPF: one instruction is (code, jump if true, jump if false, operand), linux/filter.h.

    struct seccomp_data holds the call's number at 0, the architecture at 4 and the arguments, 8 bytes each, from 16 on. A call of
    another architecture, as 32-bit programs make them, is refused whatever its number; so are x32's numbers, which are none of
    those allowed.
    """
    load, equals, bits, give = 0x20, 0x15, 0x45, 0x06
    allow, refuse = _bpf(give, 0, 0, SECCOMP_RET_ALLOW), _bpf(give, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM)
    first_argument = _bpf(load, 0, 0, 16)  # its lower half: pids and flags fit
    number = _bpf(load, 0, 0, 0)
    program = [_bpf(load, 0, 0, 4), _bpf(equals, 1, 0, machine.audit), refuse, number]
    program += [_bpf(equals, 0, 1, CLONE3), _bpf(give, 0, 0, SECCOMP_RET_ERRNO | errno.ENOSYS)]
    for row in ALLOWED.values():
        wanted = {FIRST_IS_ZERO: (equals, 0), FIRST_IS_SELF: (equals, pid), FIRST_HAS_THREAD_FLAG: (bits, CLONE_THREAD)}
        if row[2] == ANY:
            program += [_bpf(equals, 0, 1, row[machine.column]), allow]
        else:
            code, operand = wanted[row[2]]
            program += [_bpf(equals, 0, 4, row[machine.column]), first_argument, _bpf(code, 0, 1, operand), allow, refuse]
    return [*program, refuse]


def _bpf(code: int, if_true: int, if_false: int, operand: int) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, operand)
