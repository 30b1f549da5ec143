"""A real browser: Swagger UI gives an answer, also below a path prefix, and a page of an allowed origin uploads and reads."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import chromium, http_server, needs_chromium, proxy_below
from tests.support.http_helpers import fake_app
from tests.support.live_server import live

pytestmark = [pytest.mark.slow, needs_chromium]
KEY = "a-key-of-sixteen"
UPLOAD = """
async ([url, bytes]) => {
  const ask = (headers) => new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    let progress = 0;
    request.upload.onprogress = () => { progress += 1; };
    request.onload = () => resolve([request.status, JSON.parse(request.responseText), progress > 0,
      request.getResponseHeader("X-Request-Id"), request.getResponseHeader("C3D-Weights")]);
    request.onerror = () => reject(new Error("blocked"));
    request.open("POST", url);
    request.setRequestHeader("Content-Type", "video/mp4");
    for (const [name, value] of headers) request.setRequestHeader(name, value);
    request.send(new Uint8Array(bytes));
  });
  return [await ask([]), await ask([["Authorization", "Bearer a-key-of-sixteen"]])];
}
"""
STREAM = """
async ([url, bytes]) => {
  const headers = {"Accept": "application/x-ndjson", "Content-Type": "video/mp4", "Authorization": "Bearer a-key-of-sixteen"};
  const answer = await fetch(url, {method: "POST", body: new Uint8Array(bytes), headers});
  return (await answer.text()).trim().split("\\n").map((line) => JSON.parse(line).type);
}
"""
BLIND = "([url, bytes]) => fetch(url, {method: 'POST', mode: 'no-cors', body: new Blob([new Uint8Array(bytes)])}).then(() => 1)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.mark.parametrize("prefix", ["", "/video/c3d"])
@pytest.mark.parametrize("key", ["", KEY])
def test_swagger_ui_gives_an_answer(browser: Any, tmp_path: Path, clip_mp4: Path, prefix: str, key: str) -> None:
    page, complaints = browser.new_page(), []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: complaints.append(request.url) if "127.0.0.1" not in request.url.partition("?")[0]
            and not request.url.startswith("data:") else None)  # fmt: skip
    with live(fake_app(tmp_path, api_key=key)) as address, http_server(proxy_below(prefix, address)) as port:
        page.goto(f"http://127.0.0.1:{port}{prefix}/docs")
        if key:
            page.locator("button.authorize").first.click()
            page.locator(".auth-container input").fill(key)
            page.locator(".auth-btn-wrapper button.authorize").click()
            page.locator(".auth-btn-wrapper button.btn-done").click()
        operation = page.locator("#operations-video-classify")
        operation.locator(".opblock-summary-control").click()
        operation.locator("button.try-out__btn").click()
        operation.locator("input[type=file]").set_input_files(str(clip_mp4))
        operation.locator("button.execute").click()
        status = operation.locator(".live-responses-table tbody .response-col_status").first
        status.wait_for()
        assert status.inner_text().startswith("200"), operation.locator(".live-responses-table").inner_text()
        shown = json.loads(operation.locator(".live-responses-table tbody .highlight-code code").first.inner_text())
        assert len(shown["predictions"]) == 5
        assert shown["video"]["num_frames"] == {"header": 40, "decoded": 40, "used": 40}
    page.close()
    assert complaints == []


def test_a_page_of_another_origin_uploads_and_reads_where_it_may(browser: Any, tmp_path: Path, clip_mp4: Path) -> None:
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "index.html").write_text("<!doctype html><title>x</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "pages"))
    video = list(clip_mp4.read_bytes())
    with http_server(handler) as port:
        origin = f"http://127.0.0.1:{port}"
        with live(fake_app(tmp_path / "spool", cors_origins=origin, api_key=KEY)) as address:
            page = browser.new_page()
            page.goto(origin)
            refused, answered = page.evaluate(UPLOAD, [f"http://{address}/classify", video])
            lines = page.evaluate(STREAM, [f"http://{address}/classify", video])
            page.close()
        assert (refused[0], refused[1]["code"]) == (401, "unauthorized")
        assert (answered[0], len(answered[1]["predictions"])) == (200, 5)
        assert answered[2], "the page sees its upload's progress"
        assert answered[3]
        assert answered[4].startswith("stand-in; sha256=")
        assert lines == ["video", *["clip"] * 4, "summary"]


def test_a_foreign_page_does_not_make_a_local_service_compute(browser: Any, tmp_path: Path, clip_mp4: Path) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><title>x</title>")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    app = fake_app(tmp_path / "spool")
    with http_server(handler, "localhost") as port, live(app) as address:
        page = browser.new_page()
        page.goto(f"http://localhost:{port}")  # another site than 127.0.0.1
        page.evaluate(BLIND, [f"http://{address}/classify", list(clip_mp4.read_bytes())])
        page.close()
        metrics = app.state.metrics.exposition()[0].decode()
    assert 'c3d_errors_total{code="cross_site_request",endpoint="/classify"} 1.0' in metrics
    assert "c3d_clips_total 0.0" in metrics
