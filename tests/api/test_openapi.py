"""service/api/openapi.py: what others make of the document works. What it says of the fields is tests/test_schemas.py's."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.api.openapi import responses
from service.errors import At
from tests.conftest import ROOT
from tests.support.http_helpers import fake_app
from tests.support.live_server import live

BIN = Path(sys.executable).parent
# Beside what the schema can say there are rules between options, videos that are none, URLs that are off, and too little time;
# and the bytes of 16 frames are no example for a document.
SCHEMATHESIS = f"""
hooks = "{ROOT / "tests" / "support" / "schemathesis_hooks.py"}"
[checks.positive_data_acceptance]
expected-statuses = ["2xx", 403, 422, 504]
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 504]
[[operations]]
include-path-regex = "/infer$"
warnings = false
checks.positive_data_acceptance.expected-statuses = ["2xx", 400]
"""


def test_responses_name_every_code_of_a_status() -> None:
    found = responses(At.READY)
    assert set(found) == {401, 503}
    assert "`warming`" in found[503]["description"]
    assert "`draining`" in found[503]["description"]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with live(fake_app(tmp_path_factory.mktemp("spool"), urls="off")) as address:
        yield f"http://{address}"


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    variables = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **environment}
    done = subprocess.run(words, cwd=cwd, env=variables, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
    return done.stdout


@pytest.mark.slow
def test_whatever_the_document_allows_is_answered_as_it_says(url: str, clip_mp4: Path, tmp_path: Path) -> None:
    (tmp_path / "st.toml").write_text(SCHEMATHESIS)
    options = ("--seed", "1", "--max-examples", "60", "--no-color", "--generation-database", "none")
    command = (BIN / "schemathesis", "--config-file", "st.toml", "run", f"{url}/openapi.json", *options)
    said = run(*command, cwd=tmp_path, C3D_TEST_VIDEO=str(clip_mp4))
    assert re.search(r"(\d+) generated, \1 passed", said), said


@pytest.mark.slow
def test_a_generated_client_works(url: str, clip_mp4: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generate = (BIN / "openapi-python-client", "generate", "--url", f"{url}/openapi.json", "--meta", "none")
    run(*generate, "--output-path", "c3d_client", cwd=tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names = ("client", "models", "types", "api.video.classify", "api.video.features")
    client, models, types, classify, features = (importlib.import_module(f"c3d_client.{name}") for name in names)
    clip = clip_mp4.read_bytes()
    with client.Client(url) as session:
        form = models.ClassifyFilesBody(file=types.File(payload=clip, file_name="clip.mp4"))
        include: list[Any] = [models.ClassifyIncludeItem.CLIPS, models.ClassifyIncludeItem.SEGMENTS]
        labels = classify.sync(client=session, body=form, top_k=3, include=include)
        assert (len(labels.predictions), len(labels.clips)) == (3, 4)
        assert sum(each.num_clips for each in labels.segments) == 4
        vector = features.sync(client=session, body=types.File(payload=clip))
        assert len(vector.descriptor) == 4096
        refused = features.sync(client=session, body=types.File(payload=b"rubbish"))
        assert isinstance(refused, models.ProblemOut)
        assert refused.code == "undecodable_video"
