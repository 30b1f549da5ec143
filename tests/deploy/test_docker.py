"""The containers as their users meet them: built, started, killed, stopped and scaled on a real engine, in this file's order."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx2
import pytest

from service.settings import VERSION
from tests.conftest import ROOT
from tests.support.videos import write_video

pytestmark = pytest.mark.docker

PROJECT = f"c3d-test-{os.getpid()}"
IMAGE = f"{PROJECT}:latest"
CLIENTS = 6
REPLICAS = 3
KILL = "import os, signal; [os.kill(int(pid), signal.SIGKILL) for pid in open('/proc/1/task/1/children').read().split()]"
LOOK = """
import importlib.util, json, os, pathlib, shutil
def refusal(path):
    try:
        pathlib.Path(path).write_text("")
    except OSError as error:
        return error.strerror
status = dict(line.split(":", 1) for line in open("/proc/1/status"))
print(json.dumps({
    "user": os.getuid(), "capabilities": int(status["CapBnd"], 16), "no_new_privileges": int(status["NoNewPrivs"]),
    "refusals": [refusal(path) for path in ("/srv/x", "/opt/venv/x", "/models/x", "/tmp/x")],
    "tools": [tool for tool in ("cc", "gcc", "g++", "ld", "as", "make", "git") if shutil.which(tool)],
    "pip": importlib.util.find_spec("pip") is not None,
    "files": sorted(path.name for path in pathlib.Path("/srv").iterdir()),
}))
"""


def docker(*arguments: str) -> str:
    """What the command prints. It must succeed."""
    environment = os.environ | {"IMAGE": IMAGE, "PUBLISH": "127.0.0.1:0"}
    run = subprocess.run(["docker", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"docker {' '.join(arguments)}\n{run.stdout}\n{run.stderr}"
    return run.stdout.strip()


def inspect(container: str) -> Any:
    return json.loads(docker("inspect", container))[0]


def logs(container: str) -> str:
    return subprocess.run(["docker", "logs", container], stderr=subprocess.PIPE, text=True, check=True).stderr


def num_probes(container: str) -> float:
    """How many probes its service has answered with an error: 0 until it listens."""
    asking = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8000/metrics').read().decode())"
    asked = subprocess.run(["docker", "exec", container, "python", "-c", asking], capture_output=True, text=True, check=False)
    found = re.search(r'^c3d_requests_total\{endpoint="probe",outcome="server_error"\} (.+)$', asked.stdout, flags=re.MULTILINE)
    return float(found[1]) if found else 0


@dataclass(frozen=True)
class Stack:
    """A compose project of certain files."""

    files: tuple[str, ...]

    def compose(self, *arguments: str) -> str:
        files = [word for file in self.files for word in ("-f", file)]
        return docker("compose", "-p", PROJECT, *files, *arguments)

    def up(self, *arguments: str) -> None:
        """Until everything is healthy."""
        self.compose("up", "--detach", "--wait", "--wait-timeout", "900", *arguments)

    def url(self, service: str) -> str:
        return f"http://{self.compose('port', service, '8000')}"

    def replicas(self) -> list[str]:
        return self.compose("ps", "--quiet", "service").split()


@dataclass
class Call:
    """One request of a client; status 0 is no answer at all."""

    request_id: str
    started: float
    status: int = 0


@dataclass
class Load:
    """Clients that ask one thing after the other, and count what becomes of it."""

    url: str
    video: bytes
    calls: list[Call] = field(default_factory=list)
    _stop: bool = False
    _grew: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self._threads = [threading.Thread(target=self._run) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop = True
        for thread in self._threads:
            thread.join()

    def go_on(self) -> None:
        """Until each client has, on the average, been served twice more."""
        with self._grew:
            wanted = len(self.calls) + 2 * CLIENTS
            assert self._grew.wait_for(lambda: len(self.calls) >= wanted, timeout=300)

    def failed(self) -> list[Call]:
        return [call for call in self.calls if call.status != 200]

    def _run(self) -> None:
        while not self._stop:
            call = Call(uuid.uuid4().hex, time.monotonic())
            headers = {"Content-Type": "video/mp4", "X-Request-Id": call.request_id}
            try:
                answer = httpx2.post(f"{self.url}/features?max_clips=1", content=self.video, headers=headers, timeout=120)
                call.status = answer.status_code if answer.headers["X-Request-Id"] == call.request_id else 0
            except httpx2.HTTPError:
                call.status = 0
            with self._grew:
                self.calls.append(call)
                self._grew.notify_all()


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "version"], capture_output=True, check=False).returncode:
        pytest.skip("no Docker engine here")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """`docker compose up` on a machine without a network, from no image, no volume."""
    offline = tmp_path_factory.mktemp("compose") / "offline.yml"
    offline.write_text("services: {weights: {network_mode: none}}\n")
    started = Stack(("docker-compose.yml", str(offline)))
    try:
        started.up()
        yield started
    finally:
        started.compose("down", "--volumes", "--remove-orphans")
        docker("image", "rm", "--force", IMAGE)


@pytest.fixture(scope="module")
def scaled(stack: Stack) -> Stack:
    """The same behind HAProxy."""
    scaled = Stack((*stack.files, "deploy/docker-compose.haproxy.yml"))
    scaled.up("--scale", f"service={REPLICAS}")
    return scaled


@pytest.fixture
def load(scaled: Stack, video: bytes) -> Load:
    return Load(scaled.url("haproxy"), video)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_video(tmp_path_factory.mktemp("videos") / "clip.mp4", 16).read_bytes()


def looked_at(container: str) -> Any:
    return json.loads(docker("exec", container, "python", "-c", LOOK))


def test_the_image_holds_the_service_and_nothing_to_build_or_install_with(stack: Stack) -> None:
    image = json.loads(docker("image", "inspect", IMAGE))[0]
    assert image["Config"]["User"] == "10001:10001"
    labels = {name.rpartition(".")[2]: value for name, value in image["Config"]["Labels"].items()}
    assert (labels["version"], labels["licenses"]) == (VERSION, "Apache-2.0")
    seen = looked_at(stack.replicas()[0])
    assert seen["tools"] == []
    assert not seen["pip"]
    assert seen["files"] == ["LICENCES.md", "LICENSE", "model_store", "service"]


def test_it_came_up_healthy_with_loud_stand_ins(stack: Stack) -> None:
    [container] = stack.replicas()
    assert inspect(container)["State"]["Health"]["Status"] == "healthy"
    said = stack.compose("logs", "weights")
    assert "STAND-IN WEIGHTS" in said


def test_a_real_video_is_answered(stack: Stack, clip_mp4: Path) -> None:
    real = ROOT.parent / "shared" / "data" / "v_ApplyEyeMakeup_g01_c01.avi"
    with (real if real.exists() else clip_mp4).open("rb") as file:
        answer = httpx2.post(stack.url("service") + "/classify", files={"file": file}, timeout=120)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["predictions"]) == 5


def test_nothing_can_be_written_but_request_files(stack: Stack) -> None:
    [container] = stack.replicas()
    seen = looked_at(container)
    assert seen["refusals"] == ["Read-only file system"] * 3 + [None]
    assert (seen["user"], seen["capabilities"], seen["no_new_privileges"]) == (10001, 0, 1)
    host = inspect(container)["HostConfig"]
    assert host["Memory"] == host["MemorySwap"] == 4 * 1024**3
    assert host["PidsLimit"] == 512


def test_what_crashes_is_restarted(stack: Stack) -> None:
    [container] = stack.replicas()
    docker("exec", container, "python", "-c", KILL)
    stack.up("--no-recreate")
    assert inspect(container)["RestartCount"] == 1
    assert inspect(container)["State"]["Health"]["Status"] == "healthy"


def test_it_stops_as_told_and_starts_again_with_the_weights_that_are_there(stack: Stack) -> None:
    [container] = stack.replicas()
    stack.compose("stop")
    assert inspect(container)["State"]["ExitCode"] == 0, "137 is killed: the grace period was too short"
    stack.up()
    assert stack.compose("logs", "weights").count("STAND-IN WEIGHTS") == 1


def test_a_second_file_gives_it_a_gpu() -> None:
    gpu = Stack(("docker-compose.yml", "docker-compose.gpu.yml"))
    service = json.loads(gpu.compose("config", "--format", "json"))["services"]["service"]
    assert [device["driver"] for device in service["deploy"]["resources"]["reservations"]["devices"]] == ["nvidia"]
    assert service["build"]["args"]["REQUIREMENTS"] == "requirements-gpu.txt"


def test_request_ids_go_through_haproxy(scaled: Stack) -> None:
    url = scaled.url("haproxy")
    headers = {"X-Request-Id": "mine-1", "Content-Type": "video/mp4"}
    assert httpx2.post(f"{url}/classify", content=b"no video", headers=headers).headers["X-Request-Id"] == "mine-1"
    given = httpx2.get(f"{url}/nowhere").headers["X-Request-Id"]
    assert f"{{{given}}}" in scaled.compose("logs", "haproxy")
    assert given in scaled.compose("logs", "service")


def test_stopping_a_replica_under_load_costs_no_request(scaled: Stack, load: Load) -> None:
    victim = scaled.replicas()[0]
    with load:
        load.go_on()
        docker("stop", victim)
        load.go_on()
    assert load.failed() == []
    assert "POST /features 200" in logs(victim), "it had work"
    assert inspect(victim)["State"]["ExitCode"] == 0
    scaled.up("--no-recreate", "--scale", f"service={REPLICAS}")


def test_killing_a_replica_under_load_costs_at_most_what_ran_there(scaled: Stack, load: Load) -> None:
    victim = scaled.replicas()[0]
    with load:
        load.go_on()
        docker("exec", victim, "python", "-c", KILL)
        killed = time.monotonic()
        load.go_on()
    log = scaled.compose("logs", "haproxy")
    places = {found[1] for call in load.failed() if (found := re.search(rf"replicas/(\w+) .*{call.request_id}", log))}
    assert len(places) <= 1
    assert all(call.started < killed for call in load.failed())
    assert {call.status for call in load.failed()} <= {502}
    assert len(load.failed()) < CLIENTS, "the others had work too"
    scaled.up("--no-recreate", "--scale", f"service={REPLICAS}")
    assert inspect(victim)["RestartCount"] == 1


def test_an_unready_replica_gets_nothing(scaled: Stack, load: Load) -> None:
    with load:
        load.go_on()
        unready = scaled.compose("run", "--detach", "--no-deps", "--use-aliases", "-e", "C3D_MODEL_STORE=/tmp", "service")
        while num_probes(unready) < 10:  # HAProxy asks once a second, the health check every ten
            load.go_on()
        load.go_on()
        said = logs(unready)
        docker("rm", "--force", unready)
    assert load.failed() == []
    assert "There are no weights" in said
    assert "POST" not in said


def upgrade(stack: Stack, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"IMAGE": IMAGE, "PUBLISH": "127.0.0.1:0", "COMPOSE_PROJECT_NAME": PROJECT, "COMPOSE_FILE": ":".join(stack.files)}
    command = [ROOT / "deploy" / "upgrade.sh"]
    return subprocess.run(
        command, env=os.environ | given | {"BUILD": "0"} | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("count", [REPLICAS, 1])
def test_an_upgrade_costs_no_request_and_no_probe(scaled: Stack, load: Load, count: int) -> None:
    scaled.up("--no-recreate", "--scale", f"service={count}")
    before, haproxy = set(scaled.replicas()), scaled.compose("ps", "--quiet", "haproxy")
    over = threading.Event()
    probes: list[int] = []

    def poll() -> None:
        while not over.wait(0.3):
            probes.append(httpx2.get(f"{scaled.url('haproxy')}/readyz", timeout=30).status_code)

    polling = threading.Thread(target=poll)
    with load:
        load.go_on()
        polling.start()
        done = upgrade(scaled)
        load.go_on()
        over.set()
        polling.join()
    assert done.returncode == 0, done.stderr
    assert load.failed() == []
    assert probes
    assert set(probes) == {200}
    after = set(scaled.replicas())
    assert (len(after), after & before) == (count, set())
    assert scaled.compose("ps", "--quiet", "haproxy") == haproxy


def test_a_version_that_does_not_start_leaves_the_old_one_alone(scaled: Stack) -> None:
    before = set(scaled.replicas())
    done = upgrade(scaled, C3D_MAX_DECODERS="none")
    assert done.returncode == 1
    assert "The old ones serve on" in done.stderr
    assert set(scaled.replicas()) == before
    assert httpx2.get(f"{scaled.url('haproxy')}/readyz", timeout=30).status_code == 200


def test_without_haproxy_an_upgrade_says_what_to_do(stack: Stack) -> None:
    done = upgrade(Stack(stack.files), COMPOSE_PROJECT_NAME=f"{PROJECT}-none")
    assert done.returncode == 1
    assert "make up" in done.stderr


def test_down_leaves_nothing(scaled: Stack) -> None:
    scaled.compose("down", "--volumes", "--remove-orphans")
    label = f"label=com.docker.compose.project={PROJECT}"
    left = [docker(*kind, "--quiet", "--filter", label) for kind in (("ps", "--all"), ("network", "ls"), ("volume", "ls"))]
    assert left == ["", "", ""]
