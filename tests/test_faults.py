"""What the service does when its worker fails, dies or sticks, when its decoders are killed and when its clients leave.

A real process, real sockets, real videos; only the network is a fake, which obeys (faulty_server.py). Nothing here waits for
time to pass: what is to become true is asked for until it is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from service.lifecycle.supervisor import WORKER_TIMEOUT_S
from tests.support.faulty_server import CAUSE, DIE, FAIL, WAIT
from tests.support.service_process import Service, start
from tests.support.videos import write_video

pytestmark = pytest.mark.slow

GOOD, LONG_FRAMES = 230, 400  # 49 clips, of which 8 at most wait; the decoder has to wait for them
MOST_ASKED = 100_000


class Faulty:
    """A running service, the videos it knows, and clients."""

    def __init__(self, directory: Path, worker_timeout_s: float = WORKER_TIMEOUT_S, **settings: str) -> None:
        self.directory, self.spool = directory, directory / "spool"
        self.spool.mkdir()
        for name in ("here", "go"):
            os.mkfifo(directory / name)
        command = ("-m", "tests.support.faulty_server", str(directory), str(worker_timeout_s))
        self.service: Service = start(self.spool, *command, C3D_LOG_FORMAT="json", **settings)
        self.process = self.service.process
        self._clients = ThreadPoolExecutor(16)
        self.until(lambda: self.get("/readyz").status_code == 200)

    def __enter__(self) -> Faulty:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._clients.shutdown()

    def video(self, grey: int, num_frames: int = 16) -> bytes:
        path = self.directory / f"{grey}-{num_frames}.mp4"
        return (path if path.exists() else write_video(path, num_frames, grey=grey)).read_bytes()

    def post(self, video: bytes, endpoint: str = "/classify") -> httpx2.Response:
        headers = {"Content-Type": "application/octet-stream"}
        return httpx2.post(self.service.url + endpoint, content=video, headers=headers, timeout=120)

    def later(self, grey: int, num_frames: int = 16) -> Future[httpx2.Response]:
        return self._clients.submit(self.post, self.video(grey, num_frames))

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.service.url + path, timeout=60)

    def metric(self, name: str) -> float:
        """The sum of its series."""
        text = self.get("/metrics").text
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, flags=re.MULTILINE))

    def until(self, condition: Callable[[], bool]) -> None:
        for _ in range(MOST_ASKED):
            if condition():
                return
        raise AssertionError("it never became true")

    def until_waiting(self, num_clips: int) -> None:
        self.until(lambda: self.metric("c3d_waiting_clips") == num_clips)

    def occupied(self) -> Future[httpx2.Response]:
        """Keep the network busy with one clip, until `go`."""
        answer = self.later(WAIT)
        self.pipe("here", os.O_RDONLY)
        return answer

    def go(self) -> None:
        self.pipe("go", os.O_WRONLY)

    def pipe(self, name: str, flags: int) -> None:
        os.close(os.open(self.directory / name, flags))

    def connected(self) -> socket.socket:
        host, port = self.service.url.removeprefix("http://").split(":")
        return socket.create_connection((host, int(port)), timeout=60)

    def takes_connections(self) -> bool:
        """Whether it listens; no more once it has begun to stop."""
        try:
            self.connected().close()
        except ConnectionRefusedError:
            return False
        return True

    def sent(self, body: bytes, *, length: int | None = None, path: str = "/classify") -> socket.socket:
        """A connection that has sent a request, or as much of one."""
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\nContent-Length: {length or len(body)}\r\n\r\n"
        client = self.connected()
        client.sendall(head.encode() + body)
        return client

    def files(self) -> list[Path]:
        """Those of running requests."""
        [own] = self.spool.iterdir()
        return list(own.iterdir())

    def decoders(self) -> list[int]:
        """The processes that have a request's video open."""
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = {int(pid) for task in tasks for pid in task.read_text().split()}
        return [pid for pid in children if any("request-" in str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir())]


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[Faulty]:
    with Faulty(tmp_path) as running:
        yield running


def status_and_code(answer: httpx2.Response) -> tuple[int, str | None]:
    """Status and code."""
    return answer.status_code, answer.json().get("code")


OK, DOWN = (200, None), (503, "worker_down")


def test_a_clip_that_fails_fails_alone(faulty: Faulty) -> None:
    occupied = faulty.occupied()
    culprit = faulty.later(FAIL)
    neighbours = [faulty.later(GOOD) for _ in range(3)]
    faulty.until_waiting(4)
    faulty.go()
    assert [status_and_code(each.result()) for each in [occupied, *neighbours]] == [OK] * 4
    assert status_and_code(culprit.result()) == (500, "internal")
    assert CAUSE not in culprit.result().text
    line = json.loads(faulty.service.wait_for(f".*{culprit.result().json()['request_id']}.*exc.*")[0])
    assert CAUSE in line["exc"]
    faulty.service.wait_for("a batch of 4 failed")
    assert faulty.get("/readyz").status_code == 200


def expect_the_end(faulty: Faulty) -> None:
    """Not ready, while a load balancer can still ask; then not alive; then gone, for what runs it to start it again."""
    faulty.until(lambda: faulty.get("/readyz").status_code == 503)
    assert status_and_code(faulty.get("/readyz")) == DOWN
    assert faulty.get("/livez").status_code == 200
    faulty.until(lambda: faulty.get("/livez").status_code == 503)
    assert status_and_code(faulty.get("/livez")) == DOWN
    assert faulty.process.wait(60) == 1
    assert list(faulty.spool.iterdir()) == []


def test_a_worker_that_dies_answers_everybody_and_ends_the_process(faulty: Faulty) -> None:
    occupied = faulty.occupied()
    waiting = [faulty.later(DIE)]
    faulty.until_waiting(1)
    waiting += [faulty.later(GOOD) for _ in range(6)] + [faulty.later(GOOD, LONG_FRAMES)]
    faulty.until_waiting(15)
    faulty.go()
    assert status_and_code(occupied.result()) == OK
    assert [status_and_code(each.result()) for each in waiting] == [DOWN] * 8
    assert status_and_code(faulty.post(faulty.video(GOOD))) == DOWN
    expect_the_end(faulty)


def test_a_worker_that_sticks_is_given_up_likewise(tmp_path: Path) -> None:
    with Faulty(tmp_path, worker_timeout_s=3) as faulty:
        answers = [faulty.occupied(), *[faulty.later(GOOD) for _ in range(6)]]
        assert [status_and_code(each.result()) for each in answers] == [DOWN] * 7
        expect_the_end(faulty)


def test_one_failing_request_of_many_clips_never_flips_readiness(faulty: Faulty) -> None:
    """Each of its clips fails in a batch and again by itself. The canaries that follow go well."""
    for num_frames in (40, LONG_FRAMES):
        assert status_and_code(faulty.post(faulty.video(FAIL, num_frames))) == (500, "internal")
        assert [faulty.get("/readyz").status_code for _ in range(200)] == [200] * 200
    assert status_and_code(faulty.post(faulty.video(GOOD))) == OK


def test_a_network_that_fails_for_everybody_turns_readiness_off_until_a_canary_goes_well(faulty: Faulty) -> None:
    broken = faulty.directory / "broken"
    broken.touch()
    assert status_and_code(faulty.post(faulty.video(GOOD))) == (500, "internal")
    faulty.until(lambda: faulty.get("/readyz").status_code == 503)
    assert status_and_code(faulty.get("/readyz")) == DOWN
    assert faulty.get("/livez").status_code == 200
    broken.unlink()
    faulty.until(lambda: faulty.get("/readyz").status_code == 200)
    assert status_and_code(faulty.post(faulty.video(GOOD))) == OK


def test_a_decoder_that_is_killed_costs_its_own_request(faulty: Faulty) -> None:
    occupied = faulty.occupied()
    decoding = [faulty.later(GOOD, LONG_FRAMES) for _ in range(2)]
    faulty.until_waiting(16)
    victim, other = faulty.decoders()
    os.kill(victim, signal.SIGKILL)
    faulty.go()
    assert sorted(status_and_code(each.result()) for each in [occupied, *decoding]) == [OK, OK, (422, "decoder_failed")]
    assert status_and_code(faulty.post(faulty.video(GOOD, LONG_FRAMES))) == OK
    assert faulty.metric("c3d_decoder_restarts_total") == 1
    assert Path(f"/proc/{other}").exists()


def test_idle_decoders_that_are_killed_cost_nobody_anything(faulty: Faulty) -> None:
    tasks = Path(f"/proc/{faulty.process.pid}/task").glob("*/children")
    for pid in {int(pid) for task in tasks for pid in task.read_text().split()}:
        os.kill(pid, signal.SIGKILL)
    for _ in range(5):
        assert status_and_code(faulty.post(faulty.video(GOOD))) == OK


def leave(client: socket.socket) -> None:
    client.close()


STAGES = ["upload", "decode", "queue", "run"]


@pytest.mark.parametrize("stage", STAGES)
def test_of_a_client_that_leaves_nothing_is_left(faulty: Faulty, stage: str) -> None:
    assert [status_and_code(each.result()) for each in [faulty.later(GOOD, LONG_FRAMES) for _ in range(2)]] == [OK, OK]
    faulty.until(lambda: faulty.metric("c3d_requests_in_progress") == 1)  # the one that asks
    descriptors, clips = faulty.metric("process_open_fds"), faulty.metric("c3d_clips_total")
    match stage:
        case "upload":
            client = faulty.sent(faulty.video(GOOD)[:1000], length=100_000)
            faulty.until(lambda: len(faulty.files()) == 1)
        case "run":
            client = faulty.sent(faulty.video(WAIT))
            faulty.pipe("here", os.O_RDONLY)
        case _:
            occupied = faulty.occupied()
            client = faulty.sent(faulty.video(GOOD, LONG_FRAMES if stage == "decode" else 16))
            faulty.until_waiting(8 if stage == "decode" else 1)
    client.close()
    inside = 2 if stage in {"decode", "queue"} else 1
    faulty.until(lambda: faulty.metric("c3d_requests_in_progress") == inside)
    faulty.service.wait_for("client_left")
    assert (faulty.metric("c3d_waiting_clips"), len(faulty.files())) == (0, inside - 1)
    if stage != "upload":
        faulty.go()
    if inside == 2:
        assert status_and_code(occupied.result()) == OK
    assert status_and_code(faulty.post(faulty.video(GOOD))) == OK
    assert faulty.metric("c3d_clips_total") - clips == 1 + (stage != "upload")  # what ran when it left, and the last one
    faulty.until(lambda: faulty.metric("process_open_fds") == descriptors)
    assert faulty.files() == []


def test_a_client_that_does_not_read_its_answer_is_left(tmp_path: Path) -> None:
    with Faulty(tmp_path, C3D_UPLOAD_IDLE_S="1") as faulty:
        video = faulty.video(GOOD, LONG_FRAMES)
        with faulty.sent(video, path="/features?clip_stride=1&include=clips") as client:  # 385 clips: 8 MB or more
            faulty.service.wait_for("of its answer in")
            faulty.until(lambda: faulty.metric("c3d_requests_in_progress") == 1)
            received = b""
            while piece := client.recv(1024 * 1024):
                received += piece
        found = re.search(rb"content-length: (\d+)", received)
        assert found
        assert len(received) < int(found[1])
        assert faulty.files() == []


DRAINING = (503, "draining")


def test_whom_the_drain_has_no_time_for_is_told_so(tmp_path: Path) -> None:
    with Faulty(tmp_path, C3D_DRAIN_TIMEOUT_S="1") as faulty:
        occupied = faulty.occupied()
        waiting = [faulty.later(GOOD), faulty.later(GOOD, LONG_FRAMES)]
        faulty.until_waiting(9)
        uploading = faulty.sent(faulty.video(GOOD)[:1000], length=100_000)
        faulty.until(lambda: len(faulty.files()) == 4)
        faulty.process.send_signal(signal.SIGTERM)
        assert [status_and_code(each.result()) for each in [occupied, *waiting]] == [DRAINING] * 3
        received = received_by(uploading)
        assert received.startswith(b"HTTP/1.1 503")
        assert b'"code":"draining"' in received
        assert faulty.process.wait(60) == 0
        assert list(faulty.spool.iterdir()) == []
        assert "Traceback" not in "".join(faulty.service.lines)


def received_by(client: socket.socket) -> bytes:
    received = b""
    with client:
        while piece := client.recv(65536):
            received += piece
    return received


def test_an_upload_and_a_video_that_end_within_the_drain_are_answered(tmp_path: Path) -> None:
    with Faulty(tmp_path) as faulty:
        occupied, video = faulty.occupied(), faulty.video(GOOD)
        uploading = faulty.sent(video[:1000], length=len(video))
        faulty.until(lambda: len(faulty.files()) == 2)
        faulty.process.send_signal(signal.SIGTERM)
        faulty.until(lambda: not faulty.takes_connections())
        with pytest.raises(httpx2.ConnectError):
            faulty.get("/livez")
        uploading.sendall(video[1000:])
        faulty.go()
        assert status_and_code(occupied.result()) == OK
        assert received_by(uploading).startswith(b"HTTP/1.1 200")
        assert faulty.process.wait(60) == 0
        assert list(faulty.spool.iterdir()) == []


def test_a_second_signal_ends_the_delay_and_a_third_the_drain(tmp_path: Path) -> None:
    with Faulty(tmp_path, C3D_DRAIN_DELAY_S="3600", C3D_DRAIN_TIMEOUT_S="3600") as faulty:
        occupied = faulty.occupied()
        faulty.process.send_signal(signal.SIGTERM)
        faulty.until(lambda: faulty.get("/readyz").status_code == 503)
        assert status_and_code(faulty.get("/readyz")) == DRAINING
        assert status_and_code(faulty.post(b"no video")) == (422, "undecodable_video")  # which is served
        faulty.process.send_signal(signal.SIGTERM)
        faulty.until(lambda: not faulty.takes_connections())
        faulty.process.send_signal(signal.SIGTERM)
        assert status_and_code(occupied.result()) == DRAINING
        assert faulty.process.wait(60) == 0
        assert list(faulty.spool.iterdir()) == []
