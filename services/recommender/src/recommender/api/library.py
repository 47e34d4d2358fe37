"""What the studio's library asks: internal, and no part of the public contract."""

from __future__ import annotations

import io
from typing import get_args

from flask import Blueprint, Response, request

from contract.assets import AssetStatus, NamedAssets
from recommender.api.requests import (
    json_parameter,
    page_token,
    read_page_token,
    text_parameter,
    whole_number,
)
from recommender.extraction.rows import read_rows
from recommender.service.asset_records import document_of
from recommender.service.importing import AssetImport
from recommender.service.library import LibraryService
from recommender.store.assets import AssetQuery
from servicekit.errors import BadRequest, FieldProblem, Unprocessable
from servicekit.wire import json_response, parse, read_object


def blueprint(library: LibraryService, imports: AssetImport) -> Blueprint:
    routes = Blueprint("library", __name__)

    @routes.get("/internal/assets")
    def page() -> Response:
        status = request.args.get("status")
        if status is not None and status not in get_args(AssetStatus):
            known = ", ".join(get_args(AssetStatus))
            raise Unprocessable(
                f"status must be one of {known}.",
                code="fields_invalid",
                fields=[FieldProblem("/status", "unknown", known)],
            )
        tree = json_parameter(request, "filter")
        if tree is not None and not isinstance(tree, dict):
            raise BadRequest("filter must be an object.", code="filter_invalid")
        found = library.page(
            AssetQuery(
                status=status,
                text=text_parameter(request, "q"),
                page_size=whole_number(request, "page_size", 25, 1, 100),
                after=read_page_token(request.args.get("page_token")),
            ),
            tree,
        )
        token = None if found.after is None else page_token(found.after)
        assets = [document_of(asset) for asset in found.assets]
        return json_response({"assets": assets, "next_page_token": token, "total": found.total})

    @routes.post("/internal/assets:named")
    def named() -> Response:
        """The assets of a search at once, in the order asked for, without those that are gone."""
        asked = parse(NamedAssets, read_object(request.get_data()))
        return json_response({"assets": [document_of(asset) for asset in library.named(asked.ids)]})

    @routes.get("/internal/asset-tags")
    def tags() -> Response:
        return json_response(library.tags(whole_number(request, "most", 50, 1, 500)))

    @routes.post("/internal/assets:import")
    def import_drafts() -> Response:
        """A list from the content team: every row becomes a draft, and overwrites nothing unless asked to."""
        rows = read_rows(io.BytesIO(request.get_data()), request.content_type)
        results = imports.run_as_drafts(rows, replace=request.args.get("replace") == "true")
        return json_response({"results": [one.model_dump(exclude_none=True) for one in results]})

    return routes
