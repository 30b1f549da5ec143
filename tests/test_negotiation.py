"""service/options.py: the header Accept, as RFC 9110 has it."""

from __future__ import annotations

import pytest

from service.errors import NotAcceptable
from service.options import JSON, NDJSON, NPY, NPZ, media_type

CHROME = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", JSON),
        (" , ", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (CHROME, JSON),
        (JSON, JSON),
        (f"{JSON}; charset=utf-8", JSON),
        (NDJSON, NDJSON),
        ("Application/X-NDJSON", NDJSON),
        (f"{NDJSON}, {JSON}", JSON),  # equally welcome: what most clients can read
        (f"{NDJSON}, {JSON};q=0.5", NDJSON),
        (f"{JSON};q=0, */*", NDJSON),
        (f"{NPY};q=0.2, {NPZ};q=0.3, text/plain", NPZ),
        (f"text/csv, {NPY}", NPY),
    ],
)
def test_the_clients_first_choice_is_taken(accept: str, expected: str) -> None:
    assert media_type(accept) == expected


@pytest.mark.parametrize("accept", ["text/csv", "image/*", f"{JSON};q=0", "rubbish", "*/*;q=0", "a/b/c"])
def test_what_is_not_made_is_refused_with_what_is(accept: str) -> None:
    with pytest.raises(NotAcceptable, match="application/x-ndjson"):
        media_type(accept)
