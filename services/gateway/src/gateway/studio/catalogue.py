"""The recommender as the studio asks it: plain documents back, and its problems as typed errors."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3

from gateway.parts import Parts
from gateway.upstream import segment
from servicekit import errors
from servicekit.http import UpstreamResponse
from servicekit.wire import dumps

Document = dict[str, Any]
_BY_STATUS: dict[int, type[errors.ForewordError]] = {
    400: errors.BadRequest,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.PayloadTooLarge,
    415: errors.UnsupportedMediaType,
    422: errors.Unprocessable,
}
_JSON = {"Content-Type": "application/json"}


class Catalogue:
    """Reads and writes through the gateway's own upstream client: its deadlines, breaker and measures."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._settings = parts.settings

    def library(self, filter_: Document | None, **query: str | int) -> Document:
        """A page of assets, without their texts."""
        more = {"filter": orjson.dumps(filter_).decode()} if filter_ else {}
        return self._get("studio_assets", "/internal/assets", **query, **more)

    def named(self, ids: list[str]) -> list[Document]:
        """These assets in this order, without their texts; what is gone is left out."""
        found: list[Document] = self._post("studio_assets", "/internal/assets:named", {"ids": ids})["assets"]
        return found

    def tags(self, most: int) -> Document:
        """Field → [value, how many assets carry it], the commonest first."""
        return self._get("studio_tags", "/internal/asset-tags", most=most)

    def asset(self, asset_id: str) -> Document:
        return self._get("studio_asset", f"/v1/assets/{segment(asset_id)}")

    def search(self, text: str, count: int, filter_: Document | None = None) -> list[Document]:
        more = {"filter": orjson.dumps(filter_).decode()} if filter_ else {}
        found: list[Document] = self._get("studio_search", "/v1/search", q=text, count=count, **more)["items"]
        return found

    def put(self, asset_id: str, fields: Document) -> Document:
        return self._write("PUT", asset_id, fields)

    def patch(self, asset_id: str, changes: Document, revision: str | None = None) -> Document:
        return self._write("PATCH", asset_id, changes, revision)

    def delete(self, asset_id: str) -> None:
        try:
            self._send("studio_asset", "DELETE", f"/v1/assets/{segment(asset_id)}", None, {})
        finally:
            self._parts.fallback.forget(asset_id)

    def upload(
        self,
        name: str,
        data: bytes,
        media_type: str,
        base_url: str,
        url: str | None = None,
        *,
        replace: bool,
    ) -> Document:
        """One file, stored as a draft. → the row of the answer: stored, or why not."""
        form: dict[str, str | tuple[str, bytes, str]] = {
            "files": (name, data, media_type),
            "base_url": base_url,
            "status": "draft",
        }
        if url is not None:
            form["fields"] = orjson.dumps({name: {"url": url}}).decode()
        body, content_type = urllib3.encode_multipart_formdata(form)
        answer = self._send(
            "studio_upload",
            "POST",
            "/v1/assets:upload",
            body,
            {"Content-Type": content_type, **({} if replace else {"If-None-Match": "*"})},
            seconds=self._settings.stream_timeout_seconds,
        )
        results: list[Document] = self._document(answer)["results"]
        return results[0]

    def import_drafts(self, data: bytes, media_type: str, *, replace: bool) -> list[Document]:
        """Rows of assets, each stored as a draft. → one result a row; without `replace` none overwrites."""
        answer = self._send(
            "studio_import",
            "POST",
            f"/internal/assets:import?replace={str(replace).lower()}",
            data,
            {"Content-Type": media_type},
            seconds=self._settings.stream_timeout_seconds,
        )
        self._parts.fallback.forget_all()
        results: list[Document] = self._document(answer)["results"]
        return results

    def preview(self, fields: Document) -> Document | None:
        """What a draft looks like to Foreword; None where this recommender has no answer to that."""
        try:
            return self._post("studio_preview", "/v1/assets:preview", fields)
        except (errors.NotFound, errors.MethodNotAllowed):
            return None

    def insight(self, asset_id: str, *, people: bool) -> Document | None:
        """Its figures, with `people` also who was shown it; None for an asset that is not there."""
        more = {"people": "true"} if people else {}
        try:
            return self._get("studio_insight", f"/v1/assets/{segment(asset_id)}/insight", **more)
        except errors.NotFound:
            return None

    def coverage(self) -> Document:
        return self._get("studio_coverage", "/v1/coverage")

    def recommend_many(self, asked: list[Document]) -> list[Document]:
        body = b"\n".join(orjson.dumps(one) for one in asked)
        # A preview: what colleagues look at must not count as what buyers were answered.
        headers = {"X-Purpose": "preview"}
        answer = self._send(
            "studio_recommend", "POST", "/v1/recommendations:batch", body, headers, seconds=30.0
        )
        return [orjson.loads(line) for line in answer.body.splitlines() if line.strip()]

    def explain(self, asked: Document) -> Document:
        return self._post("studio_explain", "/v1/explain", asked)

    def buyer(self, buyer_id: str) -> Document:
        return self._get("studio_buyer", f"/v1/buyers/{segment(buyer_id)}")

    def account(self, account_id: str) -> Document:
        return self._get("studio_account", f"/v1/accounts/{segment(account_id)}")

    def accounts(self, **query: str | int) -> Document:
        return self._get("studio_accounts", "/internal/accounts", **query)

    def placements(self) -> list[Document] | None:
        try:
            found: list[Document] = self._get("studio_placements", "/v1/placements")["placements"]
        except (errors.NotFound, errors.MethodNotAllowed, KeyError):
            return None
        return found

    def placement(self, placement_id: str) -> Document:
        return self._get("studio_placement", f"/v1/placements/{segment(placement_id)}")

    def put_placement(self, placement_id: str, rules: Document, actor: str, version: str = "") -> Document:
        path = f"/v1/placements/{segment(placement_id)}"
        headers = {**_JSON, "X-Actor": actor, **({"If-Match": f'"{version}"'} if version else {})}
        answer = self._send("studio_placement", "PUT", path, dumps(rules), headers)
        self._parts.fallback.forget_all()  # what was remembered may be what is excluded now
        return self._document(answer)

    def delete_placement(self, placement_id: str, actor: str) -> None:
        path = f"/v1/placements/{segment(placement_id)}"
        self._send("studio_placement", "DELETE", path, None, {"X-Actor": actor})
        self._parts.fallback.forget_all()

    def try_placement(self, rules: Document, asked: Document) -> Document:
        """What would be recommended under these rules; nothing is stored."""
        return self._post("studio_placement", "/v1/placements:preview", {"rules": rules, "request": asked})

    def _get(self, operation: str, path: str, **query: str | int) -> Document:
        asked = f"{path}?{urlencode(query)}" if query else path
        return self._document(
            self._send(operation, "GET", asked, None, {}, seconds=self._settings.read_timeout_seconds)
        )

    def _post(self, operation: str, path: str, value: Document) -> Document:
        return self._document(self._send(operation, "POST", path, orjson.dumps(value), _JSON))

    def _write(self, method: str, asset_id: str, value: Document, revision: str | None = None) -> Document:
        headers = {**_JSON, **({"If-Match": f'"{revision}"'} if revision else {})}
        try:
            path = f"/v1/assets/{segment(asset_id)}"
            return self._document(self._send("studio_asset", method, path, orjson.dumps(value), headers))
        finally:
            self._parts.fallback.forget(asset_id)

    def _send(
        self,
        operation: str,
        method: str,
        path: str,
        body: bytes | None,
        headers: dict[str, str],
        *,
        seconds: float | None = None,
    ) -> UpstreamResponse:
        answer = self._parts.recommender.call(
            operation,
            method,
            path,
            body=body,
            headers=headers,
            timeout_seconds=seconds or self._settings.write_timeout_seconds,
        )
        if answer.status >= 400:
            raise _error(answer)
        return answer

    @staticmethod
    def _document(answer: UpstreamResponse) -> Document:
        try:
            found = answer.json()
        except orjson.JSONDecodeError as error:
            raise errors.UpstreamUnavailable("The recommender gave an answer that makes no sense.") from error
        if not isinstance(found, dict):
            raise errors.UpstreamUnavailable("The recommender gave an answer that makes no sense.")
        return found


def _error(answer: UpstreamResponse) -> errors.ForewordError:
    try:
        problem = answer.json()
    except orjson.JSONDecodeError:
        problem = {}
    detail = str(problem.get("detail") or "The recommender cannot answer that.")
    fields = [
        errors.FieldProblem(str(f.get("pointer", "")), str(f.get("code", "")), str(f.get("detail", "")))
        for f in problem.get("errors", [])
        if isinstance(f, dict)
    ]
    kind = _BY_STATUS.get(answer.status)
    if kind is None:
        return errors.UpstreamUnavailable(detail)
    return kind(detail, code=str(problem.get("code") or kind.code), fields=fields)
