"""Assets: one at a time, as files, as a stream of rows, and what the catalogue lacks."""

from __future__ import annotations

from typing import IO

from flask import Response, request

from contract.assets import (
    AssetInput,
    AssetOutput,
    AssetPage,
    AssetPatch,
    AssetPreview,
    AssetStatus,
    ImportResult,
)
from contract.base import StageName
from contract.insight import CoverageOutput
from gateway import bodies, duplex, relay
from gateway.access import Caller
from gateway.api.ids import checked
from gateway.parts import Parts
from gateway.routing import ETAG, NDJSON, TEXT, Content, Keyed, Parameter, Route, one_of
from gateway.upstream import segment
from servicekit import request_context

_READ = Keyed("assets:read")
_WRITE = Keyed("assets:write")
_ASSET = (Content(model=AssetOutput),)
_ROWS = (Content(NDJSON, model=ImportResult),)
_IF_MATCH = Parameter("If-Match", "Only if the asset still has this ETag; else 412.", ETAG, place="header")
_ONE = "/v1/assets/<any_id:asset_id>"
_DAYS = {"type": "integer", "minimum": 1, "maximum": 365, "default": 30}


class AssetViews:
    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    def one(self, _: Caller, asset_id: str) -> Response:
        path = f"/v1/assets/{segment(checked(asset_id))}"
        writes = request.method not in ("GET", "HEAD")
        try:
            return self._whole("asset", path, writes=writes)
        finally:
            if writes:
                self._parts.fallback.forget(asset_id)

    def many(self, _: Caller) -> Response:
        return self._whole("assets", "/v1/assets", writes=False)

    def preview(self, _: Caller) -> Response:
        return self._whole("preview", "/v1/assets:preview", writes=True)

    def coverage(self, _: Caller) -> Response:
        return self._whole("coverage", "/v1/coverage", writes=False)

    def import_rows(self, _: Caller) -> Response:
        request.max_content_length = None  # any length: nothing is held whole
        return self._stream("/v1/assets:import", request.stream)

    def upload(self, _: Caller) -> Response:
        limit = self._settings.max_body_bytes
        if (request.content_length or 0) > limit:
            raise bodies.too_large(limit)
        request.max_content_length = limit
        return self._stream("/v1/assets:upload", request.stream)

    def _whole(self, operation: str, path: str, *, writes: bool) -> Response:
        body = request.get_data(cache=False, parse_form_data=False) if writes else b""
        upstream = self._parts.recommender.call(
            operation,
            "GET" if request.method == "HEAD" else request.method,
            relay.with_query(path),
            body=body if writes else None,
            headers=relay.forwarded_headers(),
            timeout_seconds=self._settings.write_timeout_seconds
            if writes
            else self._settings.read_timeout_seconds,
        )
        return relay.answer(upstream)

    def _stream(self, path: str, body: IO[bytes]) -> Response:
        context = request_context.current()
        ids = {"X-Request-ID": context.request_id, "traceparent": context.traceparent} if context else {}
        answer = duplex.exchange(
            self._parts.recommender.base_url,
            "POST",
            relay.with_query(path),
            body=body,
            headers={**relay.forwarded_headers(), **ids},
            timeout_seconds=self._settings.stream_timeout_seconds,
            breaker=self._parts.recommender.client.breaker,
        )
        chunks = self._parts.fallback.forget_stored(answer.chunks)
        return relay.streamed(answer.status, answer.headers, chunks)


def routes(parts: Parts) -> tuple[Route, ...]:
    views = AssetViews(parts)
    # fmt: off
    filters = tuple(
        Parameter(name, what, schema)
        for name, what, schema in (
            ("stage", "Only assets whose likeliest stage this is.", one_of(StageName)),
            ("type", "Only assets of this type.", TEXT),
            ("status", "Only assets in this state.", one_of(AssetStatus)),
            ("q", "Words in the title or summary.", TEXT),
            ("page_token", "`next_page_token` of the page before.", {"type": "string"}),
        )
    )
    size = Parameter("page_size", "Assets a page.", {"type": "integer", "minimum": 1, "maximum": 500})
    put = """-X PUT -H 'Content-Type: application/json' \\
  -d '{"title": "Choosing a supplier", "url": "https://www.example.com/choosing"}'"""
    patch = """-X PATCH -H 'Content-Type: application/json' -d '{"status": "archived"}'"""
    return (
        Route(
            "GET", "/v1/assets", "assets_list", "List assets", "Assets", _READ, views.many,
            parameters=(*filters, size), gives={200: (Content(model=AssetPage),)}, errors=(400, 422, 503),
        ),
        Route(
            "PUT", _ONE, "asset_put", "Store an asset", "Assets", _WRITE, views.one,
            description="Creates it or replaces it. An approved asset is recommendable within 2 seconds.",
            parameters=(_IF_MATCH,), takes=(Content(model=AssetInput),), gives={200: _ASSET, 201: _ASSET},
            errors=(400, 409, 412, 413, 422, 503), example=put,
        ),
        Route(
            "GET", _ONE, "asset_get", "Read an asset", "Assets", _READ, views.one,
            parameters=(Parameter("If-None-Match", "Answer 304 if it still has this ETag.", place="header"),),
            gives={200: _ASSET, 304: ()}, errors=(404, 422, 503),
        ),
        Route(
            "PATCH", _ONE, "asset_patch", "Change some fields of an asset", "Assets", _WRITE, views.one,
            parameters=(_IF_MATCH,), takes=(Content(model=AssetPatch),), gives={200: _ASSET},
            errors=(400, 404, 409, 412, 413, 422, 503), example=patch,
        ),
        Route(
            "DELETE", _ONE, "asset_delete", "Delete an asset", "Assets", _WRITE, views.one,
            description="From the moment of the answer it is never recommended again.",
            parameters=(_IF_MATCH,), gives={204: ()}, errors=(400, 404, 412, 422, 503), example="-X DELETE",
        ),
        Route(
            "POST", "/v1/assets:import", "assets_import", "Import rows of assets", "Assets", _WRITE,
            views.import_rows,
            description="NDJSON or CSV of any length, plain or gzip. One line comes back per row: stored, "
            "unchanged, or why not.",
            takes=(Content(NDJSON, model=AssetInput), Content("text/csv")), gives={200: _ROWS},
            errors=(400, 415, 503),
            example="-H 'Content-Type: application/x-ndjson' --data-binary @assets.ndjson",
        ),
        Route(
            "POST", "/v1/assets:upload", "assets_upload", "Upload files", "Assets", _WRITE, views.upload,
            description="PDF, DOCX, PPTX, HTML, Markdown or plain text, several in the field `files`.",
            takes=(
                Content(
                    "multipart/form-data",
                    schema={
                        "type": "object",
                        "required": ["files"],
                        "properties": {
                            "files": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "string", "format": "binary"},
                            }
                        },
                    },
                ),
            ),
            gives={200: (*_ROWS, Content(schema={"type": "object"}))}, errors=(400, 413, 415, 422, 503),
            example="-F files=@whitepaper.pdf",
        ),
        Route(
            "POST", "/v1/assets:preview", "assets_preview", "Score a draft", "Assets", _READ, views.preview,
            description="Its estimated stage, near-duplicates, and who would see it. Nothing is stored.",
            takes=(Content(model=AssetInput),), gives={200: (Content(model=AssetPreview),)},
            errors=(400, 413, 422, 503),
            example="""-H 'Content-Type: application/json' \\
  -d '{"title": "Choosing a supplier", "url": "https://www.example.com/choosing"}'""",
        ),
        Route(
            "GET", "/v1/coverage", "coverage", "Where content is missing", "Assets", _READ, views.coverage,
            description="Assets and unmet demand by stage, persona and topic.",
            parameters=(Parameter("days", "How far back demand is read.", _DAYS),),
            gives={200: (Content(model=CoverageOutput),)}, errors=(422, 503),
        ),
    )
    # fmt: on
