"""deploy/kubernetes/corpus-job.yaml and rayjob.yaml: what they run is what `python -m corpus` takes, in the image that has it."""

from __future__ import annotations

import re
import shlex
from typing import Any

import kubernetes_validate
import pytest
import yaml

from corpus.command import parser
from service.settings import VERSION, Settings
from service.video.memory import BUDGET_BYTES
from tests.conftest import ROOT
from tests.deploy.test_deploy import DECODER_BYTES, NETWORK_BYTES, size

KUBERNETES = ROOT / "deploy" / "kubernetes"
JOB = yaml.safe_load((KUBERNETES / "corpus-job.yaml").read_text())
RAY_JOB = yaml.safe_load((KUBERNETES / "rayjob.yaml").read_text())
SHARDED = JOB["spec"]["template"]["spec"]
CLUSTER = RAY_JOB["spec"]["rayClusterSpec"]
HEAD = CLUSTER["headGroupSpec"]["template"]["spec"]
[WORKERS] = CLUSTER["workerGroupSpecs"]
PODS = {"shard": SHARDED, "head": HEAD, "worker": WORKERS["template"]["spec"]}


def arguments_of(command: str) -> Any:
    """What the program makes of it; it exits where it does not understand."""
    words = shlex.split(command)
    assert words[:3] == ["python", "-m", "corpus"]
    return parser().parse_args(words[3:])


def validate(document: Any) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_the_job_is_valid_by_the_published_schema() -> None:
    validate(JOB)


@pytest.mark.parametrize("name", PODS)
def test_each_pod_is_valid_by_the_published_schema_and_confined(name: str) -> None:
    pod = PODS[name]
    validate({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod})
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "readOnlyRootFilesystem": True,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsUser"] == 10001
    assert pod["enableServiceLinks"] is False
    assert container["image"] == f"c3d-corpus:{VERSION}"
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"/models", "/videos", "/corpus", "/tmp"} == mounts  # noqa: S108 (of the image)
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


@pytest.mark.parametrize("name", ["shard", "worker"])
def test_a_network_and_its_decoders_fit_into_the_memory(name: str) -> None:
    [container] = PODS[name]["containers"]
    kept = 4 * DECODER_BYTES + BUDGET_BYTES  # one for each of the four cores
    assert size(container["resources"]["limits"]["memory"]) > NETWORK_BYTES + kept
    [spool] = [volume["emptyDir"] for volume in PODS[name]["volumes"] if "emptyDir" in volume]
    assert size(spool["sizeLimit"]) > Settings().max_spool_bytes


def test_each_index_of_the_job_is_a_shard() -> None:
    [container] = SHARDED["containers"]
    shell, flag, command = container["command"]
    assert (shell, flag) == ("sh", "-c")
    count = JOB["spec"]["completions"]
    assert {"name": "SHARDS", "value": str(count)} in container["env"]
    shards = set()
    for index in range(count):
        line = command.replace("$((JOB_COMPLETION_INDEX + 1))", str(index + 1)).replace("$SHARDS", str(count))
        shards.add(arguments_of(line.removeprefix("exec ")).shard)
    assert shards == {(number, count) for number in range(1, count + 1)}
    assert JOB["spec"]["backoffLimit"] >= 2 * count, "each shard may end once with bad videos"


def test_the_ray_job_asks_for_the_workers_that_its_cluster_has() -> None:
    found = arguments_of(RAY_JOB["spec"]["entrypoint"])
    assert (found.ray, found.workers) == ("auto", WORKERS["replicas"])
    [container] = WORKERS["template"]["spec"]["containers"]
    cpus = int(WORKERS["rayStartParams"]["num-cpus"])
    assert found.cpus == cpus == int(container["resources"]["limits"]["cpu"])
    assert CLUSTER["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_cluster_has_the_ray_of_the_image() -> None:
    [pin] = re.findall(r"^ray\[data,default\]==(\S+)", (ROOT / "requirements-corpus.in").read_text(), flags=re.MULTILINE)
    assert CLUSTER["rayVersion"] == pin
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM service AS corpus$", dockerfile, flags=re.MULTILINE)
    assert "requirements-corpus.txt" in dockerfile
