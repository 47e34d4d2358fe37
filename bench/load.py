"""Load on a port of this machine: as much as a number of connections can, or at a rate that does not yield.

At a rate, a request's time runs from the moment at which it was meant to be sent. A server that stalls makes
those wait that would have come meanwhile, and a generator that waited with it would leave them out of its
figures ("coordinated omission").
"""

from __future__ import annotations

import itertools
import random
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


class Broken(Exception):
    """The server answered something else than 200, or closed the connection."""


class Connection:
    """One kept-alive HTTP/1.1 connection that costs the machine as little as can be."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes) -> bytes:
        """→ the answer's body. Raises Broken."""
        self._socket.sendall(request)
        found = b""
        while (end := found.find(b"\r\n\r\n")) < 0:
            if not (part := self._socket.recv(65_536)):
                raise Broken("closed")
            found += part
        head, body = found[:end].lower(), found[end + 4 :]
        if not head.startswith(b"http/1.1 200"):
            raise Broken(found[:400].decode(errors="replace"))
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
        while len(body) < length:
            if not (part := self._socket.recv(65_536)):
                raise Broken("closed")
            body += part
        return body

    def close(self) -> None:
        self._socket.close()


def post(port: int, path: str, body: bytes, key: str = "") -> bytes:
    """The bytes of a request."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass(frozen=True, slots=True)
class Latencies:
    """Seconds of each request, sorted."""

    seconds: Sequence[float]
    lasted: float

    @property
    def rate(self) -> float:
        return len(self.seconds) / self.lasted

    def at(self, share: float) -> float:
        return float(np.quantile(self.seconds, share))


def _run(clients: int, work: Callable[[], list[float]]) -> Latencies:
    found: list[list[float]] = []
    failures: list[BaseException] = []

    def one() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001 - told after all have ended
            failures.append(error)

    threads = [threading.Thread(target=one) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lasted = time.perf_counter() - started
    if failures:
        raise SystemExit(f"the load broke off: {failures[0]!r}")
    return Latencies(sorted(itertools.chain.from_iterable(found)), lasted)


def peak(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Latencies:
    """Each connection sends its next request when the last was answered."""
    numbers = itertools.count()
    end = time.perf_counter() + seconds

    def work() -> list[float]:
        connection = Connection(port)
        took = []
        while (now := time.perf_counter()) < end:
            connection.ask(requests[next(numbers) % len(requests)])
            took.append(time.perf_counter() - now)
        connection.close()
        return took

    return _run(clients, work)


def once(port: int, requests: Sequence[bytes], clients: int) -> Latencies:
    """Every request once, over so many connections."""
    numbers = itertools.count()

    def work() -> list[float]:
        connection = Connection(port)
        took = []
        while (number := next(numbers)) < len(requests):
            began = time.perf_counter()
            connection.ask(requests[number])
            took.append(time.perf_counter() - began)
        connection.close()
        return took

    return _run(clients, work)


def paced(
    port: int, requests: Sequence[bytes], rate: float, seconds: float, clients: int, seed: int
) -> Latencies:
    """`rate` requests a second at moments of chance (Poisson); time runs from the moment that was meant."""
    rng = random.Random(seed)
    gaps = (rng.expovariate(rate) for _ in range(int(rate * seconds)))
    started = time.perf_counter() + 0.2
    meant = enumerate([started + at for at in itertools.accumulate(gaps)])
    lock = threading.Lock()

    def work() -> list[float]:
        connection = Connection(port)
        took = []
        while True:
            with lock:
                number, at = next(meant, (0, None))
            if at is None:
                break
            if (wait := at - time.perf_counter()) > 0:
                time.sleep(wait)
            connection.ask(requests[number % len(requests)])
            took.append(time.perf_counter() - at)
        connection.close()
        return took

    return _run(clients, work)
