"""The page at /: one file, whole, without foreign addresses, and nothing in it runs but what its policy names."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from service.web.files import FILES, IMPORT, bundle
from tests.support.http_helpers import fake_app, serving

KEY = "a-key-of-sixteen"
MODULES = sorted(each.name for each in FILES.iterdir() if each.name.endswith(".mjs"))
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:const|let|class|function\*?) (\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"), api_key=KEY)) as client:
        yield client


def test_the_page_needs_no_key(client: TestClient) -> None:
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert client.get("/info").status_code == 401


@pytest.mark.parametrize(("kind", "tag"), [("script-src", "script"), ("style-src", "style")])
def test_the_policy_names_what_is_in_the_page_and_nothing_else(client: TestClient, kind: str, tag: str) -> None:
    answer = client.get("/")
    [content] = re.findall(rf"<{tag}\b[^>]*>(.*?)</{tag}>", answer.text, flags=re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    policy = dict(each.strip().split(" ", 1) for each in answer.headers["content-security-policy"].split(";"))
    assert policy[kind] == f"'sha256-{digest}'"
    assert policy["default-src"] == policy["form-action"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'"


def test_the_page_says_nothing_that_its_policy_would_stop(client: TestClient) -> None:
    html = re.sub(r"<(script|style)\b.*?</\1>", "", client.get("/").text, flags=re.DOTALL)
    assert re.findall(r"\s(?:style|on\w+)=", html) == []
    links = re.findall(r"\b(?:href|src)=\"([^\"]*)\"", html)
    assert [link for link in links if not link.startswith("data:")] == ["docs", "docs"], "relative: below any prefix"


def test_the_page_is_asked_for_again_and_sent_once(client: TestClient) -> None:
    first = client.get("/")
    assert first.headers["cache-control"] == "no-cache"
    assert (first.headers["x-content-type-options"], first.headers["referrer-policy"]) == ("nosniff", "no-referrer")
    again = client.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/", headers={"if-none-match": '"other"'}).status_code == 200


def test_the_page_can_be_turned_off(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, page="off")) as client:
        answer = client.get("/")
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
        assert client.post("/").status_code == 404, "405 would say that there is something to GET"
        assert client.get("/docs").status_code == 200


@pytest.mark.parametrize(("main", "others"), [("main", {"docs.mjs"}), ("docs", None)])
def test_every_module_is_in_the_page_once_and_before_those_that_need_it(main: str, others: set[str] | None) -> None:
    script = bundle(main)
    first_lines = {name: (FILES / name).read_text().splitlines()[0] + "\n" for name in MODULES}
    begins = {name: script.index(line) for name, line in first_lines.items() if line in script}
    for name, begin in begins.items():
        assert script.count(first_lines[name]) == 1, name
        imported = IMPORT.findall((FILES / name).read_text())
        assert [each for each in imported if begins[f"{each}.mjs"] > begin] == [], name
    if others is not None:
        assert set(MODULES) - begins.keys() == others, "nothing is dead"


def test_modules_can_be_joined() -> None:
    """What stands at the top of two modules by one name would be one thing in the page; an unknown import would stay in it."""
    names = [name for module in MODULES for name in DECLARED.findall((FILES / module).read_text())]
    assert sorted({name for name in names if names.count(name) > 1}) == []
    for main in ("main", "docs"):
        assert re.findall(r"^\s*(?:import|export)\b.*", bundle(main), flags=re.MULTILINE) == []


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_long(name: str) -> None:
    lines = (FILES / name).read_text().splitlines()
    assert len(lines) <= 250
    assert lines[0].startswith("// "), "it says what it is"
    assert max(map(len, lines)) <= 130
