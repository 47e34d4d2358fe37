"""The database goes away and comes back: answers from memory, refused writes, recovery without a restart."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry

from recommender.service.database_pulse import PATIENCE_SECONDS, DatabasePulse
from recommender_rig import Rig, RigMaker, code
from servicekit.database import create_engine


class DatabaseProxy:
    """A door before the database that a test can shut, with everybody who is inside."""

    def __init__(self, url: str) -> None:
        parts = sa.make_url(url)
        host = str(parts.query.get("host") or parts.host)
        self._target: str | tuple[str, int] = (host, parts.port or 5432)
        if host.startswith("/"):
            self._target = f"{host}/.s.PGSQL.{parts.port or 5432}"
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._port = self._listener.getsockname()[1]
        self._inside: set[socket.socket] = set()
        self.is_open = True
        self._passes = threading.Event()
        self._passes.set()
        self.url = str(
            parts.set(host="127.0.0.1", port=self._port, query={}).render_as_string(hide_password=False)
        )
        threading.Thread(target=self._accept, daemon=True).start()

    def shut(self) -> None:
        self.is_open = False
        for one in list(self._inside):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def hang(self) -> None:
        """Whoever is inside stays, and nothing comes through until it opens."""
        self._passes.clear()

    def open(self) -> None:
        self.is_open = True
        self._passes.set()

    def close(self) -> None:
        self.shut()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self.is_open:
                client.close()
                continue
            family = socket.AF_UNIX if isinstance(self._target, str) else socket.AF_INET
            server = socket.socket(family)
            server.connect(self._target)
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        pair = {client: server, server: client}
        self._inside |= pair.keys()
        with contextlib.suppress(OSError):
            while True:
                for ready in select.select(list(pair), [], [])[0]:
                    self._passes.wait()
                    data = ready.recv(65_536)
                    if not data:
                        raise ConnectionError
                    pair[ready].sendall(data)
        self._inside -= pair.keys()
        for one in pair:
            one.close()


@pytest.fixture
def proxy(recommender_database: str) -> Iterator[DatabaseProxy]:
    made = DatabaseProxy(recommender_database)
    yield made
    made.close()


@pytest.fixture
def rig(make_recommender: RigMaker, proxy: DatabaseProxy) -> Rig:
    made = make_recommender(database_url=proxy.url)
    for n in range(3):
        assert made.put(f"a{n}", topics=["GDP"]).status_code == 201
    event = {"type": "track", "event": "Content Viewed", "userId": "u", "messageId": "1"}
    assert made.send({**event, "properties": {"asset_id": "a0"}}).status_code == 200
    assert made.recommend(user_id="u")["meta"]["tier"] == "personal"
    return made


def test_recommendations_are_answered_from_memory_and_say_so(rig: Rig, proxy: DatabaseProxy) -> None:
    proxy.shut()
    answer = rig.recommend(user_id="u")
    assert answer["meta"]["degraded"] is True
    assert {item["id"] for item in answer["items"]} == {"a0", "a1", "a2"}
    assert "buyer_unknown" in {warning["code"] for warning in answer["warnings"]}
    found = rig.client.get("/v1/search?q=Title").json
    assert found is not None
    assert found["meta"]["degraded"] is True
    assert len(found["items"]) == 3
    rig.parts["pulse"].step()
    assert rig.client.get("/readyz").status_code == 200
    assert rig.client.get("/readyz").json["parts"]["database"]["ready"] is False  # type: ignore[index]


def test_a_start_without_the_database_refuses_rather_than_answering_blank(
    rig: Rig, make_recommender: RigMaker, proxy: DatabaseProxy
) -> None:
    """The gateway takes a 503 for what it is and shows what it remembers; a blank answer it would hand on."""
    started = make_recommender(database_url=proxy.url)
    started.parts["replica"]._snapshot = None  # as it is between the start of the process and the first load
    proxy.shut()
    answer = started.client.post("/v1/recommendations", json={"user_id": "u"})
    assert code(answer) == (503, "catalogue_not_loaded")
    assert answer.headers["Retry-After"].isdigit()
    assert code(started.client.get("/v1/search?q=Title")) == (503, "catalogue_not_loaded")
    proxy.open()
    assert {item["id"] for item in started.recommend(user_id="u")["items"]} == {"a1", "a2"}


def test_writes_are_refused_and_told_when_to_come_back(rig: Rig, proxy: DatabaseProxy) -> None:
    proxy.shut()
    for answer in (
        rig.put("new"),
        rig.client.patch("/v1/assets/a1", json={"title": "x"}),
        rig.client.delete("/v1/assets/a1"),
        rig.get("a1"),
        rig.send({"type": "page", "userId": "u", "messageId": "2"}),
        rig.client.get("/v1/buyers/u"),
        rig.client.post("/v1/buyers/u:erase"),
    ):
        assert code(answer) == (503, "database_away")
        assert answer.headers["Retry-After"].isdigit()
        assert "psycopg" not in answer.text


def test_it_recovers_without_a_restart(rig: Rig, proxy: DatabaseProxy) -> None:
    proxy.shut()
    assert rig.recommend(user_id="u")["meta"]["degraded"] is True
    proxy.open()
    answers = [rig.recommend(user_id="u") for _ in range(3)]
    assert [answer["meta"]["degraded"] for answer in answers] == [False] * 3
    assert answers[0]["meta"]["tier"] == "personal"
    assert rig.put("new").status_code == 201
    assert "new" in rig.shown()
    assert rig.send({"type": "page", "userId": "u", "messageId": "2"}).status_code == 200


def test_nobody_is_paged_for_the_database_while_the_catalogue_is_loaded(make_recommender: RigMaker) -> None:
    """Nothing has asked the database since the start: it is there until it is found away."""
    assert _up(make_recommender()) == 1


def test_a_database_that_hangs_is_found_away_and_holds_up_no_probe(rig: Rig, proxy: DatabaseProxy) -> None:
    """Kubernetes waits a second for `/readyz`, and would take every replica out of service."""
    now = [0.0]
    pulse = DatabasePulse(create_engine(proxy.url, pool_size=1, application_name="tests"), lambda: now[0])
    pulse.step()
    proxy.hang()
    asking = threading.Thread(target=pulse.step, daemon=True)
    asking.start()
    began = time.monotonic()
    assert rig.client.get("/readyz").status_code == 200
    assert time.monotonic() - began < 1.0
    now[0] = PATIENCE_SECONDS
    assert pulse.trouble == "", "a question may take a moment"
    now[0] += 0.1
    assert pulse.trouble == "NoAnswer"
    proxy.open()
    asking.join(10)
    assert pulse.trouble == ""
    pulse.close()


def _up(rig: Rig) -> float | None:
    registry: CollectorRegistry = rig.app.extensions["metrics"].registry
    return registry.get_sample_value("foreword_recommender_database_up")


def _end_connections(rig: Rig) -> None:
    """As a restart or a failover does to all that are pooled."""
    with contextlib.ExitStack() as stack:  # several pooled connections
        for _ in range(5):
            stack.enter_context(rig.engine.connect()).exec_driver_sql("SELECT 1")
    # By a connection of another pool: the newest of this one is used first, and must be dead as well.
    other = create_engine(rig.engine.url.render_as_string(False), pool_size=1, application_name="tests")
    with other.connect() as connection:
        ended = connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'foreword-recommender'"
        ).all()
        assert len(ended) >= 5
    other.dispose()


def test_connections_that_the_server_ended_cost_at_most_one_answer(rig: Rig) -> None:
    _end_connections(rig)
    event = {"type": "page", "userId": "u", "messageId": "after"}
    statuses = [rig.send(event).status_code for _ in range(5)]
    statuses += [rig.client.get("/v1/buyers/u").status_code for _ in range(5)]
    assert statuses.count(503) <= 1
    assert rig.buyer("u")["signal_count"] == 2


def test_a_recommendation_that_finds_its_connection_ended_throws_all_of_them_away(rig: Rig) -> None:
    """It asks past SQLAlchemy, in a pipeline; requests beside it must not each find one more that is dead."""
    _end_connections(rig)
    assert rig.recommend(user_id="u")["meta"]["degraded"] is True
    with contextlib.ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(rig.engine.connect()).exec_driver_sql("SELECT 1")
    assert rig.recommend(user_id="u")["meta"]["degraded"] is False
