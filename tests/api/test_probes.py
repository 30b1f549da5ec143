"""service/api/probes.py: what the service says of itself, before and after it is ready."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from service.app import create_app
from service.settings import VERSION, Settings
from tests.support.fakes import LABELS, FakeNetwork
from tests.support.http_helpers import fake_app, serving, until_status

NEED_THE_NETWORK = ["/readyz", "/health", "/labels"]
NEED_NOTHING = ["/livez", "/info", "/docs", "/openapi.json"]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with serving(fake_app(tmp_path_factory.mktemp("spool"))) as client:
        yield client


@pytest.fixture
def warming(tmp_path: Path) -> Iterator[TestClient]:
    """A service whose network is half warm, and stays so."""
    go_on = threading.Event()

    def load(_settings: Settings, progress: Callable[[float], None]) -> Any:
        progress(0.5)
        go_on.wait()
        return FakeNetwork()

    with TestClient(create_app(Settings(spool_dir=tmp_path), load=load)) as client:
        try:
            yield client
        finally:
            go_on.set()


@pytest.mark.parametrize("path", NEED_THE_NETWORK + NEED_NOTHING)
def test_everything_answers_once_the_network_is_ready(client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", NEED_NOTHING)
def test_the_port_answers_while_the_network_loads(warming: TestClient, path: str) -> None:
    assert warming.get(path).status_code == 200


@pytest.mark.parametrize("path", NEED_THE_NETWORK)
def test_what_needs_the_network_is_503_warming_until_then(warming: TestClient, path: str) -> None:
    answer = warming.get(path)
    assert (answer.status_code, answer.json()["code"]) == (503, "warming")
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("path", ["/classify", "/features"])
def test_a_video_is_503_warming_until_then(warming: TestClient, clip_mp4: Path, path: str) -> None:
    answer = warming.post(path, files={"file": clip_mp4.read_bytes()})
    assert (answer.status_code, answer.json()["code"]) == (503, "warming")


def test_readyz_says_how_far_the_warm_up_is(warming: TestClient) -> None:
    for _ in range(1000):
        detail = until_status(warming, 503)["detail"]
        if "50%" in detail:
            return
    raise AssertionError(detail)


def test_what_each_probe_says(client: TestClient) -> None:
    assert client.get("/livez").json() == {"status": "alive"}
    assert client.get("/readyz").json() == client.get("/health").json() == {"status": "ready"}
    assert client.get("/labels").json() == list(LABELS)


def test_info_says_what_runs_here(client: TestClient) -> None:
    info = client.get("/info").json()
    assert info["model"] == FakeNetwork().card.model_dump()
    assert (info["precision"], info["backend"], info["batch_sizes"]) == ("float32", "fake 1.0 on cpu", [1, 2, 4])
    assert info["version"] == VERSION


def test_weights_without_a_class_layer_have_no_labels(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, FakeNetwork(num_classes=0))) as client:
        assert client.get("/labels").json() == []


@pytest.mark.parametrize("path", NEED_THE_NETWORK + NEED_NOTHING)
def test_every_answer_carries_a_request_id(client: TestClient, path: str) -> None:
    assert client.get(path, headers={"x-request-id": "mine"}).headers["x-request-id"] == "mine"


class Dying(FakeNetwork):
    """A network that takes its thread with it."""

    def run(self, clips: Any) -> Any:
        raise SystemExit


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_worker_flips_readiness_but_not_liveness(tmp_path: Path, clip_mp4: Path) -> None:
    with serving(fake_app(tmp_path, Dying())) as client:
        for _ in range(2):
            answer = client.post("/classify", files={"file": clip_mp4.read_bytes()})
            assert (answer.status_code, answer.json()["code"]) == (503, "worker_down")
        assert until_status(client, 503)["code"] == "worker_down"
        assert client.get("/livez").status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_info_tells_the_limits_while_the_network_loads(warming: TestClient, client: TestClient) -> None:
    early, late = warming.get("/info").json(), client.get("/info").json()
    assert (early["status"], late["status"]) == ("warming", "ready")
    assert set(late) - set(early) == {"model", "backend", "precision", "batch_sizes", "sandbox"}
    assert (early["limits"], early["clips_per_s"], early["version"]) == (late["limits"], 0, VERSION)


def test_info_tells_the_limits_of_requests(tmp_path: Path) -> None:
    with serving(fake_app(tmp_path, max_upload_bytes=12_345, max_video_s=60, urls="off")) as client:
        info = client.get("/info").json()
    assert info["limits"].items() >= {"max_upload_bytes": 12_345, "max_video_s": 60, "key_needed": False, "urls": "off"}.items()
    assert {"mp4", "avi"} <= set(info["limits"]["containers"])
    assert "h264" in info["limits"]["codecs"]
    assert info["clips_per_s"] >= 0


def test_answers_end_their_connections_once_the_service_drains(tmp_path: Path) -> None:
    """A balancer would else send the next upload on a connection that is about to be closed."""
    with serving(fake_app(tmp_path)) as client:
        assert "connection" not in client.get("/livez").headers
        client.app.state.readiness.drain()  # type: ignore[attr-defined]
        for answer in (client.get("/livez"), client.get("/readyz"), client.post("/classify", content=b"no video")):
            assert answer.headers["connection"] == "close"
