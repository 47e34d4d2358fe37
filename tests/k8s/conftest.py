"""The manifests of each case, and services of a test module's own on a database of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest

from k8s.manifest_queries import CASES
from k8s.rendered_manifests import Manifest, label, manifests_of
from k8s.service_processes import Services


@pytest.fixture(params=CASES, ids=label)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return list(manifests_of(request.param))


@pytest.fixture(scope="module")
def services(bare_database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    _foreword("migrate", "--database-url", bare_database)
    made = Services(tmp_path_factory.mktemp("services"), bare_database)
    yield made
    made.end()


@pytest.fixture(scope="module")
def secret_key(services: Services) -> str:
    file = services.folder / "keys.json"
    _foreword("keys", "development", "--file", str(file), "--database-url", services.database_url)
    return str(orjson.loads(file.read_bytes())["secret"])


def _foreword(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "servicekit.cli", *arguments], check=True, capture_output=True)
