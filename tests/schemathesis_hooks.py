"""Loaded by schemathesis: where a body is to be a video, it is a real one, or sometimes none."""

from __future__ import annotations

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies

VIDEO = Path(os.environ["C3D_TEST_VIDEO"]).read_bytes()  # set by test_openapi.py

schemathesis.openapi.format("binary", strategies.sampled_from([VIDEO, VIDEO, VIDEO, VIDEO[:2000], b""]))


@schemathesis.serializer("video/mp4")
def as_it_is(_ctx: object, value: object) -> bytes:
    """Schemathesis knows no videos: a body of bytes, or an example of the document."""
    return value if isinstance(value, bytes) else str(value).encode()
