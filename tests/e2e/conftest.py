"""One Foreword with the sample firm for the whole session, started first as a user starts it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.browser import chromium, chromium_page
from e2e.first_day import FirstDay, SampleFirm, sample_firm
from e2e.foreword_process import Api, metric, own_folder
from e2e.studio_session import axe, operators_cookies, signed_in, studio
from foreword_dev.settings import RunSettings
from foreword_dev.stack import Stack, running

__all__ = ["axe", "chromium", "chromium_page", "operators_cookies", "signed_in", "studio"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder for a Foreword of the test's own."""
    with own_folder() as made:
        yield made


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SampleFirm]:
    """What a user saw on the first day, and a folder of this session's own as that day left it."""
    # A worker's own folder lies beside those of the others.
    shared = tmp_path_factory.getbasetemp().parent if "PYTEST_XDIST_WORKER" in os.environ else None
    with own_folder() as base, sample_firm(base, shared and shared / "first-day") as made:
        yield made


@pytest.fixture(scope="session")
def first_day(sample: SampleFirm) -> FirstDay:
    return sample.first_day


@pytest.fixture(scope="session")
def stack(sample: SampleFirm) -> Iterator[Stack]:
    """The sample firm of the user's first day, started from here, on the hashing encoder."""
    settings = RunSettings.from_environment({**os.environ, **sample.settings})
    with running(settings, lambda _: None, {"FOREWORD_EMBEDDER_MODEL": "hashing-384"}) as started:
        yield started


@pytest.fixture(scope="session")
def api(stack: Stack) -> Api:
    return Api(stack.url, stack.keys["secret"])


def _server_errors(stack: Stack) -> float:
    return metric(
        stack.settings.gateway.metrics, "foreword_gateway_http_requests_total", status="5xx"
    ) + metric(stack.settings.recommender.metrics, "foreword_recommender_http_requests_total", status="5xx")


@pytest.fixture
def no_server_error(stack: Stack) -> Iterator[None]:
    """Whatever the test sends, neither gateway nor recommender answers a 5xx."""
    before = _server_errors(stack)
    yield
    assert _server_errors(stack) == before, "a service answered with a 5xx"
