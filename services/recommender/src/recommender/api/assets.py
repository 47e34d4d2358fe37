"""Routes of the catalogue."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO, cast

import orjson
from flask import Blueprint, Response, request, stream_with_context
from werkzeug.exceptions import ClientDisconnected

from contract.assets import AssetInput, AssetPatch
from recommender.api.problems import DATABASE_AWAY, database_away
from recommender.api.requests import (
    checked_id,
    one_of,
    page_token,
    precondition,
    read_page_token,
    text_parameter,
    whole_number,
)
from recommender.domain.catalogue import STAGES
from recommender.extraction.rows import read_rows
from recommender.service.asset_records import document_of
from recommender.service.assets import AssetService, Written
from recommender.service.coverage import CoverageService
from recommender.service.importing import AssetImport
from recommender.service.insight import InsightService
from recommender.service.previewing import PreviewService
from recommender.service.uploading import AssetUpload, UploadedFile
from recommender.store.assets import AssetQuery
from servicekit.errors import BadRequest, FieldProblem, ForewordError, PayloadTooLarge, Unprocessable
from servicekit.wire import dumps, json_response, parse, read_object

_MAX_FILES = 100
_DAYS, _MOST_DAYS = 30, 365
_STATUSES = ("draft", "approved", "archived")


def blueprint(
    assets: AssetService,
    imports: AssetImport,
    uploads: AssetUpload,
    previews: PreviewService,
    coverage: CoverageService,
    insights: InsightService,
) -> Blueprint:
    routes = Blueprint("assets", __name__)

    @routes.put("/v1/assets/<id:asset_id>")
    def put(asset_id: str) -> Response:
        fields = parse(AssetInput, read_object(request.get_data()))
        if fields.id is not None and fields.id != asset_id:
            raise Unprocessable(
                "The id in the body is not the one in the path; leave it out of the body.",
                code="id_mismatch",
                fields=[FieldProblem("/id", "id_mismatch", "differs from the path")],
            )
        written = assets.put(checked_id(asset_id), fields, precondition(request))
        return _asset(written, 201 if written.created else 200)

    @routes.patch("/v1/assets/<id:asset_id>")
    def patch(asset_id: str) -> Response:
        changes = parse(AssetPatch, read_object(request.get_data()))
        for name in ("title", "url"):
            if name in changes.model_fields_set and getattr(changes, name) is None:
                raise Unprocessable(
                    f"An asset needs a {name}; it cannot be emptied.",
                    code="fields_invalid",
                    fields=[FieldProblem(f"/{name}", "required", "cannot be null")],
                )
        return _asset(assets.patch(checked_id(asset_id), changes, precondition(request)), 200)

    @routes.get("/v1/assets/<id:asset_id>")
    def get(asset_id: str) -> Response:
        written = assets.get(checked_id(asset_id))
        if request.if_none_match.contains(written.etag.strip('"')):
            return Response(status=304, headers={"ETag": written.etag})
        return _asset(written, 200)

    @routes.delete("/v1/assets/<id:asset_id>")
    def delete(asset_id: str) -> Response:
        assets.delete(checked_id(asset_id), precondition(request))
        return Response(status=204)

    @routes.get("/v1/assets")
    def page() -> Response:
        query = AssetQuery(
            status=one_of(request, "status", _STATUSES),
            type=text_parameter(request, "type"),
            stage=one_of(request, "stage", STAGES),
            text=text_parameter(request, "q"),
            page_size=whole_number(request, "page_size", 50, 1, 500),
            after=read_page_token(request.args.get("page_token")),
        )
        found, total, after = assets.page(query)
        token = None if after is None else page_token(after)
        return json_response(
            {"assets": [document_of(asset) for asset in found], "next_page_token": token, "total": total}
        )

    @routes.post("/v1/assets:import")
    def import_rows() -> Response:
        stream = cast(BinaryIO, request.stream)
        results = imports.run(read_rows(stream, request.content_type))

        def lines() -> Iterator[bytes]:
            try:
                for result in results:
                    yield dumps(result.model_dump(exclude_none=True, exclude_defaults=True)) + b"\n"
            except ClientDisconnected:
                return
            except (ForewordError, *DATABASE_AWAY) as error:
                # The status is sent by now, so the last line says that the import did not reach the end.
                told = error if isinstance(error, ForewordError) else database_away()
                yield dumps({"result": "failed", "code": told.code, "detail": told.detail}) + b"\n"

        return Response(stream_with_context(lines()), mimetype="application/x-ndjson")

    @routes.post("/v1/assets:upload")
    def upload() -> Response:
        files = request.files.getlist("files")
        if not files:
            raise BadRequest("Send files as multipart/form-data under the name `files`.", code="no_files")
        if len(files) > _MAX_FILES:
            raise PayloadTooLarge(f"Send at most {_MAX_FILES} files at once.", code="too_many_files")
        stated = _stated_fields()
        status = request.form.get("status")
        if status is not None and status not in _STATUSES:
            raise Unprocessable("status must be draft, approved or archived.", code="fields_invalid")
        results = [
            uploads.store(
                UploadedFile(file.filename or "upload", file.mimetype, file.read()),
                stated.get(file.filename or "", {}),
                base_url=request.form.get("base_url"),
                status=status,
                expected=precondition(request),
            )
            for file in files
        ]
        documents = [r.model_dump(exclude_none=True) for r in results]
        return json_response({"results": documents})

    @routes.post("/v1/assets:preview")
    def preview() -> Response:
        fields = parse(AssetInput, read_object(request.get_data()))
        return json_response(previews.preview(fields).model_dump())

    @routes.get("/v1/coverage")
    def get_coverage() -> Response:
        days = whole_number(request, "days", _DAYS, 1, _MOST_DAYS)
        return json_response(coverage.with_demand(days).model_dump())

    @routes.get("/v1/assets/<id:asset_id>/insight")
    def get_insight(asset_id: str) -> Response:
        days = whole_number(request, "days", _DAYS, 1, _MOST_DAYS)
        people = request.args.get("people") == "true"
        return json_response(insights.insight(checked_id(asset_id), days, people=people).model_dump())

    return routes


def _asset(written: Written, status: int) -> Response:
    return json_response(document_of(written.output), status, {"ETag": written.etag})


def _stated_fields() -> dict[str, dict[str, Any]]:
    """The form field `fields`: JSON, from file name to the asset's fields that the sender knows better."""
    text = request.form.get("fields")
    if text is None:
        return {}
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            "`fields` must be JSON: {file name: {field: value}}.", code="json_malformed"
        ) from error
    if not isinstance(value, dict) or not all(isinstance(v, dict) for v in value.values()):
        raise BadRequest("`fields` must be JSON: {file name: {field: value}}.", code="json_not_an_object")
    return value
