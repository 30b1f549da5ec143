"""service/openapi.py: the document names every code of an answer. What it says of the fields is tests/test_schemas.py's."""

from __future__ import annotations

from service import errors
from service.openapi import responses


def test_responses_name_every_code_of_a_status() -> None:
    found = responses(errors.Warming, errors.Draining, errors.EmptyFile)
    assert set(found) == {422, 503}
    assert "`warming`" in found[503]["description"]
    assert "`draining`" in found[503]["description"]
