"""service/app.py: how a start goes, well or not, and what a shutdown leaves."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from model_store.tensors import ModelMissing, StoreError
from service.app import create_app
from service.errors import KnownAnswerWrong, PrecisionUnavailable
from service.intake.fetch_policy import FetchPolicy
from service.lifecycle.loading import load_network
from service.settings import Settings
from service.video.pool import DecoderPool
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app, serving, until_status

INSIDE = "/srv/store/sports1m: what went wrong inside"


def children() -> set[int]:
    """The decoder processes of this process."""
    found: set[int] = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread may end between being listed and being asked
            found |= {int(pid) for pid in task.joinpath("children").read_text().split()}
    return found


def threads() -> set[str]:
    """Names of the service's threads that live."""
    names = {thread.name.split("_")[0] for thread in threading.enumerate()}
    return names & {"batcher", "decoder"}


def test_a_start_goes_from_warming_to_ready(tmp_path: Path) -> None:
    go_on = threading.Event()

    def load(_settings: Settings, progress: Callable[[float], None]) -> Any:
        progress(0.0)
        go_on.wait()
        progress(1.0)
        return FakeNetwork()

    with TestClient(create_app(Settings(spool_dir=tmp_path), load=load)) as client:
        assert until_status(client, 503)["code"] == "warming"
        assert client.get("/livez").status_code == 200
        go_on.set()
        assert until_status(client, 200) == {"status": "ready"}


def test_the_network_is_loaded_with_the_settings_and_outside_the_event_loop(tmp_path: Path) -> None:
    settings = Settings(spool_dir=tmp_path, model="a-name")
    given: list[tuple[Settings, bool]] = []

    def load(settings: Settings, _progress: Callable[[float], None]) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            given.append((settings, False))
        else:
            given.append((settings, True))
        return FakeNetwork()

    with serving(create_app(settings, load=load)):
        assert given == [(settings, False)]


FAILURES = [
    (ModelMissing(INSIDE), "weights_missing", None),
    (KnownAnswerWrong("These weights give class 3 for a clip of zeros, not 184."), "known_answer_wrong", None),
    (StoreError(INSIDE), "start_failed", INSIDE),
    (PrecisionUnavailable(INSIDE), "start_failed", INSIDE),
    (RuntimeError(INSIDE), "start_failed", "the log above"),
    (MemoryError(), "start_failed", "the log above"),
]


@pytest.mark.parametrize(("error", "code", "refusal"), FAILURES, ids=lambda value: type(value).__name__)
def test_a_load_that_fails_is_told_to_clients_and_to_the_operator(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, clip_mp4: Path, error: Exception, code: str, refusal: str | None
) -> None:
    refusals: list[str] = []

    def load(_settings: Settings, progress: Callable[[float], None]) -> Any:
        progress(0.7)
        raise error

    with TestClient(create_app(Settings(spool_dir=tmp_path), load=load, on_refusal=refusals.append)) as client:
        said = client.get("/readyz")
        while said.json()["code"] == "warming":
            said = client.get("/readyz")
        answers = [said, client.post("/features", files={"file": clip_mp4.read_bytes()})]
        assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(503, code)] * 2
        answers.append(client.get("/info"))
        assert answers[-1].json()["status"] == code
        assert "/srv" not in "".join(answer.text for answer in answers)
        assert client.get("/livez").status_code == 200
    assert len(refusals) == (refusal is not None)
    assert (refusal or "") in "".join(refusals)
    assert str(error) in caplog.text or refusal == str(error)
    assert threads() == set()
    assert list(tmp_path.iterdir()) == []


def test_without_a_store_the_service_starts_and_says_how_to_get_weights(tmp_path: Path) -> None:
    settings = Settings(spool_dir=tmp_path, model_store=tmp_path / "none")
    refusals: list[str] = []
    with TestClient(create_app(settings, load=load_network, on_refusal=refusals.append)) as client:
        said = client.get("/readyz")
        while said.json()["code"] == "warming":
            said = client.get("/readyz")
        assert (said.status_code, said.json()["code"]) == (503, "weights_missing")
        assert "docs/weights.md" in said.json()["detail"]
        assert str(tmp_path) not in said.text
    assert refusals == []


def test_a_damaged_model_refuses_the_start_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "store" / "broken").mkdir(parents=True)
    (tmp_path / "store" / "broken" / "card.json").write_text("{}")
    refused = threading.Event()
    refusals: list[str] = []

    def on_refusal(reason: str) -> None:
        refusals.append(reason)
        refused.set()

    with TestClient(create_app(Settings(spool_dir=tmp_path, model_store=tmp_path / "store"), on_refusal=on_refusal)) as client:
        assert refused.wait(30)
        assert until_status(client, 503)["code"] == "start_failed"
    assert "broken" in refusals[0]


def test_the_spool_directory_and_the_threads_live_as_long_as_the_service(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path, decoder_pool=DecoderPool)) as client:
        assert client.post("/classify", files={"file": clip_mp4.read_bytes()}).status_code == 200
        assert threads() == {"batcher"}
        assert len(children()) >= 1
        (spool,) = tmp_path.iterdir()
        assert spool.stat().st_mode & 0o077 == 0
    assert threads() == set()
    assert children() == set()
    assert list(tmp_path.iterdir()) == []


def test_a_shutdown_while_the_network_loads_waits_for_nothing_and_serves_nothing(tmp_path: Path) -> None:
    go_on = threading.Event()

    def load(_settings: Settings, progress: Callable[[float], None]) -> Any:
        go_on.wait()
        progress(1.0)
        return FakeNetwork()

    async def start_and_stop() -> None:
        app = create_app(Settings(spool_dir=tmp_path), load=load)
        async with app.router.lifespan_context(app):
            await asyncio.sleep(0)
        go_on.set()

    asyncio.run(start_and_stop())
    assert threads() == set()
    assert list(tmp_path.iterdir()) == []


def test_a_second_service_in_the_same_process_shares_nothing(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(num_classes=0))) as first, serving(fake_app(tmp_path)) as second:
        codes = [client.post("/classify", files={"file": clip_mp4.read_bytes()}).status_code for client in (first, second)]
    assert codes == [501, 200]


@pytest.mark.parametrize(
    ("urls", "enabled", "private"), [("public", True, False), ("private", True, True), ("off", False, False)]
)
def test_the_fetch_policy_is_as_the_settings_have_it(urls: Any, *, enabled: bool, private: bool) -> None:
    policy = FetchPolicy.of(Settings(urls=urls, url_hosts="example.com,.example.org", url_ports="80,8080"))
    assert (policy.enabled, policy.allow_private) == (enabled, private)
    assert policy.allowed_hosts == {"example.com", ".example.org"}
    assert policy.allowed_ports == {80, 8080}
    assert FetchPolicy.of(Settings()).allowed_hosts == frozenset()
