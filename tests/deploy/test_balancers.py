"""Uploads through a real load balancer that keeps connections alive, while one of two replicas drains: each of them is answered.

And the service on `::`, which is what a balancer of either family may ask.
"""

from __future__ import annotations

import json
import math
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from bench.processes import free_port
from model_store import c3d
from tests.support.service_process import Service, start

pytestmark = pytest.mark.slow
STEADY = ("-m", "tests.support.steady_server", "0.01")
NUM_CLIENTS = 4
# A clip that is cut already, 0.6 MB: no decoder, which a busy machine may keep waiting.
CLIP = bytes(math.prod(c3d.CLIP_SHAPE))
TENSOR = {"name": "clips", "shape": [1, *c3d.CLIP_SHAPE], "datatype": "UINT8", "parameters": {"binary_data_size": len(CLIP)}}
HEAD = json.dumps({"inputs": [TENSOR], "outputs": [{"name": "probabilities"}]}).encode()
LENGTH = {"Inference-Header-Content-Length": str(len(HEAD)), "Content-Type": "application/octet-stream"}

NGINX = """
daemon off; pid {here}/pid; worker_processes 1;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/fastcgi;
  uwsgi_temp_path {here}/uwsgi; scgi_temp_path {here}/scgi;
  upstream replicas {{ {servers} keepalive 16; keepalive_timeout 60s; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
    }}
  }}
}}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  timeout http-keep-alive 60s
  http-reuse always
  retries 3
  option redispatch 1
frontend public
  bind 127.0.0.1:{port}
  default_backend replicas
backend replicas
  option httpchk GET /readyz
  default-server check inter 200ms fall 1 rise 1
  {servers}
"""


def nginx(here: Path, port: int, replicas: list[str]) -> list[str]:
    """Its command. It has no checks of its own, so a replica that is gone is found out by a refused connection."""
    servers = " ".join(f"server {each} max_fails=1 fail_timeout=2s;" for each in replicas)
    (here / "nginx.conf").write_text(NGINX.format(here=here, port=port, servers=servers))
    return ["nginx", "-c", str(here / "nginx.conf"), "-e", str(here / "error.log")]


def haproxy(here: Path, port: int, replicas: list[str]) -> list[str]:
    """Its command."""
    servers = "\n  ".join(f"server replica{i} {each}" for i, each in enumerate(replicas))
    (here / "haproxy.cfg").write_text(HAPROXY.format(port=port, servers=servers))
    return ["haproxy", "-f", str(here / "haproxy.cfg")]


@contextmanager
def balanced(here: Path, command: Callable[[Path, int, list[str]], list[str]], replicas: list[Service]) -> Iterator[str]:
    """The balancer's address, once it passes requests on."""
    port = free_port()
    hosts = [each.url.removeprefix("http://").replace("localhost", "127.0.0.1") for each in replicas]
    process = subprocess.Popen(command(here, port, hosts), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        while not passes(url):
            assert process.poll() is None
        yield url
    finally:
        process.terminate()
        process.wait()


def passes(url: str) -> bool:
    try:
        return httpx2.get(f"{url}/readyz").status_code == 200
    except httpx2.TransportError:
        return False


@pytest.mark.parametrize("command", [nginx, haproxy])
def test_a_drain_behind_a_balancer_costs_no_upload(tmp_path: Path, command: Callable[[Path, int, list[str]], list[str]]) -> None:
    if shutil.which(command.__name__) is None:
        pytest.skip(f"{command.__name__} is not installed")
    replicas = [start(tmp_path / f"spool{i}", *STEADY, C3D_DRAIN_DELAY_S="2") for i in range(2)]
    is_over = threading.Event()

    def uploads(url: str) -> list[int]:
        found = []
        with httpx2.Client(timeout=120) as client:
            while not is_over.is_set():
                answer = client.post(f"{url}/v2/models/c3d/infer", content=HEAD + CLIP, headers=LENGTH)
                found.append(answer.status_code)
        return found

    try:
        for each in replicas:
            each.wait_for("Ready in")
        with balanced(tmp_path, command, replicas) as url, ThreadPoolExecutor(NUM_CLIENTS) as pool:
            clients = [pool.submit(uploads, url) for _ in range(NUM_CLIENTS)]
            replicas[0].wait_for("POST /v2/models/c3d/infer 200")
            assert replicas[0].end(signal.SIGTERM) == 0  # within the 60 s that it waits
            is_over.set()
            statuses = {status for each in clients for status in each.result()}
        assert statuses == {200}
        assert any("POST /v2/models/c3d/infer 200" in line for line in replicas[1].lines)
    finally:
        is_over.set()
        for each in replicas:
            if each.process.poll() is None:
                each.end(signal.SIGKILL)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_both_families_are_served_on_two_colons(tmp_path: Path, host: str) -> None:
    service = start(tmp_path, *STEADY, C3D_HOST="::")
    try:
        port = service.url.rpartition(":")[2]
        service.wait_for("Ready in")
        assert httpx2.get(f"http://{host}:{port}/readyz").json() == {"status": "ready"}
    finally:
        assert service.end() == 0
