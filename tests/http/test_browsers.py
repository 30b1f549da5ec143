"""What a browser may do: pages of allowed origins ask and read, pages of other sites make nobody's service compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.testclient import TestClient

from service.settings import Settings
from tests.support.http_helpers import fake_app, serving

PAGE = "https://app.example"
KEY = "a-key-of-sixteen"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"), cors_origins=PAGE, api_key=KEY)) as client:
        yield client


def test_a_preflight_of_an_allowed_origin_needs_no_key(client: TestClient) -> None:
    asked = {"origin": PAGE, "access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    answer = client.options("/classify", headers=asked)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, PAGE)
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert client.options("/classify", headers={**asked, "origin": "https://other.example"}).status_code == 400


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"x", 401),
        ({"authorization": f"Bearer {KEY}"}, b"x", 415),
        ({"authorization": f"Bearer {KEY}", "content-type": "video/mp4"}, b"rubbish", 422),
    ],
)
def test_a_refusal_can_be_read(client: TestClient, headers: dict[str, str], body: bytes, status: int) -> None:
    answer = client.post("/classify", content=body, headers={"origin": PAGE, **headers})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, PAGE)
    assert {"X-Request-Id", "Retry-After", "C3D-Weights"} <= set(answer.headers["access-control-expose-headers"].split(", "))


def test_without_origins_no_page_may_read(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path)) as client:
        assert "access-control-allow-origin" not in client.get("/info", headers={"origin": PAGE}).headers


@pytest.mark.parametrize("path", ["/classify", "/features", "/v2/models/c3d/infer"])
@pytest.mark.parametrize(
    ("origins", "site", "origin", "refused"),
    [
        ("", "cross-site", PAGE, True),
        (PAGE, "cross-site", "https://other.example", True),
        (PAGE, "cross-site", "null", True),
        (PAGE, "cross-site", PAGE, False),
        ("*", "cross-site", "https://other.example", False),
        ("", "same-origin", "http://testserver", False),
        ("", "none", "", False),
        ("", "", "", False),
    ],
)
def test_a_foreign_page_makes_nothing_compute(
    tmp_path: Path, path: str, origins: str, site: str, origin: str, *, refused: bool
) -> None:
    headers = {name: value for name, value in (("sec-fetch-site", site), ("origin", origin)) if value}
    with serving(fake_app(tmp_path, cors_origins=origins)) as client:
        answer = client.post(path, content=b"x", headers=headers)
        assert (answer.json()["code"] == "cross_site_request") == refused
        assert (answer.status_code == 403) == refused


@pytest.mark.parametrize("origins", ["app.example", "https://app.example/", "https://*.example", "https://a.example,*", ", "])
def test_what_is_no_list_of_origins_is_refused(origins: str) -> None:
    with pytest.raises(ValidationError):
        Settings(cors_origins=origins)


def test_the_docs_are_whole_and_come_from_here_alone(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    assert 'href="./"' in page.text, "to the page at /, below any prefix"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("start.js", "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
        assert f"docs/{name}" in page.text
        assert len(client.get(f"/docs/{name}").content) > 50
    assert client.get("/openapi.json").json()["servers"] == [{"url": "."}]


@pytest.mark.parametrize("name", ["other.js", "redoc.standalone.js", "..%2Fcore.py"])
def test_no_other_file_is_served(tmp_path: Path, name: str) -> None:
    with serving(fake_app(tmp_path)) as client:
        assert client.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("settings", [{}, {"api_key": KEY}])
def test_docs_with_a_slash_lead_to_the_page(tmp_path: Path, settings: dict[str, Any]) -> None:
    with serving(fake_app(tmp_path, **settings)) as client:
        moved = client.get("/docs/", follow_redirects=False)
        assert (moved.status_code, moved.headers["location"]) == (307, "../docs")  # which holds below a path prefix too
        assert client.get("/docs/").text == client.get("/docs").text
