"""A small recommender on a real socket: it speaks the internal API, keeps assets in a dict, and can fail."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from flask import Flask, Response, g, request
from werkzeug.routing import PathConverter
from werkzeug.serving import make_server

from unit.gateway.stand_in_documents import (
    ACCOUNT,
    STAGE,
    content,
    recommendation,
    stored_asset,
    stored_placement,
)


class _AnyId(PathConverter):
    regex = "(?s:.+?)"
    part_isolating = False


@dataclass(slots=True)
class StandIn:
    """What the stand-in was sent, and how it is told to misbehave."""

    url: str = ""
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)
    status: int = 200  # answered instead of anything else when it is not 200
    delay_seconds: float = 0.0
    catalogue: list[dict[str, Any]] = field(default_factory=list)
    nonsense: bool = False
    hook: dict[str, Any] = field(default_factory=dict)  # what is different about the webhook endpoint
    deliveries: list[dict[str, Any]] = field(default_factory=list)
    accounts: dict[str, str] = field(default_factory=dict)  # a recipient's account as the log has it
    replaced: dict[str, str] = field(default_factory=dict)  # links of old mails: asset to where it leads now

    def reset(self) -> None:
        """As it was at the start, but at the same address."""
        fresh = StandIn(url=self.url, catalogue=[content(number) for number in range(1, 9)])
        for name in self.__slots__:
            setattr(self, name, getattr(fresh, name))

    def last(self, path: str) -> dict[str, Any]:
        """The newest call to a path: what else was called since, or late, is not what a test asks about."""
        return next(call for call in reversed(self.seen) if call["path"] == path)


def _problem(status: int, code: str) -> Response:
    document = {
        "type": f"https://foreword.dev/problems/{code}",
        "title": code,
        "status": status,
        "detail": code,
        "instance": request.path,
        "code": code,
        "message": code,
        "request_id": request.headers.get("X-Request-ID", ""),
    }
    headers = {"Retry-After": "3"} if status in (429, 503) else {}
    return Response(
        orjson.dumps(document), status=status, mimetype="application/problem+json", headers=headers
    )


def _json(value: Any, status: int = 200, **headers: str) -> Response:
    return Response(orjson.dumps(value), status=status, mimetype="application/json", headers=headers)


def make_app(state: StandIn) -> Flask:
    app = Flask("stand_in", static_folder=None)
    app.url_map.converters["any_id"] = _AnyId
    app.url_map.merge_slashes = False
    app.url_map.strict_slashes = True

    @app.before_request
    def misbehave() -> Response | None:
        g.seen = state.seen  # a caller that gave up must not turn up in the next test
        time.sleep(state.delay_seconds)
        if state.nonsense:
            return Response(b"<html>", status=200, mimetype="text/html")
        return _problem(state.status, "told_to") if state.status != 200 else None

    def recommended(asked: dict[str, Any]) -> dict[str, Any]:
        return recommendation(asked, state.catalogue, request.headers.get("X-Request-ID", "r"))

    def note(body: bytes) -> None:
        g.seen.append(
            {
                "method": request.method,
                "path": request.path,
                "raw": request.environ.get("REQUEST_URI", ""),
                "query": request.query_string.decode(),
                "headers": dict(request.headers),
                "body": body,
            }
        )

    @app.route("/v1/assets/<any_id:asset_id>", methods=["GET", "PUT", "PATCH", "DELETE"])
    def asset(asset_id: str) -> Response:
        body = request.get_data()
        note(body)
        known = state.assets.get(asset_id)
        if request.method == "PUT":
            try:
                document = orjson.loads(body)
            except orjson.JSONDecodeError:
                return _problem(400, "json_malformed")
            state.assets[asset_id] = stored_asset(asset_id, document, 1)
            return _json(state.assets[asset_id], 201 if known is None else 200, ETag='"1"')
        if known is None:
            return _problem(404, "asset_not_found")
        if request.headers.get("If-Match") not in (None, '"1"'):
            return _problem(412, "precondition_failed")
        if request.method == "DELETE":
            del state.assets[asset_id]
            return Response(status=204)
        if request.method == "PATCH":
            known.update(orjson.loads(body))
        if request.headers.get("If-None-Match") == '"1"':
            return Response(status=304, headers={"ETag": '"1"'})
        return _json(known, 200, ETag='"1"')

    @app.get("/v1/assets")
    def assets() -> Response:
        note(b"")
        return _json(
            {"assets": list(state.assets.values()), "next_page_token": None, "total": len(state.assets)}
        )

    @app.get("/internal/assets")
    def library() -> Response:
        note(b"")
        return _json(
            {"assets": list(state.assets.values()), "next_page_token": None, "total": len(state.assets)}
        )

    @app.post("/internal/assets:named")
    def named() -> Response:
        body = request.get_data()
        note(body)
        asked = orjson.loads(body)["ids"]
        return _json({"assets": [state.assets[id_] for id_ in asked if id_ in state.assets]})

    @app.get("/internal/asset-tags")
    def tags() -> Response:
        return _json({"type": [["blog", 2]], "topics": [["<b>GDP", 1]]})

    @app.get("/internal/accounts")
    def accounts() -> Response:
        note(b"")
        return _json(
            {
                "accounts": [ACCOUNT],
                "total": 1,
                "more_than_total": False,
                "by_stage": {"decision": 1},
                "next_page_token": "next",
            }
        )

    @app.post("/v1/assets:import")
    def import_rows() -> Response:
        stream = request.stream
        note(b"")

        def results() -> Iterator[bytes]:
            number, waiting = 0, b""
            while chunk := stream.read(8192):
                *lines, waiting = (waiting + chunk).split(b"\n")
                for _ in lines:
                    number += 1
                    yield orjson.dumps({"line": number, "result": "stored", "detail": "x" * 200}) + b"\n"
            if waiting:
                yield orjson.dumps({"line": number + 1, "result": "stored"}) + b"\n"

        if request.headers.get("Content-Type") == "image/png":
            return _problem(415, "unsupported_media_type")
        return Response(results(), mimetype="application/x-ndjson")

    @app.post("/v1/assets:upload")
    def upload() -> Response:
        files = request.files.getlist("files")
        note(b"")
        rows = [{"filename": f.filename, "result": "stored", "detail": str(len(f.read()))} for f in files]
        return Response(b"".join(orjson.dumps(r) + b"\n" for r in rows), mimetype="application/x-ndjson")

    @app.post("/v1/assets:preview")
    def preview() -> Response:
        note(request.get_data())
        nobody = {"buyers": 0, "accounts": 0}
        return _json(
            {
                "id": None,
                "type": "blog",
                "type_source": "guessed",
                "language": "en",
                "language_source": "detected",
                "stage_estimate": {"distribution": {"awareness": 1.0}, "source": "model"},
                "near_duplicates": [],
                "audience": {**nobody, "by_stage": {}, "places": 5, "sampled": 0, "sampled_of": 0},
                "warnings": [],
            }
        )

    @app.get("/v1/coverage")
    def coverage() -> Response:
        note(b"")
        nothing: dict[str, Any] = {name: [] for name in ("cells", "gaps", "unmet", "fallback_topics")}
        counts = ("assets", "days", "answers", "weak_answers", "fallback_answers")
        nothing |= {"never_shown": [], "old": [], "never_shown_count": 0, "old_count": 0, "by_stage": {}}
        return _json({**nothing, **dict.fromkeys(counts, 0), "since": "2026-01-01T00:00:00Z"})

    @app.get("/v1/assets/<any_id:asset_id>/insight")
    def insight(asset_id: str) -> Response:
        note(b"")
        counts = ("days", "recommended", "buyers", "accounts", "impressions", "clicks", "engaged_buyers")
        figures: dict[str, Any] = dict.fromkeys((*counts, "engaged_accounts", "stage_moves", "moves_of"), 0)
        figures |= {"by_placement": {}, "by_stage": {}, "by_tier": {}, "moves": [], "similar": []}
        named = {"id": asset_id, "since": "2026-01-01T00:00:00Z", "never_shown": True, "click_rate": None}
        return _json({**figures, **named, "shown_to": None})

    @app.get("/v1/placements")
    def placements() -> Response:
        note(b"")
        return _json({"placements": [stored_placement("sidebar")]})

    @app.route("/v1/placements/<any_id:placement_id>", methods=["GET", "PUT", "DELETE"])
    def placement(placement_id: str) -> Response:
        note(request.get_data())
        if request.method == "DELETE":
            return Response(status=204)
        return _json(stored_placement(placement_id), ETag='"1"')

    @app.get("/v1/placements/<any_id:placement_id>:history")
    def placement_history(placement_id: str) -> Response:
        note(b"")
        return _json({"id": placement_id, "versions": []})

    @app.post("/v1/placements:preview")
    def placement_preview() -> Response:
        note(request.get_data())
        return _json(recommended(orjson.loads(request.get_data())["request"]))

    @app.post("/v1/signals")
    def signals() -> Response:
        body = request.get_data()
        note(body)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return _problem(400, "json_malformed")
        many = document.get("batch", [document]) if isinstance(document, dict) else [document]
        return _json({"accepted": len(many), "duplicates": 0, "dead_letters": 0})

    @app.post("/v1/signals:validate")
    def validate() -> Response:
        note(request.get_data())
        dead = {"code": "no_identity", "detail": "An event needs a userId or an anonymousId."}
        return _json({"events": [{"accepted": False, "dead_letter": dead}], "left_out": 0})

    @app.post("/v1/recommendations")
    def recommend() -> Response:
        note(request.get_data())
        asked = orjson.loads(request.get_data())
        if any(c.get("field") == "colour" for c in (asked.get("filter") or {}).get("must", [])):
            return _problem(400, "filter_field_unknown")
        return _json(recommended(asked))

    @app.post("/v1/email/slots")
    def email_slot() -> Response:
        note(request.get_data())
        return _json(recommended(orjson.loads(request.get_data())))

    @app.post("/v1/email/accounts")
    def email_accounts() -> Response:
        asked = orjson.loads(request.get_data())["recipients"]
        return _json({"accounts": [state.accounts.get(one["id"]) for one in asked]})

    @app.get("/v1/replacements/<any_id:asset_id>")
    def replacement(asset_id: str) -> Response:
        if asset_id in state.replaced:
            return _json({"id": "other", "url": state.replaced[asset_id]})
        return _json({"id": asset_id, "url": f"https://www.example.com/{asset_id}"})

    hook = {"id": "crm", "url": "https://h.example/x", "events": ["asset.ready"], "description": ""}
    hook |= {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}

    @app.route("/v1/webhooks/endpoints/<any_id:endpoint_id>", methods=["GET", "PUT", "DELETE"])
    def endpoint(endpoint_id: str) -> Response:
        note(request.get_data())
        if request.method == "DELETE":
            return Response(status=204)
        return _json({**hook, **state.hook, "id": endpoint_id}, 201 if request.method == "PUT" else 200)

    @app.get("/v1/webhooks/endpoints")
    def endpoints() -> Response:
        note(b"")
        return _json({"endpoints": [{**hook, **state.hook}]})

    @app.post("/v1/webhooks/endpoints/<any_id:endpoint_id>:test")
    def test_endpoint(endpoint_id: str) -> Response:
        note(request.get_data())
        return _json({"event_id": "evt_1"})

    @app.get("/v1/webhooks/deliveries")
    def deliveries() -> Response:
        note(b"")
        return _json({"deliveries": state.deliveries, "next_page_token": None})

    @app.post("/v1/webhooks/deliveries/<any_id:delivery_id>:retry")
    def retry(delivery_id: str) -> Response:
        note(request.get_data())
        return Response(status=204)

    @app.post("/v1/recommendations:batch")
    def recommend_batch() -> Response:
        body = request.get_data()
        note(body)
        answers = []
        for line in body.splitlines():
            asked = orjson.loads(line)
            if asked.get("user_id") == "unwelcome":
                answers.append(_problem(400, "refused").get_data() + b"\n")
            else:
                answer = recommended(asked)
                answer["recommendation_id"] = "rec-" + str(asked.get("user_id"))
                answers.append(orjson.dumps(answer) + b"\n")
        return Response(b"".join(answers), mimetype="application/x-ndjson")

    @app.post("/v1/explain")
    def explain() -> Response:
        note(request.get_data())
        return _json({"asset_id": "asset-1", "eligible": True, "terms": {}})

    @app.get("/v1/search")
    def search() -> Response:
        note(b"")
        hits = [{**a, "rank": i, "score": 0.5} for i, a in enumerate(state.catalogue[:2], start=1)]
        return _json({"items": hits, "meta": {}})

    @app.get("/v1/buyers/<any_id:buyer_id>")
    def buyer(buyer_id: str) -> Response:
        note(b"")
        return _json(
            {
                "user_id": buyer_id,
                "ids": [{"kind": "user_id", "id": buyer_id}],
                "account_id": None,
                "traits": {},
                "signal_count": 0,
                "first_seen_at": None,
                "last_seen_at": None,
                "topics": [],
                "stage": STAGE,
                "recent_signals": [],
            }
        )

    @app.get("/v1/buyers/<any_id:buyer_id>:export")
    def export(buyer_id: str) -> Response:
        note(b"")
        return _json({"exported": buyer_id}, 200, **{"Content-Disposition": "attachment"})

    @app.post("/v1/buyers/<any_id:buyer_id>:erase")
    def erase(buyer_id: str) -> Response:
        note(request.get_data())
        return _json(
            {"receipt_id": "e-1", "erased_at": "2026-01-01T00:00:00Z", "identities": 1, "signals": 2}
        )

    @app.get("/v1/accounts/<any_id:account_id>")
    def account(account_id: str) -> Response:
        note(b"")
        return _json(
            {
                "account_id": account_id,
                "traits": {},
                "stage": STAGE,
                "buying_group": [],
                "surging_topics": [],
                "topics": [],
                "signal_count": 0,
                "last_seen_at": None,
            }
        )

    return app


@contextmanager
def serve(app: Flask) -> Iterator[str]:
    """Any WSGI application on a free port of this machine, in threads. → its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def running_stand_in() -> Iterator[StandIn]:
    state = StandIn()
    with serve(make_app(state)) as state.url:
        state.reset()
        yield state


def gzipped(body: bytes) -> bytes:
    return gzip.compress(body)
