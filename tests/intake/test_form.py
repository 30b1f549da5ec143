"""A multipart body taken apart, whatever pieces it comes in. (Through a whole request: test_source.py.)"""

from __future__ import annotations

import asyncio
import io

import pytest

from service.errors import InvalidOption, MalformedRequest, ServiceError, SourceConflict, SourceRequired
from service.intake.form import MAX_BOUNDARY_BYTES, MAX_FIELD_BYTES, Form
from service.intake.spool import SpoolWriter
from tests.support.http_helpers import BOUNDARY, form, part

CONTENT = b"\r\n--a-boundar" * 3  # nearly the boundary
BODY = form(part("top_k", b"3"), part("file", CONTENT, "clip.mp4"), part("tail", b"pad"))


def parse(*pieces: bytes) -> tuple[Form, bytes]:
    file = io.BytesIO()
    writer = SpoolWriter(file)
    parsed = Form(writer, BOUNDARY.encode())
    for piece in pieces:
        parsed.write(piece)
    parsed.finish()
    asyncio.run(writer.flush())
    return parsed, file.getvalue()


@pytest.mark.parametrize("size", [1, 2, 7, len(BODY)])
def test_pieces_do_not_matter(size: int) -> None:
    parsed, content = parse(*(BODY[start : start + size] for start in range(0, len(BODY), size)))
    assert content == CONTENT
    assert parsed.fields == [("top_k", "3"), ("tail", "pad")]
    assert parsed.num_files == 1


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (BODY[:-6], MalformedRequest),
        (b"no form", MalformedRequest),
        (form(part("", b"x")), MalformedRequest),
        (form(part("file", b"1", "a"), part("file", b"2", "b")), SourceConflict),
        (form(part("video", b"1", "a")), SourceRequired),
        (form(part("top_k", b"1" * (MAX_FIELD_BYTES + 1))), InvalidOption),
        (form(*[part("o", b"1") for _ in range(65)]), InvalidOption),
    ],
)
def test_a_wrong_body_is_refused(body: bytes, error: type[ServiceError]) -> None:
    with pytest.raises(error):
        parse(body)


@pytest.mark.parametrize("boundary", [b"", b"x" * (MAX_BOUNDARY_BYTES + 1)])
def test_a_boundary_is_needed(boundary: bytes) -> None:
    with pytest.raises(MalformedRequest):
        Form(SpoolWriter(io.BytesIO()), boundary)
