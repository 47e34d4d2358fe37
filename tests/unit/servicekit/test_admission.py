"""Which requests are let in when there is more to do than can be done."""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import Any, get_args

import orjson
import pytest

from servicekit import refusal
from servicekit.admission import Admission, AdmissionRules, Admitted, Head, Reason, Work

THREADS = 8
SLOW = 0.25


class Rig:
    """An Admission with a clock of the test's own; the kind of work stands in the path."""

    def __init__(self) -> None:
        self.now = 100.0
        self.limits: list[int] = []
        self.admission = Admission(
            AdmissionRules(self._work, lambda head: head.authorization or None),
            threads=THREADS,
            most_wait_seconds=0.25,
            slow_seconds=SLOW,
            clock=lambda: self.now,
            on_limit=lambda limit: self.limits.append(limit),
        )

    @staticmethod
    def _work(head: Head) -> Work:
        work: Work = head.path.strip("/")  # type: ignore[assignment]
        return work

    def ask(self, work: str, key: str = "", waited: float = 0.0) -> Admitted | Reason:
        return self.admission.enter(Head("POST", f"/{work}", authorization=key), waited)

    def asks(self, times: int, work: str, key: str = "") -> list[str]:
        """→ `in` or the reason for each."""
        return [_told(self.ask(work, key)) for _ in range(times)]

    def slow_down(self) -> None:
        """Until the limit is at its least: one is quick, and many are not."""
        for _ in range(60):
            self.leave(self.ask("direct"))
            under_way = [self.ask("direct") for _ in range(THREADS)]
            self.now += 1.0
            for one in under_way:
                if isinstance(one, Admitted):
                    self.leave(one)

    def leave(self, one: Admitted | Reason) -> None:
        assert isinstance(one, Admitted)
        self.admission.leave(one)


def _told(one: Admitted | Reason) -> str:
    return "in" if isinstance(one, Admitted) else one


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_streams_hold_a_quarter_of_the_threads_and_recommendations_go_on(rig: Rig) -> None:
    streams = [rig.ask("bulk") for _ in range(2)]
    assert rig.ask("bulk") == "bulk"
    assert _told(rig.ask("direct")) == "in"
    rig.leave(streams[0])
    assert _told(rig.ask("bulk")) == "in"


def test_while_recommendations_are_refused_streams_start_ten_seconds_apart(rig: Rig) -> None:
    def refused_one() -> None:
        under_way = [rig.ask("direct") for _ in range(THREADS)]
        assert rig.ask("direct") == "full"
        for one in under_way:
            rig.leave(one)

    refused_one()
    rig.leave(rig.ask("bulk"))
    assert rig.ask("bulk") == "bulk"
    rig.now += 9.9
    refused_one()
    assert rig.ask("bulk") == "bulk"
    rig.now += 0.2
    assert _told(rig.ask("bulk")) == "in", "they are not starved either"
    rig.now += 1.1
    assert _told(rig.ask("bulk")) == "in", "nobody was refused of late"


def test_what_can_wait_leaves_a_quarter_of_the_threads_to_what_cannot(rig: Rig) -> None:
    assert rig.asks(7, "deferrable") == ["in"] * 6 + ["deferrable"]
    assert rig.asks(2, "direct") == ["in"] * 2


def test_a_wait_counts_only_while_all_threads_are_at_work(rig: Rig) -> None:
    assert _told(rig.ask("direct", waited=3.0)) == "in", "a slow machine is no overload"
    rig.asks(5, "direct")
    assert _told(rig.ask("direct", waited=0.2)) == "in"
    assert rig.ask("direct", waited=0.3) == "waited"


def test_a_key_that_floods_leaves_the_others_their_part(rig: Rig) -> None:
    rig.ask("direct", "quiet")
    flood = rig.asks(THREADS, "direct", "loud")
    assert flood == ["in"] * 5 + ["share"] * 3, "all threads but the quarter that is kept, then no more"
    assert _told(rig.ask("direct", "quiet")) == "in"


def test_one_key_alone_may_use_everything(rig: Rig) -> None:
    assert rig.asks(THREADS + 1, "direct", "only") == ["in"] * THREADS + ["full"]


def test_a_key_that_has_gone_leaves_its_part_to_others(rig: Rig) -> None:
    rig.leave(rig.ask("direct", "gone"))
    rig.now += 10.0
    assert rig.asks(THREADS, "direct", "here") == ["in"] * THREADS


def test_where_requests_are_slow_fewer_are_taken_on_and_a_calm_key_comes_in_above_them(rig: Rig) -> None:
    rig.slow_down()
    assert rig.admission.limit == THREADS // 4
    told = [THREADS, *rig.limits]
    assert told[-1] == THREADS // 4
    assert all(before != after for before, after in pairwise(told)), "changes are told, and nothing else"
    rig.leave(rig.ask("direct", "calm"))
    assert rig.asks(4, "direct", "loud") == ["in", "in", "share", "share"]
    assert rig.admission.is_full
    assert rig.admission.refuse(Head("POST", "/direct", authorization="loud")) == "share"
    assert rig.admission.refuse(Head("POST", "/direct", authorization="calm")) is None
    assert _told(rig.ask("direct", "calm")) == "in"


def test_streams_that_go_on_take_no_room_from_what_comes_when_it_gets_slow(rig: Rig) -> None:
    streams = [rig.ask("bulk"), rig.ask("bulk")]
    assert all(isinstance(one, Admitted) for one in streams)
    rig.slow_down()
    assert rig.admission.limit == THREADS // 4
    assert not rig.admission.is_full
    assert rig.asks(1, "deferrable") == ["in"]
    assert rig.asks(2, "direct") == ["in", "full"]


def test_asking_whether_it_would_be_refused_lets_nothing_in(rig: Rig) -> None:
    for _ in range(50):
        assert rig.admission.refuse(Head("POST", "/direct")) is None
    assert not rig.admission.is_full


def test_only_what_somebody_waits_for_says_that_the_service_is_slow(rig: Rig) -> None:
    for _ in range(100):
        rig.leave(rig.ask("direct"))
        under_way = [rig.ask(work) for work in ("bulk", "bulk", *["deferrable"] * 4)]
        rig.now += 60.0
        for one in under_way:
            rig.leave(one)
    assert rig.admission.limit == THREADS


def test_waiting_for_a_thread_is_part_of_how_long_it_took(rig: Rig) -> None:
    for _ in range(60):
        rig.leave(rig.ask("direct"))
        for one in [rig.ask("direct", waited=0.24) for _ in range(THREADS)]:
            if isinstance(one, Admitted):
                rig.now += 0.02
                rig.leave(one)
    assert rig.admission.limit == THREADS // 4


def test_probes_are_always_answered(rig: Rig) -> None:
    rig.asks(20, "direct")
    admission = Admission(
        AdmissionRules(lambda _: "direct"),
        threads=1,
        most_wait_seconds=0.1,
        slow_seconds=1,
        clock=lambda: 0.0,
    )
    assert _told(admission.enter(Head("GET", "/v1/assets"), 0.0)) == "in"
    assert admission.enter(Head("GET", "/v1/assets"), 9.0) == "waited"
    for path in ("/livez", "/readyz"):
        assert _told(admission.enter(Head("GET", path), 9.0)) == "in"


def test_what_comes_in_and_goes_out_leaves_nothing_behind(rig: Rig) -> None:
    for _ in range(50):
        rig.leave(rig.ask("bulk", "key"))
    assert not rig.admission.is_full
    assert rig.asks(THREADS, "direct", "key") == ["in"] * THREADS


def test_many_threads_never_exceed_the_limit(rig: Rig) -> None:
    most = under_way = 0
    lock = threading.Lock()

    def work() -> None:
        nonlocal most, under_way
        for _ in range(200):
            one = rig.ask("bulk")
            if isinstance(one, Admitted):
                with lock:
                    under_way += 1
                    most = max(most, under_way)
                with lock:
                    under_way -= 1
                rig.admission.leave(one)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 1 <= most <= 2
    assert _told(rig.ask("bulk")) == "in"


@pytest.mark.parametrize("reason", get_args(Reason))
def test_a_refusal_is_a_whole_problem_document_that_names_nobody(reason: Reason) -> None:
    told: dict[str, Any] = {"path": "/v1/buyers/somebody@example.com", "request_id": "r-1", "date": "now"}
    head, _, body = refusal.answer(reason, method="GET", keep_alive=True, **told).partition(b"\r\n\r\n")
    status = refusal.status_of(reason)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert int(fields["Retry-After"]) >= 1
    assert int(fields["Content-Length"]) == len(body)
    assert (fields["Connection"], fields["Content-Type"]) == ("keep-alive", "application/problem+json")
    document = orjson.loads(body)
    assert (document["status"], document["request_id"], document["instance"]) == (status, "r-1", "/v1/…")
    assert b"somebody" not in body
    without, _, nothing = refusal.answer(reason, method="HEAD", keep_alive=False, **told).partition(
        b"\r\n\r\n"
    )
    assert b"Connection: close" in without
    assert nothing == b""
