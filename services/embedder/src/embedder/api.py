"""The routes: `POST /v1/embeddings` and `GET /v1/models`, in the shapes of the OpenAI API."""

from __future__ import annotations

import re

from flask import Blueprint, Response, request

from embedder.openai_shape import (
    EmbeddingRequest,
    embeddings_document,
    error_document,
    model_document,
    shortened,
)
from embedder.service import EmbedderService
from embedder.settings import EmbedderSettings
from servicekit import request_context
from servicekit.errors import FieldProblem, ForewordError, NotFound, Unprocessable, UnsupportedMediaType
from servicekit.http import DEADLINE_HEADER
from servicekit.wire import dumps, json_response, parse, read_object

_MILLISECONDS = re.compile(r"[0-9]{1,10}\Z")


def blueprint(service: EmbedderService, settings: EmbedderSettings) -> Blueprint:
    api = Blueprint("embeddings", __name__)

    @api.post("/v1/embeddings")
    def create_embeddings() -> Response:
        _require_json()
        asked = parse(EmbeddingRequest, read_object(request.get_data(cache=False)))
        _require_limits(asked, settings)
        encoder = service.encoder
        _require_served(asked.model, settings.embedder_model, encoder.model_id)
        dimensions = asked.dimensions or encoder.dimension
        if dimensions > encoder.dimension:
            raise _wrong(
                "/dimensions", "dimensions_too_large", f"The model has {encoder.dimension} dimensions."
            )
        encoded = service.encode(asked.input, wait_seconds=_deadline_seconds())
        return json_response(
            embeddings_document(
                shortened(encoded.vectors, dimensions),
                encoding_format=asked.encoding_format,
                model_id=encoder.model_id,
                token_count=encoded.token_count,
            )
        )

    @api.get("/v1/models")
    def list_models() -> Response:
        return json_response({"object": "list", "data": [model_document(service.encoder)]})

    @api.get("/v1/models/<path:model>")
    def get_model(model: str) -> Response:
        _require_served(model, settings.embedder_model, service.encoder.model_id)
        return json_response(model_document(service.encoder))

    @api.errorhandler(ForewordError)
    def problem(error: ForewordError) -> Response:
        context = request_context.current()
        document = error_document(
            error, instance=request.path, request_id=context.request_id if context else ""
        )
        return Response(
            dumps(document), status=error.status, mimetype="application/problem+json", headers=error.headers
        )

    return api


def _require_json() -> None:
    if request.mimetype and request.mimetype != "application/json" and not request.mimetype.endswith("+json"):
        raise UnsupportedMediaType("Send JSON, with Content-Type: application/json.")


def _require_limits(asked: EmbeddingRequest, settings: EmbedderSettings) -> None:
    if len(asked.input) > settings.embedder_max_inputs:
        raise _wrong(
            "/input",
            "too_many_inputs",
            f"Send at most {settings.embedder_max_inputs} texts in one request, not {len(asked.input)}.",
        )
    for index, text in enumerate(asked.input):
        if not text:
            raise _wrong(f"/input/{index}", "input_empty", "A text cannot be empty.")
        if len(text) > settings.embedder_max_input_chars:
            raise _wrong(
                f"/input/{index}",
                "input_too_long",
                f"A text may have {settings.embedder_max_input_chars} characters; this one has {len(text)}.",
            )


def _require_served(asked: str | None, configured: str, model_id: str) -> None:
    """The name, the name with its revision, or what the operator configured; none means any."""
    if asked in (None, configured, model_id, model_id.rpartition("@")[0]):
        return
    raise NotFound(
        f"The model you ask for is not served here; this embedder serves {model_id}.",
        code="model_not_found",
        fields=[FieldProblem("/model", "model_not_found", f"This embedder serves {model_id}.")],
    )


def _deadline_seconds() -> float | None:
    """How long the caller still waits; a header that is not a number is as good as none."""
    value = request.headers.get(DEADLINE_HEADER, "")
    return int(value) / 1000 if _MILLISECONDS.match(value) else None


def _wrong(pointer: str, code: str, detail: str) -> Unprocessable:
    return Unprocessable(
        f"The request makes no sense at {pointer}: {detail}",
        code=code,
        fields=[FieldProblem(pointer, code, detail)],
    )
