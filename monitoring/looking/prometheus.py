"""Debian's Prometheus and Alertmanager as processes of our own, over services on this machine."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
import yaml
from urllib3.exceptions import HTTPError

from foreword_dev.free_ports import free_ports
from monitoring import generate
from monitoring.hurried import hurried

_HTTP = urllib3.PoolManager(retries=False, timeout=30.0)
_ROUTES = Path(__file__).resolve().parent.parent / "alertmanager.example.yml"


class ToolMissing(Exception):
    """A program that Debian has a package for is not installed."""


class NotReady(Exception):
    """A program did not come up; the message is the end of its log."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a panel: its labels, times [n] in Unix seconds and values [n]."""

    labels: Mapping[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Watching:
    """A Prometheus and an Alertmanager that run."""

    prometheus: str
    alertmanager: str

    def instant(self, query: str) -> list[Series]:
        found = self._get(f"{self.prometheus}/api/v1/query", {"query": query})
        return [Series(one["metric"], (one["value"][0],), (float(one["value"][1]),)) for one in found]

    def over(self, query: str, start: float, end: float, step: float) -> list[Series]:
        fields = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        return [
            Series(
                one["metric"],
                tuple(float(at) for at, _ in one["values"]),
                tuple(float(value) for _, value in one["values"]),
            )
            for one in self._get(f"{self.prometheus}/api/v1/query_range", fields)
        ]

    def exemplars(self, query: str, start: float, end: float) -> list[dict[str, Any]]:
        fields = {"query": query, "start": str(start), "end": str(end)}
        answer = _HTTP.request("GET", f"{self.prometheus}/api/v1/query_exemplars", fields=fields)
        return list(answer.json()["data"])

    def metric_names(self) -> set[str]:
        answer = _HTTP.request("GET", f"{self.prometheus}/api/v1/label/__name__/values")
        return set(answer.json()["data"])

    def firing(self, *, inhibited: bool = False) -> set[tuple[str, str]]:
        """→ (alert, severity) of what fires; what is inhibited only when asked for."""
        fields = {"active": "true", "inhibited": str(inhibited).lower(), "silenced": "false"}
        answer = _HTTP.request("GET", f"{self.alertmanager}/api/v2/alerts", fields=fields)
        return {(one["labels"]["alertname"], one["labels"]["severity"]) for one in answer.json()}

    def _get(self, address: str, fields: dict[str, str]) -> list[dict[str, Any]]:
        answer = _HTTP.request("POST", address, fields=fields, encode_multipart=False).json()
        if answer["status"] != "success":
            raise ValueError(f"{fields['query']}: {answer['error']}")
        return list(answer["data"]["result"])


@contextmanager
def watching(
    targets: Mapping[str, int],
    folder: Path,
    *,
    times: float,
    scrape_seconds: int = 1,
    every_seconds: int = 1,
    windows: bool = False,
) -> Iterator[Watching]:
    """Scrape job → port on this machine, with rules `hurried` so many times. Raises `ToolMissing`."""
    prometheus, alertmanager = _program("prometheus"), _program("prometheus-alertmanager", "alertmanager")
    web, routes, cluster = free_ports(3)
    rules = folder / "rules.yaml"
    groups = hurried(generate.rule_groups(), times=times, every=f"{every_seconds}s", windows=windows)
    rules.write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    config = folder / "prometheus.yml"
    config.write_text(yaml.safe_dump(_config(targets, rules, routes, scrape_seconds)), encoding="utf-8")
    example = yaml.safe_load(_ROUTES.read_text(encoding="utf-8"))
    for route in (example["route"], *example["route"]["routes"]):
        route |= {"group_wait": "0s", "group_interval": "1s"}
    routing = folder / "alertmanager.yml"
    routing.write_text(yaml.safe_dump(example), encoding="utf-8")
    made = Watching(f"http://127.0.0.1:{web}", f"http://127.0.0.1:{routes}")
    with ExitStack() as stack:
        stack.enter_context(
            _running(
                [
                    alertmanager,
                    f"--config.file={routing}",
                    f"--storage.path={folder / 'alertmanager'}",
                    f"--web.listen-address=127.0.0.1:{routes}",
                    f"--cluster.listen-address=127.0.0.1:{cluster}",
                ],
                f"{made.alertmanager}/-/ready",
                folder / "alertmanager.log",
            )
        )
        stack.enter_context(
            _running(
                [
                    prometheus,
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'prometheus'}",
                    f"--web.listen-address=127.0.0.1:{web}",
                    "--enable-feature=exemplar-storage",
                ],
                f"{made.prometheus}/-/ready",
                folder / "prometheus.log",
            )
        )
        yield made


def _config(targets: Mapping[str, int], rules: Path, alertmanager: int, seconds: int) -> dict[str, Any]:
    def job(name: str, port: int) -> dict[str, Any]:
        # As the Prometheus operator would label them.
        labels = {"namespace": "foreword", "pod": f"{name}-0"} if name != "cluster" else {}
        return {
            "job_name": name,
            "honor_labels": name == "cluster",
            "static_configs": [{"targets": [f"127.0.0.1:{port}"], "labels": labels}],
        }

    return {
        "global": {"scrape_interval": f"{seconds}s", "evaluation_interval": f"{seconds}s"},
        "rule_files": [str(rules)],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]},
        "scrape_configs": [job(name, port) for name, port in targets.items()],
    }


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise ToolMissing(f"{names[-1]} is not installed: apt-get install prometheus prometheus-alertmanager")


@contextmanager
def _running(command: Sequence[str], ready: str, log: Path) -> Iterator[None]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)  # noqa: S603 - our own list
        try:
            _wait(process, ready, log)
            yield
        finally:
            process.terminate()
            process.wait(20)


def _wait(process: subprocess.Popen[bytes], ready: str, log: Path) -> None:
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if _HTTP.request("GET", ready).status == 200:
                return
        except HTTPError:
            pass
        time.sleep(0.1)
    raise NotReady(log.read_text(errors="replace")[-800:])
