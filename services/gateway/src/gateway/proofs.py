"""Proofs in tracking calls: a browser shows by a token that it may speak for a user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from gateway.keys import token_is_valid

_MARK = b"user_token"


def proven_users(body: bytes, project_secret: bytes) -> tuple[str, ...]:
    """The user ids of a tracking body whose events carry their valid token in `context.user_token`.

    Bodies without a token are not parsed; what cannot be read proves nothing.
    """
    if _MARK not in body:
        return ()
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ()
    if not isinstance(document, dict):
        return ()
    shared = _token(document)
    proven: dict[str, None] = {}
    checked: set[tuple[str, str]] = set()
    for event in _events(document):
        user, token = event.get("userId"), _token(event) or shared
        if not isinstance(user, str) or token is None or (user, token) in checked:
            continue
        checked.add((user, token))
        if token_is_valid(project_secret, user, token):
            proven[user] = None
    return tuple(proven)


def _events(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    batch = document.get("batch")
    for event in batch if isinstance(batch, list) else [document]:
        if isinstance(event, dict):
            yield event


def _token(event: dict[str, Any]) -> str | None:
    context = event.get("context")
    token = context.get("user_token") if isinstance(context, dict) else None
    return token if isinstance(token, str) else None
