"""nginx and Caddy in front of a running service, with the configurations that deploy/ recommends."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bench.processes import free_port
from tests.conftest import ROOT
from tests.support import service_process
from tests.support.videos import write_video

pytestmark = pytest.mark.slow

CLIP_S = 0.2  # that the service takes for a clip, so that a stream lasts
NGINX = """
daemon off;
pid DIRECTORY/nginx.pid;
error_log stderr;
events {}
http {
    access_log off;
    client_body_temp_path DIRECTORY/body;
    proxy_temp_path DIRECTORY/proxy;
    fastcgi_temp_path DIRECTORY/fastcgi;
    uwsgi_temp_path DIRECTORY/uwsgi;
    scgi_temp_path DIRECTORY/scgi;
    include DIRECTORY/server.conf;
}
"""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a service whose uploads may have 3 MB."""
    spool = tmp_path_factory.mktemp("spool")
    started = service_process.start(
        spool, "-m", "tests.support.steady_server", str(CLIP_S), C3D_MAX_UPLOAD_BYTES="3000000", FORWARDED_ALLOW_IPS="127.0.0.1"
    )
    started.wait_for("Ready in")
    yield started.url.removeprefix("http://")
    assert started.end() == 0


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """A client of the proxy."""
    name = str(request.param)
    program = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if program is None:
        pytest.skip(f"{name} is not installed")
    directory, port = tmp_path_factory.mktemp(name), free_port()
    file = ROOT / "deploy" / {"nginx": "nginx.conf", "caddy": "Caddyfile"}[name]
    recommended = file.read_text().replace("127.0.0.1:8000", service).replace("8080", str(port))
    if name == "nginx":
        (directory / "server.conf").write_text(recommended)
        (directory / "nginx.conf").write_text(NGINX.replace("DIRECTORY", str(directory)))
        command = [program, "-c", str(directory / "nginx.conf")]
    else:
        (directory / "Caddyfile").write_text("{\n\tadmin off\n}\n" + recommended)
        command = [program, "run", "--config", str(directory / "Caddyfile"), "--adapter", "caddyfile"]
    environment = os.environ | {"HOME": str(directory)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            transport = httpx2.HTTPTransport(retries=10)
            with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, transport=transport) as client:
                yield client
        finally:
            process.terminate()


def test_an_upload_larger_than_a_proxys_default_is_answered(proxy: httpx2.Client, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 40).read_bytes()
    free = (2_000_000 - len(video)).to_bytes(4, "big") + b"free" + bytes(2_000_000 - len(video) - 8)  # a box that holds nothing
    answer = proxy.post("/features", files={"file": video + free})
    assert answer.status_code == 200, answer.text
    assert answer.json()["video"]["size_bytes"] == 2_000_000


def test_what_is_too_large_is_refused_by_the_service_which_explains(proxy: httpx2.Client) -> None:
    answer = proxy.post("/features", content=bytes(5_000_000), headers={"Content-Type": "video/mp4"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_the_lines_of_a_stream_come_one_by_one(proxy: httpx2.Client, tmp_path: Path) -> None:
    video = write_video(tmp_path / "clip.mp4", 96).read_bytes()
    with proxy.stream("POST", "/classify", files={"file": video}, headers={"Accept": "application/x-ndjson"}) as answer:
        pieces = list(answer.iter_raw())
    assert len(pieces) > 3
    assert [json.loads(line)["type"] for line in b"".join(pieces).splitlines()] == ["video", *["clip"] * 11, "summary"]


def test_connections_are_kept_and_probes_pass(proxy: httpx2.Client) -> None:
    assert [proxy.get("/readyz").status_code for _ in range(20)] == [200] * 20
