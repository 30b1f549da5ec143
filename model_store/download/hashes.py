"""The published hash of a file, whichever kind its publisher chose."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

Kind = Literal["sha256", "md5", "git-blob"]
LENGTHS: dict[Kind, int] = {"sha256": 64, "md5": 32, "git-blob": 40}  # hexadecimal digits
BLOCK_BYTES = 1 << 20


def of_file(path: Path, kind: Kind) -> str:
    """The file's hash, in hexadecimal. "git-blob" is what git names a file's content by: SHA-1 over a header, then it.

    MD5 and SHA-1 stand for "the file the publisher meant", not for "a file nobody forged". Raises OSError.
    """
    match kind:
        case "sha256":
            digest = hashlib.sha256()
        case "md5":
            digest = hashlib.md5(usedforsecurity=False)
        case "git-blob":
            digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()
