"""service/http/accept.py: the header Accept, as RFC 9110 has it."""

from __future__ import annotations

import pytest

from service.errors import NotAcceptable
from service.http.accept import MAX_ACCEPT_LENGTH, media_type
from service.options import JSON, NDJSON, NPY, NPZ

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


@pytest.mark.parametrize("accept", ["*", f"text/csv, *;q=0.2, {NPY};q=0.1"])
def test_a_single_star_is_any_form(accept: str) -> None:
    assert media_type(accept) == JSON


def test_an_impossible_quality_is_as_good_as_none() -> None:
    assert media_type(f"{NPY};q=2, {JSON};q=nan, {NPZ};q=0.9") in {JSON, NPY}


def test_a_header_of_any_length_costs_little() -> None:
    """A parser that is quadratic in a header's parameters took 2.5 s for 60 kB; a long header is not parsed at all."""
    with pytest.raises(NotAcceptable, match=str(MAX_ACCEPT_LENGTH)):
        media_type("a/b;" + "a=b;" * MAX_ACCEPT_LENGTH)
