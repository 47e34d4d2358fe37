"""The Dockerfiles keep our rules; `make test-images` builds them on an offline base and runs them.

The base comes from Debian's archive: no registry is asked. FOREWORD_BUILD_IMAGES names the services to build;
1 is all but the embedder, whose torch for the CPU alone is not on PyPI (TORCH_INDEX says where it is).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from k8s.rendered_manifests import REPOSITORY

SERVICES = ("gateway", "recommender", "embedder")


def _dockerfile(service: str) -> str:
    return (REPOSITORY / "services" / service / "Dockerfile").read_text()


@pytest.mark.parametrize("service", SERVICES)
def test_a_dockerfile_keeps_our_rules(service: str) -> None:
    text = _dockerfile(service)
    final = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^ARG PYTHON_DIGEST=\"\"$", text, re.MULTILINE), "the base is pinned by an argument"
    bases = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
    pinned = "${PYTHON_IMAGE}${PYTHON_DIGEST:+@}${PYTHON_DIGEST}"
    model = ["build"] if service == "embedder" else []
    assert [base for base, _ in bases] == [pinned, *model, "build", "scratch", pinned]
    assert "\nUSER 10001:10001\n" in final
    assert "\nSTOPSIGNAL SIGTERM\n" in final
    assert re.search(r'^CMD \["gunicorn", .*\]$', final, re.MULTILINE)
    assert "HEALTHCHECK" not in text, "Kubernetes has probes"
    for command in ("RUN ", "apt-get", "curl", "ENTRYPOINT"):
        assert command not in final, f"{command} in what runs"
    for label in ("title", "description", "version", "revision", "source", "created", "licenses"):
        assert f"org.opencontainers.image.{label}=" in final
    assert ("torch" in text) == (service == "embedder")


def test_what_is_copied_into_an_image_is_in_the_context() -> None:
    allowed = [
        line[1:] for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line.startswith("!")
    ]
    for service in SERVICES:
        for source in re.findall(r"^COPY (?!--from)(\S+) ", _dockerfile(service), re.MULTILINE):
            assert any(source == one or source.startswith(one + "/") for one in allowed), source
            assert (REPOSITORY / source).exists()


@dataclass(frozen=True, slots=True)
class Images:
    """Where buildah keeps what it builds."""

    root: Path

    def run(self, *arguments: str) -> str:
        storage = ("--storage-driver", "vfs", "--root", str(self.root / "storage"))
        done = subprocess.run(
            ["buildah", *storage, "--runroot", str(self.root / "run"), *arguments],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout.strip()

    def build(self, service: str, *options: str) -> str:
        """→ the image's name. The proxy and the certificates are this machine's own."""
        image = f"localhost/foreword-{service}:test"
        torch = os.environ.get("TORCH_INDEX")
        self.run(
            "build",
            "--isolation=chroot",
            "--network=host",
            f"--build-arg=PYTHON_IMAGE={BASE}",
            *([f"--build-arg=TORCH_INDEX={torch}"] if torch and service == "embedder" else []),
            f"--file=services/{service}/Dockerfile",
            f"--tag={image}",
            *options,
            ".",
        )
        return image


BASE = "localhost/offline-python:1"
_ASKED = os.environ.get("FOREWORD_BUILD_IMAGES", "")
BUILT = ("gateway", "recommender") if _ASKED == "1" else tuple(name for name in _ASKED.split(",") if name)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Images:
    if not BUILT:
        pytest.skip("`make test-images` builds images; it takes minutes and a gigabyte")
    missing = [tool for tool in ("buildah", "debootstrap") if shutil.which(tool) is None]
    if missing or os.getuid() != 0:
        pytest.fail(f"images are built by root, with buildah and debootstrap; missing: {missing}")
    made = Images(tmp_path_factory.mktemp("images"))
    base = made.root / "base"
    included = "--include=python3,python3-venv,python-is-python3,ca-certificates"
    mirror = "http://deb.debian.org/debian"
    subprocess.run(
        ["debootstrap", "--variant=minbase", included, "stable", str(base), mirror],
        check=True,
        capture_output=True,
    )
    # Whom this machine trusts, the build trusts: a firm's proxy may sign what it lets through.
    shutil.copyfile("/etc/ssl/certs/ca-certificates.crt", base / "etc/ssl/certs/ca-certificates.crt")
    container = made.run("from", "scratch")
    made.run("add", container, str(base), "/")
    made.run("config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", container)
    made.run("commit", "--rm", container, BASE)
    shutil.rmtree(base)
    return made


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("service", BUILT or ("gateway",))
def test_an_image_builds_on_an_offline_base_and_runs_as_nobody_special(images: Images, service: str) -> None:
    container = images.run("from", images.build(service))
    # Whoever it runs as may write to /tmp alone, which is what a read-only root leaves.
    program = _LOOK_AROUND.format(service)
    said = images.run("run", "--isolation=chroot", container, "--", "python", "-c", program)
    assert said.splitlines()[-1] == "10001 10001 []", said
    if service != "embedder":
        assert "migrate" in images.run("run", "--isolation=chroot", container, "--", "foreword", "--help")
    about = json.loads(images.run("inspect", "--type=image", f"localhost/foreword-{service}:test"))
    config = about["OCIv1"]["config"]
    assert (config["User"], config["StopSignal"]) == ("10001:10001", "SIGTERM")
    assert config["Cmd"][0] == "gunicorn"
    assert config["Labels"]["org.opencontainers.image.title"] == f"foreword-{service}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("service", BUILT[:1] or ("gateway",))
def test_an_inventory_is_written_of_what_an_image_holds(images: Images, service: str, tmp_path: Path) -> None:
    images.build(service, "--target=sbom", f"--output=type=local,dest={tmp_path}")
    found = json.loads((tmp_path / "sbom.json").read_text())
    assert found["bomFormat"] == "CycloneDX"
    versions = {one["name"]: one["version"] for one in found["components"]}
    assert versions[f"foreword-{service}"]
    pinned = dict(
        re.findall(r"^([A-Za-z0-9_.-]+)==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.M)
    )
    assert versions["Flask"] == pinned["Flask"]
    assert "pytest" not in versions, "what tests need is in no image"


# Who it runs as, what it could write to outside /tmp, and that the service's code is all there.
_LOOK_AROUND = """
import importlib, os
importlib.import_module("{}.app")
mounts = ("/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/run", "/var/lock")
found = []
for folder, names, _ in os.walk("/"):
    names[:] = [n for n in names if os.path.join(folder, n) not in mounts]
    if os.access(folder, os.W_OK):
        found.append(folder)
print(os.getuid(), os.getgid(), found)
"""
