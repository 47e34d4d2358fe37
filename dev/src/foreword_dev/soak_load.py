"""An open load: so many requests a second, whether or not the answers come; and what came of each."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson

MOST_CONNECTIONS = 600
_PATIENCE_SECONDS = 10.0


@dataclass(slots=True)
class Tally:
    """What came of the requests of one kind: counts by outcome, seconds of those that were served."""

    outcomes: Counter[str] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    served_at: list[float] = field(default_factory=list)
    unsent: int = 0

    @property
    def served(self) -> int:
        return self.outcomes["served"]

    def quantile(self, share: float) -> float:
        ordered = sorted(self.seconds)
        return ordered[int(share * (len(ordered) - 1))] if ordered else 0.0


@dataclass(slots=True)
class _Line:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter


class Sender:
    """Requests over kept-alive connections to one server; no more than `MOST_CONNECTIONS` at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[_Line] = []
        self._open = 0

    async def send(self, request: bytes, tally: Tally) -> None:
        """Send and wait for the answer; one that finds no free connection is counted as not sent."""
        line = await self._line()
        if line is None:
            tally.unsent += 1
            return
        began = time.perf_counter()
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                line.writer.write(request)
                outcome, keep = await _answer(line.reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, ValueError):
            outcome, keep = "broken", False
        tally.outcomes[outcome] += 1
        if outcome == "served":
            tally.seconds.append(time.perf_counter() - began)
            tally.served_at.append(time.monotonic())
        if keep:
            self._free.append(line)
        else:
            self._open -= 1
            line.writer.close()

    async def _line(self) -> _Line | None:
        while self._free:
            line = self._free.pop()
            # As any client does: the server may have closed what nobody used for a while.
            if not line.reader.at_eof():
                return line
            line.writer.close()
            self._open -= 1
        if self._open >= MOST_CONNECTIONS:
            return None
        self._open += 1
        try:
            return _Line(*await asyncio.open_connection("127.0.0.1", self._port))
        except OSError:
            self._open -= 1
            return None

    async def close(self) -> None:
        for line in self._free:
            line.writer.close()
            with contextlib.suppress(OSError):
                await line.writer.wait_closed()


async def _answer(reader: asyncio.StreamReader) -> tuple[str, bool]:
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    status = int(head[9:12])
    length = int(lower.split(b"content-length:")[1].split(b"\r\n")[0])
    body = await reader.readexactly(length)
    keep = b"connection: close" not in lower
    if status == 200:
        return ("degraded" if b'"degraded":true' in body else "served"), keep
    if status in (429, 503):
        return ("refused" if b"retry-after:" in lower else "refused without Retry-After"), keep
    return f"status {status}", keep


def request_of(path: str, key: str, document: dict[str, object]) -> bytes:
    body = orjson.dumps(document)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: soak\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def at_rate(
    sender: Sender,
    make: Callable[[random.Random], tuple[bytes, Tally]],
    per_second: float,
    until: float,
    rng: random.Random,
) -> None:
    """Send what `make` makes at random moments, `per_second` on the mean, until then (monotonic)."""
    under_way: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    while (now := time.monotonic()) < until:
        while due <= now:
            due += rng.expovariate(per_second)
            task = asyncio.create_task(sender.send(*make(rng)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        await asyncio.sleep(min(0.005, max(0.0, due - time.monotonic())))
    await asyncio.gather(*under_way)


async def closed(
    sender: Sender,
    make: Callable[[random.Random], tuple[bytes, Tally]],
    callers: int,
    until: float,
    rng: random.Random,
) -> None:
    """So many callers, each of whom asks again as soon as it has its answer."""

    async def ask(own: random.Random) -> None:
        while time.monotonic() < until:
            await sender.send(*make(own))

    seeds: Sequence[int] = [rng.randrange(1 << 30) for _ in range(callers)]
    await asyncio.gather(*(ask(random.Random(seed)) for seed in seeds))
