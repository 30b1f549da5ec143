"""Ten times more than the service can do: python -m bench.overload [--storm | --crowds | --beside] [--fake].

Starts the service with the model store's network, or with --fake one that costs nothing, so that everything else is the limit.
A few clients find out what it can do; then a hundred send short and long videos, ten times as many as that, whatever they hear;
then all leave at once, and the few come again. With --storm each client waits a second for its answer, gives up and tries
again. With --crowds the few share the service with crowds that want nothing of it, one after the other, and what counts is how
long a probe takes (bench.crowds). With --beside videos of one clip come one by one, alone and beside four long ones at stride 1,
and what counts is what they wait for. C3D_ settings of the environment are the service's. Prints what came of it and judges
nothing.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from bench import crowds
from model_store import c3d
from model_store.store import open_model
from service.http import request_log
from service.inference.network import GPU_BATCH_SIZES, Network
from service.server import serve
from service.settings import Settings

FRAMES = {"short": 32, "long": 400}  # 25 a second: 3 clips, 49 clips
CLIPS = {kind: (frames - c3d.CLIP_LENGTH) // c3d.CLIP_STRIDE + 1 for kind, frames in FRAMES.items()}
MIX = ("short",) * 9 + ("long",)
CLIPS_A_REQUEST = statistics.mean(CLIPS[kind] for kind in MIX)
CALM_CLIENTS = 8
LONG_ONES, NEWCOMERS, SETTLED_S = 4, 12, 3.0  # long videos at once; short ones beside them, one by one; seconds until the first
TIMES = 10  # the capacity
PATIENCE_S = 600.0
MIB = 1024 * 1024


class Outcome(NamedTuple):
    """What became of a request: "ok", an error's code, "left", or how its connection failed; after so many seconds."""

    kind: str
    name: str
    seconds: float


class Usage(NamedTuple):
    """What the service holds."""

    descriptors: int
    threads: int
    memory_mib: int  # resident, of the service alone
    decoders: int
    files: int  # of running requests
    inside: int
    waiting_clips: int
    ready: bool


class Service:
    """The service as its process and its port."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, spool: Path) -> None:
        self.process, self.port, self._spool = process, port, spool

    def get(self, path: str) -> tuple[int, str]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read().decode()
        connection.close()
        return answer.status, body

    def metric(self, name: str) -> float:
        """The sum of its series."""
        text = self.get("/metrics")[1]
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{.*}})? (\S+)$", text, flags=re.MULTILINE))

    def classify(self, video: bytes) -> tuple[float, dict[str, float]]:
        """Seconds until the answer, and the milliseconds of each stage. Raises RuntimeError where it is refused."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        started = time.perf_counter()
        connection.request("POST", "/classify", video, {"Content-Type": "application/octet-stream"})
        answer = connection.getresponse()
        content = json.load(answer)
        seconds = time.perf_counter() - started
        connection.close()
        if answer.status != 200:
            raise RuntimeError(content)
        return seconds, content["timings_ms"]

    def processor_s(self) -> float:
        """Of the service, without its decoders."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def usage(self) -> Usage:
        """As it is now. Two requests are its own."""
        proc = Path(f"/proc/{self.process.pid}")
        status = (proc / "status").read_text()
        threads, memory = (int(re.findall(rf"{name}:\s+(\d+)", status)[0]) for name in ("Threads", "VmRSS"))
        return Usage(
            int(self.metric("process_open_fds")),
            threads,
            memory // 1024,
            int(self.metric("c3d_decoders")),
            len(list(self._spool.glob("*/request-*"))),
            int(self.metric("c3d_requests_in_progress")) - 1,
            int(self.metric("c3d_waiting_clips")),
            self.get("/readyz")[0] == 200,
        )


@contextmanager
def running(*, fake: bool) -> Iterator[Service]:
    """The service, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as spool:
        environment = os.environ | {"C3D_PORT": str(port), "C3D_SPOOL_DIR": spool, "C3D_DRAIN_DELAY_S": "0"}
        environment.setdefault("C3D_LOG_LEVEL", "warning")
        command = ["bench.overload", "--serve-fake"] if fake else ["service"]
        with subprocess.Popen([sys.executable, "-m", *command], env=environment) as process:
            service = Service(process, port, Path(spool))
            while process.poll() is None:
                with suppress(OSError):
                    if service.get("/readyz")[0] == 200:
                        break
                time.sleep(0.2)
            try:
                yield service
            finally:
                process.terminate()
                print(f"the service ended with status {process.wait(60)} and left {len(list(Path(spool).iterdir()))} files")


class Clients:
    """So many of them, at once."""

    def __init__(self, port: int, videos: dict[str, bytes]) -> None:
        self._port, self._videos = port, videos
        self._open: set[http.client.HTTPConnection] = set()
        self._over = threading.Event()

    def send_for(self, seconds: float, count: int, rate: float | None = None, patience_s: float = PATIENCE_S) -> list[Outcome]:
        """``rate``: requests a second of all together; None: each sends its next one when it has been answered."""
        self._over.clear()
        with ThreadPoolExecutor(count) as threads:
            pace_s = count / rate if rate else 0.0
            clients = [
                threads.submit(self._client, number, pace_s * number / count, pace_s, patience_s) for number in range(count)
            ]
            time.sleep(seconds)
            self._over.set()
            for connection in list(self._open):
                with suppress(OSError, AttributeError):  # it has been answered just now
                    connection.sock.shutdown(socket.SHUT_RDWR)
            return [outcome for client in clients for outcome in client.result()]

    def _client(self, number: int, delay_s: float, pace_s: float, patience_s: float) -> list[Outcome]:
        outcomes: list[Outcome] = []
        due = time.monotonic() + delay_s
        for kind in itertools.islice(itertools.cycle(MIX), number, None):
            if self._over.wait(max(due - time.monotonic(), 0)):
                return outcomes
            due = max(due + pace_s, time.monotonic())
            started = time.monotonic()
            name = self._send(kind, patience_s)
            outcomes.append(Outcome(kind, "left" if self._over.is_set() and name != "ok" else name, time.monotonic() - started))
        return outcomes

    def _send(self, kind: str, patience_s: float) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=patience_s)
        self._open.add(connection)
        try:
            connection.request("POST", "/classify", self._videos[kind], {"Content-Type": "application/octet-stream"})
            answer = connection.getresponse()
            content = json.load(answer)
            return "ok" if answer.status == 200 else str(content["code"])
        except TimeoutError:
            return "gave up"
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            self._open.discard(connection)
            connection.close()


def video(num_frames: int) -> bytes:
    """H.264, 320x240, a moving gradient."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            stream: Any = container.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
            for index in range(num_frames):
                image = np.add.outer(np.arange(240), np.arange(320) + 4 * index)[..., None] * [1, 2, 3] % 256
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image.astype(np.uint8), format="bgr24")))
            container.mux(stream.encode(None))
        return Path(file.name).read_bytes()


def phase(name: str, service: Service, work: Callable[[], list[Outcome]]) -> float:
    """Do it, looking at the service once a second; print what came of it. Clips a second."""
    looks: list[Usage] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(1):
            looks.append(service.usage())

    watcher = threading.Thread(target=look)
    clips, busy_s, started = service.metric("c3d_clips_total"), service.processor_s(), time.monotonic()
    watcher.start()
    outcomes = work()
    seconds = time.monotonic() - started
    busy = (service.processor_s() - busy_s) / seconds
    clips_per_s = (service.metric("c3d_clips_total") - clips) / seconds
    over.set()
    watcher.join()
    names = Counter(outcome.name for outcome in outcomes)
    offered = len(outcomes) / seconds
    print(f"\n{name}: {seconds:.0f} s, {offered:.1f} requests/s offered, {clips_per_s:.1f} clips/s run, {busy:.2f} cores")
    print("  " + ", ".join(f"{name} {count}" for name, count in names.most_common()))
    for group in [("short", "ok"), ("long", "ok"), ("short", "overloaded")]:
        times = sorted(outcome.seconds for outcome in outcomes if (outcome.kind, outcome.name) == group)
        if times:
            p50, p99 = times[len(times) // 2], times[int(len(times) * 0.99)]
            print(f"  {' '.join(group):16} {len(times):6}  p50 {p50:8.3f} s  p99 {p99:8.3f} s  longest {times[-1]:8.3f} s")
    if looks:
        most = Usage(*(max(values) for values in zip(*looks, strict=True)))
        not_ready = sum(not look.ready for look in looks)
        print(f"  at most {most._asdict()}; not ready in {not_ready} of {len(looks)} looks")
    return clips_per_s


def settle(service: Service) -> None:
    """Until nothing of what clients left is inside any more."""
    started = time.monotonic()
    while (usage := service.usage()).inside or usage.waiting_clips or usage.files:
        time.sleep(0.05)
    print(f"  all of it gone after {time.monotonic() - started:.1f} s: {usage._asdict()}")


def beside_long_ones(service: Service, short: bytes, long: bytes) -> None:
    """What a video of one clip waits for, by itself and beside long ones."""
    alone = [service.classify(short)[0] for _ in range(NEWCOMERS)]
    films = [http.client.HTTPConnection("127.0.0.1", service.port) for _ in range(LONG_ONES)]
    for film in films:
        film.request("POST", "/classify?clip_stride=1", long, {"Content-Type": "application/octet-stream"})
    time.sleep(SETTLED_S)
    batches, busy_s = service.metric("c3d_batches_total"), service.metric("c3d_batch_duration_seconds_sum")
    newcomers = [service.classify(short) for _ in range(NEWCOMERS)]
    batch_s = (service.metric("c3d_batch_duration_seconds_sum") - busy_s) / (service.metric("c3d_batches_total") - batches)
    num_films = int(service.metric("c3d_requests_in_progress")) - 1
    for film in films:
        film.close()  # nobody waits for their answers
    print(f"\na video of one clip beside {num_films} long ones at stride 1, whose batches take {batch_s:.3f} s each")
    for name, times in (("alone", alone), ("beside", [seconds for seconds, _ in newcomers])):
        print(f"  answered {name:6} p50 {statistics.median(times):8.3f} s  longest {max(times):8.3f} s")
    waits = [timings["queue"] / 1000 / batch_s for _, timings in newcomers]
    print(f"  its clip waits for p50 {statistics.median(waits):.2f} batches, at most {max(waits):.2f}")


def beside_crowds(service: Service, clients: Clients, seconds: float, video: bytes) -> None:
    """The calm clients beside each crowd."""
    for name, crowd in crowds.CROWDS.items():
        with crowds.beside(name, service.port, 4 * seconds, video), crowds.Probes(service.port) as probes:
            phase(
                f"{name}: {crowd.size} {crowd.what}",
                service,
                lambda: clients.send_for(seconds, CALM_CLIENTS),
            )
        print(f"  {probes.told()}")
        settle(service)


class ZerosNetwork(Network):
    """A network that costs nothing: all zeros."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(open_model(settings.model_store, settings.model), "float32", "none on cpu", GPU_BATCH_SIZES)

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        """One forward pass."""
        shapes = ((len(clips), size) for size in (*c3d.FEATURE_SIZES.values(), self.card.num_classes))
        return c3d.ClipOutputs(*(np.zeros(shape, np.float32) for shape in shapes))

    def run_zeros_behind_mean(self) -> c3d.ClipOutputs:
        """The same for one clip."""
        return self.run(np.zeros((1, *c3d.CLIP_SHAPE), np.uint8))


def main() -> None:
    """Calm, overload, calm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300, help="of overload")
    parser.add_argument("--calm", type=float, default=30, help="seconds before and after it")
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--beside", action="store_true", help="short videos beside long ones")
    parser.add_argument("--storm", action="store_true", help="clients give up after a second and try again at once")
    parser.add_argument("--crowds", action="store_true", help="calm clients beside the slow, the chunked and the idle crowd")
    parser.add_argument("--fake", action="store_true", help="a network that costs nothing")
    parser.add_argument("--serve-fake", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve_fake:
        settings = Settings()
        request_log.configure(settings)
        sys.exit(serve(settings, lambda settings, _progress: ZerosNetwork(settings)))
    videos = {kind: video(frames) for kind, frames in FRAMES.items()}
    with running(fake=given.fake) as service:
        print("at rest:", service.usage()._asdict())
        if given.beside:
            beside_long_ones(service, video(c3d.CLIP_LENGTH), videos["long"])
            return
        clients = Clients(service.port, videos)
        if given.crowds:
            beside_crowds(service, clients, given.calm, videos["short"])
            return
        few = lambda: clients.send_for(given.calm, CALM_CLIENTS)  # noqa: E731
        capacity = phase("before", service, few)
        settle(service)
        if given.storm:
            phase("storm", service, lambda: clients.send_for(given.seconds, given.clients, given.clients, patience_s=1.0))
        else:
            rate = TIMES * capacity / CLIPS_A_REQUEST
            name = f"overload, {rate:.1f} requests/s wanted"
            phase(name, service, lambda: clients.send_for(given.seconds, given.clients, rate))
        settle(service)
        phase("after", service, few)
        settle(service)


if __name__ == "__main__":
    main()
