"""Changes made with API keys, noted in the audit log beside those made in the studio.

A request does not wait for its note: notes are written moments later, kept while the database is away, and
lost only if the process dies before.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import sqlalchemy as sa
from flask import Response, request
from prometheus_client import Counter

from gateway.access import Caller, Guard
from gateway.keys import ApiKey
from gateway.routing import Keyed, Route, View
from gateway.studio.audit import AuditLog, Note
from servicekit import logs
from servicekit.background import BackgroundLoop

_CHANGING = frozenset({"assets:write", "buyers:write", "admin"})
# What a route says of its changes is in its name: asset_put, placement_delete, webhook_retry.
_DONE = {"put": "Stored", "patch": "Changed", "delete": "Deleted", "test": "Tested", "retry": "Sent again"}
_STREAMED = {"assets_import": "Imported rows", "assets_upload": "Uploaded files"}
_STORED = b'"result":"stored"'
_MOST_WAITING = 10_000
_MOST_BYTES = 8_000
_RETRY_SECONDS = 2.0


class ApiChanges:
    """`noting` wraps the guard of the routes; `start` and `stop` run the writing beside the requests."""

    def __init__(self, audit: AuditLog, failures: Counter, clock: Callable[[], datetime]) -> None:
        self._audit = audit
        self._clock = clock
        self._waiting: deque[Note] = deque(maxlen=_MOST_WAITING)
        self._lock = threading.Lock()
        self._loop = BackgroundLoop(
            "audit", self.write, interval_seconds=_RETRY_SECONDS, failures=failures, service="gateway"
        )

    def start(self) -> None:
        self._loop.start()

    def stop(self) -> None:
        """One last try; what still waits then is logged as lost."""
        self._loop.stop()
        try:
            self.write()
        except sa.exc.SQLAlchemyError as error:
            lost = len(self._waiting)
            logs.get("gateway").error("audit_notes_lost", count=lost, error=type(error).__name__)

    def noting(self, guard: Guard) -> Guard:
        """The same guard; what a route changes is noted once it has answered that it was done."""

        def wrapped(route: Route, view: View) -> View:
            if not _changes(route):
                return guard(route, view)

            def noted(caller: Caller, **arguments: str) -> Response:
                fields = _patched() if route.method == "PATCH" else None
                response = view(caller, **arguments)
                if 200 <= response.status_code < 300:
                    self._note(route, caller.key, arguments, response, fields)
                return response

            return guard(route, noted)

        return wrapped

    def write(self) -> None:
        """Write what waits. Raises what the database raises; then nothing is lost."""
        with self._lock:
            while self._waiting:
                block = list(self._waiting)[:100]
                self._audit.add(block)
                for _ in block:
                    self._waiting.popleft()

    def _note(
        self,
        route: Route,
        key: ApiKey,
        arguments: dict[str, str],
        response: Response,
        fields: dict[str, Any] | None,
    ) -> None:
        if route.name in _STREAMED:
            response.response = self._counted(response.response, route, key)
            return
        subject, _, verb = route.name.partition("_")
        named = next(iter(arguments.values()), "")
        summary = _DONE.get(verb, verb.replace("_", " ").capitalize())
        if verb == "erase":  # whom it was about must be gone from here, too
            receipt = (response.get_json(silent=True) or {}).get("receipt_id", "")
            subject, named, summary = "erasure", str(receipt), "Erased a buyer"
        elif fields:
            summary += f": {', '.join(sorted(fields))}"
        elif response.status_code == 201:
            summary = "Created"
        self._add(key, route, (subject, named), f"{summary}, through the API", _bounded(fields))

    def _counted(self, chunks: Iterable[Any], route: Route, key: ApiKey) -> Iterator[Any]:
        """Hand the answer's pieces on, and note at its end, or where it broke off, how much was stored."""
        stored, rest = 0, b""
        try:
            for chunk in chunks:
                looked_at = rest + chunk
                stored += looked_at.count(_STORED)
                rest = looked_at[-(len(_STORED) - 1) :]
                yield chunk
        finally:
            if isinstance(chunks, Generator):  # a client that left must not keep the recommender busy
                chunks.close()
            if stored:
                summary = f"{_STREAMED[route.name]} through the API: {stored:,} stored"
                self._add(key, route, ("assets", ""), summary, None)

    def _add(
        self, key: ApiKey, route: Route, subject: tuple[str, str], summary: str, after: dict[str, Any] | None
    ) -> None:
        self._waiting.append(
            Note(
                at=self._clock(),
                user_id=None,
                actor=f"key “{key.name}” ({key.key_id})",
                action=f"api.{route.name}",
                subject=subject,
                summary=summary,
                after=after,
            )
        )
        self._loop.wake()


def utc_now() -> datetime:
    return datetime.now(UTC)


def _changes(route: Route) -> bool:
    return isinstance(route.access, Keyed) and route.access.scope in _CHANGING and route.method != "GET"


def _patched() -> dict[str, Any] | None:
    """The fields of a patch, where its body can be read as it is; the view judges it."""
    try:
        found = orjson.loads(request.get_data(cache=True, parse_form_data=False))
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _bounded(fields: dict[str, Any] | None) -> dict[str, Any] | None:
    """Texts are left out, and all values where they are long: the log is no second catalogue."""
    if fields is None:
        return None
    kept = {name: value for name, value in fields.items() if name != "body"}
    return kept if len(orjson.dumps(kept)) <= _MOST_BYTES else dict.fromkeys(kept, "…")
