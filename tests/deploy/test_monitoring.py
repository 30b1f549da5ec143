"""deploy/monitoring: rules that are tested, and a dashboard whose every query finds what a live service says."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml

from bench.processes import free_port
from service.http.metrics import COUNTERS, GAUGES, Metrics
from tests.conftest import ROOT
from tests.support import service_process
from tests.support.pages import section

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((MONITORING / "grafana" / "c3d.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {f"{panel['title']} {target['refId']}": target["expr"] for panel in PANELS for target in panel["targets"]}
ALERTS = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
KEY = "a-key-that-is-counted"
SUFFIX = r"_(bucket|sum|count)$"  # of a histogram's series


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian's package prometheus has it)")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["check", "config", "prometheus.yml"], ["test", "rules", "alerts_test.yml"]])
def test_promtool_finds_nothing(arguments: list[str]) -> None:
    done = subprocess.run([program("promtool"), *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_tested_and_says_what_is_wrong_and_what_to_do() -> None:
    tests = yaml.safe_load((MONITORING / "alerts_test.yml").read_text())["tests"]
    fired = {each["alertname"] for test in tests for each in test["alert_rule_test"] if "exp_alerts" in each}
    assert {rule["alert"] for rule in ALERTS} == fired
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert rule["annotations"].keys() == {"summary", "description"}


LISTED = set(re.findall(r"`((?:c3d|process)_\w+)`", section("operate", "Metrics")))


def test_the_docs_list_each_metric_and_nothing_else() -> None:
    metrics = Metrics(num_keys=1)
    metrics.watch(**dict.fromkeys([*GAUGES, *COUNTERS], lambda: 0))
    metrics.model_loaded({})
    exposed = set(re.findall(r"^# TYPE (\w+)", metrics.exposition()[0].decode(), flags=re.MULTILINE))
    of_the_process = {name for name in exposed if name.startswith("process_")}
    assert {name for name in LISTED if name.startswith("c3d_")} == exposed - of_the_process
    assert exposed >= LISTED


@pytest.mark.parametrize("query", [*QUERIES.values(), *(rule["expr"] for rule in ALERTS)])
def test_queries_ask_for_metrics_that_the_docs_list(query: str) -> None:
    for name in re.findall(r"\b((?:c3d|process)_\w+)", query):
        assert {name, re.sub(SUFFIX, "", name)} & LISTED, name


def test_panels_explain_themselves_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
    assert len({panel["title"] for panel in PANELS}) == len(PANELS)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])


CONFIG = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
scrape_configs:
  - job_name: c3d
    static_configs: [{targets: ["ADDRESS"]}]
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, clip_mp4: Path) -> Iterator[httpx2.Client]:
    """A real Prometheus that has scraped a service at work, answered, refused and failing requests among it."""
    directory = tmp_path_factory.mktemp("prometheus")
    started = program("prometheus")
    service = service_process.start(directory, "-m", "tests.support.steady_server", "0.01", C3D_API_KEY=f"{KEY},{KEY[::-1]}")
    (directory / "prometheus.yml").write_text(CONFIG.replace("ADDRESS", service.url.removeprefix("http://")))
    address = f"127.0.0.1:{free_port()}"
    files = [f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb"]
    with subprocess.Popen([started, *files, f"--web.listen-address={address}", "--log.level=error"]) as process:
        try:
            with httpx2.Client(base_url=f"http://{address}", timeout=30, transport=httpx2.HTTPTransport(retries=10)) as client:
                while client.get("/-/ready").status_code != 200:
                    assert process.poll() is None
                work(service.url, clip_mp4, client)
                yield client
        finally:
            process.terminate()
            service.end()


def work(url: str, clip_mp4: Path, prometheus: httpx2.Client) -> None:
    """Send requests until Prometheus has two scrapes that differ."""
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}, timeout=60) as service:
        while len(ask(prometheus, "c3d_worker_up == 1")) == 0:
            service.get("/livez")
        for _ in range(200):
            service.post("/features", content=clip_mp4.read_bytes(), headers={"Content-Type": "video/mp4"})
            service.post("/classify", content=b"no video", headers={"Content-Type": "video/mp4"})
            if ask(prometheus, "rate(c3d_clips_total[20s]) > 0") and ask(prometheus, "rate(c3d_errors_total[20s]) > 0"):
                return
    raise AssertionError("Prometheus never saw a clip")


def ask(prometheus: httpx2.Client, query: str) -> list[Any]:
    """What Prometheus finds now. A query that it does not understand fails."""
    filled = query.replace("$__rate_interval", "20s").replace("$instance", ".*")
    content = prometheus.post("/api/v1/query", data={"query": filled}).json()
    assert content["status"] == "success", content
    return list(content["data"]["result"])


# What a service that works has nothing of. Their queries are understood, and find nothing or zero.
QUIET = {"Turned away A", "Decoders replaced A"}


@pytest.mark.slow
@pytest.mark.parametrize("panel", QUERIES)
def test_each_panel_shows_what_a_live_service_says(panel: str, prometheus: httpx2.Client) -> None:
    found = ask(prometheus, QUERIES[panel])
    assert found or panel in QUIET


@pytest.mark.slow
@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: str(rule["alert"]))
def test_a_service_that_works_raises_no_alert_but_for_its_weights(rule: Any, prometheus: httpx2.Client) -> None:
    assert bool(ask(prometheus, rule["expr"])) == (rule["alert"] == "C3DStandInWeights")
