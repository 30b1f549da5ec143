"""Dockerfile, compose files, HAProxy and Kubernetes say what the service says: its settings, its probes, its times and sizes."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from service.api import probes
from service.settings import MIB, VERSION, Settings, unknown_names
from service.video.memory import BUDGET_BYTES
from tests.conftest import ROOT
from tests.support.pages import page

DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
VARIABLE = r"\$\{(\w+):-([^}]*)\}"
EXIT_S = 5  # between the end of the drain and the end of the process: the last batch, decoders, the interpreter
NETWORK_BYTES = 1536 * MIB  # of the process, measured on CPU (docs/containers.md)
DECODER_BYTES = 30 * MIB  # of a decoder process for itself, without its video


# A tag of compose's own: the node stands in place of what other files say.
yaml.add_constructor("!reset", lambda loader, node: loader.construct_sequence(node), yaml.SafeLoader)


def compose(name: str, **environment: str) -> Any:
    """A compose file, ``${NAME:-default}`` filled in."""
    text = (ROOT / name).read_text(encoding="utf-8")
    filled = re.sub(VARIABLE, lambda match: environment.get(match[1], match[2]), text)
    return yaml.safe_load(filled)


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(ms|s|m)", text).groups()  # type: ignore[union-attr]
    return int(number) * {"ms": 0.001, "s": 1, "m": 60}[unit]


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg]|[MG]i)?", text).groups()  # type: ignore[union-attr]
    return int(number) * {None: 1, "m": MIB, "g": 1024 * MIB, "Mi": MIB, "Gi": 1024 * MIB}[unit]


def settings_of(environment: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a container with these variables has. None is misspelt or impossible."""
    assert unknown_names(environment) == []
    for name, value in environment.items():
        monkeypatch.setenv(name, str(value))
    return Settings()


@pytest.fixture
def service() -> Any:
    return compose("docker-compose.yml")["services"]["service"]


@pytest.fixture
def settings(service: Any, monkeypatch: pytest.MonkeyPatch) -> Settings:
    return settings_of(service["environment"], monkeypatch)


def test_the_image_is_labelled_with_the_version_of_the_service() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"ARG VERSION={VERSION} " in dockerfile
    assert "# syntax=" not in dockerfile


def test_the_image_has_the_newest_python_that_is_supported_and_names_it_once() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [end] = re.findall(r"<3\.(\d+)", project["requires-python"])
    assert re.findall(r"3\.\d+", (ROOT / "Dockerfile").read_text()) == [f"3.{int(end) - 1}"]


def test_the_build_sees_the_service_and_its_requirements_alone() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert [line for line in lines if line.startswith("!")] == [
        *("!requirements*.txt", "!LICENSE", "!LICENCES.md", "!service", "!model_store", "!corpus", "!client/c3d_video")
    ]
    assert lines[0] == "*"
    assert lines.index("model_store/files") > lines.index("!model_store")


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/docker-compose.haproxy.yml"])
def test_every_container_is_confined_and_bounded(name: str) -> None:
    services = {key: each for key, each in compose(name)["services"].items() if "image" in each}
    assert services
    for each in services.values():
        assert each["read_only"] is True
        assert each["cap_drop"] == ["ALL"]
        assert each["security_opt"] == ["no-new-privileges:true"]
        assert size(each["memswap_limit"]) == size(each["mem_limit"]), "no swap"
        assert each["pids_limit"] > 0
        assert each["logging"]["options"].keys() == {"max-size", "max-file"}


def test_the_service_cannot_write_its_models(service: Any) -> None:
    assert service["volumes"] == ["model-store:/models:ro"]
    assert service["depends_on"] == {"weights": {"condition": "service_completed_successfully"}}


def test_request_files_fit_into_their_tmpfs_and_all_into_the_memory(service: Any, settings: Settings) -> None:
    [tmpfs] = service["tmpfs"]
    directory, _, options = tmpfs.partition(":")
    assert settings.spool_dir == Path(directory)
    spool = size(re.search(r"size=(\w+)", options)[1])  # type: ignore[index]
    assert spool == settings.max_spool_bytes
    assert settings.max_upload_bytes <= spool
    assert spool + NETWORK_BYTES + settings.max_decoders * DECODER_BYTES + BUDGET_BYTES <= size(service["mem_limit"])


def test_compose_waits_for_the_drain(service: Any, settings: Settings) -> None:
    drain = settings.drain_delay_s + settings.drain_timeout_s
    assert seconds(service["stop_grace_period"]) >= drain + EXIT_S
    assert service["restart"] == "unless-stopped"


def test_what_env_says_reaches_the_limits() -> None:
    said = compose("docker-compose.yml", C3D_MAX_SPOOL_BYTES="99", MEMORY="9g", CPUS="3", PUBLISH="127.0.0.1:80")
    service = said["services"]["service"]
    assert (service["environment"]["C3D_MAX_SPOOL_BYTES"], service["environment"]["TF_NUM_INTRAOP_THREADS"]) == (99, 3)
    assert "size=99," in service["tmpfs"][0]
    assert (service["mem_limit"], service["cpus"], service["ports"]) == ("9g", 3, ["127.0.0.1:80:8000"])


def test_the_gpu_file_asks_for_one_gpu_and_builds_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    services = compose("docker-compose.gpu.yml")["services"]
    assert services["service"]["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    ]
    for each in services.values():
        assert each["image"] != compose("docker-compose.yml")["services"]["service"]["image"]
        assert each["build"]["args"] == {"REQUIREMENTS": "requirements-gpu.txt"}
    assert (ROOT / "requirements-gpu.txt").exists()
    assert settings_of(services["service"]["environment"], monkeypatch).device == "gpu", "without one it must not start"


def test_the_docs_list_what_env_can_set_and_its_commands_name_files_that_are_there() -> None:
    files = ["docker-compose.yml", "docker-compose.gpu.yml", "deploy/docker-compose.haproxy.yml", "deploy/docker-compose.key.yml"]
    said = {name: default for file in files[::-1] for name, default in re.findall(VARIABLE, (ROOT / file).read_text())}
    listed = re.findall(r"^\| `([A-Z_]+)` \| `(\w[\w-]*)`", page("containers"), flags=re.MULTILINE)
    build = compose(files[0])["x-image"]["build"]["args"]
    assert dict(listed).items() <= said.items()
    assert said.keys() - dict(listed) - build.keys() <= {f"C3D_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r" -f (\S+)", page("containers"))) == set(files)


def test_every_package_of_the_image_has_its_licence_listed() -> None:
    rows = re.findall(r"^\| ([\w-]+) +\| (\S+) +\| ", (ROOT / "LICENCES.md").read_text(), flags=re.MULTILINE)
    pinned = re.findall(r"^([\w-]+)==(\S+) ;(.*)", (ROOT / "requirements.txt").read_text(), flags=re.MULTILINE)
    here = {(name, version) for name, version, marker in pinned if "!= 'x86_64'" not in marker}
    assert {(name.lower().replace("_", "-"), version) for name, version in rows if name != "Name"} == here


# HAProxy


def haproxy(keyword: str) -> str:
    """What follows a keyword in its configuration, without the comment; of ``"${NAME-default}"`` the default."""
    [value] = re.findall(rf"^ +{keyword} ([^#\n]+)", (DEPLOY / "haproxy" / "haproxy.cfg").read_text(), flags=re.MULTILINE)
    return re.sub(r'"\$\{\w+-([^}]*)\}"', r"\1", str(value).strip())


def test_haproxy_takes_over_the_port() -> None:
    services = compose("deploy/docker-compose.haproxy.yml")["services"]
    assert services["service"]["ports"] == []
    assert services["haproxy"]["ports"] == compose("docker-compose.yml")["services"]["service"]["ports"]
    assert services["haproxy"]["depends_on"] == {"service": {"condition": "service_healthy"}}
    assert services["haproxy"]["volumes"] == ["./deploy/haproxy/haproxy.cfg:/usr/local/etc/haproxy/haproxy.cfg:ro"]


def test_haproxy_is_more_patient_than_the_service_and_leaves_it_the_explaining(settings: Settings) -> None:
    assert seconds(haproxy("timeout http-request")) > settings.upload_idle_s
    assert seconds(haproxy("timeout client")) > settings.upload_idle_s
    assert seconds(haproxy("timeout server")) > settings.request_timeout_s


def test_haproxy_notices_a_drain_before_it_begins(settings: Settings) -> None:
    server = haproxy("default-server").split()
    times = {name: value for name, value in pairwise(server) if name in {"inter", "fastinter", "fall"}}
    noticed = seconds(times["inter"]) + int(times["fall"]) * (seconds(times["fastinter"]) + seconds(haproxy("timeout check")))
    assert seconds(times["inter"]) + int(times["fall"]) * seconds(times["fastinter"]) <= settings.drain_delay_s / 2
    assert noticed < settings.drain_delay_s + settings.drain_timeout_s
    assert "uri /readyz" in haproxy("http-check send")


def test_haproxy_sends_nothing_twice() -> None:
    assert haproxy("retry-on") == "conn-failure"
    assert haproxy("option redispatch") == "1"


def test_haproxy_finishes_what_runs_when_it_is_stopped(settings: Settings) -> None:
    grace = compose("deploy/docker-compose.haproxy.yml")["services"]["haproxy"]["stop_grace_period"]
    assert settings.drain_timeout_s < seconds(haproxy("hard-stop-after")) < seconds(grace)


def test_haproxy_takes_its_configuration() -> None:
    program = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
    if program is None:
        pytest.skip("no haproxy here; tests/test_docker.py starts it")
    checked = subprocess.run(
        [program, "-c", "-f", DEPLOY / "haproxy" / "haproxy.cfg"], capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "WARNING" not in checked.stderr


# Kubernetes


def documents(directory: Path) -> tuple[Any, list[Any]]:
    """A kustomization, and the resources of its files."""
    kustomization = yaml.safe_load((directory / "kustomization.yaml").read_text())
    files = [directory / name for name in kustomization["resources"]]
    return kustomization, [yaml.safe_load(file.read_text()) for file in files if file.is_file()]


def patched(document: Any, patch: str) -> Any:
    """The document with a JSON patch (RFC 6902) of `add` and `replace` applied."""
    for step in yaml.safe_load(patch):
        assert step["op"] in {"add", "replace"}
        *path, last = [part.replace("~1", "/") for part in step["path"].split("/")[1:]]
        place = document
        for part in path:
            place = place[int(part)] if isinstance(place, list) else place[part]
        assert step["op"] == "add" or last in place
        if last == "-":
            place.append(step["value"])
        else:
            place[last] = step["value"]
    return document


def base() -> dict[str, Any]:
    return {document["kind"]: document for document in documents(KUBERNETES / "base")[1]}


def gpu_deployment() -> Any:
    [patch] = documents(KUBERNETES / "gpu")[0]["patches"]
    assert patch["target"] == {"kind": "Deployment", "name": base()["Deployment"]["metadata"]["name"]}
    return patched(base()["Deployment"], patch["patch"])


@pytest.mark.parametrize("document", [*base().values(), gpu_deployment()], ids=lambda document: str(document["kind"]))
def test_manifests_are_valid_by_the_published_schemas(document: Any) -> None:
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_a_wrong_manifest_is_found() -> None:
    wrong = base()["Deployment"]
    wrong["spec"]["template"]["spec"]["containers"][0]["readinessprobe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, kubernetes_validate.latest_version(), strict=True)


def test_everything_selects_the_same_pods() -> None:
    kinds = base()
    labels = kinds["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert kinds["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["spec"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    [spread] = kinds["Deployment"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == labels


def test_images_are_of_this_version_and_gpus_have_their_own() -> None:
    [image] = documents(KUBERNETES / "base")[0]["images"]
    [gpu_image] = documents(KUBERNETES / "gpu")[0]["images"]
    pod = base()["Deployment"]["spec"]["template"]["spec"]
    assert {each["image"] for each in pod["containers"] + pod["initContainers"]} == {image["name"]} == {gpu_image["name"]}
    assert (image["newTag"], gpu_image["newTag"]) == (VERSION, f"{VERSION}-gpu")


def test_pods_are_confined_probed_and_given_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = base()["Deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    settings = settings_of({each["name"]: each.get("value", "1") for each in container["env"]}, monkeypatch)
    for each in [container, *pod["initContainers"]]:
        assert each["securityContext"] == {
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        }
    assert pod["securityContext"]["runAsUser"] == 10001
    assert "USER 10001:10001" in (ROOT / "Dockerfile").read_text()
    assert {"name": "model-store", "mountPath": "/models", "readOnly": True} in container["volumeMounts"]
    paths = {container[f"{probe}Probe"]["httpGet"]["path"]: probe for probe in ("startup", "readiness", "liveness")}
    assert paths == {"/startupz": "startup", "/readyz": "readiness", "/livez": "liveness"}
    assert set(paths) <= {getattr(route, "path", "") for route in probes.router.routes}
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= settings.drain_delay_s
    stop = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    drain = stop + settings.drain_delay_s + settings.drain_timeout_s
    assert pod["terminationGracePeriodSeconds"] >= drain + EXIT_S
    [spool] = [volume["emptyDir"] for volume in pod["volumes"] if "emptyDir" in volume]
    assert size(spool["sizeLimit"]) > settings.max_spool_bytes
    assert size(container["resources"]["requests"]["ephemeral-storage"]) >= size(spool["sizeLimit"])
    # The files of requests lie on the node's disk here, so they take no memory.
    # One byte too many ends the whole container from Kubernetes 1.28 on.
    needed = NETWORK_BYTES + settings.max_decoders * DECODER_BYTES + BUDGET_BYTES
    assert size(container["resources"]["limits"]["memory"]) > needed


def test_a_gpu_replica_has_one_gpu_and_no_spare_one() -> None:
    deployment = gpu_deployment()
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert {"name": "C3D_DEVICE", "value": "gpu"} in container["env"]
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == 0


def test_keys_come_as_a_file_and_stand_in_no_environment() -> None:
    added = yaml.safe_load((DEPLOY / "docker-compose.key.yml").read_text())["services"]["service"]
    assert added == {"environment": {"C3D_API_KEY_FILE": "/run/secrets/api_key"}, "secrets": ["api_key"]}
    [patch] = documents(KUBERNETES / "key")[0]["patches"]
    volume, mount, variable = (each["value"] for each in yaml.safe_load(patch["patch"]))
    assert volume["name"] == mount["name"]
    assert variable["name"] == "C3D_API_KEY_FILE"
    assert Path(variable["value"]).parent == Path(mount["mountPath"])
    assert "--from-file=keys=" in page("kubernetes")
    assert Path(variable["value"]).name == "keys"


def test_the_network_policy_is_about_the_service_and_closes_private_networks() -> None:
    found = {document["kind"]: document for document in documents(KUBERNETES / "base")[1]}
    policy, pod = found["NetworkPolicy"]["spec"], found["Deployment"]["spec"]["template"]
    assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"][0]["ports"][0]["port"] in {each["name"] for each in pod["spec"]["containers"][0]["ports"]}
    [public] = [rule for rule in policy["egress"] if "ipBlock" in rule["to"][0]]
    assert "169.254.0.0/16" in public["to"][0]["ipBlock"]["except"]  # where clouds hand out a machine's credentials
    assert {str(each["port"]) for each in public["ports"]} == set(Settings().url_ports.split(","))
