"""The chaos run's own parts: its plan, its replay, its idea of a lost write, and its proxy."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator

import pytest

from foreword_dev.chaos.checker import _asset_problem, _difference, replayed
from foreword_dev.chaos.faults import KILLS, OTHERS, plan
from foreword_dev.chaos.ledger import AssetWrites, Ledger
from foreword_dev.chaos.tcp_proxy import TcpProxy


def test_a_seed_decides_the_plan() -> None:
    assert plan(7, 200, 1200.0) == plan(7, 200, 1200.0) != plan(8, 200, 1200.0)


def test_a_full_run_kills_as_often_as_it_says_and_tries_every_fault() -> None:
    planned = plan(7, 200, 1200.0)
    assert 200 <= sum(one.kills for one in planned) <= 201
    assert {one.name for one in planned} == {*KILLS, *OTHERS}
    assert all(0 <= one.at <= 1200 for one in planned)


def test_a_replay_does_not_care_for_order_and_stops_at_the_most() -> None:
    log = [
        (3.0, "download", "a"),
        (1.0, "webinar_attended", "a"),
        (2.0, "share", "a"),
        (4.0, "impression", "a"),
        (2.5, "impression", "a"),
        (5.0, "view", "b"),
        (6.0, "identify", None),
    ]
    found = replayed(log)
    assert found == replayed(log[::-1])
    assert found["engaged"] == {"a": (8.0, 1.0, 3.0), "b": (1.0, 5.0, 5.0)}
    assert found["shown"] == {"a": (1, 4.0)}, "what was shown before the last engagement was answered"
    assert found["count"] == 7


def test_a_profile_that_lacks_a_signal_is_seen() -> None:
    wanted = replayed([(1.0, "view", "a"), (2.0, "view", "b")])
    state = {"ids": ["a"], "weights": [1.0], "first": [1.0], "last": [1.0], "count": 2}
    state |= {"shown": [], "shown_count": [], "shown_last": []}
    assert _difference(wanted, state) == "engaged b: None instead of (1.0, 2.0, 2.0)"
    assert "1 signals instead of 2" in _difference(wanted, {**state, "count": 1})
    assert _difference(wanted, None)


@pytest.mark.parametrize(
    ("tried", "settled", "title", "lost"),
    [
        (["one"], 1, "one", False),
        (["one"], 1, None, True),
        (["one", "two"], 1, "two", False),
        (["one", "two"], 1, "one", False),
        (["one", "two"], 2, "one", True),
        (["one", None], 2, "one", True),
        (["one", None], 2, None, False),
        (["one"], 0, None, False),
    ],
)
def test_an_acknowledged_write_must_be_there_and_an_open_one_may(
    tried: list[str | None], settled: int, title: str | None, lost: bool
) -> None:
    problem = _asset_problem(AssetWrites(tried, settled), title is not None, title)
    assert bool(problem) == lost


def test_a_deletion_counts_from_its_acknowledgement_until_the_next_try() -> None:
    ledger = Ledger()
    number = ledger.trying("a", None)
    assert not ledger.gone_before("a", float("inf"))
    ledger.settle("a", number)
    assert ledger.gone_before("a", float("inf"))
    assert not ledger.gone_before("a", 0.0)
    ledger.trying("a", "again")
    assert not ledger.gone_before("a", float("inf"))


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(1024):
            self.request.sendall(data)


@pytest.fixture
def echo() -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Echo) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield int(server.server_address[1])
        server.shutdown()


def test_the_proxy_passes_over_what_is_dead_and_cuts_what_is_open(echo: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        dead = int(probe.getsockname()[1])
    proxy = TcpProxy("test", [("127.0.0.1", dead), ("127.0.0.1", echo)])
    try:
        for _ in range(3):
            with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as caller:
                caller.sendall(b"hello")
                assert caller.recv(16) == b"hello"
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as caller:
            caller.sendall(b"hello")
            assert caller.recv(16) == b"hello"
            assert proxy.cut() >= 1
            assert caller.recv(16) == b"", "in the middle, without a word"
    finally:
        proxy.close()
