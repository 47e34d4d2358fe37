"""Which requests are let in when there is more to do than can be done."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import pytest

from servicekit.admission import Admission, AdmissionRules, Work, note_wait, was_refused

THREADS = 8


class Rig:
    """An application whose answers stay open until the test closes them, behind an Admission."""

    def __init__(self) -> None:
        self.served = 0
        self.refused: list[tuple[str, str, int]] = []
        self.now = 0.0
        rules = AdmissionRules(self._work, lambda environ: environ.get("HTTP_AUTHORIZATION"))
        self.admission = Admission(
            self._application,
            rules,
            lambda *what: self.refused.append(what),
            threads=THREADS,
            most_wait_seconds=0.25,
            clock=lambda: self.now,
        )

    @staticmethod
    def _work(environ: dict[str, Any]) -> Work:
        work: Work = environ["PATH_INFO"].strip("/")
        return work

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.served += 1
        start_response("200 OK", [])
        return [b"served"]

    def ask(self, work: str, key: str | None = None, waited: float = 0.0) -> tuple[int, dict[str, str], Any]:
        """→ (status, headers, answer); the request is under way until its answer is closed."""
        environ: dict[str, Any] = {"PATH_INFO": f"/{work}", "REQUEST_METHOD": "POST"}
        if key is not None:
            environ["HTTP_AUTHORIZATION"] = key
        told: list[Any] = []
        note_wait(waited)
        answer = self.admission(environ, lambda *said: told.append(said))
        return int(told[0][0][:3]), dict(told[0][1]), answer


@pytest.fixture
def rig() -> Iterator[Rig]:
    yield Rig()
    note_wait(0.0)


def test_streams_hold_a_quarter_of_the_threads_and_recommendations_go_on(rig: Rig) -> None:
    open_streams = [rig.ask("bulk") for _ in range(2)]
    status, headers, body = rig.ask("bulk")
    assert status == 503
    assert int(headers["Retry-After"]) >= 1
    assert orjson.loads(b"".join(body))["code"] == "too_many_imports"
    assert was_refused()
    assert rig.ask("direct")[0] == 200
    assert not was_refused()
    open_streams[0][2].close()
    assert rig.ask("bulk")[0] == 200


def test_what_can_wait_leaves_a_quarter_of_the_threads_to_what_cannot(rig: Rig) -> None:
    assert [rig.ask("deferrable")[0] for _ in range(7)] == [200] * 6 + [503]
    assert [rig.ask("direct")[0] for _ in range(2)] == [200] * 2


def test_a_wait_counts_only_while_all_threads_are_at_work(rig: Rig) -> None:
    assert rig.ask("direct", waited=3.0)[0] == 200, "a slow machine is no overload"
    for _ in range(5):
        rig.ask("direct")
    assert rig.ask("direct", waited=0.2)[0] == 200
    assert rig.ask("direct", waited=0.3)[0] == 503
    assert rig.refused == [("waited", "POST", 503)]


def test_a_key_that_floods_leaves_the_others_their_part(rig: Rig) -> None:
    rig.ask("direct", "quiet")
    flood = [rig.ask("direct", "loud") for _ in range(THREADS)]
    statuses = [one[0] for one in flood]
    assert statuses == [200] * 5 + [429] * 3, "all threads but the quarter that is kept, then no more"
    assert "Retry-After" in flood[-1][1]
    assert rig.ask("direct", "quiet")[0] == 200


def test_one_key_alone_may_use_everything(rig: Rig) -> None:
    assert [rig.ask("direct", "only")[0] for _ in range(THREADS)] == [200] * THREADS


def test_a_key_that_has_gone_leaves_its_part_to_others(rig: Rig) -> None:
    rig.ask("direct", "gone")[2].close()
    rig.now = 10.0
    assert [rig.ask("direct", "here")[0] for _ in range(THREADS)] == [200] * THREADS


def test_probes_are_always_answered(rig: Rig) -> None:
    for _ in range(20):
        rig.ask("direct")
    environ = {"PATH_INFO": "/livez", "REQUEST_METHOD": "GET"}
    told: list[Any] = []
    note_wait(9.0)
    rig.admission(environ, lambda *said: told.append(said))
    assert told[0][0] == "200 OK"


def test_what_was_let_in_is_let_out_once_whatever_happens(rig: Rig) -> None:
    for _ in range(50):
        answer = rig.ask("bulk", "key")[2]
        assert b"".join(answer) == b"served"
        answer.close()
        answer.close()

    def fail(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        raise RuntimeError

    broken = Admission(
        fail, AdmissionRules(lambda _: "bulk"), lambda *_: None, threads=4, most_wait_seconds=1
    )
    for _ in range(5):
        with pytest.raises(RuntimeError):
            broken({"PATH_INFO": "/"}, lambda *_: lambda _: None)


def test_many_threads_never_exceed_the_limit(rig: Rig) -> None:
    most = 0
    under_way = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, under_way
        for _ in range(200):
            status, _, answer = rig.ask("bulk")
            if status == 200:
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                with lock:
                    under_way -= 1
                answer.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 2
    assert rig.ask("bulk")[0] == 200
