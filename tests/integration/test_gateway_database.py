"""Keys in a real PostgreSQL, the command line that makes them, and the gateway under a real gunicorn."""

from __future__ import annotations

import http.client
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import psutil
import pytest
import sqlalchemy as sa
from click.testing import CliRunner

from foreword_dev.free_ports import free_ports
from gateway import commands
from gateway.app import create_app
from gateway.keys import DatabaseKeySource, KeyKind, ensure_development_keys, make_key
from gateway.settings import GatewaySettings
from gateway.store.migrate import migrate
from servicekit.database import SchemaUnknown, create_engine
from servicekit.errors import Unavailable
from unit.gateway.gateway_fixtures import NOW, stand_in, stand_in_server
from unit.gateway.gateway_stand_in import StandIn

__all__ = ["stand_in", "stand_in_server"]


@pytest.fixture
def gateway_database(postgres_url: str) -> Iterator[str]:
    """A database of this test's own, at the newest revision."""
    name = f"gateway_{time.monotonic_ns()}"
    admin = create_engine(postgres_url, pool_size=1, application_name="test")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    url = sa.make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
    migrate(url)
    yield url
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture
def store(gateway_database: str) -> Iterator[DatabaseKeySource]:
    engine = create_engine(gateway_database, pool_size=2, application_name="test")
    yield DatabaseKeySource(engine)
    engine.dispose()


def run(*arguments: str, url: str) -> Any:
    return CliRunner().invoke(commands.group, ["keys", *arguments], env={"DATABASE_URL": url})


def test_migrating_twice_changes_nothing(gateway_database: str) -> None:
    first = migrate(gateway_database)
    assert first.startswith("gateway_")
    assert migrate(gateway_database) == first


def test_a_key_survives_the_way_into_the_database_and_back(store: DatabaseKeySource) -> None:
    text, key = make_key(KeyKind.PUBLISHABLE, name="site", origins=["https://a.example"], now=NOW)
    store.add(key)
    assert store.load().keys == (key,)
    assert text.encode() not in repr(store.all()).encode()
    store.record_use({key.key_id: NOW, "key_gone": NOW})
    assert store.load().keys[0].last_used_at == NOW
    assert store.revoke(key.key_id, now=NOW)
    assert not store.revoke("key_gone", now=NOW)
    assert store.load().keys[0].revoked_at == NOW


def test_replicas_agree_on_the_project_secret(gateway_database: str) -> None:
    found = set()
    for _ in range(3):
        engine = create_engine(gateway_database, pool_size=1, application_name="test")
        found.add(DatabaseKeySource(engine).load().project_secret)
        engine.dispose()
    assert len(found) == 1
    assert len(found.pop()) == 32


def test_a_database_that_does_not_answer_is_unavailable() -> None:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/none", pool_size=1, application_name="test")
    with pytest.raises(Unavailable):
        DatabaseKeySource(engine).load()


def test_development_keys_are_private_kept_and_renewed(gateway_database: str, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "keys.json"
    first = ensure_development_keys(gateway_database, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert orjson.loads(path.read_bytes()) == first
    path.chmod(0o644)
    assert ensure_development_keys(gateway_database, path) == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    engine = create_engine(gateway_database, pool_size=1, application_name="test")
    store = DatabaseKeySource(engine)
    for key in store.all():
        store.revoke(key.key_id, now=NOW)
    second = ensure_development_keys(gateway_database, path)
    engine.dispose()
    assert second["secret"] != first["secret"]
    path.write_text("{broken")
    assert ensure_development_keys(gateway_database, path)["secret"] not in (
        first["secret"],
        second["secret"],
    )


def test_the_command_line_makes_lists_and_revokes_keys(gateway_database: str) -> None:
    made = run("create", "--name", "crm", "--scope", "signals", "--json", url=gateway_database)
    document = orjson.loads(made.stdout)
    assert document["key"].startswith("fw_sk_")
    plain = run("create", "--kind", "publishable", "--name", "site", url=gateway_database)
    assert plain.stdout.startswith("fw_pk_")
    assert len(plain.stdout.splitlines()) == 1
    assert "any origin" in plain.stderr
    listed = orjson.loads(run("list", "--json", url=gateway_database).stdout)
    assert [key["name"] for key in listed] == ["crm", "site"]
    assert document["key"] not in run("list", url=gateway_database).stdout
    assert run("revoke", document["key_id"], url=gateway_database).exit_code == 0
    assert orjson.loads(run("list", "--json", url=gateway_database).stdout)[0]["revoked_at"]
    token = run("token", "u-1", url=gateway_database).stdout.strip()
    assert len(token) == 64


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("create", "--name", "x"), "needs at least one scope"),
        (("create", "--name", "x", "--kind", "publishable", "--scope", "signals"), "no scopes"),
        (("create", "--name", "x", "--kind", "publishable", "--origin", "here"), "is not an origin"),
        (("revoke", "key_none"), "There is no key"),
        (("revoke", "fw_sk_x"), "not the key itself"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_sentence(
    gateway_database: str, arguments: tuple[str, ...], sentence: str
) -> None:
    result = run(*arguments, url=gateway_database)
    assert result.exit_code == 1
    assert sentence in result.stderr
    assert "Traceback" not in result.output


def test_the_command_line_says_when_the_schema_is_missing(bare_database: str) -> None:
    result = run("list", url=bare_database)
    assert (result.exit_code, "foreword migrate" in result.stderr) == (1, True)
    away = run("list", url="postgresql://nobody@127.0.0.1:1/none")
    assert (away.exit_code, away.stderr) == (1, "Error: The database does not answer.\n")


def test_the_gateway_refuses_a_schema_it_does_not_know(bare_database: str) -> None:
    with pytest.raises(SchemaUnknown, match="foreword migrate"):
        create_app(GatewaySettings.load(database_url=bare_database))


class Process:
    """The gateway as production runs it."""

    def __init__(self, url: str, recommender: str, folder: Path) -> None:
        self.port, metrics_port = free_ports(2)
        self.metrics = f"http://127.0.0.1:{metrics_port}/metrics"
        self.base = f"http://127.0.0.1:{self.port}"
        self.log = folder / "gateway.log"
        environment = {
            **os.environ,
            "DATABASE_URL": url,
            "FOREWORD_PORT": str(self.port),
            "FOREWORD_METRICS_PORT": str(metrics_port),
            "FOREWORD_RECOMMENDER_URL": recommender,
            "FOREWORD_BIND": "127.0.0.1",
            "FOREWORD_KEPT_KEYS_FILE": str(folder / "keys.json"),
        }
        gunicorn = [sys.executable, "-m", "gunicorn", "-c", "python:servicekit.gunicorn_conf"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*gunicorn, "gateway.wsgi:app"], env=environment, stdout=log, stderr=log
            )

    def wait_until_ready(self) -> None:
        for _ in range(300):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise AssertionError(self.log.read_text())

    def call(self, method: str, path: str, body: bytes = b"", /, **headers: str) -> tuple[int, bytes]:
        asked = urllib.request.Request(
            self.base + path, data=body if method != "GET" else None, headers=headers, method=method
        )
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@pytest.fixture
def process(gateway_database: str, stand_in: StandIn, tmp_path: Path) -> Iterator[Process]:
    found = Process(gateway_database, stand_in.url, tmp_path)
    try:
        found.wait_until_ready()
        yield found
    finally:
        found.stop()


def test_the_gateway_under_gunicorn(
    process: Process, store: DatabaseKeySource, stand_in: StandIn, gateway_database: str
) -> None:
    text, key = make_key(
        KeyKind.SECRET, name="all", scopes=["recommend", "signals", "assets:write", "assets:read"], now=NOW
    )
    store.add(key)
    authorised = {"Authorization": f"Bearer {text}", "Content-Type": "application/json"}
    _eventually(lambda: process.call("GET", "/v1/assets", b"", **authorised)[0] == 200)

    awkward = "/v1/assets/%2Fa%2F%2Fb%252F..%2F%E6%97%A5%3F%23%2F"
    asset = b'{"title": "T", "url": "https://www.example.com/t"}'
    status, body = process.call("PUT", awkward, asset, **authorised)
    assert (status, orjson.loads(body)["id"]) == (201, "/a//b%2F../日?#/")
    assert stand_in.last("/v1/assets//a//b%2F../日?#/")["raw"] == awkward
    assert process.call("GET", "/v1/assets/%FF", b"", **authorised)[0] == 400

    assert process.call("POST", "/v1/track", b'{"event": "x"}', **authorised) == (200, b'{"success": true}')
    status, body = process.call("POST", "/v1/recommendations", b'{"user_id": "u"}', **authorised)
    assert (status, len(orjson.loads(body)["items"])) == (200, 5)
    assert orjson.loads(body)["items"][0]["click_url"].startswith(process.base + "/c/")

    rows = b'{"id":"x","title":"T","url":"https://www.example.com/x"}\n' * 60_000
    status, body = process.call("POST", "/v1/assets:import", rows, **authorised)
    assert (status, body.count(b"\n")) == (200, 60_000)

    assert _upload(process.port, text, 50 * 1024 * 1024) == 413
    assert process.call("GET", "/v1/coverage", b"", **authorised)[0] == 200

    store.revoke(key.key_id, now=NOW)
    revoked_at = time.monotonic()
    _eventually(lambda: process.call("GET", "/v1/assets", b"", **authorised)[0] == 401)
    assert time.monotonic() - revoked_at < 2.5

    with urllib.request.urlopen(process.metrics, timeout=10) as answer:
        exposed = answer.read().decode()
    assert "foreword_gateway_recommendations_total" in exposed
    assert 'foreword_gateway_auth_failures_total{reason="revoked"}' in exposed
    process.stop()
    assert store.all()[0].last_used_at is not None  # written at the latest when the process ends
    log = process.log.read_text()
    assert text not in log
    assert "Traceback" not in log
    assert gateway_database not in log


def test_the_gateway_goes_on_without_the_database(
    process: Process, store: DatabaseKeySource, stand_in: StandIn, postgres_url: str, gateway_database: str
) -> None:
    text, key = make_key(KeyKind.SECRET, name="all", scopes=["recommend"], now=NOW)
    store.add(key)
    authorised = {"Authorization": f"Bearer {text}"}
    _eventually(lambda: process.call("POST", "/v1/recommendations", b"{}", **authorised)[0] == 200)
    name = sa.make_url(gateway_database).database
    admin = create_engine(postgres_url, pool_size=1, application_name="test")
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false"))
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"),
            {"name": name},
        )
    _eventually(lambda: b"last known" in process.call("GET", "/readyz")[1])
    assert process.call("POST", "/v1/recommendations", b"{}", **authorised)[0] == 200
    (worker,) = psutil.Process(process.process.pid).children()
    worker.kill()  # the one that comes after it never saw the database
    worker.wait(10)
    _eventually(lambda: _answers(process, **authorised))
    assert b"last known" in process.call("GET", "/readyz")[1]
    assert process.call("POST", "/v1/recommendations", b"{}", Authorization="Bearer fw_sk_made-up")[0] == 401
    with admin.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text(f"ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true"))
    _eventually(lambda: b"last known" not in process.call("GET", "/readyz")[1])
    admin.dispose()
    stand_in.status = 503
    status, body = process.call("POST", "/v1/recommendations", b"{}", **authorised)
    assert (status, orjson.loads(body)["meta"]["degraded"]) == (200, True)


def _upload(port: int, key: str, size: int) -> int:
    """As a client that sends everything before it reads the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "multipart/form-data; boundary=x"}
    connection.request("POST", "/v1/assets:upload", body=b"x" * size, headers=headers)
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def _answers(process: Process, **headers: str) -> bool:
    try:
        return process.call("POST", "/v1/recommendations", b"{}", **headers)[0] == 200
    except OSError:
        return False


def _eventually(holds: Any) -> None:
    for _ in range(200):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within 10 seconds")
