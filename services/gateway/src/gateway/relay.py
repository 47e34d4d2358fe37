"""Handing requests to the recommender and its answers back as they are, byte for byte."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote

import orjson
from flask import Response, request

from gateway.routing import PROBLEM
from servicekit.flask_app import shown_path
from servicekit.http import UpstreamResponse
from servicekit.wire import dumps

# Everything that may stand in a query as it is; only bytes that may not are encoded.
_QUERY_SAFE = "%/?:@!$&'()*+,;=-._~[]{}|^`\"<>\\"
_REQUEST_HEADERS = ("Content-Type", "Content-Encoding", "If-Match", "If-None-Match", "Accept")
_ANSWER_HEADERS = (
    "content-type",
    "content-encoding",
    "content-disposition",
    "etag",
    "last-modified",
    "location",
    "retry-after",
    "vary",
    "allow",
)


def forwarded_headers() -> dict[str, str]:
    """What of the client's headers the recommender may see: never the key."""
    return {name: request.headers[name] for name in _REQUEST_HEADERS if name in request.headers}


def with_query(path: str) -> str:
    """The path with the client's query string, as it was sent."""
    query = quote(request.query_string, safe=_QUERY_SAFE)
    return f"{path}?{query}" if query else path


def answer_headers(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.title(): headers[name] for name in _ANSWER_HEADERS if name in headers}


def answer(upstream: UpstreamResponse) -> Response:
    """The recommender's answer as ours; a problem names the address that the client called."""
    body = upstream.body
    if upstream.headers.get("content-type", "").startswith(PROBLEM):
        body = _with_our_instance(body)
    return Response(body, status=upstream.status, headers=answer_headers(upstream.headers))


def streamed(status: int, headers: Mapping[str, str], chunks: Iterable[bytes]) -> Response:
    return Response(chunks, status=status, headers=answer_headers(headers), direct_passthrough=True)


def _with_our_instance(body: bytes) -> bytes:
    try:
        problem = orjson.loads(body)
    except orjson.JSONDecodeError:
        return body
    if not isinstance(problem, dict) or problem.get("instance") == shown_path():
        return body
    return dumps({**problem, "instance": shown_path()})
