"""The overlays of deploy/kubernetes, built as `kubectl apply -k` builds them."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.settings import Settings
from tests.conftest import ROOT
from tests.deploy.test_deploy import EXIT_S, haproxy, seconds

KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ["base", "gpu", "key", "balanced", "autoscaled", "autoscaled-keda"]
# Not Kubernetes' own: the operators that read them publish their schemas elsewhere.
FOREIGN = {"PodMonitor", "ScaledObject"}


@cache
def built(overlay: str) -> dict[str, Any]:
    """The overlay's objects by kind and name."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not installed")
    command = [kubectl, "kustomize", str(KUBERNETES / overlay)]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {f"{each['kind']}/{each['metadata']['name']}": each for each in yaml.safe_load_all(text)}


def pod_of(objects: dict[str, Any], name: str = "c3d-service") -> Any:
    return objects[f"Deployment/{name}"]["spec"]["template"]


def environment_of(objects: dict[str, Any], name: str = "c3d-service") -> dict[str, str]:
    [container] = pod_of(objects, name)["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_each_object_is_valid_by_the_published_schemas(overlay: str) -> None:
    for each in built(overlay).values():
        if each["kind"] not in FOREIGN:
            kubernetes_validate.validate(each, kubernetes_validate.latest_version(), strict=True)


@pytest.mark.slow
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_selects_what_is_not_there(overlay: str) -> None:
    objects = built(overlay)
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in objects.values() if each["kind"] == "Deployment"]
    for each in objects.values():
        selector = each.get("spec", {}).get("selector")
        if selector:
            assert selector.get("matchLabels", selector) in labels, each["kind"]


@pytest.mark.slow
def test_clients_reach_haproxy_by_the_same_name_and_haproxy_the_replicas() -> None:
    objects = built("balanced")
    assert objects["Service/c3d-service"]["spec"]["selector"] == pod_of(objects, "c3d-haproxy")["metadata"]["labels"]
    replicas = objects["Service/c3d-replicas"]["spec"]
    assert (replicas["clusterIP"], replicas["publishNotReadyAddresses"]) == ("None", True)
    assert replicas["selector"] == pod_of(objects)["metadata"]["labels"]
    [port] = replicas["ports"]
    assert environment_of(objects, "c3d-haproxy")["REPLICAS"] == f"c3d-replicas.$(NAMESPACE).svc.cluster.local:{port['port']}"


@pytest.mark.slow
def test_haproxy_runs_the_configuration_that_compose_runs_and_lets_requests_finish() -> None:
    objects = built("balanced")
    spec = pod_of(objects, "c3d-haproxy")["spec"]
    [volume] = spec["volumes"]
    content = objects[f"ConfigMap/{volume['configMap']['name']}"]["data"]["haproxy.cfg"]
    assert content == (ROOT / "deploy" / "haproxy" / "haproxy.cfg").read_text()
    environment = environment_of(objects, "c3d-haproxy")
    assert all(f"${{{name}-" in content for name in ("REPLICAS", "HARD_STOP"))
    stop = float(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert seconds(haproxy("timeout server")) <= seconds(environment["HARD_STOP"])
    assert stop + seconds(environment["HARD_STOP"]) < spec["terminationGracePeriodSeconds"]
    compose = yaml.safe_load((ROOT / "deploy" / "docker-compose.haproxy.yml").read_text().replace("!reset", ""))
    assert spec["containers"][0]["image"] == compose["services"]["haproxy"]["image"]


def reach(objects: dict[str, Any], name: str) -> list[Any]:
    """Who may ask the pods of a name: the selectors of all policies that are about them."""
    about = [each["spec"] for each in objects.values() if each["kind"] == "NetworkPolicy"]
    about = [each for each in about if each["podSelector"]["matchLabels"] == pod_of(objects, name)["metadata"]["labels"]]
    assert all("Ingress" in each["policyTypes"] for each in about)
    return [selector for each in about for rule in each["ingress"] for selector in rule["from"]]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["balanced", "autoscaled", "autoscaled-keda"])
def test_policies_let_haproxy_reach_the_replicas_and_clients_haproxy_alone(overlay: str) -> None:
    objects = built(overlay)
    haproxy_pods = {"podSelector": {"matchLabels": pod_of(objects, "c3d-haproxy")["metadata"]["labels"]}}
    clients = reach(built("base"), "c3d-service")
    assert reach(objects, "c3d-haproxy") == clients
    assert haproxy_pods in reach(objects, "c3d-service")
    assert not any(each in clients for each in reach(objects, "c3d-service"))
    out = objects["NetworkPolicy/c3d-haproxy"]["spec"]["egress"]
    replicas = [{"podSelector": objects["NetworkPolicy/c3d-service"]["spec"]["podSelector"]}]
    assert [rule["ports"] for rule in out if rule["to"] == replicas] == [[{"port": "http", "protocol": "TCP"}]]


@pytest.mark.slow
def test_policies_let_prometheus_reach_what_it_is_told_to_scrape() -> None:
    objects = built("autoscaled")
    [prometheus] = [each for each in reach(objects, "c3d-service") if "namespaceSelector" in each]
    namespace = prometheus["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]
    [trigger, _] = built("autoscaled-keda")["ScaledObject/c3d-service"]["spec"]["triggers"]
    assert f".{namespace}.svc:" in trigger["metadata"]["serverAddress"]


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["autoscaled", "autoscaled-keda"])
def test_a_replica_that_is_scaled_away_finishes_whatever_it_has(overlay: str) -> None:
    objects = built(overlay)
    spec, environment, settings = pod_of(objects)["spec"], environment_of(objects), Settings()
    drain_s = float(environment["C3D_DRAIN_TIMEOUT_S"])
    assert drain_s > settings.request_timeout_s
    stop = float(spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert stop + settings.drain_delay_s + drain_s + EXIT_S <= spec["terminationGracePeriodSeconds"]
    assert "replicas" not in objects["Deployment/c3d-service"]["spec"], "the autoscaler's"


@pytest.mark.slow
@pytest.mark.parametrize("overlay", ["autoscaled", "autoscaled-keda"])
def test_there_is_always_a_replica_and_never_more_than_haproxy_finds(overlay: str) -> None:
    objects = built(overlay)
    found = haproxy("server-template replica").split()[0]
    scaler = objects.get("HorizontalPodAutoscaler/c3d-service") or objects["ScaledObject/c3d-service"]
    spec = scaler["spec"]
    assert spec["scaleTargetRef"]["name"] == "c3d-service"
    assert (spec.get("minReplicas") or spec["minReplicaCount"]) == 1
    assert (spec.get("maxReplicas") or spec["maxReplicaCount"]) == int(found)
    behavior = spec.get("behavior") or spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    assert behavior["scaleUp"]["stabilizationWindowSeconds"] == 0
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] >= 300


@pytest.mark.slow
def test_both_autoscalers_scale_by_the_same_targets() -> None:
    metrics = {each["pods"]["metric"]["name"]: each["pods"]["target"]["averageValue"] for each in hpa()["spec"]["metrics"]}
    triggers = [each["metadata"] for each in built("autoscaled-keda")["ScaledObject/c3d-service"]["spec"]["triggers"]]
    assert metrics == {"c3d_busy": "800m", "c3d_waiting_clips": "64"}
    assert [each["threshold"] for each in triggers] == ["0.8", "64"]
    rules = yaml.safe_load((KUBERNETES / "autoscaled" / "adapter-rules.yaml").read_text())["rules"]["custom"]
    assert {rule["name"]["as"] for rule in rules} == metrics.keys()
    for rule, trigger in zip(rules, triggers, strict=True):
        assert rule["seriesQuery"].split("{")[0] in trigger["query"]


def hpa() -> Any:
    return built("autoscaled")["HorizontalPodAutoscaler/c3d-service"]


@pytest.mark.slow
def test_pods_are_scraped_as_the_job_that_alerts_and_dashboard_ask_for() -> None:
    objects = built("autoscaled")
    spec = objects["PodMonitor/c3d-service"]["spec"]
    [endpoint] = spec["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "c3d"}]
    [container] = pod_of(objects)["spec"]["containers"]
    assert endpoint["port"] in {port["name"] for port in container["ports"]}
