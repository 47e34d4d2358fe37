"""What the recommender's tests stand on: a clock that is set, an embedder over HTTP, an app and its parts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import quote

import orjson
import sqlalchemy as sa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.serving import make_server
from werkzeug.test import TestResponse
from werkzeug.wrappers import Request, Response

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


@dataclass(slots=True)
class SettableClock:
    """Time stands still until a test moves it."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> datetime:
        self.now += timedelta(**duration)
        return self.now


@dataclass(slots=True)
class SwitchableEmbedder:
    """The real embedder application with hashing encoders, which a test may switch, take away or make picky.

    `texts` holds every text that was embedded, so that a test can say that nothing was embedded twice.
    """

    apps: Mapping[str, Flask]
    model: str = "hashing-384"
    away: bool = False
    refused: str | None = None
    texts: list[str] = field(default_factory=list)
    before_answer: Callable[[], None] | None = None

    def reset(self) -> None:
        self.model, self.away, self.refused, self.before_answer = "hashing-384", False, None, None
        self.texts.clear()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if self.away:
            return Response("away", 503)(environ, start_response)
        request = Request(environ)
        if request.path == "/v1/embeddings":
            inputs = orjson.loads(request.get_data(cache=True))["input"]
            texts = [inputs] if isinstance(inputs, str) else inputs
            if self.refused is not None and any(self.refused in text for text in texts):
                return Response("refused", 400)(environ, start_response)
            self.texts += texts
            environ["wsgi.input"] = _again(request.get_data(cache=True))
        answer = self.apps[self.model].wsgi_app(environ, start_response)
        if self.before_answer is not None:
            self.before_answer()
        return answer


def _again(body: bytes) -> Any:
    import io

    return io.BytesIO(body)


class ServedEmbedder:
    """`SwitchableEmbedder` on a port of this machine."""

    def __init__(self) -> None:
        from embedder.app import create_app
        from embedder.settings import EmbedderSettings

        apps = {
            model: create_app(EmbedderSettings.load(embedder_model=model))
            for model in ("hashing-384", "hashing-256")
        }
        self.switch = SwitchableEmbedder(apps)
        self._server = make_server("127.0.0.1", 0, self.switch, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
        for app in self.switch.apps.values():
            app.extensions["close"]()


@dataclass(slots=True)
class Rig:
    """One recommender process, called as the gateway would call it."""

    app: Flask
    clock: SettableClock

    @property
    def client(self) -> FlaskClient:
        """A client of its own for each caller: threads may share a rig, not a client."""
        return self.app.test_client()

    @property
    def engine(self) -> sa.Engine:
        return cast(sa.Engine, self.app.extensions["parts"]["engine"])

    @property
    def parts(self) -> dict[str, Any]:
        return cast(dict[str, Any], self.app.extensions["parts"])

    def path(self, asset_id: str) -> str:
        return "/v1/assets/" + quote(asset_id, safe="")

    def put(self, asset_id: str, **changes: Any) -> TestResponse:
        headers = changes.pop("headers", None)
        fields = {"title": f"Title of {asset_id}"[:500], "url": f"https://firm.example/{quote(asset_id)}"}
        body = {k: v for k, v in (fields | changes).items() if v is not ...}
        return self.client.put(self.path(asset_id), json=body, headers=headers)

    def get(self, asset_id: str) -> TestResponse:
        return self.client.get(self.path(asset_id))

    def send(self, *events: Mapping[str, Any], call: str = "batch", **headers: str) -> TestResponse:
        body = {"batch": list(events)} if call == "batch" else events[0]
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(f"/v1/signals?kind={call}", json=body, headers=named)

    def recommend(self, **request: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/recommendations", json={"count": 50, **request})
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return cast(dict[str, Any], answer.json)

    def shown(self, **request: Any) -> set[str]:
        return {item["id"] for item in self.recommend(**request)["items"]}

    def buyer(self, buyer_id: str) -> dict[str, Any]:
        answer = self.client.get("/v1/buyers/" + quote(buyer_id, safe=""))
        assert answer.status_code == 200, answer.get_data(as_text=True)
        return cast(dict[str, Any], answer.json)

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(query, values or None)]


RigMaker = Callable[..., Rig]


def code(answer: TestResponse) -> tuple[int, str | None]:
    """Status and stable code of a problem, after holding it to RFC 9457."""
    document = answer.get_json(silent=True)
    if answer.status_code >= 400:
        assert answer.mimetype == "application/problem+json"
        assert document is not None
        assert document["status"] == answer.status_code
        assert {"type", "title", "detail", "instance", "code", "message", "request_id"} <= document.keys()
        return answer.status_code, document["code"]
    return answer.status_code, None


def truncate(engine: sa.Engine) -> None:
    """Empty every table of the recommender; months' partitions stay, as no test may depend on them."""
    with engine.begin() as connection:
        names = connection.exec_driver_sql(
            "SELECT string_agg('recommender.' || quote_ident(relname), ', ') FROM pg_class "
            "WHERE relnamespace = 'recommender'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition AND relname <> 'alembic_version'"
        ).scalar_one()
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY CASCADE")
        connection.exec_driver_sql("INSERT INTO recommender.catalogue_head (revision) VALUES (0)")
