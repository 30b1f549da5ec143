"""A real nginx before the service, with nginx's own defaults."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
# Only where files lie is set here: limits, buffers and times are nginx's own.
CONFIGURATION = """
{user}
daemon off;
pid {directory}/pid;
error_log {directory}/error.log;
events {{}}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port};
    location {prefix}/ {{ proxy_pass http://{address}/; }}
  }}
}}
"""


@contextmanager
def before(address: str, prefix: str, directory: Path) -> Iterator[str]:
    """The URL at which nginx has the service at ``address``, below ``prefix``. ``directory`` is for its files."""
    assert NGINX
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    user = "user root;" if os.getuid() == 0 else ""  # its workers would not be let into the directory otherwise
    text = CONFIGURATION.format(user=user, directory=directory, port=port, prefix=prefix, address=address)
    (directory / "nginx.conf").write_text(text)
    process = subprocess.Popen([NGINX, "-p", directory, "-c", directory / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        _until_open(port, process)
        yield f"http://127.0.0.1:{port}{prefix}/"
    finally:
        process.terminate()
        process.wait(30)


def _until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            continue
        return
    raise AssertionError("nginx did not start")
