"""Who calls and whether they may: the key is found, checked, counted and limited, before any view runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import orjson
from flask import Response, g, request

from gateway import bodies
from gateway.keys import ApiKey, KeyInvalid, KeyKind, KeyRing, sent
from gateway.keys.model import normalise_origin
from gateway.limits import RateLimiter
from gateway.metrics import GatewayMetrics
from gateway.routing import Keyed, Open, Route, View
from servicekit.errors import Forbidden, Unauthenticated


@dataclass(frozen=True, slots=True)
class Caller:
    """The key behind a request; views ask it what they may show."""

    key: ApiKey
    limiter: RateLimiter

    @property
    def is_publishable(self) -> bool:
        return self.key.kind is KeyKind.PUBLISHABLE

    def may(self, scope: str) -> bool:
        return self.key.may(scope)

    def count_placement(self, placement: str) -> None:
        """Raises `TooManyRequests` when the placement's quota is used up."""
        self.limiter.check_placement(placement)


class AccessControl:
    """Wraps every view; a view with `Keyed` access gets the `Caller` as its first argument."""

    def __init__(self, keys: KeyRing, limiter: RateLimiter, metrics: GatewayMetrics) -> None:
        self._keys = keys
        self._limiter = limiter
        self._metrics = metrics

    def guard(self, route: Route, view: View) -> View:
        access = route.access
        if isinstance(access, Open):
            return view

        def guarded(**arguments: str) -> Response:
            return view(self.admit(access), **arguments)

        return guarded

    def admit(self, access: Keyed) -> Caller:
        """Raises `Unauthenticated`, `Forbidden` or `TooManyRequests`, each counted by its reason."""
        text = sent.in_authorization(request.headers.get("Authorization", "")) or (
            _key_in_tracking_request() if access.key_in_body else None
        )
        if not text:
            raise self._refused("missing", "Send a key: `Authorization: Bearer <key>`.")
        key = self._keys.find(text)
        if key is None:
            raise self._refused("unknown", "This key is not known.")
        if key.revoked_at is not None:
            raise self._refused("revoked", "This key has been revoked.")
        self._limiter.check(key.key_id)
        if key.kind is KeyKind.PUBLISHABLE:
            self._check_publishable(key, access)
        elif not key.may(access.scope):
            self._metrics.auth_failures.labels("scope").inc()
            raise Forbidden(f"This key lacks the scope `{access.scope}`.", code="scope_missing")
        self._keys.used(key)
        return Caller(key, self._limiter)

    def _check_publishable(self, key: ApiKey, access: Keyed) -> None:
        if not access.publishable:
            self._metrics.auth_failures.labels("publishable").inc()
            raise Forbidden("A publishable key may not call this address.", code="secret_key_needed")
        if key.origins and _origin() not in key.origins:
            self._metrics.auth_failures.labels("origin").inc()
            raise Forbidden("This key is bound to other origins.", code="origin_not_allowed")

    def _refused(self, reason: str, detail: str) -> Unauthenticated:
        self._metrics.auth_failures.labels(reason).inc()
        return Unauthenticated(detail, code=f"key_{reason}")


def _key_in_tracking_request() -> str | None:
    """`writeKey` in the query or in the body, where browsers put it that cannot set a header."""
    if in_query := request.args.get("writeKey"):
        return in_query
    g.tracking_body = bodies.read_tracking_body()
    try:
        document = orjson.loads(g.tracking_body)
    except orjson.JSONDecodeError:
        return None  # without a key in the header there is nobody to answer in more detail
    found = document.get("writeKey") if isinstance(document, dict) else None
    return found if isinstance(found, str) else None


def _origin() -> str | None:
    """The page's origin as the browser gives it; a GET without `Origin` still carries its `Referer`."""
    given = request.headers.get("Origin")
    if given is None and (referer := request.headers.get("Referer")):
        try:
            parts = urlsplit(referer)
        except ValueError:
            return None
        given = f"{parts.scheme}://{parts.netloc}"
    if not given:
        return None
    try:
        return normalise_origin(given)
    except KeyInvalid:
        return None


Guard = Callable[[Route, View], View]
