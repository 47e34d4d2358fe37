"""Services as processes under gunicorn, with the settings of their manifests but for the addresses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import urllib3
import yaml

from foreword_dev.free_ports import free_ports

_GUNICORN = (sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf")
K8S = Path(__file__).resolve().parents[2] / "k8s"


def manifest_environment(service: str) -> dict[str, str]:
    lines = (K8S / "base" / f"{service}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def pre_stop_seconds(service: str) -> int:
    (deployment,) = [
        one
        for one in yaml.safe_load_all((K8S / "base" / f"{service}.yaml").read_text())
        if one["kind"] == "Deployment"
    ]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return int(container["lifecycle"]["preStop"]["sleep"]["seconds"])


@dataclass(slots=True)
class Running:
    name: str
    port: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_ready(self, seconds: float = 120.0) -> Self:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if urllib3.request("GET", self.url + "/readyz", retries=False, timeout=5).status == 200:
                    return self
            except urllib3.exceptions.HTTPError:
                pass
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not ready: {self.log.read_text()}")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """`kill -9` of gunicorn and its worker at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@dataclass(slots=True)
class Services:
    """Starts services and ends them all."""

    folder: Path
    database_url: str
    started: list[Running] = field(default_factory=list)

    def start(self, name: str, **environment: str) -> Running:
        port, metrics_port = free_ports(2)
        log = self.folder / f"{name}-{len(self.started)}.log"
        settings = {
            **os.environ,
            **manifest_environment(name),
            "FOREWORD_BIND": "127.0.0.1",
            "FOREWORD_PORT": str(port),
            "FOREWORD_METRICS_PORT": str(metrics_port),
            "FOREWORD_SECRETS_DIR": "",
            "FOREWORD_SNAPSHOT_DIR": "",
            "FOREWORD_KEPT_KEYS_FILE": "",
            "FOREWORD_EMBEDDER_MODEL": "hashing-384",
            "DATABASE_URL": self.database_url,
            **environment,
        }
        with log.open("wb") as out:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "gunicorn",
                    "-c",
                    "python:servicekit.gunicorn_conf",
                    f"{name}.wsgi:app",
                ],
                env=settings,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        running = Running(name, port, process, log)
        self.started.append(running)
        return running

    def end(self) -> None:
        for one in self.started:
            if one.process.poll() is None:
                os.killpg(one.process.pid, signal.SIGKILL)
                one.process.wait(10)
