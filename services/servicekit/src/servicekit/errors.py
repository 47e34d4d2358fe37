"""The error tree every service raises from, and its one rendering as `application/problem+json` (RFC 9457).

ForewordError
├── BadRequest            400  cannot be read
│   └── UnsupportedMediaType 415
├── Unauthenticated       401
├── Forbidden             403
├── NotFound              404
├── MethodNotAllowed      405
├── Conflict              409
├── PreconditionFailed    412
├── PayloadTooLarge       413
├── Unprocessable         422  reads well but makes no sense
├── TooManyRequests       429  (Retry-After)
├── Internal              500
└── Unavailable           503  (Retry-After)
    └── UpstreamUnavailable    a service we call did not answer in time, or not at all
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One field that is wrong: where (RFC 6901 pointer), a stable code, and a sentence."""

    pointer: str
    code: str
    detail: str


class ForewordError(Exception):
    """Base of all errors that have an HTTP meaning. `detail` says what to do and never quotes secrets."""

    status: ClassVar[int] = 500
    code: str = "internal"
    title: ClassVar[str] = "Internal error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        fields: Sequence[FieldProblem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.fields = tuple(fields)
        self.headers = dict(headers or {})


class BadRequest(ForewordError):
    status = 400
    code = "bad_request"
    title = "The request cannot be read"


class UnsupportedMediaType(BadRequest):
    status = 415
    code = "unsupported_media_type"
    title = "This content type is not supported"


class Unauthenticated(ForewordError):
    status = 401
    code = "unauthenticated"
    title = "A valid key is needed"

    def __init__(self, detail: str, *, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"WWW-Authenticate": 'Bearer realm="foreword"'})


class Forbidden(ForewordError):
    status = 403
    code = "forbidden"
    title = "This key may not do that"


class NotFound(ForewordError):
    status = 404
    code = "not_found"
    title = "Not found"


class MethodNotAllowed(ForewordError):
    status = 405
    code = "method_not_allowed"
    title = "This address does not take that method"


class Conflict(ForewordError):
    status = 409
    code = "conflict"
    title = "It conflicts with what is stored"


class PreconditionFailed(ForewordError):
    status = 412
    code = "precondition_failed"
    title = "It has changed since you read it"


class PayloadTooLarge(ForewordError):
    status = 413
    code = "payload_too_large"
    title = "The request is too large"


class Unprocessable(ForewordError):
    status = 422
    code = "unprocessable"
    title = "The request makes no sense"


class TooManyRequests(ForewordError):
    status = 429
    code = "too_many_requests"
    title = "Too many requests"

    def __init__(
        self,
        detail: str,
        *,
        retry_after_seconds: float = 1.0,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        retry = {"Retry-After": str(max(1, math.ceil(retry_after_seconds)))}
        super().__init__(detail, code=code, headers={**retry, **(headers or {})})


class Internal(ForewordError):
    pass


class Unavailable(ForewordError):
    status = 503
    code = "unavailable"
    title = "A part of Foreword is away"

    def __init__(self, detail: str, *, retry_after_seconds: float = 2.0, code: str | None = None) -> None:
        super().__init__(
            detail, code=code, headers={"Retry-After": str(max(1, math.ceil(retry_after_seconds)))}
        )


class UpstreamUnavailable(Unavailable):
    code = "upstream_unavailable"


def problem_document(error: ForewordError, *, instance: str, request_id: str) -> dict[str, object]:
    """The RFC 9457 document of an error, with our stable `code`, a `message` and the request id."""
    document: dict[str, object] = {
        "type": f"https://foreword.dev/problems/{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
        "instance": instance,
        "code": error.code,
        "message": error.detail,
        "request_id": request_id,
    }
    if error.fields:
        document["errors"] = [
            {"pointer": f.pointer, "code": f.code, "detail": f.detail} for f in error.fields
        ]
    return document
