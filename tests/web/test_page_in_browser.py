"""The page at / in a real browser, used as people use it: by mouse, by keyboard, with files that fail and services that do."""

from __future__ import annotations

import io
import json
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from numpy.typing import NDArray

from model_store import c3d
from service.video.pool import DecoderPool
from tests.support.browser import chromium, http_server, needs_chromium, proxy_below
from tests.support.fakes import FakeNetwork
from tests.support.http_helpers import fake_app
from tests.support.live_server import live
from tests.support.nginx import NGINX, before
from tests.support.videos import write_video

pytestmark = [pytest.mark.slow, needs_chromium]
KEY = "a-key-of-sixteen"
STATE = "(state) => document.body.dataset.state === state"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 frames of H.264 that begin as one pattern and go on as another: eleven clips, with more than one label."""
    return write_video(tmp_path_factory.mktemp("films") / "film.mp4", 100, size=(120, 160))


@pytest.fixture(scope="module")
def other_film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("films") / "other film.mp4", 60, seed=3)


class VariedNetwork(FakeNetwork):
    """Its labels change from clip to clip."""

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        outputs = super().run(clips)
        moved = [np.roll(row, zlib.crc32(clip.tobytes()) % 5) for row, clip in zip(outputs.probabilities, clips, strict=True)]
        return outputs._replace(probabilities=np.stack(moved))


class HeldNetwork(FakeNetwork):
    """It runs nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.may_run = threading.Event()

    def run(self, clips: NDArray[np.uint8]) -> c3d.ClipOutputs:
        assert self.may_run.wait(60)
        return super().run(clips)


class Watched:
    """A page, and all that the browser has to complain of it."""

    def __init__(self, browser: Any, url: str, **context: Any) -> None:
        self.context = browser.new_context(accept_downloads=True, **context)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text) if message.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(url)

    def open(self, *files: Path, state: str = "done") -> None:
        self.page.set_input_files("#file", [str(file) for file in files])
        self.wait_for(state)

    def wait_for(self, state: str) -> None:
        self.page.wait_for_function(STATE, arg=state, timeout=60_000)

    def text(self, selector: str) -> str:
        return str(self.page.inner_text(selector))

    def seconds(self) -> float:
        return float(self.page.evaluate("document.getElementById('video').currentTime"))

    def saved(self, button: str) -> bytes:
        """What a button saves."""
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_bytes()


@contextmanager
def watching(browser: Any, url: str, **context: Any) -> Iterator[Watched]:
    watched = Watched(browser, url, **context)
    try:
        yield watched
    finally:
        watched.context.close()


@contextmanager
def using(browser: Any, app: FastAPI, **context: Any) -> Iterator[Watched]:
    with live(app) as address, watching(browser, f"http://{address}/", **context) as watched:
        yield watched


def requests_to(app: FastAPI, path: str) -> dict[str, int]:
    """How often a path was asked, by what came of it."""
    metrics = app.state.metrics.exposition()[0].decode()
    found = re.findall(rf'c3d_requests_total{{endpoint="{path}",outcome="(\w+)"}} ([\d.]+)', metrics)
    return {outcome: int(float(number)) for outcome, number in found if float(number)}


@pytest.mark.parametrize("prefix", ["", "/video/c3d"])
def test_a_video_is_shown_as_the_network_sees_it(browser: Any, tmp_path: Path, film: Path, prefix: str) -> None:
    with (
        live(fake_app(tmp_path, VariedNetwork())) as address,
        http_server(proxy_below(prefix, address)) as port,
        watching(browser, f"http://127.0.0.1:{port}{prefix}/") as page,
    ):
        page.open(film)
        assert page.text("#status").startswith("11 clips in")
        assert "stand-in" in page.text("#model")
        assert len(page.page.query_selector_all("#whole li")) == 5
        assert page.page.locator("#lanes .lane").count() == 6
        assert "stand_in_weights" in page.text("#warnings")
        assert page.page.locator("#video").is_visible()
        assert page.complaints == []


def test_a_click_and_the_keys_move_the_video(browser: Any, tmp_path: Path, film: Path) -> None:
    with using(browser, fake_app(tmp_path, VariedNetwork())) as page:
        page.open(film)
        page.page.locator("#axis").scroll_into_view_if_needed()
        axis = page.page.locator("#axis").bounding_box()
        page.page.mouse.click(axis["x"] + axis["width"] / 2, axis["y"] - 10)
        assert page.seconds() == pytest.approx(2.0, abs=0.05)
        timeline = page.page.locator("#timeline")
        timeline.focus()
        before = int(timeline.get_attribute("aria-valuenow"))
        timeline.press("ArrowRight")
        assert int(timeline.get_attribute("aria-valuenow")) == before + 1
        assert re.fullmatch(r"clip \d+, 0:0\d\.\d to 0:0\d\.\d: class \d+, .* %", timeline.get_attribute("aria-valuetext")), (
            timeline.get_attribute("aria-valuetext")
        )
        timeline.press("Shift+ArrowLeft")
        assert timeline.get_attribute("aria-valuenow") == "0"
        timeline.press("End")
        assert timeline.get_attribute("aria-valuenow") == "10"
        timeline.press("Home")
        timeline.press(" ")
        page.page.wait_for_function("() => !document.getElementById('video').paused")
        timeline.press(" ")
        page.page.wait_for_function("() => document.getElementById('video').paused")
        page.page.locator("#segments button").last.click()
        assert page.page.locator("#segments button").last.get_attribute("aria-current") == "true"
        assert page.complaints == []


def test_what_is_taken_away_can_be_read(browser: Any, tmp_path: Path, film: Path) -> None:
    app = fake_app(tmp_path)
    with using(browser, app) as page:
        page.open(film)
        descriptor = np.load(io.BytesIO(page.saved("#take-descriptor")))
        assert requests_to(app, "/features") == {}, "labels and descriptor came in one pass"
        clips = np.load(io.BytesIO(page.saved("#take-clips")))
        assert (clips.shape, clips.dtype, descriptor.dtype) == ((11, 4096), np.float32, np.float32)
        mean = clips.astype(np.float64).mean(axis=0)
        np.testing.assert_allclose(descriptor, mean / np.linalg.norm(mean), rtol=1e-5)
        assert page.saved("#take-clips")
        assert requests_to(app, "/features") == {"ok": 1}, "kept"
        answer = json.loads(page.saved("#take-json"))
        assert len(answer["clips"]) == 11
        assert answer["descriptor"] == pytest.approx(descriptor.tolist())
        assert len(page.saved("#take-csv").splitlines()) == 1 + 11 * 5
        assert page.saved("#take-vtt").startswith(b"WEBVTT\n\n00:00.000 --> ")
        page.page.click("#take-curl")
        assert "--data-binary '@film.mp4'" in page.text("#curl")
        assert page.complaints == []


def test_weights_without_labels_give_pictures_and_vectors(browser: Any, tmp_path: Path, film: Path) -> None:
    app = fake_app(tmp_path, FakeNetwork(num_classes=0))
    with using(browser, app) as page:
        page.page.wait_for_selector("text=The weights of this service know no labels")
        page.open(film)
        assert "No labels" in page.text("#results")
        assert page.page.locator(":is(#segments-panel, #whole, #take-csv, #take-vtt)").filter(visible=True).count() == 0
        assert page.page.locator("#seen-picture").is_visible()
        assert re.fullmatch(r"clip \d+, .*: no label", page.page.locator("#timeline").get_attribute("aria-valuetext"))
        assert np.load(io.BytesIO(page.saved("#take-descriptor"))).shape == (4096,)
        assert requests_to(app, "/features") == {"ok": 1}
        page.page.click("#take-curl")
        assert "/features?include=clips" in page.text("#curl")
        page.page.click("#compare-form button")
        page.page.wait_for_function("() => document.querySelectorAll('#pairs button').length > 0")
        assert page.complaints == []


def test_a_video_chosen_twice_costs_the_network_nothing(browser: Any, tmp_path: Path, film: Path, other_film: Path) -> None:
    app = fake_app(tmp_path)
    with using(browser, app) as page:
        page.open(film)
        page.open(film)
        page.page.wait_for_function("() => document.getElementById('status').innerText.includes('known from before')")
        assert requests_to(app, "/classify") == {"ok": 1}
        assert page.page.locator("#segments button").count() > 0
        page.page.set_input_files("#file", str(other_film))
        page.page.wait_for_function("() => document.querySelectorAll('#known button').length === 2")
        page.page.locator("#known button").first.click()
        assert page.text("#file-name") == "film.mp4"
        assert "known from before" in page.text("#status")
        assert requests_to(app, "/classify") == {"ok": 2}


def test_two_videos_are_compared_clip_by_clip(browser: Any, tmp_path: Path, film: Path, other_film: Path) -> None:
    app = fake_app(tmp_path)
    with using(browser, app) as page:
        page.page.set_input_files("#file", [str(film), str(other_film)])
        page.page.wait_for_function("() => document.querySelectorAll('#known button').length === 2")
        page.page.click("#compare-form button")
        page.page.wait_for_function("() => document.querySelectorAll('#pairs button').length > 0")
        assert page.page.evaluate("[matrix.width, matrix.height]") == [11, 6], "the shown one down, the other across"
        matrix = page.page.locator("#matrix")
        box = matrix.bounding_box()
        matrix.click(position={"x": 2, "y": box["height"] - 2})
        times = "['a', 'b'].map((each) => document.getElementById(`video-${each}`).currentTime)"
        one, other = page.page.evaluate(times)
        assert one > 1.5
        assert other < 0.5
        matrix.press("ArrowRight")
        assert page.page.evaluate(times)[1] > other
        assert re.search(r"cosine [01]\.\d{3}", page.text("#cell"))
        vectors = [np.load(io.BytesIO(page.saved("#take-clips")))]
        assert requests_to(app, "/features") == {"ok": 2}, "kept"
        assert vectors[0].shape == (6, 4096)
        assert page.complaints == []


def test_progress_is_told_and_stop_ends_the_work(browser: Any, tmp_path: Path, film: Path) -> None:
    network = HeldNetwork()
    app = fake_app(tmp_path, network)
    network.may_run.set()
    with using(browser, app) as page:
        network.may_run.clear()
        page.open(film, state="working")
        assert page.text("#status").startswith("Clip 0 of 11")
        page.page.click("#stop")
        assert page.text("#status") == "Stopped"
        network.may_run.set()
        page.page.click("#start")
        page.wait_for("done")
    assert requests_to(app, "/classify") == {"client_left": 1, "ok": 1}


def problem_of(page: Watched) -> str:
    page.page.wait_for_selector("#problem", state="visible", timeout=60_000)
    return page.text("#problem")


def test_a_refused_file_shows_its_problem(browser: Any, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    (tmp_path / "spool").mkdir()
    with using(browser, fake_app(tmp_path / "spool")) as page:
        page.open(broken, state="stopped")
        text = problem_of(page)
        assert "undecodable_video" in text
        assert page.page.locator("#view").is_hidden(), "there is nothing to look at"
        assert re.search(r"request [0-9a-f]{32}", text)


def test_a_file_over_the_limit_is_not_sent(browser: Any, tmp_path: Path, film: Path) -> None:
    app = fake_app(tmp_path, max_upload_bytes=1000)
    with using(browser, app) as page:
        page.open(film, state="stopped")
        assert "The file is too large" in problem_of(page)
    assert requests_to(app, "/classify") == {}


def test_a_service_with_keys_asks_for_one(browser: Any, tmp_path: Path, film: Path) -> None:
    with using(browser, fake_app(tmp_path, api_key=KEY)) as page:
        page.page.wait_for_selector("#key-form", state="visible")
        page.page.fill("#key", "the-wrong-key-here")
        page.page.press("#key", "Enter")
        page.page.wait_for_function("() => document.getElementById('key-wrong').innerText")
        page.page.fill("#key", KEY)
        page.page.press("#key", "Enter")
        page.page.wait_for_selector("#key-form", state="hidden")
        page.open(film)
        assert page.page.evaluate("Object.keys(localStorage)") == [], "the key ends with the tab"


def test_a_full_service_is_asked_again(browser: Any, tmp_path: Path, film: Path) -> None:
    network = HeldNetwork()
    network.may_run.set()
    app = fake_app(tmp_path, network, max_requests=1)
    with live(app) as address, watching(browser, f"http://{address}/") as first, watching(browser, f"http://{address}/") as page:
        network.may_run.clear()
        first.open(film, state="working")
        page.open(film, state="full")
        assert "overloaded" in problem_of(page)
        assert re.match(r"The service is full. Sending again in \d+", page.text("#status"))
        network.may_run.set()
        first.wait_for("done")
        page.page.click("#problem-actions button")
        page.wait_for("done")
        assert page.page.locator("#problem").is_hidden()


def test_a_stopped_service_is_told_from_a_proxy_that_refuses(browser: Any, tmp_path: Path, film: Path) -> None:
    with live(fake_app(tmp_path)) as address:
        watched = Watched(browser, f"http://{address}/")
        watched.page.wait_for_function("() => document.getElementById('model').innerText")
    watched.open(film, state="stopped")
    assert "no_connection" in problem_of(watched)
    watched.context.close()


def test_a_video_that_the_browser_cannot_play_is_answered(browser: Any, tmp_path: Path) -> None:
    avi = write_video(tmp_path / "film.avi", 40, codec="mpeg4")
    (tmp_path / "spool").mkdir()
    with using(browser, fake_app(tmp_path / "spool", decoder_pool=DecoderPool)) as page:
        page.open(avi)
        assert page.page.locator("#video").is_hidden()
        first = page.page.locator("#picture").get_attribute("src")
        assert first.startswith("data:image/jpeg;base64,")
        assert page.page.locator("#seen-picture").get_attribute("src") == first
        page.page.locator("#timeline").press("End")
        assert page.page.locator("#timeline").get_attribute("aria-valuenow") == "3"
        assert page.page.locator("#picture").get_attribute("src") != first
        assert page.page.evaluate("document.getElementById('picture').naturalWidth") == 112
        assert page.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing(browser: Any, tmp_path: Path, film: Path, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found: Callable[[Watched], list[str]] = lambda page: [  # noqa: E731
        f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in axe.run(page.page).response["violations"]
    ]
    size = {"width": width, "height": 900}
    with using(browser, fake_app(tmp_path), viewport=size, color_scheme=scheme, bypass_csp=True) as page:
        assert found(page) == []
        page.open(film)
        page.page.click("#compare-form button")
        page.page.wait_for_function("() => document.getElementById('comparison').hidden === false")
        page.page.click("#facts-panel summary")
        assert found(page) == []
        assert page.page.evaluate("document.documentElement.scrollWidth") <= width, "nothing sticks out"


@pytest.mark.skipif(NGINX is None, reason="no nginx here")
@pytest.mark.parametrize("prefix", ["", "/video/c3d"])
def test_behind_nginx_as_it_comes(browser: Any, tmp_path: Path, film: Path, prefix: str) -> None:
    (tmp_path / "nginx").mkdir()
    network = HeldNetwork()
    network.may_run.set()
    with (
        live(fake_app(tmp_path, network)) as address,
        before(address, prefix, tmp_path / "nginx") as url,
        watching(browser, url) as page,
    ):
        network.may_run.clear()
        page.open(film, state="working")
        assert page.text("#status").startswith("Clip 0 of 11"), "a line comes through before the next one is there"
        network.may_run.set()
        page.wait_for("done")
        assert page.complaints == []
        large = tmp_path / "large.mp4"  # over 1 MB, which is all that nginx takes unless told otherwise
        large.write_bytes(film.read_bytes() + bytes(3_000_000))
        page.open(large, state="stopped")
        assert "client_max_body_size" in problem_of(page)


@pytest.mark.skipif(NGINX is None, reason="no nginx here")
def test_a_stopped_service_behind_nginx_is_told(browser: Any, tmp_path: Path, film: Path) -> None:
    (tmp_path / "nginx").mkdir()
    with ExitStack() as nginx:
        with live(fake_app(tmp_path)) as address:
            url = nginx.enter_context(before(address, "", tmp_path / "nginx"))
            watched = Watched(browser, url)
            watched.page.wait_for_function("() => document.getElementById('model').innerText")
        watched.open(film, state="stopped")
        assert "The service is down" in problem_of(watched)
        assert "http_502" in problem_of(watched)
    watched.context.close()
