"""Who is let in with which header, and what the OpenAPI document says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.errors import Unauthorized
from service.http.admission import ApiKeys
from service.http.endpoints import PROBES
from tests.support.http_helpers import fake_app, serving

OLD, NEW = "the-old-key-of-us", "the~new/key+of=us!"
BOTH = ApiKeys((OLD, NEW))


@pytest.mark.parametrize("header", [f"Bearer {OLD}", f"Bearer {NEW}", f"bearer {NEW}", f"BEARER   {NEW} "])
def test_each_key_opens(header: str) -> None:
    BOTH.check("/classify", header.encode())


@pytest.mark.parametrize(
    "header",
    [
        *("", "Bearer", "Bearer ", OLD, f"Basic {OLD}", f"Bearer{OLD}", f"Bearer\t{OLD}", f"Bearer {OLD}x", f"Bearer {OLD[:-1]}"),
        *(f"Bearer {OLD},{NEW}", f"Bearer {OLD} {NEW}", f"Bearer {OLD.upper()}", "Bearer \xff\x00"),
    ],
)
def test_nothing_else_does(header: str) -> None:
    for path in ("/classify", "/features", "/info", "/labels", "/v2", "/docs/x", "/x", "/livez/", "//livez"):
        with pytest.raises(Unauthorized):
            BOTH.check(path, header.encode("latin-1"))


@pytest.mark.parametrize("path", sorted(PROBES))
def test_probes_are_always_open(path: str) -> None:
    BOTH.check(path, b"")
    BOTH.check(path, b"Bearer wrong")


def test_the_place_of_a_key_is_found_so_that_a_rotation_can_be_finished() -> None:
    keys = ApiKeys((OLD, NEW))
    assert (keys.check("/info", f"Bearer {OLD}".encode()), keys.check("/info", f"Bearer {NEW}".encode())) == (1, 2)
    assert keys.check("/livez", b"") is None


def test_without_keys_all_is_open() -> None:
    for header in (b"", b"Bearer", b"Bearer ", b"Bearer anything"):
        ApiKeys(()).check("/classify", header)


def test_the_document_says_what_needs_a_key(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, api_key=OLD)) as client:
        document = client.get("/openapi.json", headers={"Authorization": f"Bearer {OLD}"}).json()
        assert client.get("/openapi.json").status_code == client.get("/docs").status_code == 200
        assert client.get("/info").status_code == 401
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    operations = {path: operation for path, methods in document["paths"].items() for operation in methods.values()}
    assert {path for path, operation in operations.items() if not operation["security"]} == PROBES
    assert all("`unauthorized`" in operation["responses"]["401"]["description"] for operation in operations.values())
    open_to_all = fake_app(tmp_path).openapi()
    assert "securitySchemes" not in open_to_all["components"]
    assert all(operation["security"] == [] for methods in open_to_all["paths"].values() for operation in methods.values())


def test_requests_are_counted_by_key(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, api_key=f"{OLD},{NEW}")) as client:
        for key, times in ((OLD, 1), (NEW, 2), ("wrong" * 4, 3)):
            for _ in range(times):
                client.get("/info", headers={"authorization": f"Bearer {key}"})
        metrics = client.get("/metrics").text
    assert 'c3d_authorized_requests_total{key="1"} 1.0' in metrics
    assert 'c3d_authorized_requests_total{key="2"} 2.0' in metrics
    assert not {OLD, NEW} & set(metrics.split('"'))
