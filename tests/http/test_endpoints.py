"""service/http/endpoints.py: the path that a target means, and how it is named in logs and metrics."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.http.endpoints import INFERENCE, PATHS, endpoint_of, served_path
from tests.support.http_helpers import fake_app, serving


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/classify", "/classify"),
        ("/classify/", "/classify"),
        ("/v2/", "/v2"),
        ("/v2/models/c3d/versions/1/infer/", "/v2/models/c3d/versions/1/infer"),
        ("http://service.example/classify", "/classify"),
        ("https://me:secret@service.example:8000/v2/", "/v2"),
        ("http://service.example", "/"),
        ("/unknown/", "/unknown/"),
        ("//classify", "//classify"),
        ("/", "/"),
    ],
)
def test_a_target_means_a_path(target: str, path: str) -> None:
    assert served_path(target) == path


@pytest.mark.parametrize("path", sorted(PATHS))
def test_a_known_path_is_its_own_endpoint(path: str) -> None:
    assert endpoint_of(path) == path


def test_every_path_that_answers_get_answers_head(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        for path in sorted(PATHS - set(INFERENCE)):
            assert client.get(path).status_code == 200, path
            head = client.head(path)
            assert (head.status_code, head.content) == (200, b""), path


def test_a_path_that_takes_post_alone_does_not_answer_head(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        answer = client.head("/classify")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
