"""A client of the public API: keeps connections, waits and tries again when Foreword asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import IO, Any
from urllib.parse import urlencode

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from foreword_client.contract_calls import ContractCalls

_RETRIED = frozenset({408, 429, 500, 502, 503, 504})


class ForewordUnavailable(Exception):
    """Foreword did not answer, or kept answering that a part is away."""


class RequestRefused(Exception):
    """Foreword understood the request and refused it; `problem` is its problem+json."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(str(problem.get("detail") or problem.get("title") or f"status {status}"))
        self.status = status
        self.problem = dict(problem)


class Client(ContractCalls):
    """Safe to share between threads. Every write is idempotent by its id, so trying again doubles nothing."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        timeout_seconds: float = 60.0,
        tries: int = 6,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "User-Agent": "foreword-client/0.1.0"}
        self._tries = tries
        self._sleep = sleep
        self._pool = urllib3.PoolManager(
            maxsize=8, retries=False, timeout=urllib3.Timeout(connect=5.0, read=timeout_seconds)
        )

    def recommend_batch(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        max_per_asset: int | None = None,
        once_an_account: bool = False,
    ) -> list[dict[str, Any]]:
        """`POST /v1/recommendations:batch`, up to 10,000. → an answer or a problem each, in order."""
        limits = {"max_per_asset": max_per_asset, "once_an_account": "true" if once_an_account else None}
        query = urlencode({name: value for name, value in limits.items() if value is not None})
        path = "/v1/recommendations:batch" + (f"?{query}" if query else "")
        body = b"".join(orjson.dumps(request) + b"\n" for request in requests)
        headers = {"Content-Type": "application/x-ndjson"}
        for attempt in range(self._tries):
            answer = self._request("POST", path, body, headers)
            results: list[dict[str, Any]] = [orjson.loads(line) for line in answer.splitlines() if line]
            if len(results) == len(requests):
                return results
            if attempt + 1 < self._tries:
                self._sleep(_pause(attempt))
        raise ForewordUnavailable(f"{self._base_url} broke off in the middle of a batch.")

    def upload(
        self,
        files: Iterable[tuple[str, bytes]],
        *,
        fields: Mapping[str, Mapping[str, Any]] | None = None,
        base_url: str | None = None,
    ) -> list[dict[str, Any]]:
        """Upload (name, content) files; `fields` holds what is known of each by name. → a result a file."""
        parts: list[tuple[str, Any]] = [("files", (name, data)) for name, data in files]
        if fields is not None:
            parts.append(("fields", orjson.dumps(fields).decode()))
        if base_url is not None:
            parts.append(("base_url", base_url))
        body, content_type = urllib3.encode_multipart_formdata(parts)
        answer = self._request("POST", "/v1/assets:upload", body, {"Content-Type": content_type})
        results: list[dict[str, Any]] = orjson.loads(answer)["results"]
        return results

    def import_lines(self, lines: Sequence[bytes]) -> list[dict[str, Any]]:
        """Store the assets of these NDJSON lines. → a result a line.

        The answer's status is sent before the end is known: fewer results than lines mean that it broke off.
        """
        headers = {"Content-Type": "application/x-ndjson"}
        body = b"\n".join(lines) + b"\n"
        results: list[dict[str, Any]] = []
        for attempt in range(self._tries):
            answer = self._request("POST", "/v1/assets:import", body, headers)
            results = [orjson.loads(line) for line in answer.splitlines()]
            if len(results) == len(lines) and all("line" in result for result in results):
                return results
            if attempt + 1 < self._tries:
                self._sleep(_pause(attempt))
        told = results[-1].get("detail", "") if results else ""
        raise ForewordUnavailable(f"{self._base_url} broke off in the middle of an import. {told}".strip())

    def import_stream(self, stream: IO[bytes], content_type: str) -> Iterator[dict[str, Any]]:
        """Send a whole file as it is (CSV, NDJSON, gzip), in constant memory. → a result a row."""
        chunks = iter(lambda: stream.read(64 * 1024), b"")
        try:
            response = self._pool.request(
                "POST",
                self._base_url + "/v1/assets:import",
                body=chunks,
                headers={**self._headers, "Content-Type": content_type},
                timeout=urllib3.Timeout(connect=5.0, read=600.0),
                preload_content=False,
            )
            if response.status != 200:
                raise _refused(response.status, response.data)
            rest = b""
            for chunk in response.stream(64 * 1024):
                *whole, rest = (rest + chunk).split(b"\n")
                yield from (orjson.loads(line) for line in whole if line)
        except HTTPError as error:
            raise ForewordUnavailable(f"{self._base_url} broke off: {type(error).__name__}") from error

    def send_events(self, events: Sequence[bytes]) -> None:
        """Send tracking events, each one JSON object already encoded; returns when they are stored."""
        body = b'{"batch":[' + b",".join(events) + b"]}"
        self._request("POST", "/v1/import", body, {"Content-Type": "application/json"})

    def send_table(self, path: str, table: bytes) -> bytes:
        """Post a CSV that the address takes whole. → its answer."""
        return self._request("POST", path, table, {"Content-Type": "text/csv"})

    def _request(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        last = "no answer"
        for attempt in range(self._tries):
            wait = _pause(attempt)
            try:
                response = self._pool.request(
                    method, self._base_url + path, body=body, headers={**self._headers, **headers}
                )
            except HTTPError as error:
                last = type(error).__name__
            else:
                if response.status < 400:
                    return response.data
                if response.status not in _RETRIED:
                    raise _refused(response.status, response.data)
                last = f"status {response.status}"
                asked = response.headers.get("Retry-After", "")
                wait = float(asked) if asked.isdigit() else wait
            if attempt + 1 < self._tries:
                self._sleep(wait)
        raise ForewordUnavailable(f"{self._base_url} did not take the request: {last} ({self._tries} tries).")


def _pause(attempt: int) -> float:
    """Seconds before the next try, where the server does not ask for a time of its own."""
    return min(30.0, 0.25 * float(2**attempt))


def _refused(status: int, body: bytes) -> RequestRefused:
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        problem = {}
    return RequestRefused(status, problem if isinstance(problem, dict) else {})
