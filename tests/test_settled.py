"""Once it is ready, nothing that happens once in a while holds up the event loop."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest

from service.server import settle
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app


@pytest.fixture(autouse=True)
def _thawed() -> object:
    """This process lives on: what the test leaves behind is to be collected."""
    yield
    gc.unfreeze()


def test_the_garbage_collector_need_not_look_at_what_was_there_before(tmp_path: Path) -> None:
    app = fake_app(tmp_path, FakeNetwork())
    settle(app.openapi)
    looked_at = len(gc.get_objects())
    assert gc.get_freeze_count() > 10_000
    assert looked_at < 1000, "these are all that a full collection goes through"


def test_the_openapi_document_is_there(tmp_path: Path) -> None:
    app = fake_app(tmp_path, FakeNetwork())
    assert app.openapi_schema is None
    settle(app.openapi)
    assert app.openapi_schema
