"""A file of weights is read in a process of its own, confined: it may be a bomb, and libraries that read files have holes.

The process gets a `Request` as JSON, leaves the tensors in a file and answers with JSON. It sees the file's directory and one to
write into, no network, and none of our environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from model_store import c3d
from model_store.download.manifest import Form
from model_store.formats import confine, layouts
from model_store.preprocessing import Preprocessing
from model_store.tensors import StoreError, num_classes

MAX_WALL_S = 1800  # a disk that does not answer
MAX_LETTERS = 2_000  # of what a file makes us say
MAX_NAMES = 1_000  # of what it held beside weights
LIBRARIES = ("stdlib", "platstdlib", "purelib", "platlib")  # from which Python loads what it needs late
TENSORS = "tensors.npz"


class Request(BaseModel):
    """What the process is to read."""

    model_config = ConfigDict(frozen=True)

    path: Path
    work: Path  # where it may write
    asked: layouts.Asked = layouts.AS_THE_FILE_SAYS
    form: Form | None = None  # another one is refused; None: any
    max_memory_bytes: int = confine.MAX_MEMORY_BYTES
    max_cpu_s: int = confine.MAX_CPU_S


class Answer(BaseModel):
    """What came of it: `layouts.Weights` without its tensors, or what is wrong."""

    error: str | None = None
    form: str = ""
    preset: Preprocessing | None = None
    beside: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()


def read(request: Request) -> layouts.Weights:
    """Read a file of weights. Raises StoreError where it is none, or takes more memory or time than any."""
    environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "TMPDIR": str(request.work),
        "OPENBLAS_NUM_THREADS": "1",  # each thread would take address space
    }
    command = [sys.executable, "-m", "model_store.formats.reading"]
    try:
        asked = request.model_dump_json().encode()
        done = subprocess.run(command, check=False, input=asked, capture_output=True, env=environment, timeout=MAX_WALL_S)  # noqa: S603 (ours)
    except subprocess.TimeoutExpired as error:
        raise StoreError(f"{request.path.name} was not read within {MAX_WALL_S} s: refused.") from error
    if done.returncode:
        raise StoreError(_ended(request.path.name, done.returncode, done.stderr))
    answer = Answer.model_validate_json(done.stdout)
    if answer.error is not None:
        raise StoreError(answer.error)
    return _weights(answer, request.work)


def _weights(answer: Answer, work: Path) -> layouts.Weights:
    with np.load(work / TENSORS, allow_pickle=False) as file:
        tensors = {name: file[name] for name in file.files}
    tensors = {name: tensors[name] for name in c3d.weight_shapes(num_classes(tensors))}
    return layouts.Weights(tensors=tensors, **answer.model_dump(exclude={"error"}))


def _ended(name: str, status: int, said: bytes) -> str:
    if status in {-signal.SIGXCPU, -signal.SIGKILL} or b"MemoryError" in said:
        return f"{name} takes more memory or time to read than any weights: refused."
    last = said.decode("utf-8", "replace").strip().rpartition("\n")[2]
    why = signal.Signals(-status).name if status < 0 else printable(last)
    return f"The process that read {name} broke off ({why}): the file is damaged, or made to do harm. Get it again."


def printable(text: str) -> str:
    """What a file made us say, without control characters for the terminal, and not longer than anybody reads."""
    return "".join(letter if letter.isprintable() else "?" for letter in text[:MAX_LETTERS])


def main() -> None:
    """Read what standard input asks for; the answer goes to standard output."""
    request = Request.model_validate_json(sys.stdin.buffer.read())
    confine.limit(request.max_memory_bytes, request.max_cpu_s)
    libraries = {Path(sysconfig.get_path(name)) for name in LIBRARIES}
    confine.confine([request.path.parent, *libraries], request.work)
    try:
        weights = layouts.read(request.path, asked=request.asked, form=request.form)
    except StoreError as error:
        answer = Answer(error=printable(str(error)))
    else:
        np.savez(request.work / TENSORS, allow_pickle=False, **weights.tensors)
        found = weights._asdict() | {"beside": tuple(map(printable, weights.beside[:MAX_NAMES]))}
        answer = Answer.model_validate(found)
    sys.stdout.write(answer.model_dump_json())


if __name__ == "__main__":
    main()
