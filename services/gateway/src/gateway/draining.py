"""Reading what is left of a refused body, so that the client gets our answer and not a broken pipe.

Many clients send everything before they read anything; a server that answers 413 and hangs up while they
still send leaves them with a network error and no reason.
"""

from __future__ import annotations

import time
from contextlib import suppress

from flask import Flask, Response, request

_CHUNK = 256 * 1024
_MOST_BYTES = 64 * 1024 * 1024
_MOST_SECONDS = 10.0


def init_app(app: Flask) -> None:
    @app.after_request
    def drain(response: Response) -> Response:
        # Streamed answers read their request themselves; where the input does not say where it ends, as
        # under a development server, reading on would wait for ever.
        if (
            response.status_code < 400
            or response.is_streamed
            or not request.environ.get("wsgi.input_terminated")
        ):
            return response
        source = request.environ["wsgi.input"]
        left, deadline = _MOST_BYTES, time.monotonic() + _MOST_SECONDS
        with suppress(OSError):  # the client has gone: nobody waits for the answer
            while left > 0 and time.monotonic() < deadline:
                chunk = source.read(min(_CHUNK, left))
                if not chunk:
                    break
                left -= len(chunk)
        return response
