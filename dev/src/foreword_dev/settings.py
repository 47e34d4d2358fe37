"""What `make run` reads from the environment."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path


class ConfigurationMistake(Exception):
    """A setting that cannot work, in one sentence."""


@dataclass(frozen=True, slots=True)
class Ports:
    """A service's own port and that of its metrics."""

    service: int
    metrics: int


@dataclass(frozen=True, slots=True)
class RunSettings:
    data_dir: Path
    database_url: str | None
    gateway: Ports
    recommender: Ports
    embedder: Ports
    load_sample: bool

    @classmethod
    def from_environment(cls, environment: os._Environ[str] | dict[str, str]) -> RunSettings:
        def port(name: str, default: int) -> int:
            text = environment.get(name, str(default))
            if not text.isdigit() or not 0 < int(text) < 65_536:
                raise ConfigurationMistake(f"{name} must be a port number from 1 to 65535, not {text!r}.")
            return int(text)

        def ports(name: str, service: int, metrics: int) -> Ports:
            return Ports(
                port(f"FOREWORD_{name}_PORT", service), port(f"FOREWORD_{name}_METRICS_PORT", metrics)
            )

        url = environment.get("DATABASE_URL") or None
        if url is not None and not url.startswith(("postgres://", "postgresql://")):
            raise ConfigurationMistake("DATABASE_URL must start with postgresql://.")
        settings = cls(
            data_dir=Path(environment.get("FOREWORD_DATA_DIR") or ".foreword").absolute(),
            database_url=url,
            gateway=ports("GATEWAY", 8080, 9080),
            recommender=ports("RECOMMENDER", 8081, 9081),
            embedder=ports("EMBEDDER", 8082, 9082),
            load_sample=environment.get("FOREWORD_SAMPLE", "1") != "0",
        )
        settings._require_distinct_ports()
        return settings

    def _require_distinct_ports(self) -> None:
        taken: dict[int, str] = {}
        for name, ports in (
            ("GATEWAY", self.gateway),
            ("RECOMMENDER", self.recommender),
            ("EMBEDDER", self.embedder),
        ):
            for variable, port in (
                (f"FOREWORD_{name}_PORT", ports.service),
                (f"FOREWORD_{name}_METRICS_PORT", ports.metrics),
            ):
                other = taken.setdefault(port, variable)
                if other != variable:
                    raise ConfigurationMistake(f"{variable} and {other} are both {port}; each needs its own.")

    def with_database(self, url: str) -> RunSettings:
        return replace(self, database_url=url)

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.gateway.service}"

    @property
    def keys_file(self) -> Path:
        return self.data_dir / "keys.json"

    @property
    def logs_dir(self) -> Path:
        return self.data_dir / "logs"
