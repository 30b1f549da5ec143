"""Loaded by schemathesis: where a body is to be a video, it is a real one, or sometimes none."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import strategies

VIDEO = Path(os.environ["C3D_TEST_VIDEO"]).read_bytes()  # set by test_openapi.py
SHAPE = (1, 16, 112, 112, 3)  # of a clip

schemathesis.openapi.format("binary", strategies.sampled_from([VIDEO, VIDEO, VIDEO, VIDEO[:2000], b""]))


@schemathesis.serializer("video/mp4")
def as_it_is(_ctx: object, value: object) -> bytes:
    """Schemathesis knows no videos: a body of bytes, or an example of the document."""
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook.apply_to(path="/v2/models/c3d/infer")  # type: ignore[attr-defined, untyped-decorator]  # it is there
def map_case(_context: object, case: Any) -> Any:
    """Binary data that is to be right becomes that of a clip."""
    if case.media_type == "application/octet-stream" and case.meta.generation.mode.is_positive:
        tensor = {"name": "clips", "shape": SHAPE, "datatype": "UINT8", "parameters": {"binary_data_size": math.prod(SHAPE)}}
        head = json.dumps({"inputs": [tensor]}).encode()
        case.body = head + bytes(math.prod(SHAPE))
        case.headers["Inference-Header-Content-Length"] = str(len(head))
    return case
