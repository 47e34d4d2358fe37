"""The Dockerfiles keep our rules; where buildah is there, an image is built on an offline base and run.

The base comes from Debian's archive: no registry is asked. FOREWORD_BUILD_IMAGES=1 runs the build, which
takes minutes; FOREWORD_IMAGES may name the services (default: gateway).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
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
    assert [base for base, _ in bases] == [pinned, "build", "scratch", pinned]
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


def _buildah(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        [
            "buildah",
            "--storage-driver",
            "vfs",
            "--root",
            str(root / "storage"),
            "--runroot",
            str(root / "run"),
            *arguments,
        ],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_an_image_builds_on_an_offline_base_and_runs_as_nobody_special(tmp_path: Path) -> None:
    if os.environ.get("FOREWORD_BUILD_IMAGES") != "1":
        pytest.skip("FOREWORD_BUILD_IMAGES=1 builds images; it takes minutes and a gigabyte")
    if shutil.which("buildah") is None or shutil.which("debootstrap") is None or os.getuid() != 0:
        pytest.skip("buildah and debootstrap are needed, and root")
    base = tmp_path / "base"
    subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            "--include=python3,python3-venv,python-is-python3,ca-certificates",
            "stable",
            str(base),
            "http://deb.debian.org/debian",
        ],
        check=True,
        capture_output=True,
    )
    made = _buildah(tmp_path, "from", "scratch")
    _buildah(tmp_path, "add", made, str(base), "/")
    _buildah(tmp_path, "config", "--env", "PATH=/usr/local/bin:/usr/bin:/bin", made)
    _buildah(tmp_path, "commit", made, "localhost/offline-python:1")
    for service in os.environ.get("FOREWORD_IMAGES", "gateway").split(","):
        image = f"localhost/foreword-{service}:test"
        _buildah(
            tmp_path,
            "build",
            "--isolation=chroot",
            "--network=host",
            "--build-arg=PYTHON_IMAGE=localhost/offline-python:1",
            f"--file=services/{service}/Dockerfile",
            f"--tag={image}",
            ".",
        )
        container = _buildah(tmp_path, "from", image)
        said = _buildah(
            tmp_path,
            "run",
            "--isolation=chroot",
            container,
            "--",
            "python",
            "-c",
            _LOOK_AROUND.format(service),
        )
        assert said.splitlines()[-1] == "10001 10001 []", said


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
