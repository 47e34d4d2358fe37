"""The yardstick of serving: two Flask services that do nothing; one passes the other's constant answer on.

`TWO_HOPS_BYTES` is the answer's size, `TWO_HOPS_BACK` the address that the front calls.
"""

from __future__ import annotations

import os

import urllib3
from flask import Flask, Response, request


def back() -> Flask:
    app = Flask("back", static_folder=None)
    answer = b'{"items": "' + b"x" * max(0, int(os.environ.get("TWO_HOPS_BYTES", "2000")) - 13) + b'"}'

    @app.post("/v1/recommendations")
    def recommend() -> Response:
        request.get_data()
        return Response(answer, mimetype="application/json")

    return app


def front() -> Flask:
    app = Flask("front", static_folder=None)
    pool = urllib3.PoolManager(maxsize=32)
    address = os.environ.get("TWO_HOPS_BACK", "") + "/v1/recommendations"

    @app.post("/v1/recommendations")
    def recommend() -> Response:
        found = pool.request(
            "POST", address, body=request.get_data(), headers={"Content-Type": "application/json"}
        )
        return Response(found.data, status=found.status, mimetype="application/json")

    return app
